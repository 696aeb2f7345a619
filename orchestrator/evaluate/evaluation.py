"""What is measured after every round on the held-out prompts, and once, as round 0, for the initial policy.

Held-out preference pairs are made once by the initial policy, with the recipe's own generation, judge and pairing.
The implicit reward of a later policy is log π − log π_0 of each response under the plain prompt; the share of pairs on
which it prefers the chosen one is the implicit accuracy (chance: 50%).
"""

from collections.abc import Collection, Sequence
from typing import Any

from ..config.schema import Config
from ..data.records import Judgment, PairLogps, PreferencePair, Rollout, Shard, TokenSequence, pairs_of
from ..ledger.layout import (
    EVAL_JUDGMENTS,
    EVAL_LOGPS,
    EVAL_ROLLOUTS,
    FRESH_JUDGMENTS,
    FRESH_ROLLOUTS,
    HELDOUT_PAIRS,
    Stage,
)
from ..measure.judge_health import JudgeHealth
from ..measure.metrics import DistinctN
from ..measure.running_stats import Mean
from ..prompts.duplicates import Duplicates
from ..prompts.shards import RoundShards
from ..protocols import Learner
from ..round.stages import Stages
from ..round.stream import map_in_order
from .canaries import judge_canaries
from .drift import measure_drift, measure_labels_drift
from .self_preference import measure_self_preference


async def evaluate(
    shards: RoundShards,
    *,
    fresh: RoundShards | None,
    choosing: Collection[str],
    config: Config,
    stages: Stages,
    learner: Learner,
    in_flight: int,
) -> dict[str, Any]:
    """The evaluation of the loaded policy on the prompts of `shards`, and of `fresh`, as a row of numbers. The implicit
    reward is reported of the pairs of all prompts but those `choosing`. `config` is the whole run's.

    Every stage of it is committed shard by shard, so an interrupted evaluation goes on where it stopped.
    """
    pairs_judge = await _make_pairs(shards, stages, in_flight) if shards.round == 0 else JudgeHealth()
    health, duplicates = JudgeHealth(reading=stages.phase.heldout.reading), Duplicates()
    lengths, truncated = Mean(), Mean()
    distinct = [DistinctN(1), DistinctN(2)]
    async for rollouts, judgments in map_in_order(lambda s: _respond(s, len(shards), stages), shards, limit=in_flight):
        health.add(rollouts, judgments)
        duplicates.add(rollouts)
        for rollout in rollouts:
            lengths.add(len(rollout.token_ids))
            truncated.add(float(rollout.truncated))
            for counter in distinct:
                counter.add(rollout.token_ids)
    for shard in shards:
        await _score_pairs(shard, len(shards), stages, learner)
    planted, again = (
        shards.first(prompts) for prompts in (config.evaluation.canaries.prompts, config.evaluation.drift_prompts)
    )
    canaries = await judge_canaries(planted, stages=stages, in_flight=in_flight)
    drift = await measure_drift(again, stages=stages, in_flight=in_flight)
    labels_drift = await measure_labels_drift(again, config=config, stages=stages, in_flight=in_flight)
    preference = await measure_self_preference(again, stages=stages, in_flight=in_flight)
    row = {
        "prompts": len(shards.indices),
        "length_mean": lengths.value,
        "truncated_rate": truncated.value,
        "distinct_1": distinct[0].value,
        "distinct_2": distinct[1].value,
        "duplicates": duplicates.share,
        "judge": health.summary(),
        "pairs_judge": pairs_judge.summary(),
        "judge_drift": drift,
        "labels_judge_drift": labels_drift,
        "self_preference": preference,
        "canaries": canaries,
        "fresh": None if fresh is None else await _measure_fresh(fresh, stages, in_flight),
    }
    return row | implicit_reward(
        initial=list(stages.ledger.read_stage(0, EVAL_LOGPS.name, PairLogps)),
        now=[
            logps
            for logps in stages.ledger.read_stage(shards.round, EVAL_LOGPS.name, PairLogps)
            if logps.prompt_id not in choosing
        ],
    )


