"""Rounds that train the judge: what fits together, and what is refused before any actor starts."""

from typing import Any

import pytest
from support.configs import (
    ADDITIVE,
    BEST_WORST,
    DEMONSTRATIONS,
    DISPUTED,
    GIVEN,
    GIVEN_JUDGED,
    GROUP,
    HINDSIGHT,
    IMPLICIT,
    INITIAL,
    META,
    NO_JUDGE,
    PAIRS_JUDGED,
    PLAIN,
    POLICY_GRADIENT,
    RLOO,
    SAMPLING,
    SCORES_JUDGED,
    SELECTION,
    base,
    changed,
    phase,
    with_phases,
)

from roundelay.orchestrator.config.checks import check_combinations
from roundelay.orchestrator.config.schema import Config
from roundelay.orchestrator.errors import ConfigError
from roundelay.recipes.filters.balanced_verdicts import BalancedVerdictsFilter
from roundelay.recipes.filters.both_orders import BothOrdersFilter
from roundelay.recipes.filters.ranking_agreement import RankingAgreementFilter
from roundelay.recipes.generation.judgments import JudgmentsGeneration
from roundelay.recipes.judges.truth import TruthJudge
from roundelay.recipes.objectives.none import NoObjective
from roundelay.recipes.objectives.sft import SftObjective
from roundelay.recipes.pairing.right import RightPairing
from roundelay.recipes.pairing.right_over_wrong import RightOverWrongPairing

TRUTH = TruthJudge(kind="truth")
RIGHT, OVER_WRONG = RightPairing(kind="right"), RightOverWrongPairing(kind="right_over_wrong")
RANKING = RankingAgreementFilter(kind="ranking_agreement", max_share=None)
BALANCED, BOTH = BalancedVerdictsFilter(kind="balanced_verdicts"), BothOrdersFilter(kind="both_orders")
SFT, NOTHING = SftObjective(kind="sft"), NoObjective(kind="none")
DECODED = JudgmentsGeneration(kind="judgments", samples_per_prompt=4, sampling=SAMPLING, truncated="keep")
COMPARED = changed(GIVEN_JUDGED, form="mt_bench")
VERDICTS: dict[str, Any] = {"new_prompts": COMPARED, "judge": TRUTH, "pairing": OVER_WRONG}
SCORES: dict[str, Any] = {
    "new_prompts": GIVEN_JUDGED,
    "judge": TRUTH,
    "pairing": changed(GROUP, min_responses=1),
    "filter": RANKING,
    "objective": SFT,
}


@pytest.mark.parametrize(
    "changes",
    [
        VERDICTS,
        SCORES,
        *({**VERDICTS, "filter": one} for one in (BALANCED, BOTH)),
        *({**VERDICTS, "pairing": RIGHT, "objective": SFT, "filter": one} for one in (BALANCED, BOTH)),
        {**VERDICTS, "pairing": BEST_WORST},
        {**VERDICTS, "generation": DECODED},
        {**SCORES, "new_prompts": changed(GIVEN_JUDGED, form="expected_score")},
        {**SCORES, "generation": DECODED},
        {**VERDICTS, "generation": DECODED, "new_prompts": changed(COMPARED, form="pandalm")},
        {"new_prompts": COMPARED},  # judging prompts that another judge judges
        {"objective": NOTHING},
        {**VERDICTS, "objective": NOTHING},
    ],
)
def test_what_can_train_a_judge_is_let_through(changes: dict[str, Any]) -> None:
    check_combinations(changed(base(), **changes))


