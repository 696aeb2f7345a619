"""A run goes on only as what it began as, wherever it lies, and only one driver at a time has its directory."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.configs import base, changed
from support.evaluation_commands import Call
from support.scripted_run import ScriptedRun

from roundelay.launch.cli import default_name
from roundelay.launch.config.loading import load_config
from roundelay.launch.run import drafts
from roundelay.launch.run.drafts import drafted, publish
from roundelay.launch.run.runs import create_run, resume_notes, resume_run
from roundelay.orchestrator.errors import ConfigError
from roundelay.orchestrator.ledger.lease import held
from roundelay.orchestrator.ledger.ledger import Ledger
from roundelay.orchestrator.ledger.policies import initial_policy
from roundelay.recipes.pairing.best_worst import BestWorstPairing

SIZES = (
    "run.prompts_per_round=4", "run.prompts_per_shard=2", "evaluation.num_prompts=2", "model.max_model_len=1024",
    "generation.sampling.max_tokens=100", "evaluation.sampling.max_tokens=100",
)  # fmt: skip


@pytest.fixture(scope="module")
def begun(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a run that has not started a stage, runs/demo, and its model, named relatively: model."""
    here = tmp_path_factory.mktemp("begun")
    shutil.copytree(tiny_model, here / "model")
    before = Path.cwd()
    os.chdir(here)
    try:
        words = ["model=local", "model.path=model", "run.root=runs", "run.name=demo", *SIZES]
        with create_run(load_config(words)):
            pass
    finally:
        os.chdir(before)
    return here


@pytest.fixture
def here(begun: Path, tmp_path: Path) -> Path:
    """A copy of `begun`, whose run names the copy's model."""
    copy = shutil.copytree(begun, tmp_path / "here")
    with resume_run(str(copy / "runs/demo"), [f"model.path={copy}/model"]):
        pass
    return copy


# ------------------------------------------------------------------------------------------------------------- identity


def test_a_relative_model_path_is_kept_absolute(begun: Path) -> None:
    """Resumed from another directory it is the same model, not a name on the hub."""
    header = Ledger(str(begun / "runs/demo")).header()
    assert header["config"]["model"]["path"] == header["initial_policy"]["path"] == str(begun / "model")
    with resume_run(str(begun / "runs/demo"), []) as (config, _):
        assert config.model.path == str(begun / "model")


def test_a_run_keeps_the_day_on_which_it_began(begun: Path) -> None:
    """For chat templates that write the date."""
    header = Ledger(str(begun / "runs/demo")).header()
    assert header["config"]["model"]["date"] == header["created"][:10]
    with (
        pytest.raises(ConfigError, match=r"model\.date"),
        resume_run(str(begun / "runs/demo"), ["model.date=2020-01-01"]),
    ):
        pass


def test_a_resume_may_say_where_the_model_is_now(here: Path, tmp_path: Path) -> None:
    (here / "model").rename(tmp_path / "moved")
    with pytest.raises(ConfigError, match=r"model\.path="), resume_run(str(here / "runs/demo"), []):
        pass
    with resume_run(str(here / "runs/demo"), [f"model.path={tmp_path}/moved"]) as (config, ledger):
        assert config.model.path == initial_policy(ledger).path == str(tmp_path / "moved")
    with resume_run(str(here / "runs/demo"), []):
        pass


@pytest.mark.parametrize(
    "file", ["model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json",
             "chat_template.jinja"],
)  # fmt: skip
def test_a_resume_from_another_model_is_refused_by_the_file_that_differs(here: Path, file: str) -> None:
    """A template edited between rounds would change held-out prompts, two swapped ids every token, without a word."""
    before, path = (here / "runs/demo/run.yaml").read_bytes(), here / "model" / file
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + b"\x7f" if file == "model.safetensors" else whole + b" ")
    with (
        pytest.raises(ConfigError, match=re.escape(f"{file} was changed")) as caught,
        resume_run(str(here / "runs/demo"), ["run.rounds=7"]),
    ):
        pass
    assert f"model.path={here}/model" in caught.value.what and "model.path=DIRECTORY" in caught.value.remedy
    assert (here / "runs/demo/run.yaml").read_bytes() == before


