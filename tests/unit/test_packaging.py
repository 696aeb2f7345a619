"""What reaches site-packages: every file of the five folders under `roundelay`, and nothing else."""

import importlib.util
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("orchestrator", "workers", "recipes", "launch", "configs")
BESIDE = ("pyproject.toml", "README.md", "LICENSE", "MANIFEST.in")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the files as they are, without what git ignores: building leaves its traces there, not here."""
    copy = tmp_path_factory.mktemp("sources")
    for path in files():
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, copy / path)
    for name in BESIDE:
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, copy / name)
    yield copy
    shutil.rmtree(copy)


@pytest.fixture(scope="module")
def wheel(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> set[PurePosixPath]:
    """The names in the wheel that the project builds."""
    target = tmp_path_factory.mktemp("wheel")
    isolation = ["--no-isolation"] if importlib.util.find_spec("setuptools") else []
    command = [sys.executable, "-m", "build", "--wheel", *isolation, "--outdir", str(target), str(sources)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = target.iterdir()
    assert built.name.startswith("roundelay-") and built.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(built) as archive:
        return {PurePosixPath(name) for name in archive.namelist()}


def files() -> list[PurePosixPath]:
    """The folders' files that git tracks, or would: neither ignored nor deleted."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *FOLDERS]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return sorted({PurePosixPath(name) for name in listed if name and (ROOT / name).is_file()})


def test_every_file_of_the_folders_is_in_the_wheel(wheel: set[PurePosixPath], sources: Path) -> None:
    """Modules, YAML, prompts, their notes, the Slurm script: what works from a checkout works installed."""
    expected = {path.relative_to(sources) for folder in FOLDERS for path in (sources / folder).rglob("*")}
    missing = sorted(
        str(path) for path in expected if (sources / path).is_file() and PurePosixPath("roundelay", path) not in wheel
    )
    assert not missing, f"add to [tool.setuptools.package-data] or packages: {', '.join(missing)}"


def test_nothing_else_is_in_the_wheel_but_metadata(wheel: set[PurePosixPath], sources: Path) -> None:
    """No tests, no benchmarks, no caches."""
    packaged = {path for path in wheel if not path.parts[0].endswith(".dist-info")}
    strange = sorted(str(path) for path in packaged if not (sources / path.relative_to("roundelay")).is_file())
    assert not strange


def test_the_only_top_level_package_is_roundelay(wheel: set[PurePosixPath]) -> None:
    """No `workers` or `recipes` lands in site-packages; `roundelay` itself is a namespace without a file."""
    tops = {path.parts[0] for path in wheel}
    assert sorted(top for top in tops if not top.endswith(".dist-info")) == ["roundelay"]
    assert len(tops) == 2
    assert PurePosixPath("roundelay/__init__.py") not in wheel


def test_the_wheel_brings_the_command_and_the_licence(wheel: set[PurePosixPath]) -> None:
    metadata = {str(PurePosixPath(*path.parts[1:])) for path in wheel if path.parts[0].endswith(".dist-info")}
    assert {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"} <= metadata
