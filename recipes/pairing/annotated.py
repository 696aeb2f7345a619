"""Every response with the values of its attributes."""

from collections.abc import Sequence
from functools import partial
from statistics import fmean
from typing import ClassVar, Literal

from ...orchestrator.data.records import Judgment, PairingOutcome, Prompt, ResponseGroup, Rollout
from ...orchestrator.parts.pairing import Gives, Pair, PairingContext, PairingPart, Takes
from ...orchestrator.parts.registry import part
from .candidates import MEAN_DECIMALS, dropped, kept, lacking, mean_scores


@part("pairing")
class AnnotatedPairing(PairingPart):
    """No pairs: every response with the values that its judge gave it, clamped to 0–4 and rounded, for
    conditioning=attributes (SteerLM, arXiv 2310.05344)."""

    kind: Literal["annotated"]
    takes: ClassVar[Takes] = "attributes"
    every_sampled: ClassVar[bool] = True
    every_given: ClassVar[bool] = True

    def gives(self) -> Gives:
        return "groups"

    def units(self) -> str:
        return "responses"

    def sentence(self) -> str:
        return "No pairs: responses with the values of their attributes, clamped to 0–4 and rounded."

    def build(self, context: PairingContext) -> Pair:
        return partial(pair_annotated, drop_truncated=context.drop_truncated)


LOWEST, HIGHEST = 0, 4


def pair_annotated(
    prompt: Prompt, rollouts: Sequence[Rollout], judgments: Sequence[Judgment], *, drop_truncated: bool
) -> PairingOutcome:
    """The responses whose attributes were judged, best score first, each with its values as SteerLM annotates
    (arXiv 2310.05344): the mean of the votes, clamped to 0–4 and rounded to a whole number.

    Drop reasons, in this order, where no response is left: `truncated`, `empty` (blank), `unscored` (no judgment of all
    attributes was parsed).
    """
    candidates = kept(rollouts, drop_truncated)
    if not candidates:
        return dropped(prompt, lacking(rollouts, drop_truncated, at_least=1))
    values, scores = _values(judgments), mean_scores(judgments)
    annotated = [rollout for rollout in candidates if rollout.sample in values]
    if not annotated:
        return dropped(prompt, "unscored")
    annotated.sort(key=lambda rollout: (-scores[rollout.sample], rollout.sample))
    group = ResponseGroup(
        prompt=prompt,
        responses=tuple(annotated),
        scores=tuple(scores[rollout.sample] for rollout in annotated),
        attributes=tuple(values[rollout.sample] for rollout in annotated),
    )
    return PairingOutcome(pair=None, dropped=None, group=group)


def annotation(value: float) -> float:
    """A value as it is written into a prompt: clamped, then rounded, a half to the even number.

    Example:
        >>> [annotation(value) for value in (-0.3, 1.4, 2.5, 3.5, 4.9)]
        [0.0, 1.0, 2.0, 4.0, 4.0]
    """
    return float(round(min(max(value, LOWEST), HIGHEST)))


def _values(judgments: Sequence[Judgment]) -> dict[int, tuple[float, ...]]:
    """The annotations by sample. Samples without a parsed vote are absent."""
    votes: dict[int, list[tuple[float, ...]]] = {}
    for judgment in judgments:
        if judgment.attributes:
            votes.setdefault(judgment.sample, []).append(judgment.attributes)
    return {
        sample: tuple(annotation(round(fmean(column), MEAN_DECIMALS)) for column in zip(*rows, strict=True))
        for sample, rows in votes.items()
    }