async def _make_pairs(shards: RoundShards, stages: Stages, in_flight: int) -> JudgeHealth:
    """The held-out pairs, by the recipe's own stages; how healthy its judge was there."""
    health = JudgeHealth(reading=stages.phase.reading)
    async for result in map_in_order(lambda shard: stages.run_shard(shard, len(shards)), shards, limit=in_flight):
        health.add(result.rollouts, result.judgments)
    return health


async def _measure_fresh(shards: RoundShards, stages: Stages, in_flight: int) -> dict[str, Any]:
    """Length and score, as of the fixed prompts, on prompts that are this round's alone."""
    lengths, truncated, health = Mean(), Mean(), JudgeHealth(reading=stages.phase.heldout.reading)
    async for rollouts, judgments in map_in_order(
        lambda shard: _respond(shard, len(shards), stages, FRESH_ROLLOUTS, FRESH_JUDGMENTS), shards, limit=in_flight
    ):
        health.add(rollouts, judgments)
        for rollout in rollouts:
            lengths.add(len(rollout.token_ids))
            truncated.add(float(rollout.truncated))
    return {
        "prompts": len(shards.indices),
        "length_mean": lengths.value,
        "truncated_rate": truncated.value,
        "judge": health.summary(),
    }


async def _respond(
    shard: Shard,
    total: int,
    stages: Stages,
    respond: Stage[Rollout] = EVAL_ROLLOUTS,
    judge: Stage[Judgment] = EVAL_JUDGMENTS,
) -> tuple[Sequence[Rollout], Sequence[Judgment]]:
    heldout, generate, version = stages.phase.heldout, stages.rollouts.generate, stages.rollouts.policy_version
    rollouts = await stages.committed(respond, shard, total, lambda: heldout.sample(shard, version, generate))
    return rollouts, await stages.judged(judge, shard, total, rollouts, heldout.judge)


async def _score_pairs(shard: Shard, total: int, stages: Stages, learner: Learner) -> None:
    """Σ log-probs of the held-out pairs of one shard under the loaded policy."""
    origin = Shard(round=0, index=shard.index, prompts=shard.prompts, split="heldout")

    async def compute() -> list[PairLogps]:
        pairs = pairs_of(stages.read(HELDOUT_PAIRS, origin))
        if not pairs:
            return []
        logps = await learner.logps([sequence for pair in pairs for sequence in sequences_of(pair)])
        sums = [sum(values) for values in logps]
        return [
            PairLogps(prompt_id=pair.prompt.id, chosen=chosen, rejected=rejected)
            for pair, chosen, rejected in zip(pairs, sums[::2], sums[1::2], strict=True)
        ]

    await stages.committed(EVAL_LOGPS, shard, total, compute)


def implicit_reward(*, initial: Sequence[PairLogps], now: Sequence[PairLogps]) -> dict[str, Any]:
    """Accuracy and mean margin of the implicit reward log π − log π_0 over held-out pairs.

    Equal rewards count as wrong. Both are None in round 0, where every reward is zero, and where there are no pairs.
    """
    before = {logps.prompt_id: logps for logps in initial}
    margins = [
        (logps.chosen - before[logps.prompt_id].chosen) - (logps.rejected - before[logps.prompt_id].rejected)
        for logps in now
    ]
    if not margins or all(margin == 0.0 for margin in margins):
        return {"heldout_pairs": len(margins), "implicit_accuracy": None, "implicit_margin": None}
    return {
        "heldout_pairs": len(margins),
        "implicit_accuracy": sum(margin > 0 for margin in margins) / len(margins),
        "implicit_margin": sum(margins) / len(margins),
    }


def sequences_of(pair: PreferencePair) -> tuple[TokenSequence, TokenSequence]:
    """Chosen and rejected under the plain prompt."""
    return (
        TokenSequence(prompt_token_ids=pair.chosen.prompt_token_ids, token_ids=pair.chosen.token_ids),
        TokenSequence(prompt_token_ids=pair.rejected.prompt_token_ids, token_ids=pair.rejected.token_ids),
    )
