"""Which phase a round belongs to, and what holds in it."""

import dataclasses
from typing import Any

import pytest
from support.configs import (
    BY_CONSTRUCTION,
    BY_REWARD_MODEL,
    CONTRAST,
    DPO,
    GROUP,
    NO_JUDGE,
    ON_POLICY,
    PPO,
    REWARD_MODEL,
    base,
    changed,
    phase,
    with_phases,
)

from roundelay.orchestrator.config.schema import PHASE_GROUPS, Config, PhaseConfig, is_resumable
from roundelay.orchestrator.errors import ConfigError

FAST: dict[str, Any] = {"learner__learning_rate": 3e-6}


def three(last: int | None = None) -> Config:
    """Two rounds, one round, and `last` ones (None: all that are left)."""
    return changed(
        with_phases(
            rm=phase(rounds=2, prompts=100, objective=REWARD_MODEL, **FAST),
            sft=phase(rounds=1),
            ppo=phase(rounds=last, prompts=5, objective=PPO, pairing=GROUP, generation__sampling=ON_POLICY),
        ),
        run__rounds=9,
    )


# ---------------------------------------------------------------------------------------------------- whose round it is


def test_rounds_are_counted_through_the_phases_in_their_order() -> None:
    """Two, one, and all that are left."""
    names = [three().phase_name(round) for round in range(1, 10)]
    assert names == ["rm", "rm", "sft", *["ppo"] * 6]
    assert three().phase_name(1000) == "ppo"


def test_phases_of_numbered_rounds_end_after_their_last_one() -> None:
    """Rounds 1 and 2, 3, 4 and 5: there is no phase for round 6, and the message says which rounds were asked for."""
    config = three(last=2)
    assert [config.phase_name(round) for round in range(1, 6)] == ["rm", "rm", "sft", "ppo", "ppo"]
    with pytest.raises(ConfigError) as caught:
        config.phase_name(6)
    assert caught.value.what == "run.rounds=9, but the phases rm, sft, ppo end after round 5"
    assert caught.value.remedy == "lower run.rounds (a new run may set phases.ppo.rounds=null)"
    with pytest.raises(ConfigError, match="end after round 5"):
        config.at(6)


def test_a_recipe_without_phases_has_a_single_one_without_a_name() -> None:
    """Every round has what stands at the top."""
    config = base()
    assert [config.phase_name(round) for round in (0, 1, 2, 50)] == [None] * 4
    assert config.at(0) == config.at(1) == config.at(50) == config.in_phase(None) == config


# ----------------------------------------------------------------------------------------------------- what holds in it


def test_a_round_has_the_groups_of_its_phase_and_all_else_of_the_run() -> None:
    config = three()
    for round, name in ((1, "rm"), (2, "rm"), (3, "sft"), (4, "ppo"), (9, "ppo")):
        of_round = config.at(round)
        assert of_round == config.in_phase(name)
        for group in PHASE_GROUPS:
            assert getattr(of_round, group) == getattr(config.phases[name], group)
        for group in ("recipe", "prompts", "model", "evaluation", "cluster", "tracking"):
            assert getattr(of_round, group) == getattr(config, group)
    assert config.at(1).objective == REWARD_MODEL
    assert config.at(3).objective == DPO
    assert config.at(4).generation.sampled_with() == ON_POLICY
    assert [config.at(round).learner.learning_rate for round in (1, 3)] == [3e-6, 1e-6]


def test_every_group_of_a_phase_is_named_and_the_rest_is_its_size() -> None:
    """A group that `in_phase` does not take over would silently be that of the top."""
    assert {field.name for field in dataclasses.fields(PhaseConfig)} == {*PHASE_GROUPS, "rounds", "prompts_per_round"}


def test_a_phase_may_have_rounds_of_its_own_size() -> None:
    """100, 100, then the run's own 8, then 5 prompts a round; the number of rounds stays the run's."""
    config = three()
    assert [config.at(round).run.prompts_per_round for round in (1, 2, 3, 4, 5)] == [100, 100, 8, 5, 5]
    for round in (1, 3, 4):
        assert dataclasses.replace(config.at(round).run, prompts_per_round=8) == config.run


def test_round_0_has_what_stands_at_the_top() -> None:
    """It makes the held-out pairs, and evaluates the initial policy."""
    config = changed(three(), generation=CONTRAST, judge=NO_JUDGE, pairing=BY_CONSTRUCTION)
    initial = config.at(0)
    assert (initial.generation, initial.judge, initial.pairing) == (CONTRAST, NO_JUDGE, BY_CONSTRUCTION)
    assert initial.run == config.run
    assert initial == changed(config, phases={})


