"""Every command that README, docs and configuration files show a user can be typed: its words are read, and compose."""

import io
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console
from typer.core import TyperGroup

from roundelay.launch.cli import app
from roundelay.launch.config_loading import load_config
from roundelay.launch.plan import print_plan
from roundelay.launch.sweeps import expand

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SETTINGS = sorted((ROOT / "configs").rglob("*.yaml"))
COMMAND = re.compile(r"^(?:\w+=\S* +)*roundelay (?:run|sweep)\b")  # variables of the environment may stand before it


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


@pytest.fixture
def users_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that commands name and this repository does not hold: the config directory of "Add your paper". Prompts and
    models that they name are looked at when a run begins, after what is checked here."""
    ((recipe,),) = [re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "adding-a-method.md").read_text(), re.DOTALL)]
    (tmp_path / "mine" / "configs" / "recipe").mkdir(parents=True)
    (tmp_path / "mine" / "configs" / "recipe" / "my_paper.yaml").write_text(recipe)
    monkeypatch.chdir(tmp_path)


def parsed(command: str) -> tuple[str, dict[str, Any]]:
    """The subcommand, and what the command line makes of its words."""
    words = shlex.split(command, comments=True)
    _, name, *rest = words[words.index("roundelay") :]
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    return name, dict(group.commands[name].make_context(name, rest).params)


@pytest.mark.parametrize(("where", "command"), COMMANDS, ids=[f"{where}: {command}" for where, command in COMMANDS])
def test_a_documented_command_composes_with_the_default_model(where: str, command: str, users_folder: None) -> None:
    """As `--dry-run` does, and in a sweep for every run."""
    name, options = parsed(command)
    overrides = options["overrides"] or []
    for job in expand(overrides) if name == "sweep" else [overrides]:
        config = load_config(job, config_dir=options["config_dir"], default_name="documented")
        print_plan(Console(file=io.StringIO()), config)


def test_commands_are_found_in_pages_and_in_settings() -> None:
    """Some that are known to be there: in a block, over several lines, in a sentence, in a comment."""
    assert ("README.md", "roundelay run recipe=rlcd_dpo") in COMMANDS
    assert any(where == "docs/objectives.md" and "phases.ppo.pairing.min_responses=2" in c for where, c in COMMANDS)
    assert any(where == "configs/model/local.yaml" for where, _ in COMMANDS)
    assert list(in_page("Say `roundelay run\nrecipe=sft`, or `make`.\n")) == ["roundelay run recipe=sft", "make"]
