"""A reward model of several attributes."""

from typing import ClassVar, Literal

from ...orchestrator.parts.objective import Examples, Needed, ObjectivePart, Taken, Trained
from ...orchestrator.parts.registry import part


@part("objective")
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
