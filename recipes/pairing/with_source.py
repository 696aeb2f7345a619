"""The policy's own pair, with a stronger model's response beside it."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import ClassVar, Literal

from ...orchestrator.data.records import Judgment, PairingOutcome, Prompt, Rollout
from ...orchestrator.parts.pairing import Beside, Pair, PairingContext, PairingPart
from ...orchestrator.parts.registry import part
from ...orchestrator.parts.sampling import POLICY
from .best_worst import pair_best_worst
from .candidates import best_of, dropped, kept, mean_scores, same_text, scored_candidates


@part("pairing")
class WithSourcePairing(PairingPart):
    """The policy's best over its worst, with the best of another model of its architecture and tokenizer beside them,
    for objective=wrpo (WRPO, arXiv 2412.03187)."""

    kind: Literal["with_source"]
    version: ClassVar[int] = 2  # no empty response comes into a pair or a group
    beside: ClassVar[Beside | None] = "source"

    def sentence(self) -> str:
        return "The policy's best-scored response over its worst, with another model's best beside them."

    def build(self, context: PairingContext) -> Pair:
        return partial(pair_with_source, drop_truncated=context.drop_truncated)


def pair_with_source(
    prompt: Prompt, rollouts: Sequence[Rollout], judgments: Sequence[Judgment], *, drop_truncated: bool
) -> PairingOutcome:
    """The best and the worst of the policy's responses, and the best of all other samplers': the triple of WRPO,
    arXiv 2412.03187.

    Drop reasons: those of `pair_best_worst` on the policy's own; `unsourced` (no other sampler's response is scored);
    and, not the paper's, `inverted` and `identical` (the source's best scores no higher than the rejected one, or says
    the same): the objective takes it to be better.
    """
    own = [rollout for rollout in rollouts if rollout.sampler == POLICY]
    outcome = pair_best_worst(prompt, own, judgments, min_margin=0.0, drop_truncated=drop_truncated)
    if outcome.pair is None:
        return outcome
    others = [rollout for rollout in kept(rollouts, drop_truncated) if rollout.sampler != POLICY]
    sources = scored_candidates(others, judgments)
    if not sources:
        return dropped(prompt, "unsourced")
    source, rejected = best_of(sources), outcome.pair.rejected
    if source.score <= mean_scores(judgments)[rejected.sample]:
        return dropped(prompt, "inverted")
    if same_text(source.rollout, rejected):
        return dropped(prompt, "identical")
    return replace(outcome, pair=replace(outcome.pair, source=source.rollout))
