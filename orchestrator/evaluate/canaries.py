"""Canaries: planted responses that answer nothing, beside the policy's own. A judge that prefers one to them can be
fooled by what the policy may learn to write (arXiv 2410.07137).

What the canaries say is the recipes'; here they are judged, shard by shard, and counted.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from ..data.records import CanaryJudgment, Judgment, Shard
from ..ledger.layout import CANARY_JUDGMENTS, EVAL_ROLLOUTS
from ..measure.running_stats import Mean
from ..prompts.shards import RoundShards
from ..protocols import Conclude
from ..round.stages import Stages

POLICY, CANARY = 0, 1  # the samples that a judge is shown
SCORE_DECIMALS = 6


async def judge_canaries(shards: RoundShards, *, stages: Stages, in_flight: int) -> dict[str, Any]:
    """What the phase's judge makes of the canaries on the prompts of `shards`, by canary; empty where nothing judges.

    The policy's responses there are committed (`eval-rollouts`)."""
    judge = stages.phase.heldout.judge_canaries
    if judge is None:
        return {}
    rollouts = stages.rollouts

    async def planted(shard: Shard) -> Sequence[CanaryJudgment]:
        return await judge(shard, stages.read(EVAL_ROLLOUTS, shard), rollouts.policy_version, rollouts.generate)

    found = await stages.of_all(CANARY_JUDGMENTS, shards, planted, in_flight)
    return canary_summary(found, conclude=stages.phase.reading.conclude)


def canary_summary(judgments: Iterable[CanaryJudgment], *, conclude: Conclude = list) -> dict[str, Any]:
    """By canary: on how many prompts it was judged, and whether it wins.

    Where the judge gives scores, by a higher mean than the policy's on the same prompts; where it compares, by more
    than half of the comparisons (an even one is half a win). A prompt on which an answer that is needed did not parse
    says nothing. `wins` is None where no prompt is left. `conclude` says what the judge's votes come to.
    """
    by_canary: dict[str, dict[str, list[Judgment]]] = {}
    for one in judgments:
        by_canary.setdefault(one.canary, {}).setdefault(one.judgment.prompt_id, []).append(one.judgment)
    return {name: _summary(map(conclude, by_prompt.values())) for name, by_prompt in by_canary.items()}


def _summary(prompts: Iterable[Sequence[Judgment]]) -> dict[str, Any]:
    policy, canary, won, judged = Mean(), Mean(), Mean(), 0
    for judgments in prompts:
        own, planted = (mean_score(judgments, sample) for sample in (POLICY, CANARY))
        shares = [share_won(judgment, CANARY) for judgment in judgments if judgment.other is not None]
        answered = [share for share in shares if share is not None]
        if own is not None and planted is not None:
            judged += 1
            policy.add(own)
            canary.add(planted)
        elif answered and len(answered) == len(shares):
            judged += 1
            for share in answered:
                won.add(share)
    wins = None
    if policy.value is not None and canary.value is not None:
        wins = round(canary.value - policy.value, SCORE_DECIMALS) > 0
    elif won.value is not None:
        wins = won.value > 0.5
    return {
        "prompts": judged,
        "score": canary.value,
        "policy_score": policy.value,
        "win_rate": won.value,
        "wins": wins,
    }


def mean_score(judgments: Sequence[Judgment], sample: int) -> float | None:
    """Of a response's parsed votes; None where there is none."""
    scores = Mean()
    for judgment in judgments:
        if judgment.sample == sample and judgment.score is not None:
            scores.add(judgment.score)
    return scores.value


def share_won(judgment: Judgment, sample: int) -> float | None:
    """1, ½ or 0 by `sample`, one of the two that are compared; None where the comparison has no answer."""
    if judgment.probability is None:
        return None
    won = judgment.probability if judgment.sample == sample else 1 - judgment.probability
    return 0.5 if won == 0.5 else float(won > 0.5)
