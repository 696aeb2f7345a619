"""What a filter sees of a round, what it decides, and what pairing's outcomes become by that.

A filter sees a row of numbers for every pair, and for every response of a group: of a whole round the driver holds no
more than that.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from .records import Dropped, Judgment, PairingOutcome, ResponseGroup

T = TypeVar("T")

# A row: of a pair, or of a group's response (as if it were a chosen one). NaN where there is no such number. Only
# responses to judging prompts have the last four: a number for the prompt whose responses are judged, the ranks of the
# one or two that are shown, in that order, and the judgment's sample.
MEASURED = np.dtype(
    [
        (name, np.float64)
        for name in (
            "score", "tokens", "chars", "rejected_score", "rejected_tokens", "rejected_chars", "margin",
            "label_probability", "source", "rank", "other_rank", "sample",
        )
    ]
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """Why each row is dropped (None: it is kept), and the numbers of the round that this was decided by.

    `label_probability` takes the place of every kept pair's own, where the filter asks for that.

    Example:
        Decision(dropped=(None, "low_score"), limits={"min_score": 2.5})
    """

    dropped: Sequence[str | None]
    limits: Mapping[str, float] = field(default_factory=dict)
    label_probability: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Filter:
    """Which of pairing's outcomes are learnt from. With `whole_round` it decides on all rows of the round at once, so
    that learning waits for the last shard; otherwise shard by shard."""

    whole_round: bool
    measure: Callable[[Sequence[PairingOutcome], Sequence[Judgment]], np.ndarray]
    decide: Callable[[np.ndarray], Decision]


def num_rows(outcome: PairingOutcome) -> int:
    """Rows that are measured of one prompt: one of a pair, one a response of a group."""
    return len(outcome.group.responses) if outcome.group is not None else int(outcome.pair is not None)


def filtered(outcomes: Sequence[PairingOutcome], decision: Decision, first: int) -> list[PairingOutcome]:
    """One outcome a prompt after `decision`, of whose rows that at `first` is the first one here.

    A pair stays or is dropped. A group keeps what stays of its responses; the reason of its first response drops a
    group of which none stays.
    """
    kept = []
    for outcome in outcomes:
        reasons = decision.dropped[first : first + num_rows(outcome)]
        first += len(reasons)
        kept.append(_filtered(outcome, reasons, decision.label_probability) if reasons else outcome)
    return kept


def part_of(group: ResponseGroup, indices: Sequence[int]) -> ResponseGroup:
    """A group of the responses at `indices` alone, each with all that is known of it."""

    def of(values: tuple[T, ...]) -> tuple[T, ...]:
        return tuple(values[index] for index in indices) if values else ()

    return ResponseGroup(
        prompt=group.prompt,
        responses=of(group.responses),
        scores=of(group.scores),
        critiqued_prompt_token_ids=of(group.critiqued_prompt_token_ids),
        attributes=of(group.attributes),
    )


def _filtered(
    outcome: PairingOutcome, reasons: Sequence[str | None], label_probability: float | None
) -> PairingOutcome:
    made = outcome.pair or outcome.group
    assert made is not None
    stay = [index for index, reason in enumerate(reasons) if reason is None]
    if not stay:
        reason = reasons[0]
        assert reason is not None
        return PairingOutcome(pair=None, dropped=Dropped(prompt_id=made.prompt.id, reason=reason))
    if outcome.group is not None:
        rest = part_of(outcome.group, stay)
        sequences = tuple(outcome.sequences[index] for index in stay) if outcome.sequences else ()
        return replace(outcome, group=rest, sequences=sequences)
    if outcome.pair is not None and label_probability is not None:
        return replace(outcome, pair=replace(outcome.pair, label_probability=label_probability))
    return outcome
