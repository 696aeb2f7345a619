"""Every command that README, docs and configuration files show a user runs, as far as one can without an engine."""

import json
import re
import secrets
import shlex
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.evaluation_commands import ScriptedEngine, bad, good, half, scoring
from support.finished_runs import PROMPTS, make_run
from support.own_parts import write_own_parts
from support.tiny_model import write_moved

from roundelay.launch import cli
from roundelay.launch.compare import judging
from roundelay.orchestrator.parts import registry

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SETTINGS = sorted((ROOT / "configs").rglob("*.yaml"))
# Variables of the environment may stand before a command; one without its arguments is a name in a sentence.
COMMAND = re.compile(
    r"^(?:\w+=\S* +)*roundelay (?:(?:run|sweep|recipes)\b|(?:show|resume|compare|judge-accuracy) runs/)(?!.*\bNAME\b)"
)


def joined(lines: list[str]) -> Iterator[str]:
    """Lines with those that a backslash continues."""
    open_line = ""
    for line in lines:
        whole = f"{open_line} {line.strip()}".strip()
        if whole.endswith("\\"):
            open_line = whole.removesuffix("\\").strip()
            continue
        yield whole
        open_line = ""


def in_page(text: str) -> Iterator[str]:
    """Commands in blocks of code, and those within a sentence, which may run over the end of a line."""
    for index, part in enumerate(re.split(r"^```.*$", text, flags=re.MULTILINE)):
        if index % 2:
            yield from joined(part.splitlines())
        else:
            yield from (" ".join(span.split()) for span in re.findall(r"`([^`]+)`", part))


def in_settings(text: str) -> Iterator[str]:
    """Commands in comments."""
    yield from joined([line.lstrip().removeprefix("#") for line in text.splitlines() if line.lstrip().startswith("#")])


def documented() -> Iterator[tuple[str, str]]:
    for paths, found in ((PAGES, in_page), (SETTINGS, in_settings)):
        for path in paths:
            commands = filter(COMMAND.match, found(path.read_text()))
            yield from ((str(path.relative_to(ROOT)), command) for command in commands)


COMMANDS = list(dict.fromkeys(documented()))
ROWS = 400  # of every file of the user's


