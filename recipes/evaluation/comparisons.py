"""What a judge made of two responses to one prompt: the data of every statistic here."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ...orchestrator.data.finite import finite_fields
from ...orchestrator.data.records import Judgment

Verdict: TypeAlias = Literal["a", "b", "tie"]


@dataclass(frozen=True, kw_only=True, slots=True)
@finite_fields("shown_first", "shown_second", "scores")
class Comparison:
    """Two responses a and b to one prompt, and what a judge said of them.

    A judge of two responses gives the probabilities of a being the better one: `shown_first` when a stood first,
    `shown_second` when it stood second. A judge of single responses gives a and b their `scores` (None of a judge that
    compares): they stand in no order. A probability or a score is None where the judge said nothing that could be
    read. `identical` texts are a tie that no judge is asked about. Lengths are in characters.

    Example:
        Comparison(prompt_id="maths-001", shown_first=0.75, shown_second=0.5, chars_a=120, chars_b=98)
    """

    prompt_id: str
    shown_first: float | None
    shown_second: float | None
    chars_a: int
    chars_b: int
    identical: bool = False
    scores: tuple[float | None, float | None] | None = None

    @property
    def orders(self) -> tuple[float, float] | None:
        """The probabilities in both orders, or None unless both could be read."""
        if self.identical:
            return 0.5, 0.5
        if self.shown_first is None or self.shown_second is None:
            return None
        return self.shown_first, self.shown_second

    @property
    def answers(self) -> tuple[Verdict, ...]:
        """What each order says by itself, or the scores: the higher one wins, and equal ones are a tie. Nothing of what
        could not be read."""
        if self.orders is not None:
            return tuple(preferred(probability) for probability in self.orders)
        a, b = self.scores or (None, None)
        if a is None or b is None:
            return ()
        return ("a" if a > b else "b" if a < b else "tie",)

    @property
    def each(self) -> tuple[Verdict | None, ...]:
        """As `answers`, with None for what could not be read."""
        if self.answers:
            return self.answers
        if self.scores is not None:
            return (None,)
        return tuple(None if said is None else preferred(said) for said in (self.shown_first, self.shown_second))

    @property
    def probability(self) -> float | None:
        """The mean of both orders. Scores have no probabilities: theirs are 1, a half and 0."""
        if self.orders is not None:
            return sum(self.orders) / 2
        return None if self.verdict is None else points(self.verdict)

    @property
    def verdict(self) -> Verdict | None:
        """The response that is preferred in both orders, or scores higher; a tie where orders disagree or neither
        response is preferred."""
        said = set(self.answers)
        if not said:
            return None
        return said.pop() if len(said) == 1 else "tie"


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
