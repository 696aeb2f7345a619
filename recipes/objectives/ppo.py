"""Proximal Policy Optimization."""

from typing import ClassVar, Literal

from ...orchestrator.fields import Fraction, PositiveFloat
from ...orchestrator.parts.objective import Averaged
from ...orchestrator.parts.registry import part
from .policy_gradients import PolicyGradientObjective


@part("objective")
class PpoObjective(PolicyGradientObjective):
    """PPO (arXiv 1707.06347). The KL is taken from the reward, token by token."""

    kind: Literal["ppo"]
    kl_estimator: Literal["k1", "k3"]
    kl_clamp_min: float | None  # what a token's KL is at least; 0 in RLCD
    gamma: Fraction
    lam: Fraction
    value_clip: PositiveFloat  # in units of value
    value_weight: PositiveFloat
    whiten_rewards: bool
    critic: Literal["separate", "shared"]  # a model of its own, or a head on the policy's
    loss: ClassVar[str] = ".policy_batches:ppo"
    advantages: ClassVar[str] = ".policy_batches:ppo_advantages"

    def extras(self) -> tuple[str, ...]:
        return ("entropy", "values")

    def averaged_over(self) -> Averaged:
        return "tokens"

    def value_model(self) -> Literal["separate", "shared"]:
        return self.critic

    def sentence(self) -> str:
        return f"PPO, clip {self.clip:g}, KL {self.kl_coefficient:g} taken from a token's reward, {self.critic} critic."
