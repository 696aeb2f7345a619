"""Pairs and rankings obey their papers' rules."""

import math
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, pstdev
from typing import TypeAlias

import pytest
from support.recipe_ledgers import Scored, best_over_worst, by_construction, outcomes, scored_responses
from support.recipe_runs import ONE_PHASE

from roundelay.orchestrator.data.records import Judgment, PreferencePair, ResponseGroup
from roundelay.orchestrator.ledger.ledger import Ledger

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

PairRule: TypeAlias = Callable[[PreferencePair, Scored], bool]


def ties_by_length(pair: PreferencePair, scored: Scored) -> bool:
    """The shortest of the best, and of the worst the nearest to it in length."""
    top, bottom = max(score for _, score in scored), min(score for _, score in scored)
    best = [len(rollout.text) for rollout, score in scored if score == top]
    gaps = [abs(len(rollout.text) - len(pair.chosen.text)) for rollout, score in scored if score == bottom]
    return (
        best_over_worst(pair, scored)
        and len(pair.chosen.text) == min(best)
        and abs(len(pair.rejected.text) - len(pair.chosen.text)) == min(gaps)
    )


def sweet_spot(pair: PreferencePair, scored: Scored) -> bool:
    """The best, over the other response nearest to μ − 2σ."""
    scores = [score for _, score in scored]
    of = {rollout.sample: score for rollout, score in scored}
    target = fmean(scores) - 2 * pstdev(scores)
    nearest = min(abs(score - target) for sample, score in of.items() if sample != pair.chosen.sample)
    return of[pair.chosen.sample] == max(scores) and abs(abs(of[pair.rejected.sample] - target) - nearest) < 1e-5


def with_win_probabilities(pair: PreferencePair, scored: Scored) -> bool:
    """P_i = mean over all responses j, itself too, of σ(s_i − s_j)."""
    of = {rollout.sample: score for rollout, score in scored}
    scores = (of[pair.chosen.sample], of[pair.rejected.sample])
    wins = [fmean(1 / (1 + math.exp(other - score)) for other in of.values()) for score in scores]
    return best_over_worst(pair, scored) and pair.win_probabilities == pytest.approx(wins, abs=1e-5)


PAIR_RULES: dict[str, PairRule] = {
    "self_rewarding": best_over_worst,
    "simpo": best_over_worst,
    "ilr_dpo": best_over_worst,
    "mipo": best_over_worst,
    "slic": best_over_worst,
    "best_of_n": best_over_worst,
    "raft": best_over_worst,
    "wpo": ties_by_length,
    "sppo": with_win_probabilities,
    "sweet_spot": sweet_spot,
    "rlcd_dpo": by_construction,
    "context_distillation": by_construction,
}
RANKED = ("rrhf", "pro")


@pytest.mark.parametrize("recipe", PAIR_RULES)
def test_a_recipes_pairs_obey_its_papers_rule(recipe: str, play: Callable[..., Ledger]) -> None:
    more = ("generation.samples_per_prompt=12",) if recipe == "sweet_spot" else ()
    ledger = play(recipe, *ONE_PHASE, *more)
    scored = scored_responses(ledger, 1)
    pairs = [outcome.pair for outcome in outcomes(ledger, 1) if outcome.pair is not None]
    assert len(pairs) >= 4, "a round of ties shows nothing"
    for pair in pairs:
        assert PAIR_RULES[recipe](pair, scored.get(pair.prompt.id, [])), pair
    learned = ledger.manifest(1)["learn"]
    assert learned["pairs_trained"] == len(pairs) * ledger.header()["config"]["learner"]["epochs"]
    assert ledger.manifest(1)["policy"]["sha256"] != ledger.header()["initial_policy"]["sha256"]


