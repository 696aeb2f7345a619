"""Responses that are ranked by construction, or by the data set that gives them: a pair of them, or all."""

from collections.abc import Sequence
from typing import ClassVar, Literal, TypeAlias

from ...orchestrator.data.records import PairingOutcome, Prompt, ResponseGroup, Rollout
from ...orchestrator.data.seeds import derive_seed
from ...orchestrator.parts.pairing import Gives, Pair, PairingContext, PairingPart, Takes
from ...orchestrator.parts.registry import part
from .candidates import dropped, kept, lacking, pair_of, same_text

RankedChoice: TypeAlias = Literal["best_worst", "adjacent", "all"]


@part("pairing")
class RankedPairing(PairingPart):
    """Responses that are ranked by construction or by their data set: the best over the worst, a rank drawn by seed
    over the next one, or all of them, best first, with minus their ranks as scores (inspired by AutoPM, EMNLP 2023
    main.570)."""

    kind: Literal["ranked"]
    take: RankedChoice
    takes: ClassVar[Takes] = "ranks"

    def gives(self) -> Gives:
        return "groups" if self.take == "all" else "pairs"

    def sentence(self) -> str:
        which = {
            "best_worst": "The best-ranked response over the worst",
            "adjacent": "A response over the one ranked next, drawn by seed",
            "all": "No pairs: all ranked responses, best first",
        }[self.take]
        return f"{which}, by construction or by the data set."

    def build(self, context: PairingContext) -> Pair:
        return lambda prompt, rollouts, _: pair_ranked(
            prompt, rollouts, take=self.take, seed=context.seed, drop_truncated=context.drop_truncated
        )


def pair_ranked(
    prompt: Prompt, rollouts: Sequence[Rollout], *, take: RankedChoice, seed: int, drop_truncated: bool
) -> PairingOutcome:
    """The best rank over the worst (`best_worst`), a rank drawn by seed over the next one (`adjacent`), or every
    response, best first, with minus its rank as its score (`all`).

    Ranks are those of the "ranked" responses (their `sample`, 0 the best), however many there are; a rank whose
    response cannot be used is passed over. Of identical texts in a group the best rank alone stays. Drop reasons, in
    this order: `too_few` (there were fewer than two responses), `truncated` and `empty` (fewer than two are left),
    `identical` (the two of a pair say the same, or all of a group).
    """
    ranked = [rollout for rollout in rollouts if rollout.variant == "ranked"]
    if len(ranked) < 2:
        return dropped(prompt, "too_few")
    usable = kept(ranked, drop_truncated)
    if len(usable) < 2:
        return dropped(prompt, lacking(ranked, drop_truncated, at_least=2))
    if take == "all":
        return _group(prompt, usable)
    upper = derive_seed(seed, "rank", prompt.id) % (len(usable) - 1)
    chosen, rejected = (usable[0], usable[-1]) if take == "best_worst" else (usable[upper], usable[upper + 1])
    if same_text(chosen, rejected):
        return dropped(prompt, "identical")
    return pair_of(prompt, chosen, rejected, None, "ranked")


def _group(prompt: Prompt, ranked: Sequence[Rollout]) -> PairingOutcome:
    different: list[Rollout] = []
    for rollout in ranked:
        if not any(same_text(rollout, better) for better in different):
            different.append(rollout)
    if len(different) < 2:
        return dropped(prompt, "identical")
    scores = tuple(float(-rollout.sample) for rollout in different)
    group = ResponseGroup(prompt=prompt, responses=tuple(different), scores=scores)
    return PairingOutcome(pair=None, dropped=None, group=group)
