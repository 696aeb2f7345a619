"""An empty response enters no pair, no group and no demonstration, whatever the rule and the judge; and is counted."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import pytest
from support.pairing import PROMPT, rollout, vote

from roundelay.orchestrator.data.records import Judgment, PairingOutcome, Rollout, Shard
from roundelay.orchestrator.measure.metrics import RoundStats
from roundelay.recipes.pairing.agreement import pair_agreement
from roundelay.recipes.pairing.anchored import pair_anchored
from roundelay.recipes.pairing.annotated import pair_annotated
from roundelay.recipes.pairing.best_worst import pair_best_worst
from roundelay.recipes.pairing.by_choice import pair_by_choice
from roundelay.recipes.pairing.consistent import pair_consistent
from roundelay.recipes.pairing.contrast import pair_contrast
from roundelay.recipes.pairing.cream import pair_cream
from roundelay.recipes.pairing.critiqued import pair_critiqued
from roundelay.recipes.pairing.demonstrations import pair_demonstrations
from roundelay.recipes.pairing.function import pair_by_function
from roundelay.recipes.pairing.group import pair_group
from roundelay.recipes.pairing.length_controlled import pair_length_controlled
from roundelay.recipes.pairing.ranked import pair_ranked
from roundelay.recipes.pairing.right import pair_right
from roundelay.recipes.pairing.right_over_wrong import pair_right_over_wrong
from roundelay.recipes.pairing.soft import pair_soft
from roundelay.recipes.pairing.sppo import pair_sppo
from roundelay.recipes.pairing.sweet_spot import pair_sweet_spot
from roundelay.recipes.pairing.with_source import pair_with_source
from roundelay.recipes.pairing.worst_of_few import pair_best_of_all_worst_of_few
from roundelay.recipes.pairing.wpo_ties import pair_wpo_ties

Rule = Callable[..., PairingOutcome]
# Rules over scored responses, however many; the empty one scores best.
SCORED: dict[str, Rule] = {
    "best_worst": partial(pair_best_worst, min_margin=0.0),
    "cream": pair_cream,
    "sppo": pair_sppo,
    "sweet_spot": partial(pair_sweet_spot, rejected_at="mu-2sigma"),
    "worst_of_few": partial(pair_best_of_all_worst_of_few, few=5, seed=0),
    "length_controlled": partial(pair_length_controlled, rho=0.4, max_chosen_chars=None),
    "wpo_ties": pair_wpo_ties,
    "by_choice": partial(pair_by_choice, choice="max_min", length_penalty=0.0, seed=0),
    "function": partial(pair_by_function, function=lambda prompt, rollouts, scores: (rollouts[0], rollouts[-1])),
    "with_source": pair_with_source,
    "anchored": pair_anchored,
    "group": partial(pair_group, min_responses=2, drop_ties=False),
    "annotated": pair_annotated,
    "critiqued": partial(pair_critiqued, good_score=9.0, keep_good=1.0, max_tokens=100, seed=0),
    "agreement": pair_agreement,
    "right": pair_right,
    "right_over_wrong": pair_right_over_wrong,
}


def judged(count: int) -> list[Judgment]:
    """Two voters' scores that fall from sample to sample, with attributes and agreement; the last is wrong."""
    return [
        _with(vote(sample, float(count - sample), voter), attributes=(1.0,), agrees=sample < count - 1)
        for sample in range(count)
        for voter in (0, 1)
    ]


def _with(judgment: Judgment, *, attributes: tuple[float, ...], agrees: bool) -> Judgment:
    return replace(judgment, attributes=attributes, agrees=agrees, text="Yes")


def learnt_from(outcome: PairingOutcome) -> list[str]:
    pair, group = outcome.pair, outcome.group
    responses: list[Rollout] = [] if pair is None else [pair.chosen, pair.rejected]
    return [one.text for one in (*responses, *(group.responses if group else ()))]


