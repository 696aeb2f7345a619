"""A checkpoint's files hold what was written, in parts that fit into memory, and give it back one tensor at a time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from roundelay.workers import checkpoint

NOTES = {"steps": 3, "noise": [0.5, -1.25], "policy": {"version": 1}}


def tensors(number: int) -> dict[str, Tensor]:
    """Of 32 bytes each, named as a checkpoint's are: with slashes, of several kinds."""
    generator = torch.Generator().manual_seed(0)
    return {
        f"{'weight' if i % 2 else 'exp_avg'}/layers.{i}": torch.randn(8, generator=generator) for i in range(number)
    }


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "PART_BYTES", 64)


def parts(directory: Path) -> int:
    return len(list(directory.glob("part-*.safetensors")))


@pytest.mark.parametrize("number", [0, 1, 4, 5])
def test_what_is_written_in_parts_is_read_to_the_bit(tmp_path: Path, small_parts: None, number: int) -> None:
    """A whole number of parts or not, and nothing at all; with views, scalars, integers and half precision."""
    expected: dict[str, Tensor] = tensors(number)
    if number == 5:
        grid = torch.arange(12).view(3, 4)
        expected |= {"columns": grid[:, 1], "turned": grid.T, "scalar": torch.tensor(2.5), "half": grid.bfloat16()}
    checkpoint.write(str(tmp_path / "new"), expected.items(), NOTES)
    found, notes = checkpoint.read(str(tmp_path / "new"))
    assert notes == NOTES
    assert set(found) == expected.keys() and len(found) == len(expected)
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor), name
    assert parts(tmp_path / "new") > number // 2


def test_no_more_than_a_part_is_in_memory_while_it_is_written(tmp_path: Path, small_parts: None) -> None:
    """Two tensors fill a part of 64 bytes: whenever another is made, those before the last part are on disk."""

    def made() -> Iterator[tuple[str, Tensor]]:
        for index, item in enumerate(tensors(9).items()):
            assert parts(tmp_path) == index // 2
            yield item

    checkpoint.write(str(tmp_path), made(), {})
    assert len(checkpoint.read(str(tmp_path))[0]) == 9


def test_a_tensor_is_read_when_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.write(str(tmp_path), tensors(3).items(), NOTES)
    read: list[str] = []

    class Recorded:
        def __init__(self, file: Any):
            self.file, self.keys = file, file.keys

        def get_tensor(self, name: str) -> Tensor:
            read.append(name)
            return self.file.get_tensor(name)

    safe_open = checkpoint.safe_open
    monkeypatch.setattr(checkpoint, "safe_open", lambda *args, **options: Recorded(safe_open(*args, **options)))
    found, _ = checkpoint.read(str(tmp_path))
    assert list(found) and read == []
    found["weight/layers.1"]
    assert read == ["weight/layers.1"]
    with pytest.raises(KeyError, match=r"layers\.9"):
        found["weight/layers.9"]


def test_a_checkpoint_that_is_written_again_holds_nothing_of_the_one_before(tmp_path: Path, small_parts: None) -> None:
    """As when a run stopped while it wrote one, and comes to the same place again with fewer tensors to keep."""
    checkpoint.write(str(tmp_path), ((name, tensor + 1) for name, tensor in tensors(6).items()), {"steps": 2})
    expected = tensors(2)
    checkpoint.write(str(tmp_path), expected.items(), NOTES)
    found, notes = checkpoint.read(str(tmp_path))
    assert notes == NOTES and set(found) == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
