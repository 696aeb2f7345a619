"""Self-preference, where a second judge exists: how much more the policy as judge likes what the policy now writes than
a judge that is not the policy does.

Both judges set the policy's responses beside the initial policy's to the same held-out prompts: a fixed other, which
costs no sampling.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from ..data.records import Judgment, Rollout, Shard
from ..ledger.layout import EVAL_ROLLOUTS, OTHER_PREFERENCE_JUDGMENTS, OWN_PREFERENCE_JUDGMENTS, Stage
from ..measure.running_stats import Mean
from ..prompts.shards import RoundShards
from ..protocols import Opinion
from ..round.stages import Stages
from .canaries import SCORE_DECIMALS, mean_score, share_won

BEFORE, NOW = 0, 1  # the samples that a judge is shown


async def measure_self_preference(shards: RoundShards, *, stages: Stages, in_flight: int) -> dict[str, Any] | None:
    """On the prompts of `shards`, whose responses are committed; None in round 0, and where the two judges of the round
    are not the policy and another one."""
    if stages.phase.heldout.opinions is None or shards.round == 0:
        return None
    own, other = stages.phase.heldout.opinions
    return self_preference(
        await _said(shards, OWN_PREFERENCE_JUDGMENTS, own, stages, in_flight),
        await _said(shards, OTHER_PREFERENCE_JUDGMENTS, other, stages, in_flight),
    )


async def _said(
    shards: RoundShards, stage: Stage[Judgment], opinion: Opinion, stages: Stages, in_flight: int
) -> Sequence[Judgment]:
    """Equal texts are not judged: nobody could prefer one of them."""

    async def beside(shard: Shard) -> Sequence[Judgment]:
        before = _responses(replace(shard, round=0), BEFORE, stages)
        now = _responses(shard, NOW, stages)
        prompts = tuple(one for one in shard.prompts if before[one.id].text.strip() != now[one.id].text.strip())
        shown = [responses[prompt.id] for prompt in prompts for responses in (before, now)]
        return await opinion.judge(replace(shard, prompts=prompts), shown, stages.rollouts.generate) if prompts else []

    return opinion.reading.conclude(await stages.of_all(stage, shards, beside, in_flight))


def _responses(shard: Shard, sample: int, stages: Stages) -> dict[str, Rollout]:
    return {rollout.prompt_id: replace(rollout, sample=sample) for rollout in stages.read(EVAL_ROLLOUTS, shard)}


def self_preference(own: Iterable[Judgment], other: Iterable[Judgment]) -> dict[str, Any]:
    """The win rate of the policy's responses over the initial policy's by its own judge, that by the other one, and the
    first less the second, on the prompts that both have answered. All three are None where there are none.

    Where a judge gives scores, the higher one wins; equal ones, and even comparisons, are half a win. A prompt on which
    an answer that is needed did not parse is left out.
    """
    by_own, by_other = _wins(own), _wins(other)
    wins = [(by_own[prompt], by_other[prompt]) for prompt in by_own if prompt in by_other]
    rates = [Mean(), Mean(), Mean()]
    for one, another in wins:
        for rate, value in zip(rates, (one, another, one - another), strict=True):
            rate.add(value)
    names = ("own_win_rate", "other_win_rate", "self_preference")
    return {"prompts": len(wins), **{name: rate.value for name, rate in zip(names, rates, strict=True)}}


def _wins(judgments: Iterable[Judgment]) -> dict[str, float]:
    """How far the response of now wins, by prompt."""
    by_prompt: dict[str, list[Judgment]] = {}
    for judgment in judgments:
        by_prompt.setdefault(judgment.prompt_id, []).append(judgment)
    won = {prompt: _won(of_prompt) for prompt, of_prompt in by_prompt.items()}
    return {prompt: share for prompt, share in won.items() if share is not None}


def _won(judgments: Sequence[Judgment]) -> float | None:
    before, now = (mean_score(judgments, sample) for sample in (BEFORE, NOW))
    if before is not None and now is not None:
        gap = round(now - before, SCORE_DECIMALS)
        return 0.5 if gap == 0 else float(gap > 0)
    shares = [share_won(judgment, NOW) for judgment in judgments if judgment.other is not None]
    answered = [share for share in shares if share is not None]
    return sum(answered) / len(answered) if answered and len(answered) == len(shares) else None
