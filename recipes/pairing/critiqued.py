"""Every response with the judgment on it, for an objective that learns from judgments in words."""

from collections.abc import Sequence
from functools import partial
from typing import ClassVar, Literal, NamedTuple

from ...orchestrator.data.records import Judgment, PairingOutcome, Prompt, ResponseGroup, Rollout
from ...orchestrator.data.seeds import derive_seed
from ...orchestrator.fields import Fraction
from ...orchestrator.parts.pairing import Gives, Pair, PairingContext, PairingPart, Takes
from ...orchestrator.parts.registry import part
from .candidates import dropped, kept, lacking


@part("pairing")
class CritiquedPairing(PairingPart):
    """Every response with the judgment in words on it, for objective=cut (CUT, arXiv 2312.14591); good ones as they
    are, thinned out to `keep_good`."""

    kind: Literal["critiqued"]
    good_score: float  # from here on a response is good, and imitated as it is
    keep_good: Fraction  # share of the good ones that is kept, drawn by seed
    takes: ClassVar[Takes] = "critiques"
    tells_better: ClassVar[bool] = False
    every_sampled: ClassVar[bool] = True
    every_given: ClassVar[bool] = True

    def gives(self) -> Gives:
        return "critiques"

    def sentence(self) -> str:
        good = f"{self.good_score:g}"
        return f"No pairs: responses with what the judge wrote on them; those with {good} or more as they are."

    def build(self, context: PairingContext) -> Pair:
        return partial(
            pair_critiqued,
            good_score=self.good_score,
            keep_good=self.keep_good,
            max_tokens=context.max_tokens,
            seed=context.seed,
            drop_truncated=context.drop_truncated,
        )


class _Critiqued(NamedTuple):
    """A response, its score, and the prompt under which it is read a second time."""

    rollout: Rollout
    score: float
    good: bool
    prompt_token_ids: tuple[int, ...]

    @property
    def num_tokens(self) -> int:
        return len(self.prompt_token_ids) + len(self.rollout.token_ids)


def pair_critiqued(
    prompt: Prompt,
    rollouts: Sequence[Rollout],
    judgments: Sequence[Judgment],
    *,
    good_score: float,
    keep_good: float,
    max_tokens: int,
    seed: int,
    drop_truncated: bool,
) -> PairingOutcome:
    """The responses to a prompt with the prompts that tell their judgments, best first: for CUT, arXiv 2312.14591.

    A response that scores `good_score` or more, or whose judgment has no words, is a good one: its second prompt is the
    plain one, and CUT's loss is then plain likelihood. Of the good ones the share `keep_good` is kept, each by a lot of
    its own, drawn by `seed`. Drop reasons, in this order, where no response is left: `truncated`, `empty` (blank),
    `unscored` (no judgment was parsed), `too_long` (judgment and response exceed `max_tokens` together), `good` (none
    was drawn).
    """
    candidates = kept(rollouts, drop_truncated)
    if not candidates:
        return dropped(prompt, lacking(rollouts, drop_truncated, at_least=1))
    critiqued = _critiqued(candidates, judgments, good_score)
    if not critiqued:
        return dropped(prompt, "unscored")
    fitting = [one for one in critiqued if one.num_tokens <= max_tokens]
    if not fitting:
        return dropped(prompt, "too_long")
    drawn = [one for one in fitting if not one.good or _lot(prompt, one.rollout, seed) < keep_good]
    if not drawn:
        return dropped(prompt, "good")
    drawn.sort(key=lambda one: (-one.score, one.rollout.sample))
    group = ResponseGroup(
        prompt=prompt,
        responses=tuple(one.rollout for one in drawn),
        scores=tuple(one.score for one in drawn),
        critiqued_prompt_token_ids=tuple(one.prompt_token_ids for one in drawn),
    )
    return PairingOutcome(pair=None, dropped=None, group=group)


def _critiqued(candidates: Sequence[Rollout], judgments: Sequence[Judgment], good_score: float) -> list[_Critiqued]:
    parsed = {judgment.sample: judgment for judgment in judgments if judgment.score is not None}
    found = []
    for rollout in candidates:
        judgment = parsed.get(rollout.sample)
        if judgment is None or judgment.score is None:
            continue
        good = judgment.score >= good_score or not judgment.critiqued_prompt_token_ids
        ids = rollout.prompt_token_ids if good else judgment.critiqued_prompt_token_ids
        found.append(_Critiqued(rollout=rollout, score=judgment.score, good=good, prompt_token_ids=ids))
    return found


def _lot(prompt: Prompt, rollout: Rollout, seed: int) -> float:
    """In [0, 1), and hanging on nothing but the response's place among the samples."""
    return derive_seed(seed, "good", prompt.id, rollout.sample) / 2**31
