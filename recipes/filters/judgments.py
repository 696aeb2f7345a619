"""Which judgments of a round a judge is trained on: rules over all that is judged, on rows of judging prompts."""

import math
from collections.abc import Sequence

import numpy as np

from ...orchestrator.filtering import Decision
from ...orchestrator.seeds import derive_seed
from ..pairing.candidates import MEAN_DECIMALS


def filter_ranking_agreement(rows: np.ndarray, *, max_share: float | None, seed: int) -> Decision:
    """Keep scores that order the responses to a prompt as they are ranked: EFT of Self-Rewarding, arXiv 2401.10020.

    The judgments of one sample number, one a response, are one attempt at the order. Each better-ranked response must
    score higher (that ties do not agree is not verified); what could not be read is not part of the attempt, and an
    attempt of a single judgment orders nothing. Of the judgments left, those that give one score may be at most
    `max_share` of them all: the paper's were too many with a score of 4 (how it drew fewer is not verified). Who goes
    is drawn by `seed`. Drop reasons: `alone`, `disagrees`, `common_score`.
    """
    dropped: list[str | None] = [None] * len(rows)
    for attempt in _grouped(rows["source"], rows["sample"]):
        ordered = sorted(attempt, key=lambda index: rows["rank"][index])
        agrees = bool((np.diff(rows["score"][ordered]) < 0).all())
        for index in attempt:
            dropped[index] = "alone" if len(attempt) < 2 else None if agrees else "disagrees"
    left = [index for index, reason in enumerate(dropped) if reason is None]
    if max_share is None or not left:
        return Decision(dropped=dropped)
    most = max(1, math.floor(round(max_share * len(left), MEAN_DECIMALS)))
    for same in _grouped(rows["score"][left]):
        for index in _drawn([left[place] for place in same], rows, seed)[most:]:
            dropped[index] = "common_score"
    return Decision(dropped=dropped, limits={"judgments_of_one_score": most})


def filter_balanced_verdicts(rows: np.ndarray, *, seed: int) -> Decision:
    """Keep as many right verdicts for what is shown first as for what is shown second, so that no place is learnt as
    the better one: Self-Taught Evaluator, arXiv 2408.02666. Of the more frequent ones those drawn by `seed` stay. Drop
    reason: `common_verdict`."""
    dropped: list[str | None] = [None] * len(rows)
    first = rows["rank"] < rows["other_rank"]
    sides = [np.flatnonzero(first).tolist(), np.flatnonzero(~first).tolist()]
    for side in sides:
        for index in _drawn(side, rows, seed)[min(map(len, sides)) :]:
            dropped[index] = "common_verdict"
    return Decision(dropped=dropped)


def filter_both_orders(rows: np.ndarray) -> Decision:
    """Keep verdicts on two responses that are there in both orders: a filter for consistency under a swap, as PandaLM's
    labels had (arXiv 2306.05087; its details are not verified). Drop reason: `one_order`."""
    low, high = np.minimum(rows["rank"], rows["other_rank"]), np.maximum(rows["rank"], rows["other_rank"])
    dropped: list[str | None] = [None] * len(rows)
    for same in _grouped(rows["source"], low, high):
        if len({rows["rank"][index] for index in same}) < 2:
            for index in same:
                dropped[index] = "one_order"
    return Decision(dropped=dropped)


def _grouped(*columns: np.ndarray) -> list[list[int]]:
    """The places of rows that are equal in all of `columns`, in order."""
    groups: dict[tuple[float, ...], list[int]] = {}
    for index, key in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
        groups.setdefault(key, []).append(index)
    return list(groups.values())


def _drawn(indices: Sequence[int], rows: np.ndarray, seed: int) -> list[int]:
    """The places in an order drawn by seed, which hangs on what the rows are of alone."""
    return sorted(
        indices,
        key=lambda index: derive_seed(
            seed, "judgments", *(str(rows[name][index]) for name in ("source", "rank", "other_rank", "sample"))
        ),
    )
