"""Group Relative Policy Optimization."""

from typing import ClassVar, Literal

from ...orchestrator.parts.objective import Averaged
from ...orchestrator.parts.registry import part
from .policy_gradients import PolicyGradientObjective


@part("objective")
class GrpoObjective(PolicyGradientObjective):
    """GRPO (arXiv 2402.03300). The KL is a term of the loss."""

    kind: Literal["grpo"]
    scale: Literal["group", "batch", "none"]  # whose standard deviation advantages are divided by
    normaliser: Literal["grpo", "dr_grpo", "dapo"]
    loss: ClassVar[str] = ".policy_batches:grpo"
    advantages: ClassVar[str] = ".policy_batches:grpo_advantages"
    compares_samples: ClassVar[bool] = True

    def averaged_over(self) -> Averaged:
        return "tokens" if self.normaliser == "dapo" else "responses"

    def sentence(self) -> str:
        return f"GRPO, clip {self.clip:g}, KL {self.kl_coefficient:g} in the loss, advantages scaled by: {self.scale}."
