"""Selectors beyond best against worst: each paper's rule on examples worked by hand, and what holds for all of them."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from itertools import combinations
from typing import TypeAlias

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support.pairing import PROMPT, pair_of, rollout, vote

from roundelay.orchestrator.data.records import FinishReason, Judgment, PairingOutcome, Prompt, Rollout
from roundelay.recipes.pairing.best_worst import pair_best_worst
from roundelay.recipes.pairing.by_choice import Choice, pair_by_choice
from roundelay.recipes.pairing.function import pair_by_function
from roundelay.recipes.pairing.length_controlled import pair_length_controlled
from roundelay.recipes.pairing.sppo import pair_sppo, win_probabilities
from roundelay.recipes.pairing.sweet_spot import ANCHORS, Anchor, pair_sweet_spot
from roundelay.recipes.pairing.worst_of_few import pair_best_of_all_worst_of_few
from roundelay.recipes.pairing.wpo_ties import pair_wpo_ties

Select: TypeAlias = Callable[..., PairingOutcome]  # (prompt, rollouts, judgments, drop_truncated=…)


def text_of(sample: int, chars: int) -> str:
    """A text of that many characters which no other sample has."""
    return chr(ord("A") + sample) * chars


def responses(*scored: tuple[float | None, int]) -> tuple[list[Rollout], list[Judgment]]:
    """Responses of the given scores and lengths in characters, sampled in this order, with a vote each."""
    rollouts = [rollout(sample, text_of(sample, chars)) for sample, (_, chars) in enumerate(scored)]
    return rollouts, [vote(sample, score) for sample, (score, _) in enumerate(scored)]


def scores_only(*scores: float | None) -> tuple[list[Rollout], list[Judgment]]:
    return responses(*((score, 5) for score in scores))


def samples_of(outcome: PairingOutcome) -> tuple[int, int]:
    pair = pair_of(outcome)
    return pair.chosen.sample, pair.rejected.sample


def reason_of(outcome: PairingOutcome) -> str:
    assert outcome.pair is None and outcome.dropped is not None and outcome.group is None
    assert outcome.dropped.prompt_id == "p"
    return outcome.dropped.reason


def sweet_spot(
    group: tuple[Sequence[Rollout], Sequence[Judgment]], *, rejected_at: Anchor, chosen_at: Anchor = "max"
) -> PairingOutcome:
    return pair_sweet_spot(PROMPT, *group, rejected_at=rejected_at, chosen_at=chosen_at, drop_truncated=False)


def of_few(
    group: tuple[Sequence[Rollout], Sequence[Judgment]], few: int, *, seed: int = 0, identity: str = "p"
) -> PairingOutcome:
    prompt = Prompt(id=identity, messages=PROMPT.messages)
    return pair_best_of_all_worst_of_few(prompt, *group, few=few, seed=seed, drop_truncated=False)


def length_controlled(
    group: tuple[Sequence[Rollout], Sequence[Judgment]], *, rho: float, max_chosen_chars: int | None = None
) -> PairingOutcome:
    return pair_length_controlled(PROMPT, *group, rho=rho, max_chosen_chars=max_chosen_chars, drop_truncated=False)


def wpo(group: tuple[Sequence[Rollout], Sequence[Judgment]]) -> PairingOutcome:
    return pair_wpo_ties(PROMPT, *group, drop_truncated=False)


def by_choice(
    group: tuple[Sequence[Rollout], Sequence[Judgment]],
    choice: Choice,
    *,
    length_penalty: float = 0.0,
    seed: int = 0,
    identity: str = "p",
) -> PairingOutcome:
    prompt = Prompt(id=identity, messages=PROMPT.messages)
    return pair_by_choice(prompt, *group, choice=choice, length_penalty=length_penalty, seed=seed, drop_truncated=False)


def highest_over_lowest(
    prompt: Prompt, rollouts: Sequence[Rollout], scores: Mapping[int, float]
) -> tuple[Rollout, Rollout] | str:
    """A user's function that looks at nothing but scores: also a tie, or twice the same, is a pair to it."""
    scored = [one for one in rollouts if one.sample in scores]
    if len(scored) < 2:
        return "unscored"
    return max(scored, key=lambda one: scores[one.sample]), min(scored, key=lambda one: scores[one.sample])


