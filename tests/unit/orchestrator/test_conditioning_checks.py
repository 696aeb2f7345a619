"""Conditions that no loss, pairing or way of generation can use are refused before anything starts."""

from typing import Any

import pytest
from support.configs import (
    AGREEMENT,
    ANNOTATED,
    ATTRIBUTES,
    BY_ATTRIBUTES,
    BY_CONSTRUCTION,
    BY_RANK,
    CLASSES,
    CONTRAST,
    DPO,
    GROUP,
    HINDSIGHT,
    MIXTURE,
    NO_JUDGE,
    ON_POLICY,
    RANKED_LIST,
    RLOO,
    SYSTEM_MESSAGES,
    VALIDATOR,
    base,
    changed,
)

from roundelay.orchestrator.config.checks import check_combinations
from roundelay.orchestrator.errors import ConfigError
from roundelay.orchestrator.parts.conditions import Condition
from roundelay.recipes.generation.given import GivenGeneration
from roundelay.recipes.objectives.sft import SftObjective
from roundelay.recipes.pairing.demonstrations import DemonstrationsPairing

SFT = SftObjective(kind="sft")
GIVEN = GivenGeneration(kind="given")
RANKS = changed(GROUP, ties="drop")
KINDLY = Condition(system="Be kind.")


# SteerLM's parts, which go together.
STEERED: dict[str, Any] = {"judge": ATTRIBUTES, "pairing": ANNOTATED, "conditioning": BY_ATTRIBUTES}


@pytest.mark.parametrize(
    "changes",
    [
        {"conditioning": HINDSIGHT},
        {"conditioning": HINDSIGHT, "generation": GIVEN, "judge": NO_JUDGE, "pairing": BY_RANK},
        {"conditioning": HINDSIGHT, "generation": CONTRAST, "judge": NO_JUDGE, "pairing": BY_CONSTRUCTION},
        {"conditioning": CLASSES},
        {"conditioning": CLASSES, "pairing": RANKS},
        {"conditioning": CLASSES, "generation": GIVEN, "judge": NO_JUDGE, "pairing": RANKED_LIST},
        {"judge": ATTRIBUTES},
        STEERED,
        {**STEERED, "generation": GIVEN},
        {"generation__condition": KINDLY},
        {"generation__condition": Condition(assistant_prefix="Kindly: "), "evaluation__condition": KINDLY},
    ],
)
def test_what_can_run_is_let_through(changes: dict[str, Any]) -> None:
    check_combinations(changed(base(), **{"objective": SFT, **changes}))


@pytest.mark.parametrize(
    ("changes", "fields", "remedy"),
    [
        ({"conditioning": HINDSIGHT, "objective": DPO}, ["conditioning.kind=hindsight", "objective.kind=dpo"],
         "set objective=sft"),
        ({"conditioning": CLASSES, "objective": DPO}, ["conditioning.kind=classes", "objective.kind=dpo"],
         "set objective=sft"),
        ({"conditioning": HINDSIGHT, "pairing": RANKS}, ["chains the two responses", "pairing.kind=group"],
         "best_worst"),
        ({"conditioning": HINDSIGHT, "generation": GIVEN, "judge": NO_JUDGE, "pairing": RANKED_LIST},
         ["chains the two responses", "pairing.kind=ranked"], "best_worst"),
        *(
            ({"conditioning": conditioning, "generation": GIVEN, "judge": NO_JUDGE,
              "pairing": DemonstrationsPairing(kind="demonstrations")},
             [f"conditioning.kind={conditioning.kind}", "pairing.kind=demonstrations"], "pairing")
            for conditioning in (HINDSIGHT, CLASSES)
        ),
        ({"conditioning": CLASSES, "pairing": AGREEMENT, "judge": VALIDATOR}, ["pairing.kind=agreement"],
         "pairing=group"),
        ({"conditioning": CLASSES, "pairing": GROUP}, ["pairing.ties=keep", "all responses of an equal group"],
         "set pairing.ties=drop"),
        ({"conditioning": CLASSES, "pairing": changed(RANKS, min_responses=1)}, ["pairing.min_responses=1"],
         "pairing.min_responses=2"),
        ({"conditioning": changed(CLASSES, other=CLASSES.expert)}, ["conditioning.expert and conditioning.other"],
         "different words"),
        ({"conditioning": changed(CLASSES, other=Condition())}, ["conditioning.other has neither"], "give one"),
        ({"conditioning": HINDSIGHT, "generation": SYSTEM_MESSAGES, "judge": NO_JUDGE, "pairing": BY_CONSTRUCTION},
         ["conditioning.kind=hindsight with generation.kind=system_messages"], "another generation"),
        ({"conditioning": HINDSIGHT, "generation": changed(MIXTURE, trained_under="aggregation"), "judge": NO_JUDGE,
          "pairing": DemonstrationsPairing(kind="demonstrations")},
         ["conditioning.kind=hindsight with generation.kind=mixture"], "another generation"),
        *(
            ({**STEERED, part: getattr(base(), part)}, ["attributes are judged, annotated and told, or not at all"],
             "together")
            for part in STEERED
        ),
        ({**STEERED, "objective": DPO}, ["conditioning.kind=attributes", "objective.kind=dpo"], "set objective=sft"),
        ({"judge": changed(ATTRIBUTES, weights={"Not: 4": 1.0})}, ["judge.weights: 'Not: 4' is no name"],
         "single words"),
        ({"judge": changed(ATTRIBUTES, votes=2)}, ["judge.read=expected with judge.votes=2"], "judge.votes=1"),
        ({"judge": changed(ATTRIBUTES, read="words", sampling__max_tokens=256)},
         ["judge.sampling.max_tokens=256 leaves no room"], "judge.sampling.max_tokens"),
        ({"generation__condition": Condition()}, ["generation.condition has neither"], "generation.condition=null"),
        ({"evaluation__condition": Condition()}, ["evaluation.condition has neither"], "evaluation.condition=null"),
        ({"generation__condition": KINDLY, "objective": changed(DPO, reference__logps="rollout")},
         ["objective.reference.logps=rollout with generation.condition"], "logps=recompute"),
        ({"generation__condition": KINDLY, "objective": RLOO, "pairing": GROUP, "generation__sampling": ON_POLICY},
         ["objective.kind=rloo with generation.condition"], "generation.condition=null"),
    ],
)  # fmt: skip
def test_what_can_never_run_is_refused_with_fields_values_and_remedy(
    changes: dict[str, Any], fields: list[str], remedy: str
) -> None:
    config = changed(base(), **{"objective": SFT, **changes})
    with pytest.raises(ConfigError) as error:
        check_combinations(config)
    assert all(field in error.value.what for field in fields) and remedy in error.value.remedy


def test_responses_asked_for_under_a_condition_have_no_log_probs_of_the_plain_prompt() -> None:
    """A judge that compares log-probs takes the policy as one more model then."""
    assert base().generation.sampled_by_policy()
    assert not changed(base(), generation__condition=KINDLY).generation.sampled_by_policy()
