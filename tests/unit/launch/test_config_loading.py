"""From YAML and overrides to a frozen `Config`: all that ships loads, and the command line has the last word."""

import dataclasses
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.configs import RECIPE_NEEDS
from support.planned_rates import planned_rates

from roundelay.launch.config.loading import (
    CONFIG_ROOT,
    GROUPS,
    compose_dict,
    compose_overrides,
    config_values,
    flatten,
    group_members,
    load_config,
    nearest,
    parse_config,
)
from roundelay.orchestrator.config.schema import PHASE_GROUPS, Config, is_resumable
from roundelay.orchestrator.errors import ConfigError
from roundelay.orchestrator.fields import FrozenMapping
from roundelay.orchestrator.parts.generation import GenerationPart
from roundelay.orchestrator.parts.objective import ObjectivePart
from roundelay.orchestrator.parts.registry import kinds
from roundelay.recipes.generation.contrast import ContrastGeneration
from roundelay.recipes.judges.ab import AbJudge
from roundelay.recipes.judges.implicit_reward import ImplicitRewardJudge
from roundelay.recipes.objectives.dpo import DpoObjective
from roundelay.recipes.objectives.none import NoObjective
from roundelay.recipes.objectives.paired import PairObjective
from roundelay.recipes.objectives.policy_gradients import PolicyGradientObjective
from roundelay.recipes.objectives.ppo import PpoObjective
from roundelay.recipes.objectives.sft import SftObjective
from roundelay.recipes.objectives.simpo import SimpoObjective
from roundelay.recipes.pairing.best_worst import BestWorstPairing

RECIPES = sorted(path.stem for path in (CONFIG_ROOT / "recipe").glob("*.yaml"))
MODELS = sorted(path.stem for path in (CONFIG_ROOT / "model").glob("*.yaml"))
OBJECTIVES = sorted(path.stem for path in (CONFIG_ROOT / "objective").glob("*.yaml"))
MEMBERS = sorted((path.parent.name, path.stem) for path in CONFIG_ROOT.glob("*/*.yaml"))
SHIPPED = sorted(CONFIG_ROOT.rglob("*.yaml"))
# What is particular to one recipe on one model: no group for a user to choose from.
SCALING = "scaling"
SOURCED = "generation.samplers=[policy,/models/theirs]"
# What verdicts on two responses are learnt from with.
RIGHT = ("new_prompts=judgments", "new_prompts.form=mt_bench", "judge=truth", "pairing=right_over_wrong")
# What a member leaves to the user.
NEEDS = {
    ("model", "local"): ("model.path=/models/mine",),
    ("prompts", "file"): ("prompts.train.path=mine.jsonl",),
    ("judge", "function"): ("judge.function=mine.rewards:length",),
    ("pairing", "function"): ("pairing.function=mine.pairs:take",),
    ("objective", "function"): ("objective.function=mine.losses:loss",),
    ("objective", "attribute_regression"): (
        "prompts.seed.responses=[response]",
        "prompts.seed.attributes=[helpfulness]",
    ),
    ("pairing", "agreement"): ("judge=validator", "objective=sft"),
    ("judge", "endpoint"): ("judge.base_url=http://127.0.0.1:8000/v1", "judge.model=mine"),
    ("judge", "density_ratio"): ("judge.strong=/models/dpo", "judge.weak=/models/sft"),
    ("judge", "cream"): ("pairing=cream", "objective=cream"),
    ("pairing", "cream"): ("judge=cream", "objective=cream"),
    ("objective", "cream"): ("judge=cream", "pairing=cream"),
    **{("recipe", recipe): needed for recipe, needed in RECIPE_NEEDS.items()},
    ("generation", "ladder"): ("pairing=ranked",),
    ("pairing", "ranked"): ("generation=ladder",),
    ("conditioning", "hindsight"): ("objective=sft",),
    ("conditioning", "classes"): ("objective=sft",),
    ("conditioning", "attributes"): ("judge=attributes", "pairing=annotated", "objective=sft"),
    ("pairing", "annotated"): ("judge=attributes", "conditioning=attributes", "objective=sft"),
    ("pairing", "anchored"): ("generation.samplers=[policy,initial]",),
    ("pairing", "with_source"): ("objective=wrpo", SOURCED),
    ("objective", "wrpo"): ("pairing=with_source", SOURCED),
    ("generation", "altered_instruction"): ("judge=none", "pairing=contrast"),
    ("generation", "judgments"): RIGHT,
    ("new_prompts", "judgments"): RIGHT[1:],
    ("judge", "truth"): (*RIGHT[:2], RIGHT[3]),
    ("pairing", "right"): (*RIGHT[:3], "objective=sft"),
    ("pairing", "right_over_wrong"): RIGHT[:3],
    ("filter", "balanced_verdicts"): RIGHT,
    ("filter", "both_orders"): RIGHT,
    ("filter", "ranking_agreement"): (
        "new_prompts=judgments",
        "judge=truth",
        "pairing=group",
        "pairing.min_responses=1",
        "pairing.ties=keep",
        "objective=sft",
    ),
    ("judge", "meta"): ("new_prompts=judgments",),
    ("judge", "annotators"): ("pairing=soft", "generation.samples_per_prompt=2"),
    ("pairing", "group"): ("objective=rrhf", "pairing.min_responses=2", "pairing.ties=drop"),
}
# A member that has its place in a phase alone.
PLACES = {
    ("judge", "reward_model"): "judge@phases.ppo.judge",
    ("judge", "attribute_model"): "judge@phases.steer.judge",
    ("judge", "implicit_reward"): "judge@phases.first.judge",
    ("new_prompts", "from_kept"): "new_prompts@phases.self_rip.new_prompts",
    ("pairing", "future_guided"): "pairing@phases.future.pairing",
}
# What a policy gradient needs of self_rewarding.
POLICY_GRADIENT = (
    "pairing=group", "pairing.min_responses=2", "generation.sampling.temperature=1", "generation.sampling.top_p=1",
)  # fmt: skip

# Whose responses have to be whole on a small model, too; and policy gradients, whose reward is told of cut ones.
WHOLE_ON_A_LAPTOP = ("aft", "coh", "conditional_bc", "self_moa")
PUNISHES_CUT = ("alpacafarm", "rlaif", "rlcd", "rlcd_rescore")

CRITIQUES = ("pairing=critiqued", "judge=critique")


def load(*overrides: str, config_dir: Path | None = None) -> Config:
    return load_config(overrides, config_dir=config_dir, default_name="test")


def member_cases() -> Iterator[Any]:
    for group, member in MEMBERS:
        if group != SCALING:
            yield pytest.param(group, member, id=f"{group}={member}")


REFERENCE_FREE = (
    "simpo", "orpo", "slic", "rrhf", "pro", "sft", "cut", "reward_model", "attribute_regression", "none"
)  # fmt: skip
REFERENCE_BOUND = ("spa", "kto", "mipo", "sppo", "wrpo", "cream")
POLICY_GRADIENTS = ("grpo", "ppo", "rloo")


# ---------------------------------------------------------------------------------------------------- the shipped files


