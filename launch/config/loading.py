"""From overrides to a frozen `Config`: Hydra composes, pydantic validates, nothing of OmegaConf leaves this module."""

import copy
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import yaml
from hydra import compose, version
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import TypeAdapter, ValidationError

from ...orchestrator.config.checks import check_combinations
from ...orchestrator.config.schema import PHASE_GROUPS, Config
from ...orchestrator.errors import ConfigError
from ...orchestrator.parts.generation import GenerationPart
from ...orchestrator.parts.judge import AnyJudge, JudgePart
from ...orchestrator.parts.registry import kinds
from ...recipes import shipped  # noqa: F401 - registers the parts that a configuration may name
from .groups import CONFIG_ROOT, GROUPS, check_directory, check_words, group_members, nearest, undecodable
from .paths import quoted_home, with_home
from .user_parts import load_parts

OF_SAMPLES = ("samples_per_prompt", "sampling", "truncated")  # fields of the generation group: how it samples
_ADAPTER = TypeAdapter(Config)
_JUDGE_ADAPTER: TypeAdapter[dict[Literal["judge"], JudgePart]] = TypeAdapter(dict[Literal["judge"], AnyJudge])


def load_config(
    overrides: Sequence[str],
    *,
    config_dir: Path | None = None,
    default_name: str | None = None,
    plain: Mapping[str, str] = MappingProxyType({}),
) -> Config:
    """Compose, validate and freeze a configuration.

    Args:
        overrides: Hydra's override grammar.
        config_dir: a user's own groups, searched before the shipped ones.
        default_name: `run.name` where no override gives it.
        plain: values of keys that are taken as they are, whatever characters they hold.

    Raises:
        ConfigError: naming field, value and remedy.
    """
    return parse_config(compose_dict(overrides, config_dir=config_dir, default_name=default_name, plain=plain))


def load_judge(overrides: Sequence[str], *, config_dir: Path | None = None) -> JudgePart:
    """A judge alone, of overrides of its group: for judging outside a run.

    Raises:
        ConfigError: naming field, value and remedy.
    """
    composed = compose_dict(overrides, config_dir=config_dir, default_name="judge")
    values = {"judge": composed["judge"]}
    try:
        return _JUDGE_ADAPTER.validate_json(json.dumps(values), strict=True)["judge"]
    except ValidationError as error:
        raise _first_problem(error, values) from error