# Selectors whose pair hangs on scores and lengths alone; the others draw.
SEEDLESS: dict[str, Select] = {
    "sweet_spot": partial(pair_sweet_spot, rejected_at="mu-2sigma"),
    "sweet_spot_inner": partial(pair_sweet_spot, rejected_at="mu-sigma", chosen_at="mu"),
    "length_controlled": partial(pair_length_controlled, rho=0.32, max_chosen_chars=None),
    "length_controlled_half": partial(pair_length_controlled, rho=0.5, max_chosen_chars=None),
    "wpo_ties": pair_wpo_ties,
    "max_min": partial(pair_by_choice, choice="max_min", length_penalty=0.0, seed=0),
    "max_max": partial(pair_by_choice, choice="max_max", length_penalty=0.0, seed=0),
    "max_min_p": partial(pair_by_choice, choice="max_min_p", length_penalty=0.3, seed=0),
    "sppo": pair_sppo,
    "function": partial(pair_by_function, function=highest_over_lowest),
}
SELECTORS: dict[str, Select] = {
    **SEEDLESS,
    "best_of_all_worst_of_few": partial(pair_best_of_all_worst_of_few, few=2, seed=3),
    "random": partial(pair_by_choice, choice="random", length_penalty=0.0, seed=3),
    "max_random": partial(pair_by_choice, choice="max_random", length_penalty=0.0, seed=3),
}
# The same pair as best against worst, whatever the scores.
AS_BEST_WORST: dict[str, Select] = {
    "sweet_spot": partial(pair_sweet_spot, rejected_at="min"),
    "best_of_all_worst_of_few": partial(pair_best_of_all_worst_of_few, few=7, seed=3),
    "max_min": SEEDLESS["max_min"],
    "max_min_p": partial(pair_by_choice, choice="max_min_p", length_penalty=0.0, seed=0),
    "sppo": pair_sppo,
}
every_selector = pytest.mark.parametrize("select", SELECTORS.values(), ids=SELECTORS)


@st.composite
def groups(draw: st.DrawFn, *, max_responses: int = 7) -> tuple[list[Rollout], list[Judgment]]:
    """Up to seven responses with up to three votes each, in any order. Scores are halves: their means are exact."""
    scores = st.none() | st.integers(0, 10).map(lambda halves: halves / 2)
    rollouts, judgments = [], []
    for sample in range(draw(st.integers(0, max_responses))):
        finish: FinishReason = draw(st.sampled_from(("stop", "length")))
        rollouts.append(rollout(sample, draw(st.sampled_from(["a", " a", "bb", "cccc", "dddd"])), finish=finish))
        judgments += [vote(sample, score, n) for n, score in enumerate(draw(st.lists(scores, max_size=3)))]
    return draw(st.permutations(rollouts)), draw(st.permutations(judgments))


def exact_means(judgments: Sequence[Judgment], samples: set[int]) -> dict[int, Fraction]:
    parsed = {s: [Fraction(j.score) for j in judgments if j.sample == s and j.score is not None] for s in samples}
    return {sample: sum(scores, Fraction(0)) / len(scores) for sample, scores in parsed.items() if scores}


# ---------------------------------------------------------------------------------------------- what holds for them all


@every_selector
def test_a_pair_says_who_is_better_and_by_how_much(select: Select) -> None:
    """Two scored responses: every rule can only take these two. 4.5 − 1 = 3.5."""
    rollouts, judgments = scores_only(1.0, 4.5)
    pair = pair_of(select(PROMPT, rollouts, judgments, drop_truncated=False))
    assert (pair.prompt, pair.chosen, pair.rejected) == (PROMPT, rollouts[1], rollouts[0])
    assert (pair.margin, pair.label_probability, pair.provenance) == (3.5, 1.0, "judge")


@every_selector
@pytest.mark.parametrize("scores", [(3.0, 3.0), (0.1, 0.1, 0.1, 0.1, 0.1, 0.1), (None, 4.0, 4.0)])
def test_all_equal_scores_give_no_pair(select: Select, scores: tuple[float | None, ...]) -> None:
    """σ = 0; the reward-argmax scripts of SimPO and SPPO take the same response twice here."""
    rollouts, judgments = scores_only(*scores)
    assert reason_of(select(PROMPT, rollouts, judgments, drop_truncated=False)) == "tie"


@every_selector
def test_equal_votes_in_another_order_are_a_tie(select: Select) -> None:
    """(0.1 + 0.2 + 0.3)/3 and (0.3 + 0.2 + 0.1)/3 differ in the last bit of a float, not in what was judged."""
    judgments = [vote(0, x, n) for n, x in enumerate((0.1, 0.2, 0.3))]
    judgments += [vote(1, x, n) for n, x in enumerate((0.3, 0.2, 0.1))]
    rollouts, _ = scores_only(None, None)
    assert reason_of(select(PROMPT, rollouts, judgments, drop_truncated=False)) == "tie"


@every_selector
@pytest.mark.parametrize("scores", [(None, None), (3.0, None), (None, 3.0, None)])
def test_fewer_than_two_scored_responses_give_no_pair(select: Select, scores: tuple[float | None, ...]) -> None:
    rollouts, judgments = scores_only(*scores)
    assert reason_of(select(PROMPT, rollouts, judgments, drop_truncated=False)) == "unscored"


@every_selector
def test_identical_texts_give_no_pair(select: Select) -> None:
    rollouts = [rollout(0, "Yes."), rollout(1, " Yes.\n")]
    outcome = select(PROMPT, rollouts, [vote(0, 4.0), vote(1, 1.0)], drop_truncated=False)
    assert reason_of(outcome) == "identical"


