"""Updates and samplers that can never be: refused with field, value and remedy before anything starts."""

import dataclasses
from typing import Any

import pytest
from support.configs import (
    BY_REWARD_MODEL,
    DPO,
    GRPO,
    POLICY_GRADIENT,
    REWARD_MODEL,
    SELECTION,
    WITH_SOURCE,
    base,
    changed,
    phase,
    with_phases,
)

from roundelay.orchestrator.config.checks import check_combinations
from roundelay.orchestrator.config.schema import ExtrapolationConfig
from roundelay.orchestrator.errors import ConfigError
from roundelay.orchestrator.parts.objective import ReferenceConfig
from roundelay.recipes.objectives.sft import SftObjective
from roundelay.recipes.objectives.wrpo import WrpoObjective
from roundelay.recipes.pairing.anchored import AnchoredPairing

ONE = ExtrapolationConfig(alphas=(0.5,), origin="start", metric="loss")
SEVERAL = ExtrapolationConfig(alphas=(0.0, 0.5), origin="start", metric="accuracy")
WRPO = WrpoObjective(
    kind="wrpo", beta=0.01, final_alpha=0.1, reference=ReferenceConfig(policy="previous", logps="recompute")
)
SOURCED = ("policy", "/models/theirs")
ROLLOUT = ReferenceConfig(policy="previous", logps="rollout")
ANCHORED = AnchoredPairing(kind="anchored")


@pytest.mark.parametrize(
    "changes",
    [
        {"generation__samplers": ("policy", "initial", "previous", "round-0", "/models/theirs")},
        {"generation__samplers": ("/models/theirs",)},  # a phase may learn from another model alone
        {"generation__samplers": ("policy", "initial"), "pairing": ANCHORED, "generation__samples_per_prompt": 1},
        {"generation__samplers": SOURCED, "pairing": WITH_SOURCE, "objective": WRPO},
        {"generation__samplers": ("policy", "initial"), "generation__samples_per_prompt": 1},
        {"learner__start": "initial", "learner__data": "all_rounds"},
        {"learner__extrapolation": ONE, "objective__reference": ROLLOUT},
        {"learner__extrapolation": SEVERAL},
        {"learner__extrapolation": ONE, "objective": GRPO, **POLICY_GRADIENT},
        {"learner__average_rounds": 2, "learner__data": "with_previous"},
        {"learner__start": "initial", "objective": REWARD_MODEL},
    ],
)
def test_what_can_run_is_let_through(changes: dict[str, Any]) -> None:
    check_combinations(changed(base(), **changes))


