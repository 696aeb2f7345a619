"""A reward model of several attributes as judge: it gives every response their values and reads no text."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ...orchestrator.data.records import Judgment, Rollout, Shard
from ...orchestrator.fields import Frozen
from ...orchestrator.parts.judge import REWARD_MODEL, JudgeContext, JudgePart
from ...orchestrator.parts.registry import part
from ...orchestrator.parts.wording import listed
from ...orchestrator.protocols import Generate, Judge
from .attributes import weighted
from .reward_model import REWARD_DECIMALS, Score, finite_scores, judge_by_newest
from .verdicts import scored


@part("judge")
class AttributeModelJudge(JudgePart):
    """The run's newest reward model of several attributes, which an earlier phase has trained on what people say
    (objective=attribute_regression; SteerLM, arXiv 2310.05344). The score is their sum by `weights`."""

    kind: Literal["attribute_model"]
    weights: Annotated[Frozen[float], Field(min_length=1)]  # as `prompts.seed.attributes` names and orders them
    trained_by: ClassVar[str | None] = "attribute_regression"

    def by_policy(self) -> bool:
        return False

    def attributes(self) -> tuple[str, ...]:
        return tuple(self.weights)

    def models(self, *, own_logps: bool) -> tuple[str, ...]:
        return (REWARD_MODEL,)

    def sentence(self) -> str:
        return (
            f"The newest attribute model that an earlier phase has trained, on the {listed(self.weights)} of a "
            "response; the score is their weighted sum."
        )

    def build(self, context: JudgeContext) -> Judge:
        assert context.scorers is not None, "a run that judges by a reward model has scorers"
        judge = partial(judge_attribute_model, weights=self.weights)
        return partial(judge_by_newest, scorers=context.scorers, judge=judge)


async def judge_attribute_model(
    shard: Shard, rollouts: Sequence[Rollout], generate: Generate, *, score: Score, weights: Mapping[str, float]
) -> list[Judgment]:
    """One judgment a rollout: the attributes' values of the response under the plain prompt, and as score their
    weighted sum: SteerLM's attribute model, arXiv 2310.05344. `score` gives a sequence one number an attribute.

    Raises:
        RunError: a value is not finite.
    """
    rows = await finite_scores(rollouts, score)
    return [
        scored(
            rollout,
            vote=0,
            status="parsed",
            score=weighted(row, weights),
            attributes=tuple(round(value, REWARD_DECIMALS) for value in row),
        )
        for rollout, row in zip(rollouts, rows, strict=True)
    ]