@every_selector
def test_truncated_responses_enter_pairs_only_where_they_are_kept(select: Select) -> None:
    """With sample 0 cut, 1 (score 3) and 2 (score 1) are left to every rule; without 2, only one is."""
    rollouts, judgments = scores_only(5.0, 3.0, 1.0)
    cut = [rollout(0, rollouts[0].text, finish="length"), *rollouts[1:]]
    assert samples_of(select(PROMPT, cut, judgments, drop_truncated=True)) == (1, 2)
    assert select(PROMPT, cut[:2], judgments, drop_truncated=False).pair is not None
    assert reason_of(select(PROMPT, cut[:2], judgments, drop_truncated=True)) == "truncated"


@every_selector
def test_the_first_reason_that_holds_is_the_one_given(select: Select) -> None:
    """truncated before unscored before tie before identical: each case fulfils all the reasons after its own."""
    cut = [rollout(0, "same", finish="length"), rollout(1, "same")]
    same = [rollout(0, "same"), rollout(1, "same")]
    assert reason_of(select(PROMPT, cut, [vote(0, None)], drop_truncated=True)) == "truncated"
    assert reason_of(select(PROMPT, same, [vote(1, 3.0)], drop_truncated=False)) == "unscored"
    assert reason_of(select(PROMPT, same, [vote(0, 3.0), vote(1, 3.0)], drop_truncated=False)) == "tie"


@given(group=groups(), drop=st.booleans(), data=st.data())
def test_a_pair_is_of_two_scored_texts_that_differ_the_better_one_chosen_and_order_changes_nothing(
    group: tuple[list[Rollout], list[Judgment]], drop: bool, data: st.DataObject
) -> None:
    rollouts, judgments = group
    shuffled = data.draw(st.permutations(rollouts)), data.draw(st.permutations(judgments))
    candidates = {r.sample for r in rollouts if not (drop and r.finish_reason == "length")}
    means = exact_means(judgments, candidates)
    for name, select in SELECTORS.items():
        outcome = select(PROMPT, rollouts, judgments, drop_truncated=drop)
        assert select(PROMPT, *shuffled, drop_truncated=drop) == outcome, name
        if outcome.pair is not None:
            chosen, rejected = outcome.pair.chosen, outcome.pair.rejected
            assert chosen in rollouts and rejected in rollouts, name
            assert {chosen.sample, rejected.sample} <= set(means), f"{name}: an unscored or a truncated response"
            margin = means[chosen.sample] - means[rejected.sample]
            assert margin > 0 and outcome.pair.margin == pytest.approx(float(margin), abs=2e-6), name
            assert chosen.text.strip() != rejected.text.strip(), name
        else:
            reason = reason_of(outcome)
            assert (reason == "truncated") == (len(candidates) < 2), name
            assert (reason == "unscored") == (len(candidates) >= 2 and len(means) < 2), name
            assert reason in ("truncated", "unscored", "tie", "identical", "inverted"), name


@given(group=groups())
def test_an_unscored_response_might_as_well_not_be_there(group: tuple[list[Rollout], list[Judgment]]) -> None:
    rollouts, judgments = group
    means = exact_means(judgments, {r.sample for r in rollouts})
    assume(len(means) >= 2)
    without = [r for r in rollouts if r.sample in means]
    for name, select in SELECTORS.items():
        outcome = select(PROMPT, rollouts, judgments, drop_truncated=False)
        assert select(PROMPT, without, judgments, drop_truncated=False) == outcome, name


@given(group=groups(), data=st.data())
def test_which_of_equals_was_sampled_first_changes_no_score_of_a_pair(
    group: tuple[list[Rollout], list[Judgment]], data: st.DataObject
) -> None:
    """The responses as if sampled in another order. Only which of the equals stands for all may change, so a pair may
    become two identical texts or the other way round, and nothing else. (max_min_p is left out: its equals have a
    penalised score in common, not a score.)"""
    rollouts, judgments = group
    place = data.draw(st.permutations(range(len(rollouts))))
    moved = [rollout(place[r.sample], r.text, finish=r.finish_reason) for r in rollouts]
    moved_judgments = [vote(place[j.sample], j.score, j.vote) for j in judgments]
    means, moved_means = (exact_means(js, set(range(len(rollouts)))) for js in (judgments, moved_judgments))
    for name in set(SEEDLESS) - {"max_min_p"}:
        before = SEEDLESS[name](PROMPT, rollouts, judgments, drop_truncated=False)
        after = SEEDLESS[name](PROMPT, moved, moved_judgments, drop_truncated=False)
        if before.pair is not None and after.pair is not None:
            assert means[before.pair.chosen.sample] == moved_means[after.pair.chosen.sample], name
            assert means[before.pair.rejected.sample] == moved_means[after.pair.rejected.sample], name
        else:
            reasons = {outcome.dropped.reason if outcome.dropped else "identical" for outcome in (before, after)}
            assert len(reasons) == 1, name


