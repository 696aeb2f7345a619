"""Which responses make a pair or a group, and why a prompt makes none: ties and failed parses never become labels."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.pairing import PROMPT, pair_of, rollout, vote

from roundelay.orchestrator.data.records import FinishReason, Judgment, PairingOutcome, Prompt, ResponseGroup, Rollout
from roundelay.recipes.pairing.best_worst import pair_best_worst
from roundelay.recipes.pairing.candidates import mean_probability, mean_scores
from roundelay.recipes.pairing.contrast import pair_contrast
from roundelay.recipes.pairing.group import pair_group
from roundelay.recipes.pairing.soft import pair_soft


def votes(*scores: float | None) -> list[Judgment]:
    """One vote for each of the samples 0, 1, 2, …"""
    return [vote(sample, score) for sample, score in enumerate(scores)]


def best_worst(
    rollouts: Sequence[Rollout],
    judgments: Sequence[Judgment],
    *,
    min_margin: float = 0.0,
    drop_truncated: bool = False,
) -> PairingOutcome:
    return pair_best_worst(PROMPT, rollouts, judgments, min_margin=min_margin, drop_truncated=drop_truncated)


def reason_of(outcome: PairingOutcome) -> str:
    assert outcome.pair is None and outcome.dropped is not None and outcome.group is None
    assert outcome.dropped.prompt_id == "p"
    return outcome.dropped.reason


# ------------------------------------------------------------------------------------------------------ pair_best_worst


def test_the_best_is_chosen_over_the_worst_with_their_margin() -> None:
    rollouts = [rollout(sample) for sample in range(4)]
    pair = pair_of(best_worst(rollouts, votes(2.0, 4.5, 1.0, 3.0)))
    assert (pair.prompt, pair.chosen, pair.rejected) == (PROMPT, rollouts[1], rollouts[2])
    assert (pair.margin, pair.label_probability, pair.provenance) == (3.5, 1.0, "judge")


def test_a_failed_parse_is_never_the_rejected_response() -> None:
    """The Oxen-AI reproduction writes −1 for a malformed judgment and takes the minimum: malformed became "rejected".
    Here sample 2 is unparsable, so 1 (score 2) is the worst."""
    pair = pair_of(best_worst([rollout(0), rollout(1), rollout(2)], votes(4.0, 2.0, None)))
    assert (pair.chosen.sample, pair.rejected.sample, pair.margin) == (0, 1, 2.0)


def test_a_response_is_scored_by_the_mean_of_its_parsed_votes_only() -> None:
    """Sample 0: (5 + 2)/2 = 3.5 with one failed vote (2.33 if it counted as 0); sample 1: (3 + 3 + 3)/3 = 3."""
    judgments = [vote(0, 5.0, 0), vote(0, None, 1), vote(0, 2.0, 2), *(vote(1, 3.0, n) for n in range(3))]
    assert mean_scores(judgments) == {0: 3.5, 1: 3.0}
    pair = pair_of(best_worst([rollout(0), rollout(1)], judgments))
    assert (pair.chosen.sample, pair.margin) == (0, 0.5)


def test_a_sample_without_a_parsed_vote_has_no_mean() -> None:
    assert mean_scores([vote(0, None, 0), vote(0, None, 1), vote(1, 0.0)]) == {1: 0.0}


def test_a_score_of_zero_is_a_score() -> None:
    pair = pair_of(best_worst([rollout(0), rollout(1)], votes(0.0, 1.0)))
    assert (pair.chosen.sample, pair.rejected.sample) == (1, 0)


@pytest.mark.parametrize("scores", [(3.0, 3.0), (2.0, 2.0, 2.0, 2.0), (None, 4.0, 4.0)])
def test_equal_scores_are_a_tie_and_no_pair(scores: tuple[float | None, ...]) -> None:
    rollouts = [rollout(sample) for sample in range(len(scores))]
    assert reason_of(best_worst(rollouts, votes(*scores))) == "tie"


@pytest.mark.parametrize("scores", [(None, None), (3.0, None), (None, 3.0, None)])
def test_fewer_than_two_scored_responses_are_no_pair(scores: tuple[float | None, ...]) -> None:
    rollouts = [rollout(sample) for sample in range(len(scores))]
    assert reason_of(best_worst(rollouts, votes(*scores))) == "unscored"


def test_no_judgments_at_all_are_no_pair() -> None:
    assert reason_of(best_worst([rollout(0), rollout(1)], [])) == "unscored"


def test_a_margin_at_the_minimum_is_a_tie_and_one_above_it_a_pair() -> None:
    rollouts = [rollout(0), rollout(1)]
    assert reason_of(best_worst(rollouts, votes(3.0, 2.5), min_margin=0.5)) == "tie"
    assert pair_of(best_worst(rollouts, votes(3.0, 2.25), min_margin=0.5)).margin == 0.75


def test_best_and_worst_with_the_same_text_are_no_pair() -> None:
    """Whitespace at the ends aside; a judge that scores one text twice differently teaches noise."""
    rollouts = [rollout(0, "Yes."), rollout(1, " Yes.\n")]
    assert reason_of(best_worst(rollouts, votes(4.0, 1.0))) == "identical"


def test_truncated_responses_enter_pairs_only_where_they_are_kept() -> None:
    rollouts = [rollout(0, finish="length"), rollout(1), rollout(2)]
    judgments = votes(5.0, 3.0, 1.0)
    kept = pair_of(best_worst(rollouts, judgments))
    dropped = pair_of(best_worst(rollouts, judgments, drop_truncated=True))
    assert (kept.chosen.sample, kept.rejected.sample) == (0, 2)
    assert (dropped.chosen.sample, dropped.rejected.sample) == (1, 2)
    cut = [rollout(0, finish="length"), rollout(1)]
    assert reason_of(best_worst(cut, judgments, drop_truncated=True)) == "truncated"


def test_the_first_reason_that_holds_is_the_one_given() -> None:
    """truncated before unscored before tie before identical: each case below fulfils all the reasons after its own."""
    cut = [rollout(0, "same", finish="length"), rollout(1, "same")]
    same = [rollout(0, "same"), rollout(1, "same")]
    assert reason_of(best_worst(cut, votes(None, None), drop_truncated=True)) == "truncated"
    assert reason_of(best_worst(same, votes(None, 3.0))) == "unscored"
    assert reason_of(best_worst(same, votes(3.0, 3.0))) == "tie"


def test_among_equally_scored_responses_the_first_sampled_stands_for_all() -> None:
    rollouts = [rollout(sample) for sample in (3, 1, 2, 0)]
    pair = pair_of(best_worst(rollouts, votes(1.0, 4.0, 1.0, 4.0)))
    assert (pair.chosen.sample, pair.rejected.sample) == (1, 0)


@st.composite
def groups(draw: st.DrawFn) -> tuple[list[Rollout], list[Judgment]]:
    """Up to five responses with up to three votes each, in any order. Scores are halves: their means are exact."""
    scores = st.none() | st.integers(0, 10).map(lambda halves: halves / 2)
    rollouts, judgments = [], []
    for sample in range(draw(st.integers(0, 5))):
        finish: FinishReason = draw(st.sampled_from(("stop", "length")))
        rollouts.append(rollout(sample, draw(st.sampled_from(["a", " a", "b", "c"])), finish=finish))
        judgments += [vote(sample, score, n) for n, score in enumerate(draw(st.lists(scores, max_size=3)))]
    return draw(st.permutations(rollouts)), draw(st.permutations(judgments))


@given(group=groups(), halves=st.integers(0, 3), drop=st.booleans(), data=st.data())
def test_a_pair_is_best_over_worst_a_drop_has_its_reason_and_order_changes_nothing(
    group: tuple[list[Rollout], list[Judgment]], halves: int, drop: bool, data: st.DataObject
) -> None:
    rollouts, judgments = group
    min_margin = halves / 2
    outcome = best_worst(rollouts, judgments, min_margin=min_margin, drop_truncated=drop)
    shuffled = data.draw(st.permutations(rollouts)), data.draw(st.permutations(judgments))
    assert best_worst(*shuffled, min_margin=min_margin, drop_truncated=drop) == outcome

    candidates = {r.sample for r in rollouts if not (drop and r.finish_reason == "length")}
    parsed = {s: [Fraction(j.score) for j in judgments if j.sample == s and j.score is not None] for s in candidates}
    means = {sample: sum(scores) / len(scores) for sample, scores in parsed.items() if scores}
    spread = max(means.values()) - min(means.values()) if means else Fraction(0)
    if outcome.pair is not None:
        chosen, rejected = outcome.pair.chosen, outcome.pair.rejected
        assert (means[chosen.sample], means[rejected.sample]) == (max(means.values()), min(means.values()))
        assert spread > min_margin and outcome.pair.margin == pytest.approx(float(spread), abs=2e-6)
        assert chosen.text.strip() != rejected.text.strip()
    else:
        holds = {
            "truncated": len(candidates) < 2,
            "unscored": len(means) < 2,
            "tie": spread <= min_margin,
            "identical": True,  # by elimination; the texts are compared above and in a test of its own
        }
        assert holds[reason_of(outcome)]


# -------------------------------------------------------------------------------------------------------- pair_contrast


def contrast(
    positive: Rollout, negative: Rollout, *, drop_truncated: bool = False, seed: int | None = None, identity: str = "p"
) -> PairingOutcome:
    prompt = Prompt(id=identity, messages=PROMPT.messages)
    return pair_contrast(prompt, [positive, negative], drop_truncated=drop_truncated, shuffle_seed=seed)


def sides(positive: str = "good", negative: str = "bad", *, finish: FinishReason = "stop") -> tuple[Rollout, Rollout]:
    return rollout(0, positive, variant="positive"), rollout(1, negative, variant="negative", finish=finish)


def test_the_positive_variant_is_chosen_by_construction_wherever_it_stands() -> None:
    positive, negative = sides()
    pair = pair_of(contrast(positive, negative))
    assert (pair.chosen, pair.rejected, pair.margin, pair.provenance) == (positive, negative, None, "contrast")
    assert pair.label_probability == 1.0
    assert contrast(negative, positive) == contrast(positive, negative)


def test_contrast_pairs_are_dropped_when_cut_empty_or_identical_in_this_order() -> None:
    assert reason_of(contrast(*sides("", "", finish="length"), drop_truncated=True)) == "truncated"
    assert reason_of(contrast(*sides("", " \n", finish="length"))) == "empty"
    assert reason_of(contrast(*sides("good", " "))) == "empty"
    assert reason_of(contrast(*sides("", "bad"))) == "empty"
    assert reason_of(contrast(*sides("same", "same\n"))) == "identical"
    assert pair_of(contrast(*sides(finish="length"))).rejected.truncated


def test_shuffled_labels_flip_about_half_of_400_prompts_and_always_the_same_ones() -> None:
    """A fair coin on 400 prompts: 200 ± 10, so 150–250 is five standard deviations."""

    def flipped(seed: int, identities: Sequence[str]) -> dict[str, bool]:
        outcomes = {identity: contrast(*sides(), seed=seed, identity=identity) for identity in identities}
        return {identity: pair_of(outcome).chosen.variant == "negative" for identity, outcome in outcomes.items()}

    identities = [f"prompt-{number}" for number in range(400)]
    first = flipped(7, identities)
    assert 150 < sum(first.values()) < 250
    assert flipped(7, identities[::-1]) == first
    other = flipped(8, identities)
    assert 150 < sum(first[identity] != other[identity] for identity in identities) < 250


def test_a_flipped_pair_holds_the_same_two_responses() -> None:
    positive, negative = sides()
    pairs = [pair_of(contrast(positive, negative, seed=seed)) for seed in range(20)]
    assert {(pair.chosen.sample, pair.rejected.sample) for pair in pairs} == {(0, 1), (1, 0)}


# ------------------------------------------------------------------------------------------------------------ pair_soft


def comparison(probability: float | None, number: int = 0) -> Judgment:
    """A parsed comparison of samples 0 and 1, or a failed one where `probability` is None."""
    return Judgment(
        prompt_id="p",
        sample=0,
        other=1,
        vote=number,
        status="truncated" if probability is None else "parsed",
        score=None,
        probability=probability,
        choice_mass=None,
        text="",
    )


def comparisons(*probabilities: float | None) -> list[Judgment]:
    return [comparison(probability, number) for number, probability in enumerate(probabilities)]


def soft(rollouts: Sequence[Rollout], *probabilities: float | None, drop_truncated: bool = False) -> PairingOutcome:
    return pair_soft(PROMPT, rollouts, comparisons(*probabilities), drop_truncated=drop_truncated)


def test_the_more_probable_response_is_chosen_with_its_probability() -> None:
    first, second = rollout(0), rollout(1)
    pair = pair_of(soft([first, second], 0.75))
    assert (pair.prompt, pair.chosen, pair.rejected) == (PROMPT, first, second)
    assert (pair.margin, pair.label_probability, pair.provenance) == (None, 0.75, "judge")
    pair = pair_of(soft([first, second], 0.1))
    assert (pair.chosen, pair.rejected, pair.label_probability) == (second, first, 0.9)


def test_probabilities_belong_to_samples_and_not_to_places() -> None:
    first, second = rollout(0), rollout(1)
    assert soft([second, first], 0.75) == soft([first, second], 0.75)


def test_of_two_orders_the_mean_is_the_label() -> None:
    """(.9 + .6)/2 = .75."""
    assert pair_of(soft([rollout(0), rollout(1)], 0.9, 0.6)).label_probability == 0.75


def test_orders_that_contradict_each_other_make_an_uncertain_label() -> None:
    """.9 for sample 0 in one order, .7 against it in the other: (.9 + .3)/2 = .6. And (.6 + .1)/2 = .35: .65 for 1."""
    pair = pair_of(soft([rollout(0), rollout(1)], 0.9, 0.3))
    assert (pair.chosen.sample, pair.label_probability) == (0, 0.6)
    pair = pair_of(soft([rollout(0), rollout(1)], 0.6, 0.1))
    assert (pair.chosen.sample, pair.label_probability) == (1, 0.65)


def test_a_failed_comparison_counts_nothing() -> None:
    """Not as one half: (.9 + .5)/2 would be .7."""
    assert pair_of(soft([rollout(0), rollout(1)], 0.9, None)).label_probability == 0.9


def test_a_certain_judge_makes_a_hard_label() -> None:
    assert pair_of(soft([rollout(0), rollout(1)], 0.0)).label_probability == 1.0


def test_a_comparison_told_the_other_way_round_means_the_same() -> None:
    """P(1 better than 0) = .2 is P(0 better than 1) = .8; with .6 the mean is .7."""
    reverse = replace(comparison(0.2), sample=1, other=0)
    assert mean_probability([reverse, comparison(0.6)]) == 0.7
    assert mean_probability([]) is None


def test_soft_pairs_are_dropped_with_the_first_reason_that_holds() -> None:
    """truncated, empty, unscored, tie, identical: each case fulfils all the reasons after its own that it can."""
    cut, blank, same = rollout(0, "", finish="length"), rollout(0, " \n"), rollout(0, " response 1\n")
    other = rollout(1)
    assert reason_of(soft([cut, rollout(1, "")], None, drop_truncated=True)) == "truncated"
    assert reason_of(soft([rollout(0), rollout(1, "", finish="length")], drop_truncated=True)) == "truncated"
    assert reason_of(soft([cut, other], None)) == "empty"
    assert reason_of(soft([blank, rollout(1, "")], 0.5)) == "empty"
    assert reason_of(soft([rollout(0), rollout(1, "\t")], 0.9)) == "empty"
    assert reason_of(soft([same, other], None, None)) == "unscored"
    assert reason_of(soft([same, other])) == "unscored"
    assert reason_of(soft([same, other], 0.5)) == "tie"
    assert reason_of(soft([rollout(0), other], 0.7, 0.3)) == "tie"
    assert reason_of(soft([same, other], 0.9)) == "identical"


def test_truncated_responses_enter_soft_pairs_where_they_are_kept() -> None:
    assert pair_of(soft([rollout(0, finish="length"), rollout(1)], 0.8)).chosen.truncated


TEN_THOUSANDTHS = st.none() | st.integers(0, 10_000).map(lambda parts: parts / 10_000)  # a judge's SCORE_DECIMALS


@given(
    probabilities=st.lists(TEN_THOUSANDTHS, max_size=2)
    | TEN_THOUSANDTHS.map(lambda p: [p, None if p is None else 1 - p]),
    texts=st.tuples(*[st.sampled_from(["a", " a", "b", ""])] * 2),
    drop=st.booleans(),
    finish=st.sampled_from(("stop", "length")),
)
def test_a_soft_pair_is_never_a_tie_and_swapping_the_responses_swaps_the_label(
    probabilities: list[float | None], texts: tuple[str, str], drop: bool, finish: FinishReason
) -> None:
    outcome = soft([rollout(0, texts[0], finish=finish), rollout(1, texts[1])], *probabilities, drop_truncated=drop)
    parsed = [Fraction(round(p * 10_000), 10_000) for p in probabilities if p is not None]
    mean = sum(parsed) / len(parsed) if parsed else None
    if outcome.pair is not None:
        assert mean is not None and mean != Fraction(1, 2)
        assert outcome.pair.chosen.sample == (0 if mean > Fraction(1, 2) else 1)
        assert 0.5 < outcome.pair.label_probability <= 1.0
        assert outcome.pair.label_probability == pytest.approx(float(max(mean, 1 - mean)), abs=1e-9)
        assert outcome.pair.chosen.text.strip() != outcome.pair.rejected.text.strip()
    else:
        holds = {
            "truncated": drop and finish == "length",
            "empty": "" in texts,
            "unscored": mean is None,
            "tie": mean == Fraction(1, 2),
            "identical": texts[0].strip() == texts[1].strip(),
        }
        assert reason_of(outcome) == next(reason for reason, held in holds.items() if held)

    swapped = soft(
        [rollout(0, texts[1]), rollout(1, texts[0], finish=finish)],
        *(None if p is None else 1 - p for p in probabilities),
        drop_truncated=drop,
    )
    if outcome.pair is None:
        assert swapped == outcome
    else:
        pair = pair_of(swapped)
        assert (pair.chosen.text, pair.rejected.text) == (outcome.pair.chosen.text, outcome.pair.rejected.text)
        assert pair.label_probability == outcome.pair.label_probability


# ----------------------------------------------------------------------------------------------------------- pair_group


def group(
    rollouts: Sequence[Rollout],
    judgments: Sequence[Judgment],
    *,
    min_responses: int = 1,
    drop_ties: bool = False,
    drop_truncated: bool = False,
) -> PairingOutcome:
    return pair_group(
        PROMPT, rollouts, judgments, min_responses=min_responses, drop_ties=drop_ties, drop_truncated=drop_truncated
    )


def group_of(outcome: PairingOutcome) -> ResponseGroup:
    assert outcome.group is not None and outcome.pair is None and outcome.dropped is None
    return outcome.group


def test_a_group_has_every_scored_response_best_first_and_equals_as_sampled() -> None:
    rollouts = [rollout(sample) for sample in (3, 0, 2, 4, 1)]
    ranked = group_of(group(rollouts, votes(2.0, 4.5, None, 2.0, -1.0)))
    assert ranked.prompt == PROMPT
    assert [response.sample for response in ranked.responses] == [1, 0, 3, 4]
    assert ranked.scores == (4.5, 2.0, 2.0, -1.0)


def test_a_group_scores_by_the_mean_of_parsed_votes() -> None:
    """(5 + 2)/2 = 3.5 with a failed vote beside them."""
    judgments = [vote(0, 5.0, 0), vote(0, None, 1), vote(0, 2.0, 2), vote(1, 4.0)]
    ranked = group_of(group([rollout(0), rollout(1)], judgments))
    assert [response.sample for response in ranked.responses] == [1, 0]
    assert ranked.scores == (4.0, 3.5)


def test_identical_texts_stay_in_a_group() -> None:
    ranked = group_of(group([rollout(0, "same"), rollout(1, "same")], votes(1.0, 2.0), min_responses=2, drop_ties=True))
    assert [response.sample for response in ranked.responses] == [1, 0]


def test_groups_are_dropped_with_the_first_reason_that_holds() -> None:
    """truncated before unscored before tie: each case fulfils the reasons after its own as well, where it can."""
    cut = [rollout(0, finish="length"), rollout(1), rollout(2)]
    equal = votes(3.0, 3.0, 3.0)
    assert reason_of(group(cut, votes(None, None, 3.0), min_responses=3, drop_truncated=True)) == "truncated"
    assert reason_of(group(cut, votes(3.0, None, 3.0), min_responses=2, drop_truncated=True)) == "unscored"
    assert reason_of(group(cut, votes(None, None, 3.0), min_responses=2, drop_ties=True)) == "unscored"
    assert reason_of(group(cut, [], min_responses=1)) == "unscored"
    assert reason_of(group(cut, equal, drop_ties=True)) == "tie"
    assert reason_of(group(cut, votes(3.0, None, None), drop_ties=True)) == "tie"  # one response ranks nothing
    assert reason_of(group([], [])) == "truncated"


def test_a_tie_is_over_the_candidates_that_are_left() -> None:
    """The best one was cut; the two others are equal."""
    cut = [rollout(0, finish="length"), rollout(1), rollout(2)]
    assert reason_of(group(cut, votes(5.0, 3.0, 3.0), drop_ties=True, drop_truncated=True)) == "tie"
    assert group_of(group(cut, votes(5.0, 3.0, 3.0), drop_ties=True)).scores == (5.0, 3.0, 3.0)


def test_groups_of_equal_scores_and_of_one_response_are_kept_where_ties_are() -> None:
    assert group_of(group([rollout(0), rollout(1)], votes(3.0, 3.0))).scores == (3.0, 3.0)
    assert group_of(group([rollout(0), rollout(1)], votes(None, 0.0))).scores == (0.0,)


def test_as_many_responses_as_asked_are_enough() -> None:
    rollouts = [rollout(0), rollout(1), rollout(2)]
    assert len(group_of(group(rollouts, votes(1.0, 2.0, None), min_responses=2)).responses) == 2
    assert reason_of(group(rollouts, votes(1.0, 2.0, None), min_responses=3)) == "unscored"


@given(drawn=groups(), least=st.integers(1, 4), ties=st.booleans(), cut=st.booleans(), data=st.data())
def test_a_group_is_ranked_and_complete_a_drop_has_its_reason_and_order_changes_nothing(
    drawn: tuple[list[Rollout], list[Judgment]], least: int, ties: bool, cut: bool, data: st.DataObject
) -> None:
    rollouts, judgments = drawn
    outcome = group(rollouts, judgments, min_responses=least, drop_ties=ties, drop_truncated=cut)
    shuffled = data.draw(st.permutations(rollouts)), data.draw(st.permutations(judgments))
    assert group(*shuffled, min_responses=least, drop_ties=ties, drop_truncated=cut) == outcome

    candidates = {r.sample for r in rollouts if not (cut and r.finish_reason == "length")}
    parsed = {s: [Fraction(j.score) for j in judgments if j.sample == s and j.score is not None] for s in candidates}
    means = {sample: sum(scores) / len(scores) for sample, scores in parsed.items() if scores}
    if outcome.group is not None:
        ranked = group_of(outcome)
        assert [r.sample for r in ranked.responses] == sorted(means, key=lambda sample: (-means[sample], sample))
        assert ranked.scores == pytest.approx([float(means[r.sample]) for r in ranked.responses], abs=1e-6)
        assert len(means) >= least and not (ties and len(set(means.values())) == 1)
    else:
        holds = {
            "truncated": len(candidates) < least,
            "unscored": len(means) < least,
            "tie": ties and len(set(means.values())) == 1,
        }
        assert reason_of(outcome) == next(reason for reason, held in holds.items() if held)


def test_texts_on_the_way_to_a_response_are_no_candidates() -> None:
    """Whatever score one has: best over worst takes the two responses."""
    texts = [rollout(0), rollout(1, variant="interim"), rollout(2)]
    pair = pair_of(best_worst(texts, votes(2.0, 5.0, 1.0)))
    assert (pair.chosen.sample, pair.rejected.sample) == (0, 2)
