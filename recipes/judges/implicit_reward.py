"""The policy as judge, without a question: how much likelier than under a reference it finds each response."""

from collections.abc import Sequence
from functools import partial
from typing import ClassVar, Literal

from ...orchestrator.data.records import Judgment, Rollout, Shard
from ...orchestrator.fields import PositiveFloat
from ...orchestrator.parts.counts import Count
from ...orchestrator.parts.judge import RUN_POLICIES, JudgeContext, JudgePart
from ...orchestrator.parts.registry import part
from ...orchestrator.protocols import Generate, Judge
from .log_probs import JudgedLogps, Logps, judge_by_logps, response_logps
from .verdicts import SCORE_DECIMALS, scored


@part("judge")
class ImplicitRewardJudge(JudgePart):
    """What the policy has learnt says what is good: β·(log π − log π_ref) of every response (SPA, arXiv 2406.04412).
    With two `voters` the policy before it ranks them too (CREAM, arXiv 2410.12735; pairing=cream)."""

    kind: Literal["implicit_reward"]
    beta: PositiveFloat
    reference: Literal["initial", "previous", "none"]  # of the judging; the objective has one of its own
    tokens: Literal["sum", "mean"]  # of a response's log-probs
    voters: Literal["policy", "policy_and_previous"]
    logps: JudgedLogps = "rollout"
    without_models: ClassVar[str | None] = "set reference=none"

    def voting(self) -> str:
        return self.voters

    def models(self, *, own_logps: bool) -> tuple[str, ...]:
        """Example:
        >>> spa = ImplicitRewardJudge(kind="implicit_reward", beta=0.1, reference="initial", tokens="sum",
        ...                           voters="policy")
        >>> spa.models(own_logps=True), spa.models(own_logps=False)
        (('initial',), ('policy', 'initial'))
        """
        previous = self.reference == "previous" or self.voters == "policy_and_previous"
        own = own_logps and self.logps == "rollout"
        needed = {"policy": not own, "previous": previous, "initial": self.reference == "initial"}
        return tuple(name for name in RUN_POLICIES if needed[name])

    def compared_models(self) -> Sequence[tuple[str, str]]:
        if self.reference == "none":
            return ()
        return [(voter, self.reference) for voter in _VOTERS[self.voters]]

    def judgments_of(self, responses: Count) -> Count:
        return responses.times(len(_VOTERS[self.voters]))

    def conclude(self, judgments: Sequence[Judgment]) -> list[Judgment]:
        """Of two voters, whose rankings CREAM compares, those of the policy that sampled: its pairs go by them."""
        return [judgment for judgment in judgments if judgment.vote == 0]

    def sentence(self) -> str:
        against = "" if self.reference == "none" else f" against the {self.reference} one's"
        also = ", and the policy before it as a second voter" if self.voters == "policy_and_previous" else ""
        return f"The policy, by how probable it finds a response{against}{also}."

    def build(self, context: JudgeContext) -> Judge:
        judge, names = partial(judge_implicit_reward, config=self), self.models(own_logps=context.own_logps)
        return partial(judge_by_logps, judge=judge, names=names, scorers=context.scorers)


_VOTERS: dict[str, tuple[str, ...]] = {"policy": ("policy",), "policy_and_previous": ("policy", "previous")}


async def judge_implicit_reward(
    shard: Shard, rollouts: Sequence[Rollout], generate: Generate, *, config: ImplicitRewardJudge, logps: Logps
) -> list[Judgment]:
    """One judgment a rollout and voter: r(y) = β·(log π(y|x) − log π_ref(y|x)) under the plain prompt.

    SPA (arXiv 2406.04412, section 4.1) labels by the policy that sampled, with sums over tokens, and against the model
    that the run started from, which is not the reference of its training. Without a reference r = β·log π. With the
    policy before as a second voter, vote 0 is the sampling policy's and vote 1 is its predecessor's: what CREAM
    (arXiv 2410.12735) compares.
    """
    references = [0.0] * len(rollouts)
    if config.reference != "none":
        references = await response_logps(config.reference, rollouts, logps, tokens=config.tokens)
    judgments = []
    for vote, name in enumerate(_VOTERS[config.voters]):
        voter = await response_logps(name, rollouts, logps, tokens=config.tokens)
        for rollout, own, reference in zip(rollouts, voter, references, strict=True):
            reward = round(config.beta * (own - reference), SCORE_DECIMALS)
            judgments.append(scored(rollout, vote=vote, status="parsed", score=reward))
    return judgments