@given(group=groups(), drop=st.booleans())
def test_where_a_rule_means_best_against_worst_it_is_pair_best_worst(
    group: tuple[list[Rollout], list[Judgment]], drop: bool
) -> None:
    expected = pair_best_worst(PROMPT, *group, min_margin=0.0, drop_truncated=drop)
    for name, select in AS_BEST_WORST.items():
        found = select(PROMPT, *group, drop_truncated=drop)
        pair = found.pair and replace(found.pair, win_probabilities=None)
        assert replace(found, pair=pair) == expected, name


# ------------------------------------------------------------------------------------------------------ pair_sweet_spot

# 22 times 5, and 5 ∓ 1, ∓ 2, ∓ 3 once each: μ = 5 and σ² = 2(1 + 4 + 9)/28 = 1, so the anchors are 2, 3, 4, 5, 6, 7, 8.
SPREAD = (5, 4, 5, 8, 5, 5, 2, 5, 5, 7, 5, 5, 5, 3, 5, 5, 5, 6, *([5] * 10))
AT: dict[Anchor, int] = {"min": 2, "mu-2sigma": 3, "mu-sigma": 4, "mu": 5, "mu+sigma": 6, "mu+2sigma": 7, "max": 8}


def test_the_spread_of_the_examples_has_mean_5_and_deviation_1() -> None:
    assert (len(SPREAD), sum(SPREAD), sum((score - 5) ** 2 for score in SPREAD)) == (28, 28 * 5, 28)


def test_the_rejected_response_is_at_mu_minus_2_sigma_and_not_the_worst() -> None:
    """μ − 2σ = 3, which is sample 13; the worst is sample 6 with 2, the best sample 3 with 8."""
    pair = pair_of(sweet_spot(scores_only(*SPREAD), rejected_at="mu-2sigma"))
    assert (pair.chosen.sample, pair.rejected.sample, pair.margin) == (3, 13, 5.0)


@pytest.mark.parametrize(("rejected_at", "chosen_at"), list(combinations(ANCHORS, 2)))
def test_all_21_pairs_of_anchors_are_the_responses_that_lie_on_them(rejected_at: Anchor, chosen_at: Anchor) -> None:
    chosen, rejected = samples_of(sweet_spot(scores_only(*SPREAD), rejected_at=rejected_at, chosen_at=chosen_at))
    assert (SPREAD[chosen], SPREAD[rejected]) == (AT[chosen_at], AT[rejected_at])


@pytest.mark.parametrize(("rejected_at", "chosen_at"), [("max", "max"), ("mu", "mu-sigma"), ("mu", "mu")])
def test_a_chosen_anchor_that_is_not_above_the_rejected_one_is_refused(rejected_at: Anchor, chosen_at: Anchor) -> None:
    with pytest.raises(ValueError, match=r"chosen_at has to be the higher one in min, mu-2sigma, .*, max"):
        sweet_spot(scores_only(*SPREAD), rejected_at=rejected_at, chosen_at=chosen_at)


def test_sigma_is_the_population_s_and_of_equally_near_responses_the_clearer_one_is_taken() -> None:
    """4, 8, 8, 8, 10, 10, 14, 18: μ = 80/8 = 10, Σ(s−μ)² = 36 + 3·4 + 16 + 64 = 128, σ² = 128/8 = 16, μ − σ = 6.

    4 and 8 are both 2 away: rejected is 4, chosen 8 (the first of the three). The sample's deviation √(128/7) = 4.28
    would put the anchor at 5.72, nearer to 4.
    """
    group = scores_only(8.0, 18.0, 10.0, 4.0, 8.0, 8.0, 10.0, 14.0)
    assert samples_of(sweet_spot(group, rejected_at="mu-sigma")) == (1, 3)
    assert samples_of(sweet_spot(group, rejected_at="min", chosen_at="mu-sigma")) == (0, 3)


def test_the_chosen_response_is_never_the_rejected_one_too() -> None:
    """0, 6, 10 and chosen at μ + 2σ: 16/3 + 2·4.11 = 13.55, nearest is 10. Rejected at μ + σ = 9.44: nearest is 10 as
    well, which is taken, then 6."""
    group = scores_only(10.0, 0.0, 6.0)
    assert samples_of(sweet_spot(group, rejected_at="mu+sigma", chosen_at="mu+2sigma")) == (0, 2)


def test_a_nearest_response_that_scores_like_the_chosen_one_is_a_tie() -> None:
    """Nine times 1 and a 0: μ = 0.9, σ² = 0.09, μ − σ = 0.6, which is 0.4 from 1 and 0.6 from 0: 1 against 1."""
    assert reason_of(sweet_spot(scores_only(*[1.0] * 9, 0.0), rejected_at="mu-sigma")) == "tie"


def test_a_nearest_other_response_that_scores_higher_gives_no_pair() -> None:
    """0, 5, 10: μ = 5, σ = 4.08. Chosen at μ − σ = 0.92 is 0; nearest to μ − 2σ = −3.16 of the others is 5."""
    outcome = sweet_spot(scores_only(0.0, 5.0, 10.0), rejected_at="mu-2sigma", chosen_at="mu-sigma")
    assert reason_of(outcome) == "inverted"


