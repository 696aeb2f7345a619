"""`~` in paths, and names and roots with characters that mean something in Hydra's grammar."""

import json
from pathlib import Path

import pytest
import yaml
from support.evaluation_commands import Call
from support.finished_runs import make_run

from roundelay.launch.config.loading import compose_overrides, load_config
from roundelay.launch.run import sweeps
from roundelay.launch.run.sweeps import expand
from roundelay.orchestrator.errors import ConfigError

ODD = "odd=a,b (c) #d ${e} {f} 'g'"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("written", ["~/x/y.jsonl", "'~/x/y.jsonl'"])
def test_every_path_of_the_configuration_may_begin_with_the_home_directory(home: Path, written: str) -> None:
    words = [f"prompts.{name}.path={written}" for name in ("train", "heldout", "seed")]
    config = load_config(
        ["run.name=x", f"run.root={written}", "model=local", f"model.path={written}", *words,
         f"generation.samplers=[policy,{written}]", "judge=density_ratio", f"judge.strong={written}",
         "judge.weak=initial"]
    )  # fmt: skip
    expected = str(home / "x" / "y.jsonl")
    prompts = config.prompts
    found = [config.run.root, config.model.path, prompts.train.path, prompts.heldout.path, prompts.seed.path]
    assert found == [expected] * 5
    assert config.generation.samplers == ("policy", expected)  # type: ignore[union-attr]
    assert config.judge.strong == expected  # type: ignore[union-attr]


def test_paths_in_a_users_config_directory_sweeps_and_resumes_too(home: Path) -> None:
    (home / "mine" / "prompts").mkdir(parents=True)
    (home / "mine" / "prompts" / "own.yaml").write_text("defaults: [file]\ntrain: {path: ~/mine.jsonl}\n")
    config = load_config(["run.name=x", "prompts=own"], config_dir=home / "mine")
    assert config.prompts.train.path == str(home / "mine.jsonl")
    assert expand(["model.path=~/a,~/b", "judge=ab"]) == [
        ["model.path='~/a'", "judge=ab"],
        ["model.path='~/b'", "judge=ab"],
    ]
    assert compose_overrides({"run": {"root": "runs"}}, ["run.root=~/a"]) == {"run": {"root": str(home / "a")}}


def test_commands_take_the_home_directory_in_runs_and_files(home: Path, call: Call) -> None:
    make_run(home, "a", [lambda question: "good"])
    code, _, err = call("show", "~/none")
    assert code == 2 and f"{home}/none" in err
    code, _, err = call("run", "--cfg", "--config-dir", "~/none")
    assert code == 2 and f"{home}/none" in err
    code, _, err = call("compare", "~/none:1", "~/a:0")
    assert code == 2 and f"{home}/none" in err
    code, _, err = call("judge-accuracy", "~/a:0", "~/pairs.json", "--format", "llmbar")
    assert code == 2 and f"{home}/pairs.json" in err
    code, _, err = call("resume", "~/none")
    assert code == 2 and f"{home}/none" in err


def test_a_sweeps_root_and_name_are_taken_as_they_are(home: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a run's root and name are: what they hold is never read as an override."""
    made: list[tuple[str, str]] = []

    def create(config: object) -> None:
        made.append((config.run.root, config.run.name))  # type: ignore[attr-defined]
        raise ConfigError("not here", "none")

    monkeypatch.setattr(sweeps, "create_run", create)
    code, out, _ = call("sweep", "objective.beta=0.1,0.2", "--root", f"~/{ODD}", "--name", ODD)
    assert code == 1 and made == [(f"{home}/{ODD}/{ODD}", "000"), (f"{home}/{ODD}/{ODD}", "001")]
    assert json.dumps("not here")[1:-1] in out


def test_a_runs_name_and_root_as_options_are_taken_as_they_are(home: Path, call: Call) -> None:
    code, out, _ = call("run", "--name", "first", "--root", f"~/{ODD}", "--cfg")
    assert code == 0 and yaml.safe_load(out)["run"]["root"] == f"{home}/{ODD}"
    code, _, err = call("run", "run.name=second", "--name", "first", "--cfg")
    assert code == 2 and "run.name=second is given twice" in err