def test_every_folder_of_the_shipped_configs_is_a_group() -> None:
    """A group that the loader does not know would never be suggested, and its files never tested."""
    assert sorted({group for group, _ in MEMBERS}) == sorted([*GROUPS, SCALING])


@pytest.mark.parametrize(("group", "member"), list(member_cases()))
def test_every_shipped_member_loads_within_a_whole_config(group: str, member: str) -> None:
    """With at least one shipped recipe and model as they are: a member that none can use is of no use. Recipes that
    choose it come first, since it most likely goes with them."""
    problems = []
    chooses = re.compile(rf": {member}$", re.MULTILINE)
    files = {recipe: (CONFIG_ROOT / "recipe" / f"{recipe}.yaml").read_text() for recipe in RECIPES}
    for model, recipe in itertools.product(MODELS, sorted(RECIPES, key=lambda name: not chooses.search(files[name]))):
        chosen = {"recipe": recipe, "model": model, group: member}
        needed = itertools.chain(*(NEEDS.get(pair, ()) for pair in chosen.items()))
        overrides = [*(f"{PLACES.get(pair, pair[0])}={pair[1]}" for pair in chosen.items()), *needed]
        try:
            config = load(*overrides)
        except ConfigError as error:
            problems.append(f"{' '.join(overrides)}: {error}")
            continue
        assert parse_config(config_values(config)) == config
        return
    pytest.fail("\n".join(problems))


@pytest.mark.parametrize(("recipe", "model"), list(itertools.product(RECIPES, MODELS)))
def test_every_recipe_goes_with_every_model(recipe: str, model: str) -> None:
    """Models scale recipes without breaking them, and what is read back from a config's values is the config."""
    needed = (*NEEDS.get(("model", model), ()), *NEEDS.get(("recipe", recipe), ()))
    config = load(f"recipe={recipe}", f"model={model}", *needed)
    assert parse_config(config_values(config)) == config
    assert config.recipe.title and config.recipe.paper and config.recipe.differs
    assert config.run.prompts_per_shard <= config.run.prompts_per_round
    learning = [config.at(round) for round in range(1, config.run.rounds + 1)]
    first = next(phase for phase in learning if not isinstance(phase.objective, NoObjective))
    assert min(planned_rates(first)) > 0, "every step of its first learning round moves the policy"
    cut = {of_cut_ones(phase.generation) for phase in learning if phase.generation.samples}
    small = {"keep", *(["drop"] if recipe in WHOLE_ON_A_LAPTOP else [])}
    assert cut <= (small if model == "smollm2_135m" else {"drop", *(["keep"] if recipe in PUNISHES_CUT else [])})


@pytest.mark.parametrize(
    ("changes", "rates"),
    [
        # One step: as long as its warm-up is, the whole rate.
        (["run.prompts_per_round=64", "learner.pairs_per_step=128", "learner.warmup_fraction=0.1"], [1.0]),
        # Two epochs of 32 and 16 prompts, which end at 1/3, 1/2, 5/6 and 1 of the update.
        (["run.prompts_per_round=48", "learner.pairs_per_step=32", "learner.epochs=2", "learner.warmup_fraction=0.75"],
         [4 / 9, 2 / 3, 1.0, 1.0]),
    ],
)  # fmt: skip
def test_the_planned_rates_are_those_of_the_steps_of_a_round(changes: list[str], rates: list[float]) -> None:
    """With a constant schedule: a step's end over the warm-up, at most 1."""
    config = load(*changes, "learner.schedule=constant", "learner.learning_rate=1.0")
    assert planned_rates(config) == pytest.approx(rates)


@pytest.mark.parametrize("rate", ["0", "0.0", "-1e-6", "nan"])
def test_a_learning_rate_that_teaches_nothing_is_refused(rate: str) -> None:
    """No step of a rate above zero has rate zero: see `test_no_step_of_any_update_has_rate_zero`."""
    with pytest.raises(ConfigError, match=r"learner\.learning_rate"):
        load(f"learner.learning_rate={rate}")


@pytest.mark.parametrize("name", [member for group, member in MEMBERS if group == SCALING])
def test_what_is_particular_to_a_recipe_on_a_model_is_found_by_their_names(name: str) -> None:
    """Otherwise it would be left out in silence. It scales: sizes and rates, nothing that makes the method."""
    ((recipe, model),) = [pair for pair in itertools.product(RECIPES, MODELS) if "_".join(pair) == name]
    of_pair = load(f"recipe={recipe}", f"model={model}")
    assert of_pair == load(f"recipe={recipe}", f"model={model}", f"scaling={name}")
    elsewhere = load(f"recipe={recipe}", "model=local", "model.path=/m")
    assert of_pair != elsewhere
    assert list(of_pair.phases) == list(elsewhere.phases)
    kinds = [
        [getattr(getattr(config.at(round), group), "kind", None) for round in (0, 1, 2) for group in PHASE_GROUPS]
        for config in (of_pair, elsewhere)
    ]
    assert kinds[0] == kinds[1]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(CONFIG_ROOT)))
def test_every_shipped_file_begins_by_saying_what_it_is(path: Path) -> None:
    """The first line (after Hydra's package directive) is a comment in words."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith("# @package")]
    assert lines and lines[0].startswith("# ") and len(lines[0].split()) > 3


@pytest.mark.parametrize("split", ["train", "heldout"])
def test_the_starter_prompts_are_found_wherever_the_package_is(
    split: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their paths do not depend on the working directory."""
    monkeypatch.chdir(tmp_path)
    assert Path(getattr(load().prompts, split).path).is_file()


# ----------------------------------------------------------------------------------------------------------- the result


def leaves(value: Any) -> Iterator[Any]:
    """What a config is made of, down to the scalars."""
    yield value
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from leaves(getattr(value, field.name))
    elif isinstance(value, tuple | Mapping):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from leaves(item)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_config_is_frozen_all_the_way_down(recipe: str) -> None:
    """No field of any part can be assigned, and no part is a container that could be changed. (The phases' own: see the
    next test.)"""
    config = load(f"recipe={recipe}", *NEEDS.get(("recipe", recipe), ()))
    for part in leaves(config):
        if part is config.phases:
            continue
        if dataclasses.is_dataclass(part):
            for field in dataclasses.fields(part):
                with pytest.raises(dataclasses.FrozenInstanceError):
                    setattr(part, field.name, None)
        else:
            assert part is None or type(part) in (tuple, FrozenMapping, str, int, float, bool)


def test_no_phase_can_be_put_in_anothers_place() -> None:
    """Nothing in a configuration can be changed, and so it can be hashed."""
    config = load("recipe=rlcd")
    phases: Any = config.phases
    with pytest.raises(TypeError):
        phases["ppo"] = phases["reward_model"]
    assert hash(config) == hash(load("recipe=rlcd"))


def test_nothing_of_omegaconf_leaves_the_loader() -> None:
    """The composed values are plain Python containers with every interpolation resolved, in phases too."""

    def check(value: Any) -> None:
        assert value is None or type(value) in (dict, list, str, int, float, bool)
        for item in (*value.keys(), *value.values()) if isinstance(value, dict) else ():
            check(item)
        for item in value if isinstance(value, list) else ():
            check(item)
        assert not isinstance(value, str) or "${" not in value

    check(compose_dict([], default_name="test"))
    check(compose_dict(["recipe=rlcd"], default_name="test"))


