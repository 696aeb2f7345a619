"""REINFORCE Leave-One-Out."""

from typing import ClassVar, Literal

from ...orchestrator.parts.registry import part
from .policy_gradients import PolicyGradientObjective


@part("objective")
class RlooObjective(PolicyGradientObjective):
    """RLOO (arXiv 2402.14740). The KL is taken from a response's reward."""

    kind: Literal["rloo"]
    loss: ClassVar[str] = ".policy_batches:rloo"
    advantages: ClassVar[str] = ".policy_batches:rloo_advantages"
    compares_samples: ClassVar[bool] = True

    def sentence(self) -> str:
        return f"RLOO, clip {self.clip:g}, KL {self.kl_coefficient:g} taken from a response's reward."
