"""The policy as judge, without a question: how much likelier than under a reference it finds each response."""

from collections.abc import Sequence

from ...orchestrator.judge_config import ImplicitRewardJudge
from ...orchestrator.protocols import Generate
from ...orchestrator.records import Judgment, Rollout, Shard
from .log_probs import Logps, response_logps
from .verdicts import SCORE_DECIMALS, scored


async def judge_implicit_reward(
    shard: Shard, rollouts: Sequence[Rollout], generate: Generate, *, config: ImplicitRewardJudge, logps: Logps
) -> list[Judgment]:
    """One judgment a rollout and voter: r(y) = β·(log π(y|x) − log π_ref(y|x)) under the plain prompt.

    SPA (arXiv 2406.04412, section 4.1) labels by the policy that sampled, with sums over tokens, and against the model
    that the run started from, which is not the reference of its training. Without a reference r = β·log π. With the
    policy before as a second voter, vote 0 is the sampling policy's and vote 1 is its predecessor's: what CREAM
    (arXiv 2410.12735) compares.
    """
    names = ("policy", "previous") if config.voters == "policy_and_previous" else ("policy",)
    references = [0.0] * len(rollouts)
    if config.reference != "none":
        references = await response_logps(config.reference, rollouts, logps, tokens=config.tokens)
    judgments = []
    for vote, name in enumerate(names):
        voter = await response_logps(name, rollouts, logps, tokens=config.tokens)
        for rollout, own, reference in zip(rollouts, voter, references, strict=True):
            reward = round(config.beta * (own - reference), SCORE_DECIMALS)
            judgments.append(scored(rollout, vote=vote, status="parsed", score=reward))
    return judgments
