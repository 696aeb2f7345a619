"""What objectives on the policy's own scored responses share."""

from typing import ClassVar

from pydantic.dataclasses import dataclass

from ...orchestrator.data.records import Rollout
from ...orchestrator.errors import ConfigError
from ...orchestrator.fields import STRICT, NonNegativeFloat, PositiveFloat
from ...orchestrator.parts.objective import Averaged, Examples, ObjectivePart, Taken
from ...orchestrator.parts.registry import Place


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class PolicyGradientObjective(ObjectivePart):
    """A response without its end-of-turn token was cut by the token limit: `missing_eos_penalty` is taken from its
    score (TRL), or `missing_eos_reward` is its score, and that of a response without any text, which has nothing but
    the token (AlpacaFarm, RLCD)."""

    clip: PositiveFloat  # of the ratio to the policy that sampled
    kl_coefficient: NonNegativeFloat  # of the KL to the reference
    missing_eos_penalty: NonNegativeFloat
    missing_eos_reward: float | None
    takes: ClassVar[Taken] = "samples"
    examples: ClassVar[Examples] = "groups"
    policy_gradient: ClassVar[bool] = True

    def check(self, at: Place) -> None:
        """A truncated response has one rule, and the KL a reference that does not move."""
        if self.missing_eos_penalty and self.missing_eos_reward is not None:
            raise ConfigError(
                f"{at}.missing_eos_penalty={self.missing_eos_penalty:g} with {at}.missing_eos_reward="
                f"{self.missing_eos_reward:g}: a truncated response's score is lowered or replaced, not both",
                f"set {at}.missing_eos_penalty=0 or {at}.missing_eos_reward=null",
            )
        if (self.kl_coefficient > 0) != (self.reference.policy != "none"):
            raise ConfigError(
                f"{at}.kind={self.kind} with {at}.kl_coefficient={self.kl_coefficient:g} and "
                f"{at}.reference.policy={self.reference.policy}: the KL needs a reference, and nothing else does",
                f"set {at}.reference.policy=initial with a coefficient, or none with {at}.kl_coefficient=0",
            )
        if self.reference.policy == "previous":
            raise ConfigError(
                f"{at}.kind={self.kind} with {at}.reference.policy=previous: a KL to the policy that a round starts "
                "from restrains no run of many rounds",
                f"set {at}.reference.policy=initial",
            )

    def extras(self) -> tuple[str, ...]:
        return ("entropy",)

    def averaged_over(self) -> Averaged:
        return "responses"

    def reward(self, rollout: Rollout, score: float) -> float:
        """The score, but for a response without an end, or, to AlpacaFarm's rule, one that says nothing before it."""
        if self.missing_eos_reward is not None:
            return self.missing_eos_reward if rollout.truncated or not rollout.text.strip() else score
        return score - self.missing_eos_penalty if rollout.truncated else score

    def rewards_truncated(self) -> bool:
        return bool(self.missing_eos_penalty) or self.missing_eos_reward is not None

    def rewards_empty(self) -> bool:
        """As in AlpacaFarm."""
        return self.missing_eos_reward is not None