REFUSED = [
    ({"generation__samplers": ("policy", "policy")}, "generation.samplers=[policy, policy] names one twice", "raise"),
    (
        {"generation__samplers": ("policy", "round-1")},
        "generation.samplers has round-1, but the phase begins with round 1",
        "name a round before it, or previous",
    ),
    (
        {"pairing": ANCHORED},
        "pairing.kind=anchored compares the policy's responses and the initial policy's, but "
        "generation.samplers=[policy]",
        "set generation.samplers=[policy, initial]",
    ),
    (
        {"pairing": ANCHORED, "generation__samplers": ("policy", "previous")},
        "generation.samplers=[policy, previous]",
        "set generation.samplers=[policy, initial]",
    ),
    (
        {"objective": WRPO, "generation__samplers": SOURCED},
        "pairing.kind=best_worst with objective.kind=wrpo",
        "set both pairing=with_source and objective=wrpo, or neither",
    ),
    (
        {"pairing": WITH_SOURCE, "generation__samplers": SOURCED},
        "pairing.kind=with_source with objective.kind=dpo",
        "set both pairing=with_source and objective=wrpo, or neither",
    ),
    (
        {"pairing": WITH_SOURCE, "objective": WRPO},
        "needs responses of the policy and of another model, but generation.samplers=[policy]",
        "set generation.samplers=[policy, /path/to/a/stronger/model]",
    ),
    (
        {"pairing": WITH_SOURCE, "objective": WRPO, "generation__samplers": ("/models/theirs", "initial")},
        "generation.samplers=[/models/theirs, initial]",
        "set generation.samplers=[policy,",
    ),
    (
        {
            "pairing": WITH_SOURCE,
            "objective": WRPO,
            "generation__samplers": SOURCED,
            "generation__samples_per_prompt": 1,
        },
        "needs two responses of the policy, but generation.samples_per_prompt=1",
        "set generation.samples_per_prompt to 2 or more",
    ),
    *(
        (
            {"objective": GRPO, **POLICY_GRADIENT, **change},
            f"objective.kind=grpo with {what}: a policy gradient learns from the responses of the policy",
            f"set {remedy}",
        )
        for change, what, remedy in (
            (
                {"generation__samplers": ("policy", "initial")},
                "generation.samplers=[policy, initial]",
                "generation.samplers=[policy]",
            ),
            ({"learner__start": "initial"}, "learner.start=initial", "learner.start=previous"),
            ({"learner__data": "with_previous"}, "learner.data=with_previous", "learner.data=this_round"),
        )
    ),
    *(
        (
            {"objective__reference": ROLLOUT, **change},
            "objective.reference.logps=rollout with",
            "set objective.reference.logps=recompute",
        )
        for change in (
            {"generation__samplers": ("policy", "initial")},
            {"learner__start": "initial"},
            {"learner__data": "all_rounds"},
        )
    ),
    (
        {"learner__start": "initial", "learner__optimizer": "carried"},
        "learner.optimizer=carried with learner.start=initial",
        "set learner.optimizer=fresh",
    ),
    (
        {"learner__average_rounds": 2, "learner__optimizer": "carried"},
        "learner.optimizer=carried with learner.average_rounds",
        "set learner.optimizer=fresh",
    ),
    (
        {"learner__average_rounds": 2, "learner__extrapolation": ONE},
        "learner.extrapolation with learner.average_rounds=2",
        "set one of them to null",
    ),
    (
        {"learner__extrapolation": ONE, "objective": REWARD_MODEL},
        "learner.extrapolation with objective.kind=reward_model",
        "set learner.extrapolation=null",
    ),
    (
        {"learner__extrapolation": SEVERAL, "objective": GRPO, **POLICY_GRADIENT},
        "learner.extrapolation.alphas are compared on held-out pairs, which objective.kind=grpo does not take",
        "give a single one",
    ),
    (
        {"learner__extrapolation": SEVERAL, "objective": SftObjective(kind="sft")},
        "learner.extrapolation.metric=accuracy, but objective.kind=sft has none",
        "set learner.extrapolation.metric=loss",
    ),
    (
        {"learner__extrapolation": SEVERAL, "objective": dataclasses.replace(DPO, reference=ROLLOUT)},
        "learner.extrapolation with objective.reference.logps=rollout",
        "set objective.reference.logps=recompute",
    ),
]


@pytest.mark.parametrize(("changes", "what", "remedy"), REFUSED)
def test_what_can_never_run_is_refused(changes: dict[str, Any], what: str, remedy: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_combinations(changed(base(), **changes))
    assert what in caught.value.what
    assert remedy in caught.value.remedy


def test_an_earlier_round_is_before_the_phase_that_samples_from_it() -> None:
    """The second phase begins with round 4: round 3 is before it, round 4 is not."""
    earlier = with_phases(one=phase(rounds=3), two=phase(generation__samplers=("policy", "round-3")))
    check_combinations(changed(earlier, run__rounds=5))
    own = with_phases(one=phase(rounds=3), two=phase(generation__samplers=("policy", "round-4")))
    with pytest.raises(ConfigError, match=r"in phase two: .*round-4, but the phase begins with round 4"):
        check_combinations(changed(own, run__rounds=5))


def test_triples_are_measured_on_triples() -> None:
    """The held-out pairs are made at the top, which has no source here."""
    learning = {"objective": WRPO, "pairing": WITH_SOURCE, "generation__samplers": SOURCED}
    config = with_phases(one=phase(rounds=1), two=phase(learner__selection=SELECTION, **learning))
    with pytest.raises(ConfigError, match=r"made by pairing\.kind=best_worst at the top .* objective\.kind=wrpo"):
        check_combinations(config)


def test_a_reward_model_still_judges_only_after_its_phase() -> None:
    """With several samplers too: who samples does not change who judges."""
    with pytest.raises(ConfigError, match=r"judge.kind=reward_model, but no earlier phase trains one"):
        check_combinations(changed(base(), judge=BY_REWARD_MODEL, generation__samplers=("policy", "initial")))