REFUSED: list[tuple[dict[str, Any], list[str], str]] = [
    ({"judge": META}, ["judge.kind=meta", "new_prompts.kind=none"], "new_prompts=judgments"),
    ({"judge": META, "new_prompts": COMPARED}, ["judge.kind=meta"], "new_prompts.form=additive"),
    ({"judge": META, "new_prompts": DISPUTED}, ["new_prompts.of=disputed", "no phase before it"], "of=given"),
    ({"judge": TRUTH}, ["judge.kind=truth", "new_prompts.kind=none"], "new_prompts=judgments"),
    ({"evaluation__judge": TRUTH}, ["evaluation.judge.kind=truth"], "evaluation.judge"),
    ({"pairing": OVER_WRONG}, ["pairing.kind=right_over_wrong", "judge.kind=expected_score"], "judge=truth"),
    (
        {**VERDICTS, "judge": base().judge},
        ["pairing.kind=right_over_wrong", "judge.kind=expected_score"],
        "judge=truth",
    ),
    (
        {**VERDICTS, "new_prompts": GIVEN_JUDGED},
        ["pairing.kind=right_over_wrong", "new_prompts.form=additive"],
        "new_prompts.form=mt_bench",
    ),
    (
        {**VERDICTS, "pairing": RIGHT},
        ["pairing.kind=right has nothing to compare", "objective.kind=dpo"],
        "objective=sft",
    ),
    (
        {**VERDICTS, "pairing": RIGHT, "objective": SFT, "conditioning": HINDSIGHT},
        ["conditioning.kind=hindsight chains the two responses of a pair", "pairing.kind=right gives none"],
        "choose a pairing of two responses",
    ),
    (
        {**VERDICTS, "pairing": BEST_WORST, "filter": BALANCED},
        ["filter.kind=balanced_verdicts", "pairing.kind=best_worst"],
        "pairing=right_over_wrong",
    ),
    ({"filter": BOTH}, ["filter.kind=both_orders", "judge.kind=expected_score"], "judge=truth"),
    (
        {**VERDICTS, "generation__samples_per_prompt": 1},
        ["pairing.kind=right_over_wrong", "generation.samples_per_prompt=1"],
        "generation.samples_per_prompt to 2 or more",
    ),
    (
        {**VERDICTS, "generation__sampling__temperature": 0.0},
        ["pairing.kind=right_over_wrong", "generation.sampling.temperature=0"],
        "generation.sampling.temperature above 0",
    ),
    (
        {**SCORES, "filter": base().filter, "objective": base().objective, "pairing": BEST_WORST},
        ["filter.kind=none", "new_prompts.form=additive"],
        "filter=ranking_agreement",
    ),
    ({"filter": RANKING}, ["filter.kind=ranking_agreement", "judge.kind=expected_score"], "judge=truth"),
    (
        {**SCORES, "pairing": BEST_WORST},
        ["filter.kind=ranking_agreement", "pairing.kind=best_worst"],
        "pairing.min_responses=1",
    ),
    ({"generation": DECODED}, ["generation.kind=judgments", "new_prompts.kind=none"], "generation=plain"),
    (
        {**VERDICTS, "generation": DECODED, "new_prompts": changed(COMPARED, form="arena")},
        ["generation.kind=judgments", "new_prompts.form=arena"],
        "additive, pandalm, mt_bench",
    ),
    (
        {**VERDICTS, "generation": DECODED, "objective__reference__logps": "rollout"},
        ["objective.reference.logps=rollout", "generation.kind=judgments"],
        "objective.reference.logps=recompute",
    ),
    (
        {**VERDICTS, "learner__selection": SELECTION},
        ["held-out pairs", "pairing.kind=right_over_wrong"],
        "learner.selection=null",
    ),
    ({"objective": changed(NOTHING, reference=INITIAL)}, ["objective.kind=none has no reference"], "policy=none"),
    ({"objective": NOTHING, "learner__start": "initial"}, ["learner.start", "objective.kind=none"], "learner.start"),
    ({"objective": NOTHING, "learner__optimizer": "carried"}, ["learner.optimizer"], "learner.optimizer"),
    ({"objective": NOTHING, "learner__average_rounds": 2}, ["learner.average_rounds"], "learner.average_rounds"),
]