def test_what_a_round_has_is_a_configuration_of_a_single_phase() -> None:
    """So an actor that was told its phase's configuration asks it in vain for other rounds' phases."""
    for round in (0, 1, 4):
        config = three().at(round)
        assert config.phases == {}
        assert config.at(7) == config
        assert config.phase_name(7) is None


# ----------------------------------------------------------------------------------------------------------- the scorer


@pytest.mark.parametrize(
    ("config", "needed"),
    [
        (base(), False),
        (changed(base(), judge=NO_JUDGE), False),
        (three(), False),  # a reward model is trained, but judges nothing
        (changed(base(), judge=BY_REWARD_MODEL), True),
        (changed(base(), evaluation__judge=BY_REWARD_MODEL), True),
        (with_phases(one=phase(rounds=1), two=phase(judge=BY_REWARD_MODEL)), True),
    ],
)
def test_a_run_needs_scorers_where_a_reward_model_judges_anything(config: Config, needed: bool) -> None:
    assert config.needs_scorer is needed


def test_one_phase_of_a_run_may_need_no_scorer() -> None:
    """The question is put to the whole run: its actors are started once."""
    config = with_phases(one=phase(rounds=1), two=phase(judge=BY_REWARD_MODEL))
    assert [config.at(round).needs_scorer for round in (0, 1, 2)] == [False, False, True]


# --------------------------------------------------------------------------------------------- what a resume may change

RESUMABLE = (
    "learner.zero_stage", "learner.deepspeed", "learner.tokens_per_device", "learner.pairs_per_device",
    "learner.gradient_checkpointing", "learner.checkpoint_every_steps", "new_prompts.max_batches",
)  # fmt: skip
FIXED = (
    "learner.learning_rate", "learner.optimizer", "learner.selection", "learner.selection.patience",
    "learner.lora.rank", "learner.pairs_per_step", "judge.kind", "generation.samples_per_prompt", "objective.beta",
    "pairing.ties", "prompts_per_round", "rounds", "new_prompts.kind", "new_prompts.rules.max_rouge_l",
)  # fmt: skip


@pytest.mark.parametrize("field", RESUMABLE)
@pytest.mark.parametrize("prefix", ["", "phases.ppo.", "phases.learner.", "phases.cluster."])
def test_what_alters_no_finished_round_may_change_in_a_phase_too(field: str, prefix: str) -> None:
    """Whatever a phase is called."""
    assert is_resumable(f"{prefix}{field}")


@pytest.mark.parametrize("field", FIXED)
@pytest.mark.parametrize("prefix", ["phases.ppo.", "phases.learner.", "phases.cluster.", "phases.tracking."])
def test_what_alters_finished_rounds_may_not_change_in_a_phase_either(field: str, prefix: str) -> None:
    assert not is_resumable(f"{prefix}{field}")


@pytest.mark.parametrize(
    ("field", "may"),
    [
        ("run.rounds", True),
        ("run.keep_policies", True),
        ("run.seed", False),
        ("run.prompts_per_round", False),
        ("cluster.scorer.actors", True),
        ("tracking.wandb", True),
        ("phases", False),
        ("phases.ppo", False),
        ("evaluation.judge.kind", False),
        ("evaluation.judge.base_url", True),
        ("judge.members.far.deadline_s", True),
        ("phases.ppo.judge.api_key_env", True),
        ("judge.model", False),
        ("judge.judge.votes", False),
        ("evaluation.canaries.action", True),
        ("evaluation.canaries.prompts", False),
        ("evaluation.min_parse_rate", True),
        ("evaluation.min_swap_consistency", True),
        ("evaluation.drift_prompts", False),
        ("evaluation.fresh_prompts", False),
        ("model.dtype", False),
        ("learner.learning_rate", False),
    ],
)
def test_at_the_top_a_resume_may_change_length_place_and_watchers_of_a_run(field: str, may: bool) -> None:
    assert is_resumable(field) is may


def test_phases_are_part_of_the_comparison_of_configurations() -> None:
    """Two runs that differ in a phase alone are two runs."""
    other: Any = changed(three().phases["ppo"], learner__epochs=2)
    assert changed(three(), phases={**three().phases, "ppo": other}) != three()
