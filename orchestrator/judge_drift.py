"""How far the judge has moved since the start: the initial policy's responses, judged again by the policy of now.

The frozen judge is the initial policy, whose judgments of its own responses are in round 0's part of the ledger.
"""

from collections.abc import Sequence
from typing import Any

from .protocols import Judge
from .records import Judgment, Rollout, Shard
from .running_stats import Mean, spearman
from .shards import RoundShards
from .stages import Stages
from .stream import map_in_order


async def measure_drift(shards: RoundShards, *, stages: Stages, in_flight: int) -> dict[str, Any] | None:
    """The drift on the prompts of `shards`; None in round 0, and where the judge is not the policy."""
    judge = stages.phase.rejudge
    if judge is None or shards.round == 0:
        return None
    before: list[Judgment] = []
    now: list[Judgment] = []
    async for first, again in map_in_order(
        lambda shard: _judge_again(shard, len(shards), stages, judge), shards, limit=in_flight
    ):
        before.extend(first)
        now.extend(again)
    return drift(before, now)


async def _judge_again(
    shard: Shard, total: int, stages: Stages, judge: Judge
) -> tuple[Sequence[Judgment], Sequence[Judgment]]:
    """Round 0's judgments of its responses, and those of now: of the same cases, with the same seeds."""
    initial = Shard(round=0, index=shard.index, prompts=shard.prompts, split="heldout")
    asked = {prompt.id for prompt in shard.prompts}
    rollouts = stages.ledger.read_shard("eval-rollouts", initial, Rollout)
    before = stages.ledger.read_shard("eval-judgments", initial, Judgment)
    assert rollouts is not None and before is not None, "round 0 is finished before any other"
    responses = [rollout for rollout in rollouts if rollout.prompt_id in asked]
    now = await stages.committed(
        "drift-judgments", shard, total, Judgment, lambda: judge(initial, responses, stages.rollouts.generate)
    )
    return [judgment for judgment in before if judgment.prompt_id in asked], now


def drift(before: Sequence[Judgment], now: Sequence[Judgment]) -> dict[str, Any]:
    """Spearman's correlation of the scores of two judges, and the mean of the second one's minus the first one's, over
    the responses that both have scored. Both are None where there is none; the correlation also where either judge
    scores all of them alike."""
    old, new = _scores(before), _scores(now)
    both = [key for key in old if key in new]
    shift = Mean()
    for key in both:
        shift.add(new[key] - old[key])
    return {
        "responses": len(both),
        "spearman": spearman([old[key] for key in both], [new[key] for key in both]),
        "mean_shift": shift.value,
    }


def _scores(judgments: Sequence[Judgment]) -> dict[tuple[str, int], float]:
    """The mean of a response's parsed votes."""
    votes: dict[tuple[str, int], Mean] = {}
    for judgment in judgments:
        if judgment.score is not None:
            votes.setdefault((judgment.prompt_id, judgment.sample), Mean()).add(judgment.score)
    return {key: mean.total / mean.n for key, mean in votes.items()}