@pytest.fixture(scope="module")
def users_folder(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that commands name and this repository does not hold: files of prompts, models, what "Add your paper" writes,
    finished runs and files to judge. The default model is a tiny one."""
    folder = tmp_path_factory.mktemp("user")
    model = shutil.copytree(tiny_model, folder / "tiny")
    settings = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**settings, "max_position_embeddings": 4096}))
    for link in ("cache/smollm2-135m-instruct", "path/to/model", "PATH"):
        (folder / link).parent.mkdir(parents=True, exist_ok=True)
        (folder / link).symlink_to(model)
    for seed, name in enumerate(("dpo", "sft", "other")):
        write_moved(model, folder / "models" / name, scale=0.01, seed=seed)
    for name in ("mine", "pairs", "ranked", "helpsteer"):
        (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(row(index))}\n" for index in range(ROWS)))
    page = (ROOT / "docs" / "adding-a-method.md").read_text()
    ((recipe,), code) = [re.findall(rf"```{kind}\n(.*?)```", page, re.DOTALL) for kind in ("yaml", "python")]
    (folder / "mine" / "configs" / "recipe").mkdir(parents=True)
    (folder / "mine" / "configs" / "recipe" / "my_paper.yaml").write_text(recipe)
    (folder / "mine" / "my_paper.py").write_text("\n".join(code))
    write_own_parts(folder / "mine")
    (folder / "my_rewards.py").write_text("def brevity(prompt, rollout):\n    return -len(rollout.text)\n")
    (folder / "runs").mkdir()
    for name in ("a", "b"):
        make_run(folder / "runs", name, [bad, half, good, good])
    outputs = [{"instruction": text, "output": half(text)} for text in PROMPTS]
    (folder / "outputs.json").write_text(json.dumps(outputs))
    shutil.copy(ROOT / "tests" / "support" / "labelled" / "llmbar.json", folder / "dataset.json")
    labelled = (ROOT / "tests" / "support" / "labelled" / "rewardbench.jsonl").read_text().splitlines()
    pq.write_table(pa.Table.from_pylist([json.loads(line) for line in labelled]), folder / "filtered.parquet")
    return folder


def row(index: int) -> dict[str, Any]:
    """One of every kind of column that commands name."""
    town = f"Name town {index} by a river."
    answer = {"completion": f"Town {index}.", "chosen": f"Town {index}.", "response": f"Town {index}."}
    labels = dict.fromkeys(("helpfulness", "correctness", "coherence", "complexity", "verbosity"), index % 5)
    return {"id": str(index), "prompt": town, "question": town, **answer, "rejected": "None.",
            "answers": [f"Town {index}.", "None."], **labels}  # fmt: skip


Call = Callable[[str], tuple[int, str]]


@pytest.fixture
def typed(users_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Call]:
    """A command as a shell would start it, in the user's folder: exit code, and what was printed. What it runs is what
    users run, but for the engines: a run is left where its actors would start, and a judge's answers are a script."""
    monkeypatch.chdir(users_folder)
    monkeypatch.setenv("ROUNDELAY_CACHE", str(users_folder / "cache"))
    for name in ("follow", "follow_quietly"):
        monkeypatch.setattr(cli, name, lambda config, ledger: None)
    engine = ScriptedEngine(lambda text: 2.0 * text.count("good") - 1.0)
    compare, score = engine.answer, scoring(lambda text: len(text) % 6)
    monkeypatch.setattr(
        engine, "answer", lambda asked: (compare if 'option="A"' in asked.messages[0].content else score)(asked)
    )
    monkeypatch.setattr(judging, "engine", engine)
    # What a user's module registers is gone after the command, as its process would be.
    monkeypatch.setattr(registry, "_KINDS", {group: dict(found) for group, found in registry._KINDS.items()})
    monkeypatch.delitem(sys.modules, "my_parts", raising=False)
    before = signal.getsignal(signal.SIGTERM)

    def call(command: str) -> tuple[int, str]:
        words = shlex.split(command, comments=True)
        start = words.index("roundelay")
        for variable in words[:start]:
            name, _, value = variable.partition("=")
            assert name == "PYTHONPATH"
            monkeypatch.syspath_prepend(str(users_folder / value))
        monkeypatch.setattr(sys, "argv", words[start:])
        monkeypatch.setattr(cli, "default_name", lambda *_: f"run-{secrets.token_hex(4)}")
        code: object = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code
        printed = capsys.readouterr()
        return int(str(code or 0)), printed.out + printed.err

    yield call
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(("where", "command"), COMMANDS, ids=[f"{where}: {command}" for where, command in COMMANDS])
def test_a_documented_command_runs(where: str, command: str, typed: Call, users_folder: Path) -> None:
    """Every check that comes before an engine is made, and the run's directory with its prompts."""
    if "runs/demo" in command and not (users_folder / "runs" / "demo").exists():
        assert typed("roundelay run run.name=demo")[0] == 0
    code, printed = typed(command)
    if "run.prompts_per_round=52000" in command:  # the last check but that of lengths, which would take minutes
        assert (code, f"holds {ROWS} prompts" in printed) == (2, True), printed
    else:
        assert code == 0, printed


def test_commands_are_found_in_pages_and_in_settings() -> None:
    """Some that are known to be there: in a block, over several lines, in a sentence, in a comment."""
    assert ("README.md", "roundelay run recipe=rlcd_dpo") in COMMANDS
    assert any(where == "docs/objectives.md" and "phases.ppo.pairing.min_responses=2" in c for where, c in COMMANDS)
    assert any(where == "configs/model/local.yaml" for where, _ in COMMANDS)
    assert list(in_page("Say `roundelay run\nrecipe=sft`, or `make`.\n")) == ["roundelay run recipe=sft", "make"]
