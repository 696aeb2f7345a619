"""How far the judges have moved since the start: the initial policy's responses, judged again by the policy of now.

The frozen judge is the initial policy, whose judgments of its own responses are in round 0's part of the ledger.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..config.schema import Config
from ..data.records import Judgment, Rollout, Shard
from ..ledger.layout import (
    DRIFT_JUDGMENTS,
    EVAL_JUDGMENTS,
    EVAL_ROLLOUTS,
    HELDOUT_JUDGMENTS,
    HELDOUT_ROLLOUTS,
    LABELS_DRIFT_JUDGMENTS,
    Stage,
    sampled_by,
)
from ..measure.judge_health import verdict
from ..measure.running_stats import Mean, spearman
from ..prompts.shards import RoundShards
from ..protocols import Judge, Reading
from ..round.stages import Stages


@dataclass(frozen=True, kw_only=True, slots=True)
class _Frozen:
    """What round 0 has judged, by its stages; and the judge that is asked again, for the stage `again`."""

    rollouts: tuple[Stage[Rollout], ...]
    judgments: Stage[Judgment]
    again: Stage[Judgment]
    judge: Judge
    reading: Reading


async def measure_drift(shards: RoundShards, *, stages: Stages, in_flight: int) -> dict[str, Any] | None:
    """The drift of the evaluation's judge on the prompts of `shards`; None in round 0, and where the judge is not the
    policy."""
    heldout = stages.phase.heldout
    if heldout.rejudge is None or shards.round == 0:
        return None
    frozen = _Frozen(
        rollouts=(EVAL_ROLLOUTS,),
        judgments=EVAL_JUDGMENTS,
        again=DRIFT_JUDGMENTS,
        judge=heldout.rejudge,
        reading=heldout.reading,
    )
    return await _measure(shards, frozen, stages, in_flight)


async def measure_labels_drift(
    shards: RoundShards, *, config: Config, stages: Stages, in_flight: int
) -> dict[str, Any] | None:
    """The same of the judge that labels the round, on the responses that round 0's held-out pairs were made of.

    None, too, where that judge is the evaluation's, or another one than round 0's. `config` is the whole run's.
    """
    phase, first, judge = stages.phase, config.at(0), config.at(shards.round).judge
    if (
        phase.heldout.rejudge_pairs is None
        or shards.round == 0
        or judge == config.evaluation.judge
        or judge != first.judge
    ):
        return None
    frozen = _Frozen(
        rollouts=tuple(sampled_by(sampler, HELDOUT_ROLLOUTS) for sampler in first.generation.sampled_by()),
        judgments=HELDOUT_JUDGMENTS,
        again=LABELS_DRIFT_JUDGMENTS,
        judge=phase.heldout.rejudge_pairs,
        reading=phase.reading,
    )
    return await _measure(shards, frozen, stages, in_flight)


async def _measure(shards: RoundShards, frozen: _Frozen, stages: Stages, in_flight: int) -> dict[str, Any]:
    """Round 0's judgments of its responses, and those of now: of the same cases, with the same seeds."""

    async def again(shard: Shard) -> Sequence[Judgment]:
        initial, asked = _initial(shard)
        rollouts = [one for stage in frozen.rollouts for one in stages.read(stage, initial)]
        responses = [rollout for rollout in rollouts if rollout.prompt_id in asked and not rollout.interim]
        return await frozen.judge(initial, responses, stages.rollouts.generate)

    now = await stages.of_all(frozen.again, shards, again, in_flight)
    before: list[Judgment] = []
    for initial, asked in map(_initial, shards):
        before.extend(one for one in stages.read(frozen.judgments, initial) if one.prompt_id in asked)
    return drift(frozen.reading.conclude(before), frozen.reading.conclude(now))


def _initial(shard: Shard) -> tuple[Shard, set[str]]:
    """The shard of round 0 that holds a shard's prompts, and which of its prompts are asked about."""
    initial = Shard(round=0, index=shard.index, prompts=shard.prompts, split="heldout")
    return initial, {prompt.id for prompt in shard.prompts}


def drift(before: Sequence[Judgment], now: Sequence[Judgment]) -> dict[str, Any]:
    """Two judges, on what both have answered.

    Of their scores Spearman's correlation, and the mean of the second one's minus the first one's. Both are None where
    there is no score; the correlation also where either judge scores all responses alike. Of their comparisons the
    share with the same verdict (which response is preferred, or neither), None where there is none.
    """
    old, new = _scores(before), _scores(now)
    both = [key for key in old if key in new]
    shift, agreement = Mean(), Mean()
    for key in both:
        shift.add(new[key] - old[key])
    said, says = _verdicts(before), _verdicts(now)
    for question in said.keys() & says.keys():
        agreement.add(float(said[question] == says[question]))
    return {
        "responses": len(both),
        "spearman": spearman([old[key] for key in both], [new[key] for key in both]),
        "mean_shift": shift.value,
        "comparisons": agreement.n,
        "agreement": agreement.value,
    }


def _scores(judgments: Sequence[Judgment]) -> dict[tuple[str, int], float]:
    """The mean of a response's parsed votes."""
    votes: dict[tuple[str, int], Mean] = {}
    for judgment in judgments:
        if judgment.score is not None:
            votes.setdefault((judgment.prompt_id, judgment.sample), Mean()).add(judgment.score)
    return {key: mean.total / mean.n for key, mean in votes.items()}


def _verdicts(judgments: Sequence[Judgment]) -> dict[tuple[str, int, int | None, int], int]:
    """What every comparison that was answered prefers, by its question: the responses, and who was shown first."""
    return {
        (judgment.prompt_id, judgment.sample, judgment.other, judgment.vote): verdict(judgment.probability)
        for judgment in judgments
        if judgment.probability is not None
    }