def test_the_command_lines_name_is_used_only_where_no_override_gives_one() -> None:
    assert load().run.name == "test"
    assert load("run.name=mine").run.name == "mine"


def test_a_run_without_any_name_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"run\.name has no value\n  remedy: set it: run\.name="):
        load_config([])


def test_whole_numbers_pass_for_fractions_but_not_the_other_way_round() -> None:
    """What `strict` allows is what YAML writers write: 1 for 1.0, never 1.0 for 1, never "1"."""
    objective = load("objective.beta=1").objective
    assert isinstance(objective, DpoObjective)
    assert objective.beta == 1.0
    for override in ("learner.epochs=1.0", "learner.epochs='1'", "learner.epochs=true", "run.seed=null"):
        with pytest.raises(ConfigError, match=r"^(learner\.epochs|run\.seed)="):
            load(override)


# ----------------------------------------------------------------------------------------------------------- objectives


def objective_of(*overrides: str) -> ObjectivePart:
    return load("recipe=self_rewarding", *overrides).objective


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("temperature=0.001", "temperature=0.001: vLLM would sample at 0.01"),
        ("temperature=2.5", "temperature=2.5: input should be less than or equal to 2"),
        ("temperature=-1", "temperature=-1: input should be greater than or equal to 0"),
        ("top_p=0", "top_p=0: input should be greater than 0"),
        ("top_p=1.5", "top_p=1.5: input should be less than or equal to 1"),
        ("max_tokens=0", "max_tokens=0: input should be greater than 0"),
        ("stop=['']", "stop.0='': string should have at least 1 character"),
    ],
)
def test_what_an_engine_would_refuse_or_change_of_sampling_is_refused(value: str, says: str) -> None:
    """What a run directory says of its samples is how they were drawn."""
    with pytest.raises(ConfigError) as caught:
        load(f"generation.sampling.{value}")
    assert f"generation.sampling.{says}" in caught.value.what


@pytest.mark.parametrize("temperature", [0.0, 0.01, 2.0])
def test_every_temperature_that_an_engine_samples_at_is_taken(temperature: float) -> None:
    sampling = load(f"evaluation.sampling.temperature={temperature}").evaluation.sampling
    assert sampling.temperature == temperature


def test_every_kind_of_objective_that_can_be_fed_has_a_shipped_member() -> None:
    assert kinds("objective").keys() == {*OBJECTIVES}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_goes_into_a_recipe_as_it_is(name: str) -> None:
    """`objective=<name>` is all it takes, in place of the recipe's own: the reference comes with it. (A policy gradient
    wants groups of scored samples of the policy itself, CUT judgments in words, CREAM its own judge and pairing.)"""
    more = CRITIQUES if name == "cut" else NEEDS.get(("objective", name), ())
    needed = POLICY_GRADIENT if name in POLICY_GRADIENTS else more
    recipe = "sft" if name == "attribute_regression" else "self_rewarding"  # on given responses
    config = load(f"recipe={recipe}", f"objective={name}", *needed)
    assert config.objective.kind == name
    assert isinstance(config.objective, PolicyGradientObjective) == (name in POLICY_GRADIENTS)
    assert parse_config(config_values(config)) == config
    without = (*REFERENCE_FREE, "grpo")  # whose KL has the weight 0 in TRL
    assert (config.objective.reference.policy == "none") == (name in without)
    if isinstance(config.objective, PairObjective):
        assert (config.objective.weighting, config.objective.plus) == ("none", ())


@pytest.mark.parametrize("name", REFERENCE_FREE)
def test_a_reference_for_an_objective_without_one_is_refused(name: str) -> None:
    with pytest.raises(ConfigError) as error:
        objective_of(f"objective={name}", "objective.reference.policy=initial")
    assert f"objective.kind={name}" in error.value.what
    assert "objective.reference.policy=initial" in error.value.what
    assert error.value.remedy == "set objective.reference.policy=none"


@pytest.mark.parametrize("name", REFERENCE_BOUND)
def test_an_objective_that_its_reference_defines_is_refused_without_it(name: str) -> None:
    with pytest.raises(ConfigError) as error:
        objective_of(f"objective={name}", "objective.reference.policy=none")
    assert f"objective.kind={name}" in error.value.what
    assert "objective.reference.policy=none" in error.value.what
    assert error.value.remedy == "set objective.reference.policy=previous or initial"


def test_further_losses_are_typed_like_the_main_one() -> None:
    objective = objective_of(
        "objective.plus=[{weight: 0.2, loss: {kind: sft}}, {weight: 1, loss: {kind: simpo, beta: 2.5, gamma: 0}}]"
    )
    assert isinstance(objective, DpoObjective)
    assert [term.weight for term in objective.plus] == [0.2, 1.0]
    assert [term.loss for term in objective.plus] == [
        SftObjective(kind="sft"),
        SimpoObjective(kind="simpo", beta=2.5, gamma=0.0),
    ]
    config = load("objective.plus=[{weight: 0.2, loss: {kind: sft}}]")
    assert parse_config(config_values(config)) == config


@pytest.mark.parametrize(
    ("overrides", "what", "remedy"),
    [
        (["objective.plus=[{weight: 1, loss: {kind: nll}}]"], "objective.plus.0.loss.kind=nll: no such kind", "'sft'"),
        # Not of pairs: each takes other examples than the main loss.
        (["objective.plus=[{weight: 1, loss: {kind: kto, beta: 1}}]"], "objective.plus.0.loss.kind=kto", "'simpo'"),
        (["objective.plus=[{weight: 1, loss: {kind: rrhf}}]"], "objective.plus.0.loss.kind=rrhf", "'simpo'"),
        (["objective.plus=[{weight: 1, loss: {kind: sft}}, {weight: 0, loss: {kind: sft}}]"],
         "objective.plus.1.weight=0: ", "objective.plus.1.weight"),
        (["objective.plus=[{weight: 1, loss: {kind: simpo, beta: -2, gamma: 1}}]"],
         "objective.plus.0.loss.beta=-2: ", "objective.plus.0.loss.beta"),
        (["objective.plus=[{weight: 1, loss: {kind: simpo, beta: 2}}]"],
         "objective.plus.0.loss.gamma has no value", "objective.plus.0.loss.gamma=…"),
        (["objective.plus=[{weight: 1, loss: {kind: dpo, beta: 2, bta: 1}}]"],
         "unknown key objective.plus.0.loss.bta=1", "did you mean objective.plus.0.loss.beta?"),
        (["objective.plus=[{weight: 1, loss: {kind: dpo, beta: 1, reference: {policy: initial, logps: recompute}}}]"],
         "objective.plus.0.loss.reference.policy=initial", "objective.reference"),
        (["objective=kto", "+objective.plus=[{weight: 1, loss: {kind: sft}}]"],
         "unknown key objective.plus", "known: beta, desirable_weight, kind, reference, undesirable_weight"),
    ],
)  # fmt: skip
def test_a_further_loss_that_cannot_be_is_refused_by_its_place(overrides: list[str], what: str, remedy: str) -> None:
    with pytest.raises(ConfigError) as error:
        objective_of(*overrides)
    assert what in error.value.what
    assert remedy in error.value.remedy


