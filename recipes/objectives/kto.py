"""Kahneman-Tversky Optimization."""

from typing import ClassVar, Literal

from ...orchestrator.errors import ConfigError
from ...orchestrator.fields import NonNegativeFloat, PositiveFloat
from ...orchestrator.parts.objective import Examples, Needed, ObjectivePart
from ...orchestrator.parts.registry import Place, part


@part("objective")
class KtoObjective(ObjectivePart):
    """KTO (arXiv 2402.01306): each response by itself, as desirable or not.

    The second sequence of an example only measures the KL of a step.
    """

    kind: Literal["kto"]
    beta: PositiveFloat
    desirable_weight: NonNegativeFloat
    undesirable_weight: NonNegativeFloat
    loss: ClassVar[str] = ".micro_batches:kto"
    examples: ClassVar[Examples] = "labelled"
    needs_reference: ClassVar[Needed] = "always"
    has_accuracy: ClassVar[bool] = False
    trained_sequences: ClassVar[int | None] = 1
    kl_of_step: ClassVar[str | None] = ".unpaired:kto_kl"

    def check(self, at: Place) -> None:
        """The sampler has log-probs of no response to another prompt."""
        if self.reference.logps == "rollout":
            raise ConfigError(
                f"{at}.reference.logps=rollout with {at}.kind=kto: its KL is measured on responses to other "
                "prompts, of which the sampler has no log-probs",
                f"set {at}.reference.logps=recompute",
            )

    def sentence(self) -> str:
        return f"KTO, beta {self.beta:g}: each response by itself, as desirable or not."
