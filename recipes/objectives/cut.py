"""Contrastive Unlikelihood Training."""

from typing import ClassVar, Literal

from ...orchestrator.fields import AboveOne, PositiveFloat
from ...orchestrator.parts.objective import Examples, Needed, ObjectivePart
from ...orchestrator.parts.registry import part


@part("objective")
class CutObjective(ObjectivePart):
    """CUT (arXiv 2312.14591): likelihood of a response under its judgment, unlikelihood of the tokens that it
    blames. With judge=critique pairing=critiqued."""

    kind: Literal["cut"]
    threshold: AboveOne  # of p(token|judgment) / p(token); what is as probable with the judgment as without is no fault
    weight: PositiveFloat
    loss: ClassVar[str] = ".micro_batches:cut"
    examples: ClassVar[Examples] = "critiqued"
    needs_reference: ClassVar[Needed] = "never"
    has_accuracy: ClassVar[bool] = False

    def sentence(self) -> str:
        return "CUT: likelihood of the response under its judgment; unlikelihood of the tokens that it blames."