def test_the_guides_paper_runs_from_a_users_own_folder(play: Callable[..., Ledger], mine: Path) -> None:
    """Its pairing rule and its loss, with its YAML: docs/adding-a-method.md as it stands."""
    ledger = play("my_paper", *ONE_PHASE, config_dir=mine / "configs")
    scored = scored_responses(ledger, 1)
    pairs = [outcome.pair for outcome in outcomes(ledger, 1) if outcome.pair is not None]
    assert len(pairs) >= 4
    for pair in pairs:
        of = {rollout.sample: (round(score, 6), len(rollout.text)) for rollout, score in scored[pair.prompt.id]}
        best = max(score for score, _ in of.values())
        assert of[pair.chosen.sample][0] == best > of[pair.rejected.sample][0]
        assert of[pair.rejected.sample][1] == max(chars for score, chars in of.values() if score < best)
    learned = ledger.manifest(1)["learn"]
    # At the start policy and reference agree: −log σ(−margin), and less from there on.
    assert 0.5 < learned["loss"] <= math.log(1 + math.exp(0.1)) + 1e-3
    assert ledger.manifest(1)["policy"]["sha256"] != ledger.header()["initial_policy"]["sha256"]


@pytest.mark.parametrize("recipe", RANKED)
def test_a_ranking_recipe_learns_from_all_responses_best_first(recipe: str, play: Callable[..., Ledger]) -> None:
    ledger = play(recipe, *ONE_PHASE)
    scored = scored_responses(ledger, 1)
    groups: list[ResponseGroup] = [o.group for o in outcomes(ledger, 1) if o.group is not None]
    assert len(groups) >= 4
    for group in groups:
        of = {rollout.sample: score for rollout, score in scored[group.prompt.id]}
        assert {response.sample for response in group.responses} == of.keys()
        assert list(group.scores) == sorted(group.scores, reverse=True) and group.scores[0] > group.scores[-1]
        assert group.scores == pytest.approx([of[response.sample] for response in group.responses], abs=1e-6)
    assert "rewards/accuracies" in ledger.manifest(1)["learn"]


def test_a_panels_members_are_in_the_ledger_and_its_majority_makes_the_pairs(play: Callable[..., Ledger]) -> None:
    """Votes 0, 1–3 and 4 of three members on scales of their own. The chosen response is preferred by most members to
    at least as many others as any other is, the rejected one to the fewest. Health,
    canaries and drift go by those shares: of any two responses compared, their mean is ½."""
    constrained = [f"judge.members.{name}.constrain_last_line=true" for name in ("additive", "rating")]
    short = [f"judge.members.{name}.sampling.max_tokens=5" for name in ("additive", "rating")]
    ledger = play("self_rewarding", *ONE_PHASE, "judge=panel", *constrained, *short)
    votes: dict[str, dict[int, dict[int, float]]] = {}
    for judgment in ledger.read_stage(1, "judgments", Judgment):
        assert judgment.score is not None and judgment.vote in range(5)
        votes.setdefault(judgment.prompt_id, {}).setdefault(judgment.sample, {})[judgment.vote] = judgment.score
    pairs = [outcome.pair for outcome in outcomes(ledger, 1) if outcome.pair is not None]
    assert len(pairs) >= 4
    for pair in pairs:
        members = {s: (v[0], fmean((v[1], v[2], v[3])), v[4]) for s, v in votes[pair.prompt.id].items()}
        shares = {
            a: fmean(
                0.5
                + 0.5 * ((n := sum((x > y) - (x < y) for x, y in zip(members[a], members[b], strict=True))) > 0)
                - 0.5 * (n < 0)
                for b in members
                if b != a
            )
            for a in members
        }
        assert shares[pair.chosen.sample] == max(shares.values()) > min(shares.values())
        assert shares[pair.rejected.sample] == min(shares.values())
    manifest = ledger.manifest(1)
    judge = manifest["data"]["judge"]
    assert judge["score_mean"] == pytest.approx(0.5) and judge["score_histogram"] is None
    canaries = [canary for canary in manifest["evaluation"]["canaries"].values() if canary["prompts"]]
    for canary in canaries:  # where one does not fit the members' prompts there is none
        assert canary["score"] + canary["policy_score"] == pytest.approx(1.0)
    assert manifest["evaluation"]["labels_judge_drift"]["mean_shift"] == pytest.approx(0.0)
