"""DPO whose least certain labels are smoothed."""

import fractions
import math
from typing import ClassVar, Literal

from ...orchestrator.errors import ConfigError
from ...orchestrator.fields import BelowHalf, Fraction, NonNegativeFloat, PositiveFloat, PositiveInt
from ...orchestrator.parts.objective import Needed, NoiseRule, ObjectivePart
from ...orchestrator.parts.registry import Place, part


@part("objective")
class SpaObjective(ObjectivePart):
    """SPA (arXiv 2406.04412): DPO whose least certain labels are smoothed."""

    kind: Literal["spa"]
    beta: PositiveFloat
    label_smoothing: BelowHalf
    threshold: Literal["official_code", "global_quantile"]
    noisy_fraction: Fraction  # K: the share of pairs that counts as noisy
    window: PositiveInt  # forward passes whose margins official_code remembers
    start: Fraction  # share of the round's update before which nothing counts as noisy
    extrapolation: NonNegativeFloat  # λ of de-coupled noise detection; 0 turns it off
    loss: ClassVar[str] = ".micro_batches:spa"
    needs_reference: ClassVar[Needed] = "always"

    def check(self, at: Place) -> None:
        """A window has margins on both sides of its threshold; extrapolated logits are of the reference, too."""
        noisy = math.floor(self.window * fractions.Fraction(str(self.noisy_fraction)))  # as the threshold counts
        if self.threshold == "official_code" and noisy > self.window - 2:
            raise ConfigError(
                f"{at}.threshold=official_code lies between two of {at}.window={self.window} margins, but "
                f"{at}.noisy_fraction={self.noisy_fraction:g} counts {noisy} of them as noisy, and one more",
                f"raise {at}.window, or lower {at}.noisy_fraction",
            )
        if self.reference.logps == "rollout" and self.extrapolation > 0:
            raise ConfigError(
                f"{at}.reference.logps=rollout with {at}.extrapolation={self.extrapolation:g}: "
                "extrapolated logits need the reference itself, not its log-probs",
                f"set {at}.reference.logps=recompute, or {at}.extrapolation=0",
            )

    def extras(self) -> tuple[str, ...]:
        return ("hidden",) if self.extrapolation > 0 else ()

    def noise(self) -> NoiseRule:
        return NoiseRule(
            beta=self.beta,
            extrapolation=self.extrapolation,
            fraction=self.noisy_fraction,
            window=self.window,
            whole_step=self.threshold == "global_quantile",
        )

    def sentence(self) -> str:
        return f"SPA, beta {self.beta:g}: DPO whose least certain labels are smoothed by {self.label_smoothing:g}."
