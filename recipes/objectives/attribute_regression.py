"""A reward model of several attributes."""

from typing import ClassVar, Literal

from pydantic.dataclasses import dataclass

from ...orchestrator.fields import STRICT
from ...orchestrator.parts.objective import Examples, Needed, ObjectivePart, Taken, Trained
from ...orchestrator.parts.registry import part


@part("objective")
@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class AttributeRegressionObjective(ObjectivePart):
    """A reward model of one score an attribute of `prompts.seed.attributes` (SteerLM, arXiv 2310.05344)."""

    kind: Literal["attribute_regression"]
    loss: ClassVar[str] = ".micro_batches:attribute_regression"
    takes: ClassVar[Taken] = "scores"
    examples: ClassVar[Examples] = "described"
    trains: ClassVar[Trained] = "reward_model"
    needs_reference: ClassVar[Needed] = "never"
    has_accuracy: ClassVar[bool] = False
    scores_attributes: ClassVar[bool] = True

    def sentence(self) -> str:
        return "A reward model of several attributes, not the policy: what people say of a response, by squared error."
