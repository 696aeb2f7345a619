"""Imports point down, and the driver's side of the program loads no engine."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("orchestrator", "workers", "recipes", "launch", "configs")
MAY_IMPORT = {
    "orchestrator": {"orchestrator"},
    "recipes": {"recipes", "orchestrator"},
    "workers": {"workers", "recipes", "orchestrator"},
    "launch": {"launch", "workers", "recipes", "orchestrator"},
    "configs": set[str](),
}
ENGINES = ("torch", "vllm", "deepspeed")
MODULES = sorted(path.relative_to(ROOT) for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
DRIVER_SIDE = [
    "roundelay.launch.cli",
    "roundelay.orchestrator.driver",
    # Not the losses: tensor functions are the workers'.
    *(
        f"roundelay.{'.'.join(path.with_suffix('').parts)}"
        for path in MODULES
        if path.parts[0] == "orchestrator" or (path.parts[0] == "recipes" and path.parts[1] != "losses")
    ),
]


@dataclass(frozen=True, kw_only=True)
class Import:
    """One imported module, as an absolute name without `roundelay` where it was relative."""

    line: int
    level: int  # 0: absolute
    parts: tuple[str, ...]


def imports(path: Path, *, type_checking: bool = True) -> Iterator[Import]:
    """Every import of a module, those within functions too; without `type_checking` only those that run."""
    tree = ast.parse((ROOT / path).read_text(), str(path))
    if not type_checking:
        tree.body = [
            node for node in tree.body if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node))
        ]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(line=node.lineno, level=0, parts=tuple(alias.name.split(".")))
        elif isinstance(node, ast.ImportFrom):
            base = path.parent.parts[: len(path.parent.parts) - node.level + 1] if node.level else ()
            named = (*base, *(node.module or "").split(".")) if node.module else base
            # `from . import x` and `from .. import orchestrator` name modules after the `import`.
            for alias in node.names if not node.module else [None]:
                yield Import(line=node.lineno, level=node.level, parts=(*named, alias.name) if alias else named)


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_imports_point_down(path: Path) -> None:
    """launch → workers, recipes, orchestrator; workers → recipes, orchestrator; recipes → orchestrator."""
    wrong = [
        f"{path}:{found.line} imports {'.'.join(found.parts)}"
        for found in imports(path)
        if found.level and found.parts[0] not in MAY_IMPORT[path.parts[0]]
    ]
    assert not wrong, "\n".join(wrong)


# The rooms of the core, each of which uses only those before it; the same of the command line's.
ROOMS = {
    "orchestrator": (
        "printable", "errors", "fields", "data", "protocols", "parts", "config", "ledger", "prompts", "measure",
        "cluster", "round", "evaluate", "driver",
    ),
    "launch": ("reports", "error_log", "judges", "phases", "config", "run", "show", "compare", "cli", "entry"),
}  # fmt: skip


@pytest.mark.parametrize("folder", ROOMS)
def test_a_room_uses_only_those_before_it(folder: str) -> None:
    """But for what only a type checker reads."""
    rooms, wrong = ROOMS[folder], []
    for path in (path for path in MODULES if path.parts[0] == folder and path.name != "__init__.py"):
        own = path.with_suffix("").parts[1]
        for found in imports(path, type_checking=False):
            if found.level and found.parts[0] == folder and rooms.index(found.parts[1]) > rooms.index(own):
                wrong.append(f"{path}:{found.line} imports {'.'.join(found.parts)}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_imports_between_the_folders_are_relative(path: Path) -> None:
    """A bare `import orchestrator` would find another package of that name, and `roundelay.…` hides from editors."""
    wrong = [
        f"{path}:{found.line} imports {'.'.join(found.parts)}"
        for found in imports(path)
        if not found.level and found.parts[0] in ("roundelay", *FOLDERS)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("packages", "allowed"),
    [
        (("ray",), ("orchestrator/cluster/ray.py", "workers/")),
        (("omegaconf",), ("launch/config/loading.py",)),
        (("torch", "transformers"), ("workers/", "recipes/losses/", "launch/run/models.py")),
        (("vllm", "deepspeed", "peft"), ("workers/",)),
    ],
    ids=["ray", "omegaconf", "torch and transformers", "vllm, deepspeed and peft"],
)
def test_a_heavy_library_is_imported_only_where_it_belongs(packages: tuple[str, ...], allowed: tuple[str, ...]) -> None:
    """Not even within a function: what the driver's side needs of an engine, it asks an actor for."""
    wrong = [
        f"{path}:{found.line} imports {found.parts[0]}"
        for path in MODULES
        for found in imports(path)
        if not found.level and found.parts[0] in packages and not path.as_posix().startswith(allowed)
    ]
    assert not wrong, "\n".join(wrong)


def test_the_drivers_side_loads_no_engine() -> None:
    """In a fresh process, module by module: the first one after which an engine is loaded is the culprit."""
    program = (
        "import importlib, json, sys\n"
        "modules, engines = json.loads(sys.argv[1])\n"
        "found = {}\n"
        "for module in modules:\n"
        "    importlib.import_module(module)\n"
        "    for engine in engines:\n"
        "        if engine in sys.modules: found.setdefault(engine, module)\n"
        "print(json.dumps(found))\n"
    )
    argument = json.dumps([DRIVER_SIDE, ENGINES])
    done = subprocess.run(
        [sys.executable, "-c", program, argument], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {}


def test_the_check_sees_what_it_is_to_see(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Imports are resolved as Python does it: relative ones by level, those within functions included."""
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "one.py").write_text(
        "import roundelay.workers.engine\n"
        "from . import pairing\n"
        "from .pairing import pair\n"
        "from ..workers.engine import Engine\n"
        "from .. import launch\n"
        "def late():\n"
        "    from ..launch import cli\n"
        "    import torch.nn as nn\n"
    )
    assert [(found.level, ".".join(found.parts)) for found in imports(Path("recipes/one.py"))] == [
        (0, "roundelay.workers.engine"),
        (1, "recipes.pairing"),
        (1, "recipes.pairing"),
        (2, "workers.engine"),
        (2, "launch"),
        (2, "launch"),
        (0, "torch.nn"),
    ]
