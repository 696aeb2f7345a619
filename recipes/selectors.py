"""Further ways to choose a pair out of a prompt's scored responses than best against worst (see `pairing.py`).

A response's score is the mean of its parsed votes; one without any never enters. Every selector drops a prompt for the
reasons of `pair_best_worst`, in its order: `truncated` and `unscored` (fewer than two candidates are left), `tie` (the
two responses chosen score the same), `identical` (their texts are equal). Among responses that a rule cannot tell apart
the first sampled stands for all, so nothing hangs on the order of rollouts or judgments. Lengths are in characters.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, pstdev
from typing import TypeAlias, assert_never, get_args

from ..orchestrator.pairing_config import Anchor, Choice
from ..orchestrator.records import Dropped, Judgment, PairingOutcome, PreferencePair, Prompt, Rollout
from ..orchestrator.seeds import derive_seed
from .pairing import MEAN_DECIMALS, mean_scores, same_text

ANCHORS: tuple[Anchor, ...] = get_args(Anchor)  # from the lowest to the highest


@dataclass(frozen=True, kw_only=True, slots=True)
class _Scored:
    """A response and its score.

    Example:
        _Scored(rollout=rollout, score=3.5)
    """

    rollout: Rollout
    score: float

    @property
    def chars(self) -> int:
        return len(self.rollout.text)


# From two or more scored responses, in the order they were sampled: the chosen and the rejected one.
_Pick: TypeAlias = Callable[[Sequence[_Scored]], tuple[_Scored, _Scored]]


def pair_sweet_spot(
    prompt: Prompt,
    rollouts: Sequence[Rollout],
    judgments: Sequence[Judgment],
    *,
    rejected_at: Anchor,
    chosen_at: Anchor = "max",
    drop_truncated: bool,
) -> PairingOutcome:
    """The responses nearest to two points of the prompt's score distribution: arXiv 2502.16825, rejecting at μ−2σ.

    The rejected response is the nearest other than the chosen one. Of two at the same distance the higher-scored is
    chosen, the lower-scored rejected. That a response which scores like the chosen one is the nearest is a `tie`;
    where the chosen one is not the best, the nearest other can score higher: `inverted`.

    σ is the population's: the anchors describe the responses at hand. Which one the paper takes is not verified (its
    selection code is unpublished). With either, up to five responses never reach below μ−2σ: it then means the worst.
    """
    if ANCHORS.index(chosen_at) <= ANCHORS.index(rejected_at):
        raise ValueError(
            f"pair_sweet_spot: chosen_at is {chosen_at!r} and rejected_at {rejected_at!r}; chosen_at has to be the "
            f"higher one in {', '.join(ANCHORS)}."
        )

    def pick(scored: Sequence[_Scored]) -> tuple[_Scored, _Scored]:
        scores = [one.score for one in scored]
        high, low = _anchor_score(scores, chosen_at), _anchor_score(scores, rejected_at)
        chosen = min(scored, key=lambda one: (_distance(one.score, high), -one.score))
        others = [one for one in scored if one is not chosen]
        return chosen, min(others, key=lambda one: (_distance(one.score, low), one.score))

    return _paired(prompt, rollouts, judgments, drop_truncated, pick)


def pair_best_of_all_worst_of_few(
    prompt: Prompt,
    rollouts: Sequence[Rollout],
    judgments: Sequence[Judgment],
    *,
    few: int,
    seed: int,
    drop_truncated: bool,
) -> PairingOutcome:
    """The best of all responses over the worst of `few` drawn by seed: arXiv 2502.16825's scalable rule, with 5.

    More samples make the chosen response better and leave the rejected one near μ−2σ. The few are drawn from the
    scored responses without replacement (from all of them, the best included: not verified); `few` or fewer responses
    give best against worst.
    """
    if few < 1:
        raise ValueError(f"pair_best_of_all_worst_of_few: few is {few}, and has to be at least 1.")

    def pick(scored: Sequence[_Scored]) -> tuple[_Scored, _Scored]:
        return _best(scored), _worst(_drawn(prompt, scored, few, seed))

    return _paired(prompt, rollouts, judgments, drop_truncated, pick)


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

    def pick(scored: Sequence[_Scored]) -> tuple[_Scored, _Scored]:
        top, bottom = _best(scored).score, _worst(scored).score
        # Rounded like the scores: one that lies on the bound is in.
        good = round((1 - rho) * top + rho * bottom, MEAN_DECIMALS)
        bad = round((1 - rho) * bottom + rho * top, MEAN_DECIMALS)
        chosen = min((one for one in scored if one.score >= good), key=lambda one: (one.chars, -one.score))
        rejected = max((one for one in scored if one.score <= bad), key=lambda one: (one.chars, -one.score))
        return chosen, rejected

    outcome = _paired(prompt, rollouts, judgments, drop_truncated, pick)
    if outcome.pair is not None and max_chosen_chars is not None and len(outcome.pair.chosen.text) > max_chosen_chars:
        return _drop(prompt, "too_long")
    return outcome


def pair_wpo_ties(
    prompt: Prompt, rollouts: Sequence[Rollout], judgments: Sequence[Judgment], *, drop_truncated: bool
) -> PairingOutcome:
    """Best over worst, ties broken by length: WPO (arXiv 2406.11827), in the authors' later data, not the paper's.

    The rule is on the model card of Llama3-Instruct-8B-WPO-HB-v2. Of several best responses the shortest is chosen; of
    several worst the one whose length is nearest to the chosen one's is rejected. Whether the authors count characters,
    as here, or tokens is not verified.
    """

    def pick(scored: Sequence[_Scored]) -> tuple[_Scored, _Scored]:
        top, bottom = _best(scored).score, _worst(scored).score
        chosen = min((one for one in scored if one.score == top), key=lambda one: one.chars)
        worst = [one for one in scored if one.score == bottom]
        return chosen, min(worst, key=lambda one: abs(one.chars - chosen.chars))

    return _paired(prompt, rollouts, judgments, drop_truncated, pick)


def pair_by_choice(
    prompt: Prompt,
    rollouts: Sequence[Rollout],
    judgments: Sequence[Judgment],
    *,
    choice: Choice,
    length_penalty: float,
    seed: int,
    drop_truncated: bool,
) -> PairingOutcome:
    """Two responses by RLHFlow's `choose_type`, the higher-scored one chosen: RLHF Workflow, arXiv 2405.07863.

    - random: any two; max_random: the best and any other; max_min: the best and the worst;
    - max_max: the best and the second best, a tie where two score best;
    - max_min_p: the best and the worst by score − `length_penalty` · characters. As in the official code, the penalty
      only says which two: the label follows the score itself, even against the penalised order.

    Where the official code takes the first responses sampled for any, here `seed` draws them.
    """

    def pick(scored: Sequence[_Scored]) -> tuple[_Scored, _Scored]:
        best = _best(scored)
        others = [one for one in scored if one is not best]
        match choice:
            case "random":
                first, second = _drawn(prompt, scored, 2, seed)
            case "max_random":
                first, second = best, *_drawn(prompt, others, 1, seed)
            case "max_min":
                first, second = best, _worst(scored)
            case "max_max":
                first, second = best, _best(others)
            case "max_min_p":
                penalised = [round(one.score - length_penalty * one.chars, MEAN_DECIMALS) for one in scored]
                first = scored[penalised.index(max(penalised))]
                second = scored[penalised.index(min(penalised))]
            case _:
                assert_never(choice)
        return (first, second) if first.score >= second.score else (second, first)

    return _paired(prompt, rollouts, judgments, drop_truncated, pick)


def pair_sppo(
    prompt: Prompt, rollouts: Sequence[Rollout], judgments: Sequence[Judgment], *, drop_truncated: bool
) -> PairingOutcome:
    """The best response over the worst, for SPPO (arXiv 2405.00675), whose targets are their `win_probabilities`.

    A win probability rises with the score, so best and worst by either are the same.
    """

    def pick(scored: Sequence[_Scored]) -> tuple[_Scored, _Scored]:
        return _best(scored), _worst(scored)

    outcome = _paired(prompt, rollouts, judgments, drop_truncated, pick)
    if outcome.pair is None:
        return outcome
    scores = [one.score for one in _scored(rollouts, judgments, drop_truncated)]
    wins = win_probabilities(scores)
    return replace(outcome, pair=replace(outcome.pair, win_probabilities=(max(wins), min(wins))))


def win_probabilities(scores: Sequence[float]) -> list[float]:
    """P_i = mean_j σ(s_i − s_j), how likely response i beats one of the group: SPPO, arXiv 2405.00675.

    The mean is over the whole group, i itself included (σ(0) = 1/2), as in the official code: P averages 1/2.

    Example:
        >>> [round(probability, 3) for probability in win_probabilities([1.0, 0.0])]
        [0.616, 0.384]
    """
    # σ(x) = (1 + tanh(x/2))/2 overflows nowhere; fsum's result has no order.
    return [
        0.5 + 0.5 * math.fsum(math.tanh(0.5 * (score - other)) for other in scores) / len(scores) for score in scores
    ]


def _paired(
    prompt: Prompt, rollouts: Sequence[Rollout], judgments: Sequence[Judgment], drop_truncated: bool, pick: _Pick
) -> PairingOutcome:
    """What `pick` takes, unless one of the reasons that all selectors share drops the prompt."""
    candidates = [rollout for rollout in rollouts if not (drop_truncated and rollout.truncated)]
    if len(candidates) < 2:
        return _drop(prompt, "truncated")
    scored = _scored(candidates, judgments, drop_truncated)
    if len(scored) < 2:
        return _drop(prompt, "unscored")
    chosen, rejected = pick(scored)
    if chosen.score == rejected.score:
        return _drop(prompt, "tie")
    if chosen.score < rejected.score:
        return _drop(prompt, "inverted")
    if same_text(chosen.rollout, rejected.rollout):
        return _drop(prompt, "identical")
    pair = PreferencePair(
        prompt=prompt,
        chosen=chosen.rollout,
        rejected=rejected.rollout,
        margin=round(chosen.score - rejected.score, MEAN_DECIMALS),
        label_probability=1.0,
        provenance="judge",
    )
    return PairingOutcome(pair=pair, dropped=None)


def _scored(rollouts: Sequence[Rollout], judgments: Sequence[Judgment], drop_truncated: bool) -> list[_Scored]:
    scores = mean_scores(judgments)
    return [
        _Scored(rollout=rollout, score=scores[rollout.sample])
        for rollout in sorted(rollouts, key=lambda rollout: rollout.sample)
        if rollout.sample in scores and not (drop_truncated and rollout.truncated)
    ]


def _best(scored: Sequence[_Scored]) -> _Scored:
    return max(scored, key=lambda one: one.score)


def _worst(scored: Sequence[_Scored]) -> _Scored:
    return min(scored, key=lambda one: one.score)


def _anchor_score(scores: Sequence[float], anchor: Anchor) -> float:
    mean, deviation = fmean(scores), pstdev(scores)
    match anchor:
        case "min":
            return min(scores)
        case "mu-2sigma":
            return mean - 2 * deviation
        case "mu-sigma":
            return mean - deviation
        case "mu":
            return mean
        case "mu+sigma":
            return mean + deviation
        case "mu+2sigma":
            return mean + 2 * deviation
        case "max":
            return max(scores)
        case _:
            assert_never(anchor)


def _distance(score: float, anchor: float) -> float:
    """Rounded like the scores, so that equal distances are equal."""
    return round(abs(score - anchor), MEAN_DECIMALS)


def _drawn(prompt: Prompt, scored: Sequence[_Scored], count: int, seed: int) -> list[_Scored]:
    """`count` of the responses (all, where there are fewer), still in the order they were sampled.

    They are those with the smallest lots. A lot hangs on nothing but its own response's place among the samples.
    """
    lots = sorted(scored, key=lambda one: derive_seed(seed, "draw", prompt.id, one.rollout.sample))
    return sorted(lots[:count], key=lambda one: one.rollout.sample)


def _drop(prompt: Prompt, reason: str) -> PairingOutcome:
    return PairingOutcome(pair=None, dropped=Dropped(prompt_id=prompt.id, reason=reason))