@pytest.mark.parametrize("empty", ["", " \n\t", "\u2003"])
@pytest.mark.parametrize("rule", SCORED)
def test_the_best_scored_response_is_never_an_empty_one(rule: str, empty: str) -> None:
    """Neither as the chosen one nor as the rejected, and not because it is the only one dropped: others are left."""
    rollouts = [rollout(0, empty), rollout(1), rollout(2), rollout(3)]
    outcome = SCORED[rule](PROMPT, rollouts, judged(4), drop_truncated=False)
    texts = learnt_from(outcome)
    assert empty not in texts and (texts or rule == "with_source")
    worst_empty = [rollout(0), rollout(1), rollout(2), rollout(3, empty)]
    assert empty not in learnt_from(SCORED[rule](PROMPT, worst_empty, judged(4), drop_truncated=False))


@pytest.mark.parametrize("rule", SCORED)
def test_a_prompt_of_empty_responses_is_dropped_as_empty(rule: str) -> None:
    """What is empty by itself is `empty`; where those that were cut are dropped, too few others are `truncated`."""
    rollouts = [rollout(sample, " ") for sample in range(4)]
    outcome = SCORED[rule](PROMPT, rollouts, judged(4), drop_truncated=True)
    assert outcome.dropped is not None and outcome.dropped.reason == "empty"
    cut = [rollout(sample, "", finish="length") for sample in range(4)]
    dropped = SCORED[rule](PROMPT, cut, judged(4), drop_truncated=True).dropped
    assert dropped is not None and dropped.reason == "truncated"


@pytest.mark.parametrize("empty_sample", [0, 1])
def test_two_responses_of_which_one_is_empty_make_no_pair(empty_sample: int) -> None:
    two = [rollout(sample, "" if sample == empty_sample else "text") for sample in (0, 1)]
    sides = [rollout(0, two[0].text, variant="positive"), rollout(1, two[1].text, variant="negative")]
    ranked = [rollout(sample, two[sample].text, variant="ranked") for sample in (0, 1)]
    outcomes = [
        pair_soft(PROMPT, two, [], drop_truncated=False),
        pair_consistent(PROMPT, two, [], drop_truncated=False),
        pair_contrast(PROMPT, sides, drop_truncated=False, shuffle_seed=None),
        pair_ranked(PROMPT, ranked, take="best_worst", seed=0, drop_truncated=False),
        pair_best_worst(PROMPT, two, judged(2), min_margin=0.0, drop_truncated=False),
    ]
    assert [outcome.dropped and outcome.dropped.reason for outcome in outcomes] == ["empty"] * 5


def test_nobody_imitates_an_empty_response() -> None:
    outcome = pair_demonstrations(PROMPT, [rollout(0, "\n"), rollout(1, "text")], drop_truncated=False)
    assert learnt_from(outcome) == ["text"]
    alone = pair_demonstrations(PROMPT, [rollout(0, "\n")], drop_truncated=False)
    assert alone.dropped is not None and alone.dropped.reason == "empty"


def test_an_objective_with_a_reward_for_empty_responses_keeps_them() -> None:
    """AlpacaFarm gives a response without words a reward of its own: policy gradients learn from it."""
    rollouts = [rollout(0, ""), rollout(1)]
    group = partial(pair_group, min_responses=2, drop_ties=False, drop_truncated=False, drop_empty=False)
    kept = group(PROMPT, rollouts, judged(2))
    assert learnt_from(kept) == ["", "response 1"]


def test_a_round_counts_its_empty_responses() -> None:
    statistics = RoundStats()
    rollouts: Sequence[Rollout] = [rollout(0, ""), rollout(1, " \n"), rollout(2), rollout(3, "", variant="interim")]
    statistics.add(Shard(round=0, split="train", index=0, prompts=(PROMPT,)), rollouts, [])
    outcome = pair_best_worst(PROMPT, rollouts, judged(3), min_margin=0.0, drop_truncated=False)
    statistics.count([outcome])
    assert statistics.summary()["empty"] == 2 and statistics.summary()["dropped"] == {"empty": 1}
