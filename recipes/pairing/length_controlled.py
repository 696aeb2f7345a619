"""The shortest good response over the longest bad one."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ...orchestrator.data.records import Judgment, PairingOutcome, Prompt, Rollout
from ...orchestrator.fields import PositiveInt
from ...orchestrator.parts.pairing import Pair, PairingContext, PairingPart
from ...orchestrator.parts.registry import part
from .candidates import MEAN_DECIMALS, Scored, best_of, dropped, paired, worst_of


@part("pairing")
class LengthControlledPairing(PairingPart):
    """The shortest good response over the longest bad one, where good and bad are shares `rho` of the score range
    (Meta-Rewarding, arXiv 2407.19594)."""

    kind: Literal["length_controlled"]
    rho: Annotated[float, Field(ge=0, le=0.5)]  # share of the score range that counts as good, and as bad
    max_chosen_chars: PositiveInt | None
    version: ClassVar[int] = 2  # no empty response comes into a pair or a group

    def sentence(self) -> str:
        most = self.max_chosen_chars
        limit = f" Left out where the chosen one has more than {most} characters." if most else ""
        if self.rho == 0:
            return f"The shortest of the best-scored responses over the longest of the worst-scored.{limit}"
        return (
            "The shortest good response over the longest bad one; good and bad are the top and the bottom "
            f"{self.rho:.0%} of the range of scores.{limit}"
        )

    def build(self, context: PairingContext) -> Pair:
        return partial(
            pair_length_controlled,
            rho=self.rho,
            max_chosen_chars=self.max_chosen_chars,
            drop_truncated=context.drop_truncated,
        )


def pair_length_controlled(
    prompt: Prompt,
    rollouts: Sequence[Rollout],
    judgments: Sequence[Judgment],
    *,
    rho: float,
    max_chosen_chars: int | None,
    drop_truncated: bool,
) -> PairingOutcome:
    """The shortest good response over the longest bad one: Meta-Rewarding, arXiv 2407.19594, length control.

    Good is a score in [(1−ρ)·Smax + ρ·Smin, Smax], bad one in [Smin, (1−ρ)·Smin + ρ·Smax]. Of two of the same length
    the higher-scored is chosen, the lower-scored rejected (not verified). A further drop reason, the last: `too_long`
    (the chosen text has more than `max_chosen_chars`).
    """
    if not 0 <= rho <= 0.5:
        raise ValueError(
            f"pair_length_controlled: rho is {rho}, and has to be from 0 to 1/2: above it the chosen response could "
            "score lower than the rejected one."
        )

    def pick(scored: Sequence[Scored]) -> tuple[Scored, Scored]:
        top, bottom = best_of(scored).score, worst_of(scored).score
        # Rounded like the scores: one that lies on the bound is in.
        good = round((1 - rho) * top + rho * bottom, MEAN_DECIMALS)
        bad = round((1 - rho) * bottom + rho * top, MEAN_DECIMALS)
        chosen = min((one for one in scored if one.score >= good), key=lambda one: (one.chars, -one.score))
        rejected = max((one for one in scored if one.score <= bad), key=lambda one: (one.chars, -one.score))
        return chosen, rejected

    outcome = paired(prompt, rollouts, judgments, drop_truncated, pick)
    if outcome.pair is not None and max_chosen_chars is not None and len(outcome.pair.chosen.text) > max_chosen_chars:
        return dropped(prompt, "too_long")
    return outcome
