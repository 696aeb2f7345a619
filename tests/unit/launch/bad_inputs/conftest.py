"""A directory with a good model, good prompts, and no way to Ray."""

import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.bad_inputs import CommandLine

from roundelay.launch import cli


@pytest.fixture(scope="module")
def here(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    here = tmp_path_factory.mktemp("here")
    shutil.copytree(tiny_model, here / "model")
    for name, kind, number in (("train", "rivers", 8), ("heldout", "hills", 4)):
        rows = [json.dumps({"prompt": f"Name {i} {kind}."}) for i in range(number)]
        (here / f"{name}.jsonl").write_text("\n".join(rows))
    return here


@pytest.fixture
def line(here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[CommandLine]:
    def no_cluster(*_: object, **__: object) -> None:
        pytest.fail("the command got as far as the cluster")

    monkeypatch.setattr("roundelay.launch.run.runs.Cluster", no_cluster)
    monkeypatch.setattr(cli.out, "width", 300)
    monkeypatch.chdir(here)
    before = signal.getsignal(signal.SIGTERM)
    yield CommandLine(here=here, capture=capsys, patch=monkeypatch)
    signal.signal(signal.SIGTERM, before)