@given(group=groups(max_responses=5))
def test_up_to_five_responses_give_best_against_worst(group: tuple[list[Rollout], list[Judgment]]) -> None:
    """Samuelson's inequality: none of n numbers is further than σ·√(n−1) from their mean, so for n ≤ 5 the worst is at
    or above μ − 2σ, and nearest to it."""
    assert sweet_spot(group, rejected_at="mu-2sigma") == pair_best_worst(
        PROMPT, *group, min_margin=0.0, drop_truncated=False
    )


@given(scores=st.lists(st.integers(0, 20), min_size=2, max_size=30), at=st.sampled_from(ANCHORS[1:-1]))
def test_no_other_response_is_nearer_to_the_anchor_than_the_rejected_one(scores: list[int], at: Anchor) -> None:
    """The anchor by numpy; 1e-6 is where the selector rounds distances."""
    outcome = sweet_spot(scores_only(*scores), rejected_at=at)
    anchor = np.mean(scores) + (ANCHORS.index(at) - 3) * np.std(scores)
    if outcome.pair is not None:
        chosen, rejected = samples_of(outcome)
        assert scores[chosen] == max(scores)
        others = [score for sample, score in enumerate(scores) if sample != chosen]
        assert abs(scores[rejected] - anchor) <= min(abs(score - anchor) for score in others) + 2e-6
    else:
        assert reason_of(outcome) == "tie" and scores.count(max(scores)) > 1


# --------------------------------------------------------------------------------------- pair_best_of_all_worst_of_few


def test_the_best_of_all_is_chosen_and_the_worst_is_rejected_when_drawn() -> None:
    """Ten responses, five drawn: the overall worst (score 0) is among them with probability 1/2, so 200 ± 10 of 400
    prompts; the best of the rejected ones is the sixth worst (score 5), as five are drawn."""
    group = scores_only(*(float(score) for score in (3, 9, 0, 7, 5, 1, 8, 2, 6, 4)))
    pairs = [pair_of(of_few(group, 5, identity=f"prompt-{number}")) for number in range(400)]
    assert {pair.chosen.sample for pair in pairs} == {1}
    margins = Counter(pair.margin for pair in pairs)
    assert 150 < margins[9.0] < 250 and set(margins) <= {9.0, 8.0, 7.0, 6.0, 5.0, 4.0}


def test_the_draw_hangs_on_the_seed_and_the_prompt() -> None:
    group = scores_only(*(float(score) for score in range(10)))
    drawn = [samples_of(of_few(group, 2, seed=seed, identity=i)) for seed in range(10) for i in ("p", "q")]
    assert drawn == [samples_of(of_few(group, 2, seed=seed, identity=i)) for seed in range(10) for i in ("p", "q")]
    assert len(set(drawn[0::2])) > 1 and drawn[0::2] != drawn[1::2]


def test_the_best_alone_in_the_draw_is_a_tie_with_itself() -> None:
    """One of two drawn: the best in half of 100 prompts (50 ± 5), and then there is no worse one to reject."""
    group = scores_only(1.0, 2.0)
    outcomes = [of_few(group, 1, identity=f"prompt-{number}") for number in range(100)]
    reasons = Counter(o.dropped.reason if o.dropped else "pair" for o in outcomes)
    assert set(reasons) == {"pair", "tie"} and 25 < reasons["tie"] < 75


@given(scores=st.lists(st.integers(0, 10), min_size=2, max_size=12), seed=st.integers(0, 99))
def test_more_drawn_never_make_the_rejected_one_better(scores: list[int], seed: int) -> None:
    """The draw of `few` + 1 holds the draw of `few`."""
    group = scores_only(*scores)
    margins = [
        outcome.pair.margin or 0 if outcome.pair else 0
        for outcome in (of_few(group, n, seed=seed) for n in range(1, 13))
    ]
    assert margins == sorted(margins) and margins[-1] == max(scores) - min(scores)


def test_a_draw_of_none_is_refused() -> None:
    with pytest.raises(ValueError, match="few is 0, and has to be at least 1"):
        of_few(scores_only(1.0, 2.0), 0)


# ---------------------------------------------------------------------------------------------- pair_length_controlled

META_REWARDING = ((5.0, 1900), (4.2, 1500), (3.5, 1200), (2.5, 2400), (2.0, 1800))


def test_the_shortest_good_response_is_chosen_over_the_longest_bad_one() -> None:
    """Smax = 5, Smin = 2, ρ = .32: good is .68·5 + .32·2 = 4.04 and more: 5 (1900 characters) and 4.2 (1500); bad is
    .68·2 + .32·5 = 2.96 and less: 2.5 (2400) and 2 (1800). 4.2 − 2.5 = 1.7."""
    pair = pair_of(length_controlled(responses(*META_REWARDING), rho=0.32))
    assert (pair.chosen.sample, pair.rejected.sample, pair.margin) == (1, 3, 1.7)


