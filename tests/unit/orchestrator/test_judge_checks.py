"""Judges that compare models: refused before any actor starts where there would be nothing to compare."""

from dataclasses import replace
from typing import Any

import pytest
from support.configs import (
    ALL_CREAM,
    BY_CREAM,
    CREAM,
    DPO,
    EXPECTED,
    IMPLICIT,
    RATIO,
    REWARD_MODEL,
    base,
    changed,
    phase,
    with_phases,
)

from roundelay.orchestrator.config.checks import check_combinations
from roundelay.orchestrator.config.schema import Config
from roundelay.orchestrator.errors import ConfigError
from roundelay.orchestrator.parts.judge import JudgePart
from roundelay.recipes.pairing.cream import CreamPairing

FROM_INITIAL = replace(BY_CREAM, reference="initial", tokens="sum")


def after(rounds: int, judge: JudgePart, **more: Any) -> Config:
    """A phase that judges by `judge`, after one that has trained the policy for `rounds`."""
    return with_phases(seed=phase(rounds=rounds), labelled=phase(judge=judge, **more))


GOOD = [
    pytest.param(after(1, IMPLICIT), id="SPA after a seed phase"),
    pytest.param(after(1, replace(IMPLICIT, reference="previous")), id="SPA's ablation after a seed phase"),
    pytest.param(changed(base(), judge=replace(IMPLICIT, reference="none")), id="no reference"),
    pytest.param(changed(base(), judge=RATIO), id="a model of the user's"),
    pytest.param(changed(base(), judge=replace(RATIO, weak="policy")), id="a model of the user's over the policy"),
    pytest.param(after(1, replace(RATIO, strong="policy", weak="initial")), id="policy over initial, later"),
    pytest.param(after(2, replace(RATIO, strong="previous", weak="initial")), id="previous over initial, later still"),
    pytest.param(changed(base(), **ALL_CREAM), id="CREAM"),
    pytest.param(after(2, FROM_INITIAL, pairing=ALL_CREAM["pairing"], objective=CREAM), id="CREAM against initial"),
    pytest.param(changed(base(), evaluation__judge=IMPLICIT), id="how far the policy went, as evaluation"),
    pytest.param(changed(base(), **ALL_CREAM, run__keep_policies=2), id="CREAM with its two policies kept"),
]

BAD = [
    pytest.param(changed(base(), judge=IMPLICIT),
                 ["judge.kind=implicit_reward", "`policy`", "`initial`", "first round", "reward is 0"],
                 id="SPA without a seed phase"),
    pytest.param(with_phases(labelled=phase(judge=IMPLICIT)),
                 ["phases.labelled.judge.kind=implicit_reward", "first round of phase labelled"],
                 id="SPA in the first phase"),
    pytest.param(with_phases(rm=phase(rounds=3, objective=REWARD_MODEL), labelled=phase(judge=IMPLICIT)),
                 ["phases.labelled.judge.kind=implicit_reward"],
                 id="SPA after rounds that left the policy as it was"),
    pytest.param(changed(with_phases(seed=phase(rounds=1), two=phase()), judge=IMPLICIT),
                 ["judge.kind=implicit_reward", "held-out pairs"],
                 id="held-out pairs of the first policy by SPA"),
    pytest.param(changed(base(), judge=replace(IMPLICIT, reference="previous")), ["`policy` with `previous`"],
                 id="previous is initial"),
    pytest.param(changed(base(), judge=replace(RATIO, strong="policy")), ["judge.kind=density_ratio", "`policy`"],
                 id="policy over initial"),
    pytest.param(after(1, replace(RATIO, strong="previous")), ["`previous` with `initial`"],
                 id="previous over initial too early"),
    pytest.param(changed(base(), judge=replace(RATIO, strong="initial")), ["strong=initial", "weak"], id="one model"),
    pytest.param(changed(base(), judge=replace(RATIO, strong="reward_model")), ["judge.strong=reward_model"],
                 id="a reward model's log-probs"),
    pytest.param(after(1, FROM_INITIAL, pairing=ALL_CREAM["pairing"], objective=CREAM), ["`previous` with `initial`"],
                 id="CREAM whose second voter knows nothing"),
    pytest.param(after(5, replace(BY_CREAM, reference="previous"), pairing=ALL_CREAM["pairing"], objective=CREAM),
                 ["`previous` with `previous`"], id="CREAM whose second voter is its own reference"),
    pytest.param(changed(base(), **ALL_CREAM, run__keep_policies=1), ["run.keep_policies=1", "judge"],
                 id="CREAM whose previous policy is deleted"),
    pytest.param(changed(base(), judge=BY_CREAM), ["pairing.kind=best_worst", "judge.voters=policy_and_previous"],
                 id="two voters averaged"),
    pytest.param(changed(base(), pairing=CreamPairing(kind="cream"), objective=CREAM),
                 ["pairing.kind=cream", "judge.kind=expected_score"], id="consistency with nobody"),
    pytest.param(changed(base(), **{**ALL_CREAM, "objective": DPO}), ["objective.kind=dpo", "pairing.kind=cream"],
                 id="consistency for nothing"),
    pytest.param(changed(base(), objective=CREAM), ["objective.kind=cream", "pairing.kind=best_worst"],
                 id="CREAM without consistency"),
    pytest.param(changed(base(), evaluation__judge=BY_CREAM), ["evaluation.judge.voters=policy_and_previous"],
                 id="two voters as evaluation"),
    pytest.param(changed(with_phases(one=phase()), judge=BY_CREAM), ["judge.voters=policy_and_previous"],
                 id="two voters averaged in held-out pairs"),
    pytest.param(changed(base(), judge=RATIO, cluster__device="gpu", cluster__rollout__gpus=0.5,
                         cluster__learner__gpus=0.5, cluster__scorer__gpus=0),
                 ["cluster.scorer.gpus=0"], id="scorer without a GPU"),
]  # fmt: skip


@pytest.mark.parametrize("config", GOOD)
def test_a_judge_that_compares_two_models_can_run(config: Config) -> None:
    check_combinations(config)


@pytest.mark.parametrize(("config", "says"), BAD)
def test_a_judge_with_nothing_to_compare_is_refused(config: Config, says: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        check_combinations(config)
    assert all(word in caught.value.what for word in says), caught.value.what
    assert caught.value.remedy


def test_a_run_starts_scorers_for_what_any_of_its_judges_compares() -> None:
    """A round holds what its own judge and the evaluation compare, and no more."""
    assert not changed(base(), judge=replace(IMPLICIT, reference="none")).needs_scorer
    assert not changed(base(), judge=EXPECTED).needs_scorer
    config = changed(after(1, IMPLICIT), evaluation__judge=RATIO)
    assert config.needs_scorer
    assert [config.at(round).held_models for round in (1, 2)] == [("/dpo", "initial"), ("initial", "/dpo")]
    assert [config.at(round).judge_models for round in (1, 2)] == [(), ("initial",)]