@pytest.mark.parametrize("name", OBJECTIVES)
def test_an_unknown_kind_or_a_bad_value_is_named_as_the_user_wrote_it(name: str) -> None:
    """`objective.beta`, not `objective.dpo.beta`: a kind is no key."""
    with pytest.raises(ConfigError, match=r"^objective\.kind=dop: no such kind\n  remedy: known: .*'dpo'"):
        objective_of(f"objective={name}", *NEEDS.get(("objective", name), ()), "objective.kind=dop")
    with pytest.raises(ConfigError, match=r"^objective\.reference\.policy='last': "):
        objective_of(f"objective={name}", *NEEDS.get(("objective", name), ()), "objective.reference.policy=last")


@pytest.mark.parametrize(
    ("objective", "key"),
    [
        ("simpo", "cpo_alpha=1"),  # CPO's own term, which TRL adds to `simpo` unless it is told not to
        ("dpo", "label_smoothing=0.1"),  # which TRL's `sigmoid` takes, and ignores; here it is `cdpo`
    ],
)
def test_a_number_that_a_loss_does_not_have_is_refused_by_name(objective: str, key: str) -> None:
    with pytest.raises(ConfigError, match=rf"^unknown key objective\.{key}\n  remedy: known: beta, "):
        objective_of(f"objective={objective}", f"+objective.{key}")


def test_a_limit_on_pairs_in_a_forward_pass_may_be_left_out() -> None:
    assert load().learner.pairs_per_device is None
    assert load("learner.pairs_per_device=2").learner.pairs_per_device == 2
    with pytest.raises(ConfigError, match=r"^learner\.tokens_per_device="):
        load("learner.tokens_per_device=null")


# --------------------------------------------------------------------------------------------------------------- phases

PHASED = """\
# @package _global_
# Demonstrations first, then ours.
defaults:
  - /objective@phases.warm.objective: sft
  - override /generation: plain
  - override /judge: expected_score
  - override /pairing: best_worst
  - override /objective: dpo

recipe: {title: Ours, paper: none yet, differs: it is ours}
run: {rounds: 5, prompts_per_round: 64, prompts_per_shard: 8}
generation: {samples_per_prompt: 3, sampling: {temperature: 0.5, top_p: 0.8}}
learner: {learning_rate: 3.0e-6, weight_decay: 0.25}
phases:
  warm:
    rounds: 2
    prompts_per_round: 16
    generation: {sampling: {temperature: 0.9}}
    judge: {kind: function, function: "mine.rewards:length"}
    pairing: {kind: best_worst, min_margin: 0.5}
    learner: {adam_betas: [0.8, 0.95], zero_stage: 3, lora: {rank: 4, alpha: 8, target_modules: []}}
  main: {}
"""


def values_of(text: str, directory: Path, *overrides: str) -> dict[str, Any]:
    """What a recipe of this text composes to."""
    (directory / "recipe").mkdir(exist_ok=True)
    (directory / "recipe" / "phased.yaml").write_text(text)
    chosen = ("recipe=phased", "model=local", "model.path=/m")
    return compose_dict([*chosen, *overrides], config_dir=directory, default_name="test")


@pytest.fixture
def phased(tmp_path: Path) -> dict[str, Any]:
    return values_of(PHASED, tmp_path)


def test_a_phase_has_every_group_that_it_leaves_out_from_the_top(phased: dict[str, Any]) -> None:
    """And no number of rounds or prompts of its own. Its groups are copies: no change of one is a change of another."""
    main = phased["phases"]["main"]
    assert main == {"rounds": None, "prompts_per_round": None, **{group: phased[group] for group in PHASE_GROUPS}}
    main["generation"]["sampling"]["temperature"] = 2.0
    assert phased["generation"]["sampling"]["temperature"] == 0.5
    assert phased["phases"]["warm"]["generation"]["sampling"]["temperature"] == 0.9


def test_a_group_of_the_same_kind_is_changed_in_the_keys_that_a_phase_sets(phased: dict[str, Any]) -> None:
    """Down to nested ones; whether or not it says its kind again. Lists are values, and are replaced whole."""
    warm = phased["phases"]["warm"]
    assert (warm["rounds"], warm["prompts_per_round"]) == (2, 16)
    assert warm["generation"] == {
        **phased["generation"],
        "sampling": {**phased["generation"]["sampling"], "temperature": 0.9},
    }
    assert warm["pairing"] == {"kind": "best_worst", "min_margin": 0.5}
    assert warm["learner"] == {
        **phased["learner"],
        "adam_betas": [0.8, 0.95],
        "zero_stage": 3,
        "lora": {"rank": 4, "alpha": 8, "target_modules": []},
    }
    assert (warm["learner"]["learning_rate"], warm["learner"]["weight_decay"]) == (3.0e-6, 0.25)


def test_a_group_of_another_kind_stands_in_the_place_of_the_tops(phased: dict[str, Any]) -> None:
    """Nothing of the other kind is left in it: neither the judge's scores nor the objective's beta."""
    warm = phased["phases"]["warm"]
    assert warm["judge"] == {"kind": "function", "function": "mine.rewards:length"}
    assert warm["objective"] == {"kind": "sft", "reference": {"policy": "none", "logps": "recompute"}}


def test_a_mapping_may_stand_where_the_top_has_none_and_none_where_it_has_one(tmp_path: Path) -> None:
    text = PHASED.replace("weight_decay: 0.25}", "weight_decay: 0.25, lora: {rank: 2, alpha: 4, target_modules: []}}")
    text = text.replace("  main: {}", "  main: {learner: {lora: null}}")
    phases = values_of(text, tmp_path)["phases"]
    assert phases["warm"]["learner"]["lora"] == {"rank": 4, "alpha": 8, "target_modules": []}
    assert phases["main"]["learner"]["lora"] is None


def test_the_top_may_be_changed_for_all_phases_that_have_nothing_else(tmp_path: Path) -> None:
    """By the command line as by a model."""
    phases = values_of(PHASED, tmp_path, "learner.zero_stage=2", "generation.sampling.top_p=1.0")["phases"]
    assert [phase["learner"]["zero_stage"] for phase in phases.values()] == [3, 2]
    assert [phase["generation"]["sampling"]["top_p"] for phase in phases.values()] == [1.0, 1.0]


def test_a_phases_key_can_be_overridden_though_the_recipe_leaves_it_as_at_the_top(tmp_path: Path) -> None:
    """And in that phase alone. Hydra's own spellings of it mean the same."""
    for prefix in ("", "+", "++"):
        values = values_of(PHASED, tmp_path, f"{prefix}phases.main.learner.learning_rate=7e-6")
        rates = [part["learner"]["learning_rate"] for part in (values, *values["phases"].values())]
        assert rates == [3e-6, 3e-6, 7e-6]
    config = load("recipe=rlcd", "phases.ppo.learner.weight_decay=0.5", "phases.ppo.generation.truncated=keep")
    assert [config.at(round).learner.weight_decay for round in (0, 1, 2)] == [0.0, 0.0, 0.5]