def compose_dict(
    overrides: Sequence[str],
    *,
    config_dir: Path | None = None,
    default_name: str | None = None,
    complete: bool = True,
    plain: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """The composed configuration as plain containers, interpolations resolved, not validated.

    What is left to the user must be given, unless `complete` is False: then it stays "???".
    """
    if twice := [override for override in overrides if override.partition("=")[0] in plain]:
        raise ConfigError(f"{twice[0]} is given twice: as an option too", "leave one of them out")
    overrides = [quoted_home(override) for override in overrides]
    OmegaConf.register_new_resolver("roundelay.configs", lambda: str(CONFIG_ROOT), replace=True)
    check_directory(config_dir)
    search_path = create_config_search_path(str(CONFIG_ROOT))
    if config_dir is not None:
        search_path.prepend("user", f"file://{config_dir.resolve()}")
    check_words(overrides)
    GlobalHydra.instance().clear()
    version.setbase("1.3")
    try:
        Hydra.create_main_hydra2(task_name="roundelay", config_search_path=search_path)
        _check_phase_names(overrides)
        composed = compose("config", overrides=[_addable(override) for override in overrides])
        if OmegaConf.is_missing(composed.run, "name") and default_name is not None:
            OmegaConf.update(composed, "run.name", default_name)
        for key, value in plain.items():
            OmegaConf.update(composed, key, re.sub(r"(\\*)\$\{", r"\1\1\\${", value))  # no interpolation
        missing = sorted(OmegaConf.missing_keys(composed))
        if missing and complete:
            raise ConfigError(f"{missing[0]} has no value", f"set it: {missing[0]}=…")
        container = OmegaConf.to_container(composed, resolve=True, throw_on_missing=complete)
    except ConfigError:
        raise
    except (HydraException, OmegaConfBaseException, yaml.YAMLError, ValueError) as error:
        raise _explained(error, overrides, config_dir) from error
    finally:
        GlobalHydra.instance().clear()
    assert isinstance(container, dict)
    values = {str(key): with_home(value) for key, value in container.items()}
    load_parts(values)
    _check_effect(values, overrides)
    return _with_whole_phases(_without_sampling_of_given(values, overrides))


def _addable(override: str) -> str:
    """An override of a phase may name what the recipe leaves as it is at the top; misspelt keys are found later."""
    return f"++{override}" if override.startswith("phases.") else override


def _check_phase_names(overrides: Sequence[str]) -> None:
    """Refuse overrides of phases that the recipe does not have: they would begin another one.

    Raises:
        ConfigError: naming the phase.
    """
    of_phases = [override for override in overrides if override.startswith("phases.")]
    if not of_phases:
        return
    phases = compose("config", overrides=[override for override in overrides if override not in of_phases]).phases
    for override in of_phases:
        name = override.partition("=")[0].split(".")[1]
        if name not in (phases or {}):
            close = nearest(name, phases or {})
            known = f"known: {', '.join(phases)}" if phases else "this recipe has a single phase: leave `phases.…` out"
            raise ConfigError(
                f"{override}: the recipe has no phase {name}", f"did you mean phases.{close}?" if close else known
            )


def _check_effect(values: Mapping[str, Any], overrides: Sequence[str]) -> None:
    """Refuse an override at the top that every phase has a word of its own on: it would do nothing.

    Raises:
        ConfigError: naming the key in each phase.
    """
    phases: Any = values.get("phases") or {}
    for override in overrides if isinstance(phases, Mapping) else ():
        key = override.partition("=")[0]
        places = [f"phases.{name}.{place}" for name, phase in phases.items() if (place := _own(phase, key, values))]
        if places and len(places) == len(phases):
            raise ConfigError(f"{override} would do nothing: every phase sets its own", f"set {' or '.join(places)}")


def _without_sampling_of_given(values: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Given responses are not sampled: how many and how long a recipe or a model has them says nothing to them.

    Raises:
        ConfigError: the user says it all the same.
    """
    generation = values["generation"]
    kind = str(generation.get("kind")) if isinstance(generation, Mapping) else ""
    part: type[GenerationPart] | None = kinds("generation").get(kind)
    if part is None or part.samples:
        return values
    for override in overrides:
        group, _, field = override.partition("=")[0].lstrip("+").partition(".")
        if group == "generation" and field.partition(".")[0] in OF_SAMPLES:
            raise ConfigError(
                f"{override} would do nothing: generation.kind={kind} takes its responses from prompts.seed",
                "leave it out, or choose generation=plain",
            )
    return {**values, "generation": {key: value for key, value in generation.items() if key not in OF_SAMPLES}}


def _own(phase: Mapping[str, Any], key: str, values: Mapping[str, Any]) -> str | None:
    """Where a phase, as its recipe has it, says itself what `key` says at the top of `values`; None if it does not."""
    if key == "run.prompts_per_round":
        return "prompts_per_round" if phase.get("prompts_per_round") else None
    group, _, rest = key.partition(".")
    if group not in ("objective", "learner") or not rest:
        return None
    own, kind = phase.get(group, {}), values[group].get("kind")
    return key if rest in flatten(own) or own.get("kind", kind) != kind else None


def _mapping(field: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{field}={value!r} is no mapping", "give it keys, or leave it out")
    return value


def _with_whole_phases(values: dict[str, Any]) -> dict[str, Any]:
    """Every phase with all of its groups: as at the top where it leaves them out, and on top of that where it sets
    some keys of the same kind."""

    def merged(top: Any, own: Any) -> Any:
        if not isinstance(top, Mapping) or not isinstance(own, Mapping):
            return own
        if own.get("kind", top.get("kind")) != top.get("kind"):
            return own
        return {**top, **{key: merged(top.get(key), value) for key, value in own.items()}}

    phases = {}
    for name, phase in _mapping("phases", values.get("phases")).items():
        phase = _mapping(f"phases.{name}", phase)
        whole = {group: merged(values.get(group), phase.get(group, {})) for group in PHASE_GROUPS}
        phases[name] = {"rounds": None, "prompts_per_round": None, **phase, **copy.deepcopy(whole)}
    return {**values, "phases": phases}


def compose_overrides(values: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Plain containers with `key=value` overrides of existing keys (no groups, no sweeps).

    Raises:
        ConfigError: an override is malformed or names an unknown key.
    """
    known = flatten(values)
    changed = copy.deepcopy(dict(values))
    for text in sorted(overrides, key=lambda text: text.startswith("phases.")):  # the word on a phase is the last one
        try:
            override = OverridesParser.create().parse_override(quoted_home(text))
        except HydraException as error:
            raise _explained(error, overrides, None) from error
        key = override.key_or_group
        if key not in known or override.is_sweep_override() or override.is_delete() or override.is_add():
            close = nearest(key, known)
            remedy = f"did you mean {close}?" if close else "run.yaml in the run directory holds every key"
            raise ConfigError(f"{text}: a resume takes key=value of known keys only", remedy)
        # A phase that has what stands at the top follows it.
        inherited = [f"phases.{phase}.{key}" for phase in values.get("phases", {})]
        for target in [key, *(name for name in inherited if name in known and known[name] == known[key])]:
            *groups, name = target.split(".")
            node = changed
            for group in groups:
                node = node[group]
            node[name] = with_home(override.value(), name)
    return changed


def parse_config(values: Mapping[str, Any]) -> Config:
    """Validate plain containers.

    Raises:
        ConfigError: naming the first wrong field, its value and what it may be.
    """
    load_parts(values)
    try:
        config = _ADAPTER.validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        raise _first_problem(error, values) from error
    check_combinations(config)
    return config


def config_values(config: Config) -> dict[str, Any]:
    """A configuration as plain containers; `parse_config` reads them back."""
    return _ADAPTER.dump_python(config, mode="json")


def judge_values(judge: JudgePart) -> dict[str, Any]:
    """A judge as plain containers."""
    return _JUDGE_ADAPTER.dump_python({"judge": judge}, mode="json")["judge"]


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted keys of nested mappings.

    Example:
        >>> flatten({"run": {"rounds": 2}})
        {'run.rounds': 2}
    """
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        flat |= flatten(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return flat


def _first_problem(error: ValidationError, values: Mapping[str, Any]) -> ConfigError:
    problem = error.errors()[0]
    location = _place(problem["loc"], values)
    field = ".".join(location)
    if problem["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        siblings = _known_fields(location, values)
        close = nearest(location[-1], siblings)
        remedy = f"did you mean {'.'.join([*location[:-1], close])}?" if close else f"known: {', '.join(siblings)}"
        return ConfigError(f"unknown key {field}={problem['input']!r}", remedy)
    if problem["type"] == "union_tag_invalid":
        context = problem.get("ctx", {})
        return ConfigError(f"{field}.kind={context.get('tag')}: no such kind", f"known: {context.get('expected_tags')}")
    if field == "recipe" and problem["type"] in ("missing", "missing_argument"):
        return ConfigError(
            "the recipe has no `recipe:` block", "give it title, paper and differs, as shipped recipes do"
        )
    if problem["type"] in ("missing", "missing_argument"):
        return ConfigError(f"{field} has no value", f"set it: {field}=…")
    message = problem["msg"][0].lower() + problem["msg"][1:]
    return ConfigError(f"{field}={problem['input']!r}: {message}", f"set {field} to such a value")


def _place(location: Sequence[Any], values: Mapping[str, Any]) -> list[str]:
    """A location as the user's keys: pydantic puts a union member's kind into it."""
    place: list[str] = []
    node: Any = values
    tagged = False
    for part in map(str, location):
        children = {str(index): item for index, item in enumerate(node)} if isinstance(node, list) else node
        children = children if isinstance(children, Mapping) else {}
        if not tagged and children.get("kind") == part:
            tagged = True
            continue
        place.append(part)
        node, tagged = children.get(part), False
    return place


def _known_fields(location: Sequence[str], values: Mapping[str, Any]) -> list[str]:
    """The keys beside an unknown one: those of `values`, and of the default configuration where that is of its kind."""
    own, default = _at(values, location[:-1]), _at(compose_dict([], default_name="x"), location[:-1])
    known = {*own, *default} if own.get("kind") == default.get("kind") else {*own}
    return sorted(known - {location[-1]})


def _at(values: Mapping[str, Any], location: Sequence[str]) -> Mapping[str, Any]:
    """The mapping at a location (list indices are numbers as text), empty where there is none."""
    node: Any = values
    for part in location:
        children = {str(index): item for index, item in enumerate(node)} if isinstance(node, list) else node
        node = children.get(part) if isinstance(children, Mapping) else None
    return node if isinstance(node, Mapping) else {}


def _explained(error: Exception, overrides: Sequence[str], config_dir: Path | None) -> ConfigError:
    """What Hydra or OmegaConf rejected, in the user's words."""
    text = str(error).strip().replace("++phases.", "phases.")
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return ConfigError(f"{mark.name}, line {mark.line + 1}: not YAML ({error.problem})", "mend the file")
    if match := re.search(r"Could not override '([^']+)'", text):
        key = match[1]
        known = [*flatten(compose_dict([], default_name="x")), *GROUPS]
        close = nearest(key, known)
        value = next((o.partition("=")[2] for o in overrides if o.partition("=")[0].lstrip("+~") == key), "")
        if close == key:
            return ConfigError(
                f"{key}={value}: the recipe gives {key} no place", "let its file set it, as shipped recipes do"
            )
        if value.startswith("{"):
            return ConfigError(
                f"{key}={value} holds a key that is not there yet", f"add each with a plus: +{key}.NAME=VALUE"
            )
        return ConfigError(
            f"unknown key {key}={value}",
            f"did you mean {close}?" if close else "`roundelay run --cfg` prints every key",
        )
    if match := re.search(r"(?:Could not find|In '[^']*': Could not find) '([^']+)'", text):
        group, _, member = match[1].partition("/")
        members = group_members(group, config_dir)
        close = nearest(member, members)
        if members:
            return ConfigError(
                f"{group}={member}: no such {group}",
                (f"did you mean {group}={close}? " if close else "") + f"known: {', '.join(members)}",
            )
    if match := re.search(r"Could not override '?([\w/.@]+)'?\.?\s*No match in the defaults list", text):
        close = nearest(match[1], GROUPS)
        return ConfigError(f"unknown config group {match[1]}", f"did you mean {close}?" if close else "see --help")
    if null := next((override for override in overrides if override.endswith("=null")), None):
        return ConfigError(f"{null}: a config group cannot be null", "choose one of its members")
    first = text.splitlines()[0] if text else type(error).__name__
    if isinstance(error, UnicodeDecodeError) and (file := undecodable(config_dir)):
        return ConfigError(f"{file} is no UTF-8 ({first})", "save it as UTF-8")
    keys = re.findall(r"full_key: (\S+)", text)
    wrong = next((o for o in overrides if keys and o.partition("=")[0].lstrip("+~") == keys[0]), None)
    if wrong:
        first = f"{wrong}: {first}"
    elif not any(override in first for override in overrides):
        first = f"{first} (in {' '.join(overrides):.500})"
    return ConfigError(
        f"the overrides cannot be read: {first}", "check the spelling; quote values with commas or spaces"
    )
