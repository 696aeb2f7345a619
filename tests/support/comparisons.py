"""Comparisons made in Python."""

from roundelay.recipes.evaluation.comparisons import Comparison, Verdict

ORDERS: dict[Verdict, tuple[float, float]] = {"a": (0.9, 0.7), "tie": (0.8, 0.3), "b": (0.2, 0.4)}


def comparison(
    first: float | None,
    second: float | None,
    *,
    prompt_id: str = "p",
    chars: tuple[int, int] = (100, 100),
    identical: bool = False,
) -> Comparison:
    return Comparison(
        prompt_id=prompt_id,
        shown_first=first,
        shown_second=second,
        chars_a=chars[0],
        chars_b=chars[1],
        identical=identical,
    )


def with_verdict(verdict: Verdict, *, prompt_id: str = "p", chars: tuple[int, int] = (100, 100)) -> Comparison:
    """A comparison that comes out as `verdict`."""
    return comparison(*ORDERS[verdict], prompt_id=prompt_id, chars=chars)


def scored(
    a: float | None, b: float | None, *, prompt_id: str = "p", chars: tuple[int, int] = (100, 100)
) -> Comparison:
    """What a judge that scores makes of two responses."""
    return Comparison(
        prompt_id=prompt_id, shown_first=None, shown_second=None, chars_a=chars[0], chars_b=chars[1], scores=(a, b)
    )