@pytest.mark.parametrize(
    ("override", "what", "remedy"),
    [
        ("phases.main.learner.lerning_rate=1e-6", "unknown key phases.main.learner.lerning_rate=1e-06",
         "did you mean phases.main.learner.learning_rate?"),
        ("phases.warm.generation.sampling.temprature=1", "unknown key phases.warm.generation.sampling.temprature=1",
         "did you mean phases.warm.generation.sampling.temperature?"),
        ("phases.main.lerner.epochs=2", "unknown key phases.main.lerner=", "did you mean phases.main.learner?"),
        ("phases.main.objective.bta=2", "unknown key phases.main.objective.bta=2", "phases.main.objective.beta?"),
        ("phases.main.learner.learning_rate=-1", "phases.main.learner.learning_rate=-1: ",
         "set phases.main.learner.learning_rate to such a value"),
        ("phases.main.learner.epochs=many", "phases.main.learner.epochs='many': ", "set phases.main.learner.epochs"),
        ("phases.main.objective.kind=dop", "phases.main.objective.kind=dop: no such kind", "'dpo'"),
        ("phases.main.rounds=0", "phases.main.rounds=0: ", "set phases.main.rounds"),
        ("phases.main.learner=null", "phases.main.learner=None: ", "set phases.main.learner"),
        # A kind without its keys: the group's member brings them.
        ("phases.main.objective.kind=spa", "phases.main.objective.", "set it: phases.main.objective."),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_phase_is_named_by_its_place(override: str, what: str, remedy: str, tmp_path: Path) -> None:
    values = values_of(PHASED.replace("  main: {}", "  main: {judge: {kind: expected_score}}"), tmp_path, override)
    with pytest.raises(ConfigError) as error:
        parse_config(values)
    assert what in error.value.what
    assert remedy in error.value.remedy


IN_PHASES = [
    # The names of rlcd's phases are kinds too.
    ("recipe=rlcd phases.ppo.learner.lerning_rate=1", "unknown key phases.ppo.learner.lerning_rate=1",
     "did you mean phases.ppo.learner.learning_rate?"),
    ("recipe=rlcd phases.reward_model.objective.centrin=1", "unknown key phases.reward_model.objective.centrin=1",
     "did you mean phases.reward_model.objective.centring?"),
    ("recipe=rlcd phases.ppo.learner.epochs=0", "phases.ppo.learner.epochs=0: ", "set phases.ppo.learner.epochs"),
    # So is a field that is called as its kind.
    ("judge=function judge.function=length", "judge.function='length': ", "set judge.function"),
    # A phase that the recipe does not have.
    ("recipe=self_rewarding phases.main.learner.epochs=2", "phases.main", ""),
    ("recipe=rlcd phases.pppo.learner.epochs=2", "phases.pppo", "did you mean phases.ppo"),
    # No mapping.
    ("recipe=rlcd phases=null", "phases=", ""),
    ("recipe=rlcd phases.ppo=null", "phases.ppo=", ""),
    ("recipe=rlcd phases.ppo=3", "phases.ppo=3", ""),
    # As the user wrote it.
    ("recipe=rlcd phases.ppo.learner.epochs=1,2", "'phases.ppo.learner.epochs=1,2'", "quote values with commas"),
]  # fmt: skip


@pytest.mark.parametrize(("overrides", "what", "remedy"), IN_PHASES)
def test_what_is_wrong_in_a_shipped_recipes_phase_is_named_by_its_place(overrides: str, what: str, remedy: str) -> None:
    with pytest.raises(ConfigError) as error:
        load(*overrides.split())
    assert what in error.value.what
    assert remedy in error.value.remedy


def test_what_cannot_run_in_a_phase_is_refused_in_its_name() -> None:
    with pytest.raises(ConfigError, match=r"^in phase ppo: objective\.kind=ppo.*temperature=0\.7") as error:
        load("recipe=rlcd", "phases.ppo.generation.sampling.temperature=0.7")
    assert error.value.remedy.endswith("(here: phases.ppo.…)")


# ------------------------------------------------------------------------------------------------- the recipes' numbers

PPO_RECIPES = {
    "rlcd": ("contrast", "none", "contrast"),
    "rlcd_rescore": ("contrast", "ab", "soft"),
    "rlaif": ("plain", "ab", "soft"),
}


def of_cut_ones(generation: GenerationPart) -> str:
    """What becomes of responses that the token limit cut."""
    assert generation.samples
    return "drop" if generation.drops_truncated() else "keep"


@pytest.mark.parametrize("recipe", PPO_RECIPES)
def test_rlcd_and_its_baselines_have_the_papers_numbers(recipe: str) -> None:
    """A reward model on 40,000 pairs (lr 3e-6, cosine, warm-up 0.03, 16 pairs a step, one epoch), then PPO on batches
    of 512 responses of up to 300 tokens (lr 1e-5, 256 a step, two epochs) with AlpacaFarm's constants as RLCD's code
    sets them: arXiv 2307.12950."""
    config = load(f"recipe={recipe}", "model=local", "model.path=/m")
    assert list(config.phases) == ["reward_model", "ppo"]
    assert [config.phase_name(round) for round in (1, 2, config.run.rounds)] == ["reward_model", "ppo", "ppo"]
    assert 40 <= config.run.rounds - 1 <= 80

    first = config.at(1)
    assert (first.generation.kind, first.judge.kind, first.pairing.kind) == PPO_RECIPES[recipe]
    assert first.objective.kind == "reward_model"
    assert first.run.prompts_per_round == 40_000
    assert of_cut_ones(first.generation) == "drop"
    assert (first.generation.sampled_with().temperature, first.generation.sampled_with().top_p) == (1.0, 1.0)
    learner = first.learner
    assert (learner.learning_rate, learner.schedule, learner.warmup_fraction) == (3e-6, "cosine", 0.03)
    assert (learner.final_lr_fraction, learner.epochs, learner.pairs_per_step) == (0.0, 1, 16)

    ppo = config.at(2)
    assert (ppo.judge.kind, ppo.pairing.kind, ppo.run.prompts_per_round) == ("reward_model", "group", 512)
    assert ppo.generation.kind == "plain" and ppo.generation.samples_each() == 1
    assert of_cut_ones(ppo.generation) == "keep", "they have a reward of their own"
    sampling = ppo.generation.sampled_with()
    assert (sampling.temperature, sampling.top_p, sampling.max_tokens) == (1.0, 1.0, 300)
    learner = ppo.learner
    assert (learner.learning_rate, learner.epochs, learner.pairs_per_step) == (1e-5, 2, 256)
    assert (learner.schedule, learner.optimizer) == ("constant", "carried")
    objective = ppo.objective
    assert isinstance(objective, PpoObjective)
    assert (objective.kl_coefficient, objective.kl_estimator, objective.kl_clamp_min) == (0.004, "k1", 0.0)
    assert (objective.gamma, objective.lam, objective.clip, objective.value_clip) == (1.0, 1.0, 0.2, 0.2)
    assert (objective.value_weight, objective.whiten_rewards, objective.missing_eos_reward) == (0.1, True, -1.0)
    assert objective.reference.policy == "initial"

    assert config.evaluation.judge.kind == "reward_model" and config.needs_scorer


@pytest.mark.parametrize("recipe", PPO_RECIPES)
def test_on_a_laptop_rlcd_and_its_baselines_are_the_same_but_smaller(recipe: str) -> None:
    """A few hundred prompts for the reward model, then rounds of 48 short responses, which are cut so often that the
    paper's reward for that would drown the others."""
    config = load(f"recipe={recipe}", "model=smollm2_135m")
    assert config.run.rounds == 4
    assert [config.at(round).run.prompts_per_round for round in (1, 2, 4)] == [320, 48, 48]
    first, ppo = config.at(1), config.at(2)
    assert (first.generation.kind, first.judge.kind, first.pairing.kind) == PPO_RECIPES[recipe]
    assert (first.learner.learning_rate, first.learner.pairs_per_step, first.learner.epochs) == (5e-5, 8, 3)
    assert (ppo.learner.learning_rate, ppo.learner.pairs_per_step, ppo.learner.epochs) == (3e-5, 16, 2)
    assert {part.generation.sampled_with().max_tokens for part in (config.at(0), first, ppo)} == {48}
    assert {of_cut_ones(part.generation) for part in (config.at(0), first, ppo)} == {"keep"}
    assert (ppo.generation.sampled_with().temperature, ppo.generation.sampled_with().top_p) == (1.0, 1.0)
    objective = ppo.objective
    assert isinstance(objective, PpoObjective)
    assert (objective.kl_coefficient, objective.missing_eos_reward) == (0.004, None)
    assert objective.missing_eos_penalty == 0.0


def test_the_responses_of_all_rlcd_baselines_are_equally_long() -> None:
    """At most 300 tokens in the paper, for what the reward model learns from too."""
    configs = [load(f"recipe={recipe}", "model=local", "model.path=/m") for recipe in PPO_RECIPES]
    assert {config.at(1).generation.sampled_with().max_tokens for config in configs} == {300}


GIVEN_PAIRS = ("recipe=coh", "generation=given", "pairing=ranked", "judge=none")


def test_given_responses_take_the_place_of_a_recipes_samples_by_one_word() -> None:
    """coh says how many samples it takes and how; of given pairs there is nothing to say. What is misspelt stays an
    error."""
    assert dataclasses.asdict(load("recipe=coh").generation).keys() >= {"samples_per_prompt", "sampling", "truncated"}
    assert dataclasses.asdict(load(*GIVEN_PAIRS).generation) == {"kind": "given"}
    with pytest.raises(ConfigError, match=r"unknown key generation\.samples"):
        load(*GIVEN_PAIRS, "+generation.samples=2")


@pytest.mark.parametrize(
    "override", ["generation.sampling.max_tokens=10", "generation.samples_per_prompt=2", "++generation.truncated=drop"]
)
def test_a_word_on_sampling_is_refused_where_responses_are_given(override: str) -> None:
    """What a model or a recipe says of samples is left out; the user's word on it would be lost silently."""
    with pytest.raises(ConfigError) as error:
        load(*GIVEN_PAIRS, override)
    assert error.value.what.startswith(f"{override} would do nothing: generation.kind=given")


def test_spa_learns_gold_pairs_first_and_labels_against_the_model_before_them() -> None:
    """Trained against the policy before, labelled against the initial one. Without the seed phase's own parts its pairs
    are those of the top."""
    papers = load("recipe=spa")
    assert (papers.at(1).generation.kind, papers.at(1).judge.kind, papers.at(1).pairing.kind) == (
        "given",
        "none",
        "ranked",
    )
    assert papers.prompts.seed.responses == ("chosen", "rejected") and papers.at(1).learner.epochs == 3
    for round in (2, 3, 4):
        config = papers.at(round)
        assert isinstance(config.judge, ImplicitRewardJudge) and config.judge.reference == "initial"
        assert config.objective.reference.policy == "previous"
    groups = ("generation", "judge", "pairing")
    own = load("recipe=spa", *(f"~{group}@phases.seed.{group}" for group in groups))
    first, top = own.at(1), own.at(0)
    assert (first.generation, first.judge, first.pairing) == (top.generation, top.judge, top.pairing)
    assert (first.judge.kind, first.learner.epochs) == ("expected_score", 3) and own.at(2) == papers.at(2)


@pytest.mark.parametrize(("recipe", "rounds"), [("spa", (2, 3, 4)), ("cdr", (1,))])
def test_rewards_by_log_probs_are_labelled_by_sign_however_close(recipe: str, rounds: tuple[int, ...]) -> None:
    """SPA's and Dr.SoW's labels are hard; equal rewards alone are no label."""
    config = load(f"recipe={recipe}", *NEEDS.get(("recipe", recipe), ()))
    for pairing in (config.at(round).pairing for round in rounds):
        assert isinstance(pairing, BestWorstPairing) and pairing.min_margin == 0.0


@pytest.mark.parametrize(("name", "rounds"), [("expert_iteration", 3), ("best_of_n", 2)])
@pytest.mark.parametrize("model", [("model=local", "model.path=/m"), ("model=smollm2_135m",)])
def test_alpacafarms_reference_methods_share_their_reward_model(name: str, rounds: int, model: tuple[str, ...]) -> None:
    """Its labels and its update are the same; what is learnt by it are the best responses (arXiv 2305.14387, whose
    code fine-tunes for three epochs at 2e-5 with a warm-up of 0.03)."""
    ppo, other = load("recipe=alpacafarm", *model), load(f"recipe=alpacafarm_{name}", *model)
    assert [getattr(other.at(1), group) for group in PHASE_GROUPS] == [
        getattr(ppo.at(1), group) for group in PHASE_GROUPS
    ]
    assert other.run.rounds == rounds
    train = other.at(rounds)
    assert (train.judge.kind, train.pairing, train.objective.kind) == (
        "reward_model", BestWorstPairing(kind="best_worst", min_margin=0.0), "sft"
    )  # fmt: skip
    learner = train.learner
    assert (learner.learning_rate, learner.epochs, learner.warmup_fraction) == (2e-5, 3, 0.03)
    assert (learner.schedule, learner.optimizer, learner.start) == ("cosine", "fresh", "previous")


def test_every_affix_pair_has_an_instruction_of_its_own_index() -> None:
    """RLCD-Rescore asks about the attribute that the prompt's affixes differ in: both are drawn by one seed."""
    for task in ("", "_helpful", "_harmless"):
        config = load("recipe=rlcd_rescore", f"generation=contrast{task}", f"judge=ab{task}")
        assert isinstance(config.generation, ContrastGeneration) and isinstance(config.judge, AbJudge)
        assert len(config.generation.affixes) == len(config.judge.instructions)
    papers = load("recipe=rlcd", "generation=contrast_helpful").generation
    assert isinstance(papers, ContrastGeneration)
    assert [(one.positive, one.negative) for one in papers.affixes] == [
        ("giving a helpful response", "giving an unhelpful response")
    ]


def test_creams_two_consistencies_are_one_override_apart() -> None:
    mean, each = load("recipe=cream"), load("recipe=cream", "filter=none")
    assert mean.filter.kind == "mean_label_probability"
    assert dataclasses.replace(each, filter=mean.filter) == mean


def test_context_distillation_has_the_papers_numbers() -> None:
    """On all positive responses: three epochs at 2e-5, 128 a step; on a laptop fewer of them."""
    config = load("recipe=context_distillation", "model=local", "model.path=/m")
    assert (config.generation.kind, config.judge.kind, config.objective.kind) == ("contrast", "none", "sft")
    assert (config.run.rounds, config.run.prompts_per_round, config.phases) == (1, 40_000, {})
    learner = config.learner
    assert (learner.learning_rate, learner.epochs, learner.pairs_per_step) == (2e-5, 3, 128)
    assert of_cut_ones(config.generation) == "drop"
    small = load("recipe=context_distillation", "model=smollm2_135m")
    assert (small.run.rounds, small.run.prompts_per_round) == (1, 320)
    assert of_cut_ones(small.generation) == "keep"
    assert (small.learner.learning_rate, small.learner.epochs, small.learner.pairs_per_step) == (2e-5, 3, 16)


# Measured so in docs/learning.md: their scaling says it.
COLDER = {*PPO_RECIPES, "rlcd_dpo", "context_distillation"}


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_small_model_scales_the_length_of_samples_and_not_their_distribution(recipe: str) -> None:
    """What a paper samples at is its recipe's to say, on whatever model; some scalings sample colder."""
    needed = NEEDS.get(("recipe", recipe), ())
    own = load(f"recipe={recipe}", "model=local", "model.path=/m", *needed)
    small = load(f"recipe={recipe}", "model=smollm2_135m", *needed)
    for phase in own.phases or [None]:
        one, other = (config.in_phase(phase).generation for config in (own, small))
        if one.samples:
            paper, here = one.sampled_with(), other.sampled_with()
            colder = recipe in COLDER and phase != "ppo"
            expected = (0.7, 0.9) if colder else (paper.temperature, paper.top_p)
            assert (here.temperature, here.top_p) == expected, phase


# --------------------------------------------------------------------------------------------- the user's own directory

OWN_RECIPE = """\
# @package _global_
# Contrast pairs, our way.
defaults:
  - override /generation: contrast
  - override /judge: none
  - override /pairing: contrast

recipe: {title: Ours, paper: none yet, differs: it is ours}
run: {rounds: 7, prompts_per_round: 64, prompts_per_shard: 8}
learner: {learning_rate: 3.0e-6, epochs: 5, weight_decay: 0.25}
"""
OWN_MODEL = """\
# @package _global_
# A model that wants other rates.
model: {path: /models/ours, package: null, dtype: float32, max_model_len: 2048, trust_remote_code: false}
learner: {learning_rate: 1.5e-5}
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A user's config directory, with a recipe, a model and a learner."""
    directory = tmp_path / "my configs"
    learner = yaml.safe_load((CONFIG_ROOT / "learner" / "adamw.yaml").read_text()) | {"max_grad_norm": 0.75}
    for group, name, text in (
        ("recipe", "ours", OWN_RECIPE),
        ("model", "odd", OWN_MODEL),
        ("learner", "careful", yaml.safe_dump({**learner, "learning_rate": 9.0e-6, "weight_decay": 0.5})),
    ):
        (directory / group).mkdir(parents=True)
        (directory / group / f"{name}.yaml").write_text(text)
    return directory


def test_a_users_recipe_is_a_recipe_like_any_other(own: Path) -> None:
    """It chooses group members, sets values, and stands in the list, next to the shipped ones."""
    config = load("recipe=ours", config_dir=own)
    assert config.recipe.title == "Ours"
    assert (config.generation.kind, config.judge.kind, config.pairing.kind) == ("contrast", "none", "contrast")
    assert config.run.rounds == 7
    assert {"ours", *RECIPES} == set(group_members("recipe", own))
    assert load("learner=careful", config_dir=own).learner.max_grad_norm == 0.75


def test_a_model_has_its_way_over_a_recipe_and_the_command_line_over_both(own: Path) -> None:
    """Group member, then recipe, then model, then command line: each overrides the one before, in what it sets."""
    config = load("learner.learning_rate=7e-6", "model=odd", "learner=careful", "recipe=ours", config_dir=own)
    assert config.learner.max_grad_norm == 0.75  # set by the member alone
    assert config.learner.weight_decay == 0.25  # the recipe over the member
    assert config.learner.learning_rate == 7.0e-6  # the command line over all, wherever it stands in it
    config = load("model=odd", "learner=careful", "recipe=ours", config_dir=own)
    assert config.learner.learning_rate == 1.5e-5  # the model over the recipe
    assert config.learner.epochs == 5  # and only what it sets
    config = load("model=local", "model.path=/m", "learner=careful", "recipe=ours", config_dir=own)
    assert config.learner.learning_rate == 3.0e-6  # the recipe over the member, where the model has no say


def test_a_misspelt_recipe_of_the_users_is_suggested(own: Path) -> None:
    with pytest.raises(ConfigError, match=r"recipe=our: no such recipe\n  remedy: did you mean recipe=ours\?"):
        load("recipe=our", config_dir=own)


def test_an_unknown_key_in_a_users_file_is_refused_by_name(own: Path) -> None:
    """Not only on the command line: a file's spelling is checked too."""
    (own / "recipe" / "ours.yaml").write_text(OWN_RECIPE.replace("weight_decay", "wait_decay"))
    with pytest.raises(
        ConfigError, match=r"unknown key learner\.wait_decay=0\.25\n.*did you mean learner\.weight_decay"
    ):
        load("recipe=ours", config_dir=own)


def test_a_users_file_goes_before_a_shipped_one_of_the_same_name(own: Path) -> None:
    """As `--config-dir` promises: your own groups are searched before the shipped ones."""
    (own / "learner" / "careful.yaml").rename(own / "learner" / "adamw.yaml")
    assert load("learner=adamw", config_dir=own).learner.max_grad_norm == 0.75


@pytest.mark.parametrize("name", ["a,b", "a[b]"])
def test_the_users_directory_may_have_any_name(name: str, own: Path) -> None:
    assert load("recipe=ours", config_dir=own.rename(own.with_name(name))).run.rounds == 7


def test_a_users_file_that_is_no_yaml_is_named(own: Path) -> None:
    (own / "recipe" / "ours.yaml").write_text("# Broken.\nrun: {rounds: [\n")
    with pytest.raises(ConfigError, match=r"ours\.yaml"):
        load("recipe=ours", config_dir=own)


# ------------------------------------------------------------------------------------------------------------ on resume

VALUES: Mapping[str, Any] = {
    "run": {"name": "demo", "rounds": 2, "keep": None},
    "judge": {"scores": ["0", "1"]},
    "prompts": {"system": None},
}


def test_overrides_change_what_they_name_and_nothing_else() -> None:
    """The result is a new set of plain containers; the values that came in are as they were."""
    changed = compose_overrides(VALUES, ["run.rounds=5", "run.keep=3", "judge.scores=['1','2','3']"])
    assert changed == {
        "run": {"name": "demo", "rounds": 5, "keep": 3},
        "judge": {"scores": ["1", "2", "3"]},
        "prompts": {"system": None},
    }
    assert type(changed["run"]) is dict and type(changed["judge"]["scores"]) is list
    assert VALUES["run"]["rounds"] == 2


@pytest.mark.parametrize(
    ("override", "value"),
    [("=2", 2), ("=0.5", 0.5), ("=null", None), ("=true", True), ("='2'", "2"), ("=two words", "two words"), ("=", "")],
)
def test_an_override_means_what_it_means_on_the_command_line(override: str, value: object) -> None:
    changed = compose_overrides(VALUES, [f"run.name{override}"])["run"]["name"]
    assert changed == value and type(changed) is type(value)


def test_on_resume_a_phase_that_has_what_stands_at_the_top_follows_it(phased: dict[str, Any]) -> None:
    """Warm has a ZeRO stage of its own, main has the run's. What is overridden in a phase changes there alone."""
    assert phased["learner"]["zero_stage"] == 1

    def stages(*overrides: str) -> list[int]:
        changed = compose_overrides(phased, overrides)
        assert all(is_resumable(field) for field in flatten(changed) if flatten(changed)[field] != before[field])
        return [part["learner"]["zero_stage"] for part in (changed, *changed["phases"].values())]

    before = flatten(phased)
    assert stages() == [1, 3, 1]
    assert stages("learner.zero_stage=2") == [2, 3, 2]
    assert stages("phases.main.learner.zero_stage=2") == [1, 3, 2]
    assert stages("phases.warm.learner.zero_stage=0") == [1, 0, 1]
    assert stages("learner.zero_stage=2", "phases.main.learner.zero_stage=0") == [2, 3, 0]
    assert flatten(phased) == before


def test_on_resume_what_a_run_of_phases_holds_is_a_run_still(phased: dict[str, Any]) -> None:
    """As it stands in run.yaml."""
    config = parse_config(phased)
    changed = parse_config(compose_overrides(config_values(config), ["learner.zero_stage=2"]))
    assert [changed.at(round).learner.zero_stage for round in (0, 1, 3)] == [2, 3, 2]
    assert parse_config(config_values(config)) == config


def test_on_resume_the_word_on_a_phase_counts_more_than_that_on_the_top(phased: dict[str, Any]) -> None:
    """In whatever order they were given, as at the start of a run."""
    changed = compose_overrides(phased, ["phases.main.learner.zero_stage=0", "learner.zero_stage=2"])
    assert changed["phases"]["main"]["learner"]["zero_stage"] == 0


@pytest.mark.parametrize(
    ("override", "remedy"),
    [
        ("phases.main.learner.zero_stag=2", "did you mean phases.main.learner.zero_stage?"),
        ("phases.mian.learner.zero_stage=2", "did you mean phases.main.learner.zero_stage?"),
        ("phases.more.rounds=2", "did you mean phases."),
        ("phases.main=null", ""),
        ("phases.warm.learner.lora=null", ""),
    ],
)
def test_a_resume_adds_no_phase_and_no_key_to_one(override: str, remedy: str, phased: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as error:
        compose_overrides(phased, [override])
    assert override in error.value.what
    assert remedy in error.value.remedy


def test_the_last_override_of_a_key_counts_and_none_is_no_change() -> None:
    assert compose_overrides(VALUES, ["run.rounds=3", "run.rounds=4"])["run"]["rounds"] == 4
    assert compose_overrides(VALUES, []) == VALUES


@pytest.mark.parametrize(
    ("override", "remedy"),
    [
        ("run.round=3", "did you mean run.rounds?"),
        ("xyzzy=3", "run.yaml in the run directory"),
        ("run=3", ""),
        ("+run.more=3", ""),
        ("~run.rounds", "did you mean run.rounds?"),
        ("run.rounds=3,4", "did you mean run.rounds?"),
        ("run.rounds=range(1,3)", "did you mean run.rounds?"),
    ],
)
def test_a_resume_takes_values_of_known_keys_only(override: str, remedy: str) -> None:
    """No new keys, deletions, groups or sweeps: each is refused with the override as it was typed."""
    with pytest.raises(ConfigError) as error:
        compose_overrides(VALUES, [override])
    assert override in error.value.what
    assert remedy in error.value.remedy


@pytest.mark.parametrize("override", ["run.rounds", "run.rounds=[1"])
def test_an_override_that_cannot_be_read_is_refused(override: str) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read: .+\n  remedy: "):
        compose_overrides(VALUES, [override])


def test_text_that_looks_like_an_interpolation_survives_a_resume() -> None:
    """What run.yaml holds is resolved: a dollar and a brace in it are the user's own text."""
    values = {**VALUES, "prompts": {"system": "Write ${name} for names."}}
    assert compose_overrides(values, ["run.rounds=3"])["prompts"] == {"system": "Write ${name} for names."}


# -------------------------------------------------------------------------------------------------------------- helpers


def test_flatten_gives_dotted_keys_and_keeps_lists_whole() -> None:
    nested = {"run": {"rounds": 2, "more": {"deep": None}}, "judge": {"scores": ["0", "1"]}, "seed": 0}
    assert flatten(nested) == {"run.rounds": 2, "run.more.deep": None, "judge.scores": ["0", "1"], "seed": 0}
    assert flatten({}) == {}


def test_nearest_gives_the_closest_name_or_none() -> None:
    known = ["learner.learning_rate", "learner.epochs", "run.rounds"]
    assert nearest("learner.lerning_rate", known) == "learner.learning_rate"
    assert nearest("run.round", known) == "run.rounds"
    assert nearest("xyzzy", known) is None
    assert nearest("anything", []) is None


def test_further_deepspeed_keys_are_given_as_a_mapping_and_kept_as_text() -> None:
    """They reach DeepSpeed beside ours, and come back from a run's file as they were."""
    config = load(
        "learner.deepspeed={zero_optimization: {offload_optimizer: {device: cpu}}, wall_clock_breakdown: true}"
    )
    further = {"zero_optimization": {"offload_optimizer": {"device": "cpu"}}, "wall_clock_breakdown": True}
    assert json.loads(config.learner.deepspeed) == further
    assert parse_config(config_values(config)) == config
    assert json.loads(load().learner.deepspeed) == {}


def test_speculation_is_given_as_a_mapping_and_kept_as_text() -> None:
    config = load("cluster=one_gpu_shared", "cluster.rollout.speculative={method: ngram, num_speculative_tokens: 4}")
    assert json.loads(config.cluster.rollout.speculative) == {"method": "ngram", "num_speculative_tokens": 4}
    assert parse_config(config_values(config)) == config
    assert json.loads(load().cluster.rollout.speculative) == {}
