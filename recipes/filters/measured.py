"""What all filters share: the rows that they see of pairing's outcomes, and what they say of them."""

import hashlib
from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np

from ...orchestrator.data.filtering import MEASURED
from ...orchestrator.data.records import Judgment, PairingOutcome, PreferencePair, Prompt, ResponseGroup, Rollout
from ..pairing.candidates import mean_scores

Unit: TypeAlias = Literal["tokens", "chars"]  # of a response's length
NONE = float("nan")


def measure(outcomes: Sequence[PairingOutcome], judgments: Sequence[Judgment]) -> np.ndarray:
    """A row of `MEASURED` for every pair, and for every response of a group, in order. Dropped prompts have none.

    A pair's scores are the means of the parsed votes on its responses.
    """
    votes: dict[str, list[Judgment]] = {}
    for judgment in judgments:
        votes.setdefault(judgment.prompt_id, []).append(judgment)
    rows: list[tuple[float, ...]] = []
    for outcome in outcomes:
        if outcome.pair is not None:
            rows.append(_pair_row(outcome.pair, votes.get(outcome.pair.prompt.id, [])))
        if outcome.group is not None:
            rows.extend(_group_rows(outcome.group))
    return np.array(rows, dtype=MEASURED)


def keep_highest(values: np.ndarray, count: int, reason: str) -> list[str | None]:
    """`reason` for all rows but the `count` with the highest values.

    Of equal ones those earlier in the round stay: the order of its prompts is drawn by seed.
    """
    dropped: list[str | None] = [reason] * len(values)
    for index in np.argsort(-values, kind="stable")[:count]:
        dropped[index] = None
    return dropped


def drop_where(**reasons: np.ndarray) -> list[str | None]:
    """For every row the first of `reasons` that holds for it, None where none does.

    Example:
        >>> drop_where(short=np.array([True, True, False]), dull=np.array([False, True, False]))
        ['short', 'short', None]
    """
    return np.select(list(reasons.values()), list(reasons), None).tolist()  # pyright: ignore[reportArgumentType]


def _pair_row(pair: PreferencePair, votes: Sequence[Judgment]) -> tuple[float, ...]:
    scores, chosen, rejected = mean_scores(votes), pair.chosen, pair.rejected
    margin = NONE if pair.margin is None else pair.margin
    return (
        *(scores.get(chosen.sample, NONE), *_lengths(chosen)),
        *(scores.get(rejected.sample, NONE), *_lengths(rejected)),
        *(margin, pair.label_probability),
        *_truth(pair.prompt, chosen),
    )


def _group_rows(group: ResponseGroup) -> list[tuple[float, ...]]:
    scores = group.scores or (NONE,) * len(group.responses)
    return [
        (score, *_lengths(response), NONE, NONE, NONE, NONE, NONE, *_truth(group.prompt, response))
        for response, score in zip(group.responses, scores, strict=True)
    ]


def _lengths(rollout: Rollout) -> tuple[int, int]:
    return len(rollout.token_ids), len(rollout.text)


def _truth(prompt: Prompt, judgment: Rollout) -> tuple[float, float, float, float]:
    """What is known of the responses that a judging prompt shows."""
    if prompt.truth is None:
        return NONE, NONE, NONE, NONE
    digest = hashlib.blake2b(prompt.truth.source.encode(), digest_size=8).digest()
    source = int.from_bytes(digest, "big") >> 12  # a float holds 52 bits exactly
    rank, other = (*prompt.truth.ranks, NONE, NONE)[:2]
    return source, rank, other, judgment.sample