def test_without_a_band_it_is_best_against_worst_and_length_settles_ties() -> None:
    """ρ = 0, the paper's first iteration: of 5 (30 characters) and 5 (20) the shorter, of 1 (10) and 1 (15) the
    longer."""
    assert samples_of(length_controlled(responses(*META_REWARDING), rho=0.0)) == (0, 4)
    group = responses((5.0, 30), (5.0, 20), (1.0, 10), (1.0, 15), (3.0, 1))
    assert samples_of(length_controlled(group, rho=0.0)) == (1, 3)


def test_a_score_on_a_bound_is_within() -> None:
    """ρ = .32 between 5 and 2: the bounds are 4.04 and 2.96. A thousandth further in, the scores are out again."""
    on = responses((5.0, 30), (4.04, 20), (2.96, 40), (2.0, 10))
    off = responses((5.0, 30), (4.039, 20), (2.961, 40), (2.0, 10))
    assert samples_of(length_controlled(on, rho=0.32)) == (1, 2)
    assert samples_of(length_controlled(off, rho=0.32)) == (0, 3)


def test_of_two_of_the_same_length_the_clearer_one_is_taken() -> None:
    """ρ = .25 between 5 and 1: good is 4 and more, bad 2 and less."""
    group = responses((4.0, 20), (5.0, 20), (2.0, 10), (1.0, 10))
    assert samples_of(length_controlled(group, rho=0.25)) == (1, 3)


def test_where_the_bands_meet_one_response_can_be_both_and_gives_no_pair() -> None:
    """ρ = 1/2 between 4 and 2: both bands hold 3, the shortest good one, and here the longest bad one too."""
    assert reason_of(length_controlled(responses((4.0, 20), (3.0, 15), (2.0, 10)), rho=0.5)) == "tie"


def test_a_chosen_text_over_the_limit_gives_no_pair() -> None:
    """2500 characters in the paper's first iteration; the limit is on the chosen text only, and the last reason."""
    group = responses((5.0, 2500), (1.0, 2600))
    assert samples_of(length_controlled(group, rho=0.0, max_chosen_chars=2500)) == (0, 1)
    assert reason_of(length_controlled(group, rho=0.0, max_chosen_chars=2499)) == "too_long"
    tied = responses((5.0, 2500), (5.0, 2600))
    assert reason_of(length_controlled(tied, rho=0.0, max_chosen_chars=10)) == "tie"
    same = [rollout(0, "same"), rollout(1, "same")], [vote(0, 1.0), vote(1, 2.0)]
    assert reason_of(length_controlled(same, rho=0.0, max_chosen_chars=1)) == "identical"


@pytest.mark.parametrize("rho", [-0.1, 0.51, 1.0])
def test_a_rho_that_could_turn_the_label_round_is_refused(rho: float) -> None:
    with pytest.raises(ValueError, match=f"rho is {rho}, and has to be from 0 to 1/2"):
        length_controlled(responses(*META_REWARDING), rho=rho)


@given(
    scored=st.lists(st.tuples(st.integers(0, 10), st.integers(1, 6)), min_size=2, max_size=8),
    hundredths=st.integers(0, 50),
)
def test_no_good_response_is_shorter_and_no_bad_one_longer(scored: list[tuple[int, int]], hundredths: int) -> None:
    """In fractions: good scores have 100·(Smax − s) ≤ 100ρ·(Smax − Smin), bad ones 100·(s − Smin) ≤ the same."""
    outcome = length_controlled(responses(*scored), rho=hundredths / 100)
    top, bottom = max(score for score, _ in scored), min(score for score, _ in scored)
    band = hundredths * (top - bottom)
    good = [chars for score, chars in scored if 100 * (top - score) <= band]
    bad = [chars for score, chars in scored if 100 * (score - bottom) <= band]
    if outcome.pair is not None:
        chosen, rejected = (scored[sample] for sample in samples_of(outcome))
        assert 100 * (top - chosen[0]) <= band and chosen[1] == min(good)
        assert 100 * (rejected[0] - bottom) <= band and rejected[1] == max(bad)
    else:
        assert reason_of(outcome) == "tie"
        assert top == bottom or hundredths == 50  # only bands that meet have a score in common


# -------------------------------------------------------------------------------------------------------- pair_wpo_ties


def test_the_shortest_best_is_chosen_over_the_worst_nearest_to_it_in_length() -> None:
    """Best (5): 30 and 20 characters, so 20. Worst (1): 45, 12 and 15 characters, 25, 8 and 5 away from 20, so 15."""
    group = responses((5.0, 30), (1.0, 45), (5.0, 20), (1.0, 12), (3.0, 20), (1.0, 15))
    assert samples_of(wpo(group)) == (2, 5)


def test_the_length_difference_counts_either_way_and_equals_are_settled_by_sampling_order() -> None:
    """From 20 characters: 23 is nearer than 16; 17 and 23 are as near, and the first sampled is taken."""
    assert samples_of(wpo(responses((5.0, 20), (1.0, 16), (1.0, 23)))) == (0, 2)
    assert samples_of(wpo(responses((5.0, 20), (1.0, 23), (1.0, 17)))) == (0, 1)
    assert samples_of(wpo(responses((5.0, 20), (5.0, 20), (1.0, 17), (1.0, 23)))) == (0, 2)


