"""Nobody judges."""

from typing import ClassVar, Literal

from ...orchestrator.parts.counts import Count
from ...orchestrator.parts.judge import JudgeContext, JudgePart
from ...orchestrator.parts.registry import part


@part("judge")
class NoJudge(JudgePart):
    """Nothing is scored: the pairs are labelled by construction."""

    kind: Literal["none"]
    judges: ClassVar[bool] = False
    of_responses: ClassVar[bool] = False

    def by_policy(self) -> bool:
        return False

    def judgments_of(self, responses: Count) -> Count:
        return Count(number=0)

    def sentence(self) -> str:
        return "Nobody: what is learnt from is labelled by construction."

    def build(self, context: JudgeContext) -> None:
        return None
