"""Best over worst, ties broken by length."""

from collections.abc import Sequence
from functools import partial
from typing import ClassVar, Literal

from ...orchestrator.data.records import Judgment, PairingOutcome, Prompt, Rollout
from ...orchestrator.parts.pairing import Pair, PairingContext, PairingPart
from ...orchestrator.parts.registry import part
from .candidates import Scored, best_of, paired, worst_of


@part("pairing")
class WpoTiesPairing(PairingPart):
    """Best over worst; of several best the shortest, of several worst the nearest in length (WPO's later data, arXiv
    2406.11827)."""

    kind: Literal["wpo_ties"]
    version: ClassVar[int] = 2  # no empty response comes into a pair or a group

    def sentence(self) -> str:
        return "A prompt's best-scored response over its worst; among equals, the length decides."

    def build(self, context: PairingContext) -> Pair:
        return partial(pair_wpo_ties, drop_truncated=context.drop_truncated)


def pair_wpo_ties(
    prompt: Prompt, rollouts: Sequence[Rollout], judgments: Sequence[Judgment], *, drop_truncated: bool
) -> PairingOutcome:
    """Best over worst, ties broken by length: WPO (arXiv 2406.11827), in the authors' later data, not the paper's.

    The rule is on the model card of Llama3-Instruct-8B-WPO-HB-v2. Of several best responses the shortest is chosen; of
    several worst the one whose length is nearest to the chosen one's is rejected. Whether the authors count characters,
    as here, or tokens is not verified.
    """

    def pick(scored: Sequence[Scored]) -> tuple[Scored, Scored]:
        top, bottom = best_of(scored).score, worst_of(scored).score
        chosen = min((one for one in scored if one.score == top), key=lambda one: one.chars)
        worst = [one for one in scored if one.score == bottom]
        return chosen, min(worst, key=lambda one: abs(one.chars - chosen.chars))

    return paired(prompt, rollouts, judgments, drop_truncated, pick)