@given(scored=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 9)), min_size=2, max_size=8))
def test_wpo_takes_scores_first_and_lengths_second(scored: list[tuple[int, int]]) -> None:
    """By sorting: chosen comes first by (−score, length), rejected by (score, difference to the chosen length)."""
    outcome = wpo(responses(*scored))
    if outcome.pair is not None:
        chosen, rejected = (scored[sample] for sample in samples_of(outcome))
        assert (-chosen[0], chosen[1]) == min((-score, chars) for score, chars in scored)
        assert rejected[0] == min(scored)[0]
        assert abs(rejected[1] - chosen[1]) == min(abs(c - chosen[1]) for s, c in scored if s == rejected[0])
    else:
        assert reason_of(outcome) == "tie" and len({score for score, _ in scored}) == 1


# ------------------------------------------------------------------------------------------------------- pair_by_choice


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("max_min", (2, 0)),  # 5 over 1
        ("max_max", (2, 3)),  # 5 over 4
        ("max_min_p", (3, 0)),  # 1 − .02·20 = .6, 3 − 2 = 1, 5 − 2 = 3, 4 − .2 = 3.8
    ],
)
def test_each_choice_takes_the_two_that_its_name_says(choice: Choice, expected: tuple[int, int]) -> None:
    group = responses((1.0, 20), (3.0, 100), (5.0, 100), (4.0, 10))
    assert samples_of(by_choice(group, choice, length_penalty=0.02)) == expected


def test_two_that_score_best_are_a_tie_for_max_max_alone() -> None:
    group = scores_only(5.0, 1.0, 5.0)
    assert reason_of(by_choice(group, "max_max")) == "tie"
    assert samples_of(by_choice(group, "max_min")) == (0, 1)


def test_the_length_penalty_says_which_two_and_the_score_which_is_better() -> None:
    """5 − .1·100 = −5, 4 − .1·10 = 3, 4.5 − .1·30 = 1.5: 4 is best and 5 worst after the penalty, and RLHFlow's
    `prepare_data` then labels by the reward: 5 over 4, margin 1."""
    pair = pair_of(by_choice(responses((5.0, 100), (4.0, 10), (4.5, 30)), "max_min_p", length_penalty=0.1))
    assert (pair.chosen.sample, pair.rejected.sample, pair.margin) == (0, 1, 1.0)


def test_equal_penalised_scores_are_one_response_and_no_pair() -> None:
    """.4 − .1·1 and .6 − .1·3 are .3 both, in floats .30000000000000004 and .3."""
    assert 0.4 - 0.1 * 1 != 0.6 - 0.1 * 3
    assert reason_of(by_choice(responses((0.4, 1), (0.6, 3)), "max_min_p", length_penalty=0.1)) == "tie"


def test_a_penalty_that_brings_two_of_the_same_score_apart_makes_no_label() -> None:
    assert reason_of(by_choice(responses((3.0, 1), (3.0, 9)), "max_min_p", length_penalty=0.1)) == "tie"


def test_random_takes_any_two_and_labels_them_by_score() -> None:
    """Three pairs of three responses, each in a third of 400 prompts: 133 ± 9.4, so 85–181 is five deviations."""
    group = scores_only(2.0, 3.0, 1.0)
    taken = Counter(samples_of(by_choice(group, "random", identity=f"prompt-{n}")) for n in range(400))
    assert set(taken) == {(1, 0), (0, 2), (1, 2)}
    assert all(85 < count < 181 for count in taken.values())


def test_max_random_takes_the_best_and_any_other() -> None:
    """Each of the two others in half of 400 prompts: 200 ± 10."""
    group = scores_only(2.0, 3.0, 1.0)
    taken = Counter(samples_of(by_choice(group, "max_random", identity=f"prompt-{n}")) for n in range(400))
    assert set(taken) == {(1, 0), (1, 2)} and 150 < taken[1, 0] < 250


@pytest.mark.parametrize("choice", ["random", "max_random"])
def test_a_choice_that_draws_hangs_on_the_seed(choice: Choice) -> None:
    group = scores_only(*(float(score) for score in range(8)))
    drawn = [samples_of(by_choice(group, choice, seed=seed)) for seed in range(10)]
    assert drawn == [samples_of(by_choice(group, choice, seed=seed)) for seed in range(10)]
    assert len(set(drawn)) > 1


def test_two_drawn_that_score_the_same_are_a_tie() -> None:
    """1, 5, 5: max_random takes the first 5 and then 1 or the other 5."""
    group = scores_only(1.0, 5.0, 5.0)
    outcomes = [by_choice(group, "max_random", identity=f"prompt-{n}") for n in range(50)]
    assert {o.dropped.reason if o.dropped else samples_of(o) for o in outcomes} == {"tie", (1, 0)}