@pytest.mark.parametrize(("changes", "fields", "remedy"), REFUSED)
def test_what_cannot_train_a_judge_is_refused(changes: dict[str, Any], fields: list[str], remedy: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_combinations(changed(base(), **changes))
    assert all(field in caught.value.what for field in fields), caught.value.what
    assert remedy in caught.value.remedy


def data_then_judge(**changes: Any) -> Config:
    return with_phases(
        data=phase(rounds=1, objective=NOTHING), judge=phase(**{**VERDICTS, "new_prompts": PAIRS_JUDGED, **changes})
    )


def test_pairs_of_a_phase_that_learns_nothing_are_judged() -> None:
    check_combinations(data_then_judge())
    check_combinations(data_then_judge(generation=changed(PLAIN, samples_per_prompt=2)))


def test_what_is_disputed_was_voted_on_more_than_once() -> None:
    """By the newest phase before whose prompts are no judging prompts."""
    judging = phase(judge=META, new_prompts=DISPUTED)
    check_combinations(with_phases(actor=phase(rounds=1, judge=ADDITIVE), judge=judging))
    once = phase(rounds=1, judge=changed(ADDITIVE, votes=1))
    for judge, says in ((once, "judge.kind=additive and votes=1"), (phase(rounds=1), "judge.kind=expected_score")):
        with pytest.raises(ConfigError, match=f"phases.judge.new_prompts.of=disputed.*phase actor.*{says}"):
            check_combinations(with_phases(actor=judge, judge=judging))


@pytest.mark.parametrize(
    ("changes", "says", "remedy"),
    [
        (
            {"judge": META, "new_prompts": changed(DISPUTED, form="mt_bench")},
            "new_prompts.form=mt_bench",
            "form=additive",
        ),
        ({"judge": TRUTH, "new_prompts": DISPUTED}, "judge.kind=truth with new_prompts.of=disputed", "judge=meta"),
    ],
)
def test_a_disputed_response_is_one_of_which_nothing_is_known(changes: dict[str, Any], says: str, remedy: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_combinations(with_phases(actor=phase(rounds=1, judge=ADDITIVE), judge=phase(**changes)))
    assert says in caught.value.what and remedy in caught.value.remedy


IMITATED: dict[str, Any] = {
    "new_prompts": SCORES_JUDGED, "generation": GIVEN, "judge": NO_JUDGE, "pairing": DEMONSTRATIONS, "objective": SFT,
}  # fmt: skip


def test_a_judges_own_scores_are_imitated_after_a_phase_that_gave_them() -> None:
    config = with_phases(label=phase(rounds=1, objective=NOTHING), distill=phase(**IMITATED))
    check_combinations(config)
    assert config.in_phase("distill").prompt_set == "train"


@pytest.mark.parametrize(
    ("label", "changes", "says", "remedy"),
    [
        ({"judge": ADDITIVE}, {}, "of=scored.*phase label.*judge.kind=additive", "judge=expected_score"),
        ({"generation": GIVEN}, {}, "of=scored.*phase label.*generation.kind=given", "judge=expected_score"),
        ({}, {"new_prompts": changed(SCORES_JUDGED, form="additive")}, "form=additive", "form=expected_score"),
        ({}, {"generation": PLAIN}, "generation.kind=plain", "generation=given"),
        ({}, {"judge": base().judge}, "judge.kind=expected_score", "judge=none"),
        ({}, {"pairing": changed(GROUP, min_responses=1), "filter": RANKING}, "pairing.kind=group", "demonstrations"),
        ({}, {"objective": NOTHING}, "objective.kind=none", "objective=sft"),
    ],
)
def test_other_ways_to_learn_own_scores_are_refused(
    label: dict[str, Any], changes: dict[str, Any], says: str, remedy: str
) -> None:
    first = phase(**{"rounds": 1, "objective": NOTHING, **label})
    with pytest.raises(ConfigError, match=says) as caught:
        check_combinations(with_phases(label=first, distill=phase(**{**IMITATED, **changes})))
    assert remedy in caught.value.remedy


def test_a_judge_that_compares_policies_waits_for_a_phase_that_learns() -> None:
    """After a phase without an objective the policy is still the initial one."""
    config = with_phases(data=phase(rounds=1, objective=NOTHING), spa=phase(judge=IMPLICIT))
    with pytest.raises(ConfigError, match="in the first round of phase spa they are one model"):
        check_combinations(config)


def test_the_policy_gradient_takes_no_decoded_judgments() -> None:
    config = changed(base(), new_prompts=COMPARED, judge=TRUTH, objective=RLOO, **POLICY_GRADIENT)
    check_combinations(config)
    with pytest.raises(ConfigError, match=r"own samples, but generation.kind=judgments"):
        check_combinations(changed(config, generation=changed(DECODED, sampling=config.generation.sampling)))
