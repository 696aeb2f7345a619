"""What a judge of two responses said about one prompt, asked both ways round: the data of every statistic here."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ...orchestrator.records import Judgment

Verdict: TypeAlias = Literal["a", "b", "tie"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Two responses a and b to one prompt, and the probabilities of a being the better one.

    `shown_first` was given when a stood first, `shown_second` when it stood second; None where the judge said nothing
    that could be read. `identical` texts are a tie that no judge is asked about. Lengths are in characters.

    Example:
        Comparison(prompt_id="maths-001", shown_first=0.75, shown_second=0.5, chars_a=120, chars_b=98)
    """

    prompt_id: str
    shown_first: float | None
    shown_second: float | None
    chars_a: int
    chars_b: int
    identical: bool = False

    @property
    def orders(self) -> tuple[float, float] | None:
        """The probabilities in both orders, or None unless both could be read."""
        if self.identical:
            return 0.5, 0.5
        if self.shown_first is None or self.shown_second is None:
            return None
        return self.shown_first, self.shown_second

    @property
    def probability(self) -> float | None:
        """The mean of both orders."""
        return None if self.orders is None else sum(self.orders) / 2

    @property
    def verdict(self) -> Verdict | None:
        """The response that is preferred in both orders; a tie where they disagree or neither prefers any."""
        if self.orders is None:
            return None
        if min(self.orders) > 0.5:
            return "a"
        return "b" if max(self.orders) < 0.5 else "tie"


def preferred(probability: float) -> Verdict:
    """What one order says.

    Example:
        >>> preferred(0.75), preferred(0.5), preferred(0.25)
        ('a', 'tie', 'b')
    """
    return "a" if probability > 0.5 else "b" if probability < 0.5 else "tie"


def points(verdict: Verdict) -> float:
    """What a gets for it: a win 1, a tie half, a loss 0."""
    return {"a": 1.0, "tie": 0.5, "b": 0.0}[verdict]


def verdicts(comparisons: Iterable[Comparison]) -> list[tuple[Comparison, Verdict]]:
    """The comparisons that could be read, with their verdicts."""
    return [(one, verdict) for one in comparisons if (verdict := one.verdict) is not None]


def probabilities_of_first(judgments: Sequence[Judgment]) -> dict[int, float]:
    """The mean probability that sample 0 is the better one, by the sample that was shown first: even votes
    show sample 0 so, odd ones sample 1.

    Orders without a parsed judgment are absent.
    """
    by_order: dict[int, list[float]] = {}
    for judgment in judgments:
        if judgment.probability is not None:
            probability = judgment.probability if judgment.sample == 0 else 1.0 - judgment.probability
            by_order.setdefault(judgment.vote % 2, []).append(probability)
    return {order: sum(values) / len(values) for order, values in by_order.items()}