def test_a_resume_with_a_part_that_has_come_to_mean_something_else_is_refused(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = Ledger(str(here / "runs/demo")).header()["parts"]
    assert recorded["pairing.best_worst"] == BestWorstPairing.version == 2
    monkeypatch.setattr(BestWorstPairing, "version", 99)
    message = r"meaning of pairing\.best_worst \(version \d+, here 99\)"
    with pytest.raises(ConfigError, match=message) as caught, resume_run(str(here / "runs/demo"), []):
        pass
    assert "roundelay 0." in caught.value.remedy


def test_a_copied_run_learns_from_its_own_rounds(tmp_path: Path) -> None:
    """Whatever becomes of the run that it was copied from."""
    (tmp_path / "a").mkdir()
    run = ScriptedRun(
        changed(base(), run__rounds=1, run__prompts_per_round=4, run__prompts_per_shard=2), tmp_path / "a"
    )
    run.go_on()
    shutil.copytree(tmp_path / "a" / "run", tmp_path / "b")
    (tmp_path / "a" / "run" / "rounds/001/policy/made-of.json").write_text("other weights")
    run.config, run.ledger = changed(run.config, run__rounds=2), Ledger(str(tmp_path / "b"))
    run.go_on()
    (start,) = run.learner.starts
    assert start.policy.path == str(tmp_path / "b/rounds/001/policy")
    assert run.ledger.manifest(2)["start"]["path"] == "rounds/001/policy"


def test_a_resume_says_what_changed(here: Path) -> None:
    header = Ledger(str(here / "runs/demo")).header()
    assert resume_notes(header) == []
    (note,) = resume_notes({**header, "code_version": "0.0.9"})
    assert "0.0.9" in note
    (note,) = resume_notes({**header, "format": 1})
    assert "no checksums" in note


# ------------------------------------------------------------------------------------------------------------ ownership


def test_a_refused_resume_writes_nothing(here: Path, call: Call) -> None:
    """A running run's configuration is its driver's."""
    url = here / "runs/demo"
    before = (url / "run.yaml").read_bytes()
    with held(str(url)):
        code, _, errors = call("resume", str(url), "run.rounds=7")
    assert (code, "another driver is at work" in errors) == (2, True)
    assert (url / "run.yaml").read_bytes() == before


@pytest.fixture
def draft(tmp_path: Path) -> Iterator[Ledger]:
    with drafted(str(tmp_path / "runs/demo")) as ledger:
        yield ledger


def test_a_run_that_is_not_whole_has_no_name(draft: Ledger, tmp_path: Path) -> None:
    """Killed in its checks, it leaves nothing under the name, which the next run takes."""
    assert not (tmp_path / "runs/demo").exists()
    draft.create({})
    assert not (tmp_path / "runs/demo").exists()
    ledger = publish(draft, str(tmp_path / "runs/demo"))
    assert (tmp_path / "runs/demo/run.yaml").is_file() and ledger.url == str(tmp_path / "runs/demo")
    with pytest.raises(ConfigError, match="another driver"), held(ledger.url):
        pass


def test_of_two_runs_of_one_name_the_second_is_refused_and_the_first_unharmed(draft: Ledger, tmp_path: Path) -> None:
    url = str(tmp_path / "runs/demo")
    with drafted(url) as second:
        for one in (draft, second):
            one.create({"who": one.root})
        first = publish(draft, url)
        with pytest.raises(ConfigError, match="was taken by another run"):
            publish(second, url)
    assert Ledger(url).header()["who"] == first.header()["who"] == draft.root
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["demo"]


def test_what_a_killed_run_left_before_it_had_its_name_is_removed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But not what another process is making, nor what one has begun to make a moment ago."""
    abandoned = tmp_path / "runs/.demo.partial-0000"
    (abandoned / "inputs").mkdir(parents=True)
    with drafted(str(tmp_path / "runs/demo")):
        assert abandoned.exists()
    monkeypatch.setattr(drafts, "FRESH_S", 0.0)
    with drafted(str(tmp_path / "runs/demo")) as busy:
        assert not abandoned.exists()
        with drafted(str(tmp_path / "runs/demo")):
            assert Path(busy.root).is_dir()


def test_default_names_do_not_collide() -> None:
    names = {default_name([], None) for _ in range(50)}
    assert len(names) == 50
