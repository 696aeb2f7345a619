"""What a round's filter leaves to learn from, and what it says of the rest."""

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import pytest
from support.recipe_ledgers import best_over_worst, outcomes, scored_responses
from support.recipe_runs import ONE_PHASE, given_responses

from roundelay.orchestrator.data.records import Judgment, PreferencePair, ResponseGroup, Rollout
from roundelay.orchestrator.ledger.ledger import Ledger

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def ids(made: Sequence[PreferencePair | ResponseGroup]) -> list[str]:
    return [one.prompt.id for one in made]


def test_rip_learns_from_pairs_whose_rejected_response_is_good_and_long_and_near(play: Callable[..., Ledger]) -> None:
    """On or above the medians of rejected scores and lengths, on or under that of the margins; the rest is dropped."""
    ledger = play("rip", *ONE_PHASE, "run.prompts_per_round=24", "generation.samples_per_prompt=6")
    scored = scored_responses(ledger, 1)
    pairs = [outcome.pair for outcome in outcomes(ledger, 1) if outcome.pair is not None]
    assert all(best_over_worst(pair, scored[pair.prompt.id]) for pair in pairs)
    score = {(rollout.prompt_id, rollout.sample): score for own in scored.values() for rollout, score in own}
    bad = [score[pair.prompt.id, pair.rejected.sample] for pair in pairs]
    gap = [score[pair.prompt.id, pair.chosen.sample] - low for pair, low in zip(pairs, bad, strict=True)]
    size = [len(pair.rejected.token_ids) for pair in pairs]
    kept = [
        pair.prompt.id
        for pair, low, long, wide in zip(pairs, bad, size, gap, strict=True)
        if low > median(bad) - 1e-5 and long >= median(size) and wide < median(gap) + 1e-5
    ]
    assert 0 < len(kept) < len(pairs)
    assert ids([outcome.pair for outcome in outcomes(ledger, 1, "selected") if outcome.pair is not None]) == kept
    manifest = ledger.manifest(1)
    assert manifest["learn"]["pairs_trained"] == manifest["data"]["pairs"] == len(kept)
    reasons = ("low_rejected_score", "short_rejected", "wide_margin")
    assert sum(manifest["data"]["dropped"].get(reason, 0) for reason in reasons) == len(pairs) - len(kept)
    assert manifest["data"]["limits"] == pytest.approx(
        {"rejected_score": median(bad), "rejected_length": median(size), "margin": median(gap)}, abs=1e-5
    )
    assert manifest["policy"]["sha256"] != ledger.header()["initial_policy"]["sha256"]


def test_rafts_global_ranking_imitates_the_best_fifth_of_a_round(play: Callable[..., Ledger]) -> None:
    """Of 8 prompts with 5 responses each 8 responses, whoever's they are; equal ones from the front."""
    ledger = play("raft", *ONE_PHASE, "pairing=group", "filter=top_fraction")
    scored = [one for own in scored_responses(ledger, 1).values() for one in own]
    assert len(scored) == 40
    groups = [outcome.group for outcome in outcomes(ledger, 1, "selected") if outcome.group is not None]
    kept = [score for group in groups for score in group.scores]
    assert sorted(kept) == pytest.approx(sorted(score for _, score in scored)[-8:], abs=1e-5)
    assert all(list(group.scores) == sorted(group.scores, reverse=True) for group in groups)
    manifest = ledger.manifest(1)
    assert manifest["learn"]["pairs_trained"] == 8
    assert manifest["data"]["dropped"] == ({"not_top": 8 - len(groups)} if len(groups) < 8 else {})


def test_where_generator_and_validator_agree_both_are_imitated(play: Callable[..., Ledger]) -> None:
    """Yes (here X, against C: the tiny model says both) is the more probable one; the validation is the judging prompt
    with the single token of yes."""
    words = ("judge.answers=[X,C]", "evaluation.judge.answers=[X,C]", "generation.samples_per_prompt=4")
    ledger = play("gv_consistency", *ONE_PHASE, *words)
    judged = {(one.prompt_id, one.sample): one for one in ledger.read_stage(1, "judgments", Judgment)}
    rollouts = {(one.prompt_id, one.sample): one for one in ledger.read_stage(1, "rollouts", Rollout)}
    assert judged.keys() == rollouts.keys() and len(judged) == 32
    said = {one.judge_token_ids: one.text for one in judged.values()}
    assert sorted(said.values()) == ["C", "X"], "a validator that always says the same shows nothing"
    assert all(one.choice_mass is not None and 0 < one.choice_mass < 1 for one in judged.values())
    agreeing = [key for key in rollouts if (judged[key].score or 0) > 0.5]
    assert [key for key, one in judged.items() if one.text == "X"] == [key for key in judged if key in agreeing]
    learnt = [response for outcome in outcomes(ledger, 1) if outcome.group for response in outcome.group.responses]
    assert [(one.prompt_id, one.sample) for one in learnt] == [key for key in agreeing for _ in range(2)]
    for response, validation in zip(learnt[::2], learnt[1::2], strict=True):
        key = (response.prompt_id, response.sample)
        assert response == rollouts[key]
        assert validation.prompt_token_ids == judged[key].judge_prompt_token_ids
        assert said[validation.token_ids] == "X"
    manifest = ledger.manifest(1)
    assert manifest["learn"]["pairs_trained"] == len(learnt)
    assert manifest["data"]["judge"]["agreement_rate"] == pytest.approx(len(agreeing) / 32)
    assert 0 <= manifest["evaluation"]["judge"]["agreement_rate"] <= 1
    assert manifest["policy"]["sha256"] != ledger.header()["initial_policy"]["sha256"]


def test_alpagasus_imitates_the_given_responses_that_rate_high(play: Callable[..., Ledger], tmp_path: Path) -> None:
    """A tiny policy rates none 4.5 of 5: the threshold here lies within what it gives."""
    seed = (f"prompts.seed.path={given_responses(tmp_path)}", "prompts.seed.responses=[chosen]")
    ledger = play("alpagasus", *ONE_PHASE, *seed, "filter.min_score=2.0")
    scored = [one for own in scored_responses(ledger, 1).values() for one in own]
    assert len(scored) == 8
    high = [rollout.prompt_id for rollout, score in scored if score >= 2.0]
    assert 0 < len(high) < 8
    assert ids([outcome.group for outcome in outcomes(ledger, 1, "selected") if outcome.group is not None]) == high
    assert ledger.manifest(1)["data"]["dropped"] == {"low_score": 8 - len(high)}
    assert ledger.manifest(1)["learn"]["pairs_trained"] == 3 * len(high)


def test_long_is_more_imitates_the_longest_given_responses(play: Callable[..., Ledger], tmp_path: Path) -> None:
    seed = (f"prompts.seed.path={given_responses(tmp_path)}", "prompts.seed.responses=[chosen]")
    ledger = play("long_is_more", *ONE_PHASE, *seed, "filter.count=3")
    sizes = [len(rollout.token_ids) for rollout in ledger.read_stage(1, "rollouts", Rollout)]
    groups = [outcome.group for outcome in outcomes(ledger, 1, "selected") if outcome.group is not None]
    kept = [len(response.token_ids) for group in groups for response in group.responses]
    assert sorted(kept) == sorted(sizes)[-3:] and len(set(sizes)) > 1
    assert ledger.manifest(1)["data"]["dropped"] == {"not_longest": 5}
    assert ledger.manifest(1)["learn"]["pairs_trained"] == 9