@given(
    scored=st.lists(st.tuples(st.integers(0, 5), st.integers(1, 9)), min_size=2, max_size=7), tenths=st.integers(0, 9)
)
def test_the_choices_without_a_draw_are_the_official_code_s(scored: list[tuple[int, int]], tenths: int) -> None:
    """As RLHFlow's `prepare_data` words it, in tenths of a point, on lists: argmax and argmin take the first."""
    scores = [score for score, _ in scored]
    penalised = [10 * score - tenths * chars for score, chars in scored]
    ordered = sorted(scores)
    group = responses(*scored)
    cases: list[tuple[Choice, list[int]]] = [("max_min", scores), ("max_min_p", penalised)]
    for choice, values in cases:
        two = {values.index(max(values)), values.index(min(values))}
        outcome = by_choice(group, choice, length_penalty=tenths / 10)
        if len({scores[sample] for sample in two}) == 1:
            assert reason_of(outcome) == "tie"
        else:
            assert samples_of(outcome) == tuple(sorted(two, key=lambda sample: -scores[sample]))
    outcome = by_choice(group, "max_max")
    assert (outcome.pair is None) == (ordered[-1] == ordered[-2])
    if outcome.pair is not None:
        assert [scores[sample] for sample in samples_of(outcome)] == ordered[:-3:-1]


# ----------------------------------------------------------------------------------------------------------------- SPPO


def test_a_win_probability_is_the_mean_over_the_group_itself_included() -> None:
    """σ(ln 3) = 3/4. Of ln 3, 0: (1/2 + 3/4)/2 = 5/8 and (1/4 + 1/2)/2 = 3/8; without itself it would be 3/4 and 1/4.
    Of ln 3, 0, 0: (1/2 + 3/4 + 3/4)/3 = 2/3 and (1/4 + 1/2 + 1/2)/3 = 5/12 twice."""
    assert win_probabilities([math.log(3), 0.0]) == pytest.approx([5 / 8, 3 / 8], abs=1e-12)
    assert win_probabilities([0.0, math.log(3), 0.0]) == pytest.approx([5 / 12, 2 / 3, 5 / 12], abs=1e-12)


def test_win_probabilities_of_equal_and_of_far_scores() -> None:
    """Equal: 1/2 each. Far apart: σ is 0 or 1, so (1/2 + 1)/2 and (1/2 + 0)/2, and nothing overflows."""
    assert win_probabilities([2.5, 2.5, 2.5]) == [0.5, 0.5, 0.5]
    assert win_probabilities([1e4, -1e4]) == [0.75, 0.25]
    assert win_probabilities([]) == []


@given(scores=st.lists(st.floats(-30, 30), min_size=1, max_size=8), shift=st.floats(-5, 5), data=st.data())
def test_win_probabilities_average_a_half_follow_the_scores_and_know_no_order(
    scores: list[float], shift: float, data: st.DataObject
) -> None:
    """σ(x) + σ(−x) = 1, so the n² terms sum to n²/2; each P lies within [1/(2n), 1 − 1/(2n)]."""
    probabilities, n = win_probabilities(scores), len(scores)
    assert math.fsum(probabilities) == pytest.approx(n / 2, abs=1e-9)
    assert all(1 / (2 * n) - 1e-9 <= p <= 1 - 1 / (2 * n) + 1e-9 for p in probabilities)
    assert win_probabilities([score + shift for score in scores]) == pytest.approx(probabilities, abs=1e-9)
    by_logistic = [np.mean([1 / (1 + np.exp(other - score)) for other in scores]) for score in scores]
    assert probabilities == pytest.approx(by_logistic, abs=1e-9)
    order = data.draw(st.permutations(range(n)))
    assert win_probabilities([scores[i] for i in order]) == [probabilities[i] for i in order]
    for i, j in combinations(range(n), 2):
        assert (
            (probabilities[i] >= probabilities[j]) if scores[i] >= scores[j] else probabilities[i] <= probabilities[j]
        )


def test_sppo_pairs_the_likeliest_winner_with_the_likeliest_loser() -> None:
    scores = (2.0, 4.5, 1.0, 3.0)
    chosen, rejected = samples_of(pair_sppo(PROMPT, *scores_only(*scores), drop_truncated=False))
    probabilities = win_probabilities(scores)
    assert (chosen, rejected) == (probabilities.index(max(probabilities)), probabilities.index(min(probabilities)))
    assert (chosen, rejected) == (1, 2)


def test_a_pair_carries_its_win_probabilities_against_the_whole_group() -> None:
    """Scores 0, ln 3, 0: the best beats itself with 1/2 and the others with 3/4 each, 2/3 on average; a worst one beats
    itself and its equal with 1/2 and the best with 1/4, 5/12 on average."""
    scores = [0.0, math.log(3), 0.0]
    rollouts = [rollout(index, f"text {index}") for index in range(3)]
    outcome = pair_sppo(
        PROMPT, rollouts, [vote(index, score) for index, score in enumerate(scores)], drop_truncated=False
    )
    assert outcome.pair is not None and outcome.pair.win_probabilities == pytest.approx((2 / 3, 5 / 12), abs=1e-6)
