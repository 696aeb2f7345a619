"""Responses to imitate, without any to compare them with."""

from collections.abc import Sequence
from typing import ClassVar, Literal

from ...orchestrator.data.records import PairingOutcome, Prompt, ResponseGroup, Rollout
from ...orchestrator.parts.pairing import Gives, Pair, PairingContext, PairingPart, Takes
from ...orchestrator.parts.registry import part
from .candidates import dropped, kept, lacking


@part("pairing")
class DemonstrationsPairing(PairingPart):
    """No pairs: responses to imitate (objective=sft). Of given or ranked ones the best, of sampled ones all but
    negative ones."""

    kind: Literal["demonstrations"]
    takes: ClassVar[Takes] = "responses"
    tells_better: ClassVar[bool] = False
    every_sampled: ClassVar[bool] = True

    def gives(self) -> Gives:
        return "demonstrations"

    def sentence(self) -> str:
        return "No pairs: responses to imitate; of given ones the best, of sampled ones all."

    def build(self, context: PairingContext) -> Pair:
        return lambda prompt, rollouts, _: pair_demonstrations(prompt, rollouts, drop_truncated=context.drop_truncated)


def pair_demonstrations(prompt: Prompt, rollouts: Sequence[Rollout], *, drop_truncated: bool) -> PairingOutcome:
    """A group of what supervised learning imitates: of ranked responses the best one, of sampled ones all.

    Responses to negative contrast prompts never are. Drop reasons, in this order: `truncated`, `empty`.
    """
    shown = [
        rollout
        for rollout in rollouts
        if rollout.variant in ("plain", "positive") or (rollout.variant == "ranked" and rollout.sample == 0)
    ]
    candidates = tuple(kept(shown, drop_truncated))
    if not candidates:
        return dropped(prompt, lacking(shown, drop_truncated, at_least=1))
    return PairingOutcome(pair=None, dropped=None, group=ResponseGroup(prompt=prompt, responses=candidates, scores=()))
