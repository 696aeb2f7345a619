"""Mixtures of policies, against plain torch on the same files."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.tiny_model import write_moved
from torch import Tensor
from transformers import AutoModelForCausalLM

from roundelay.orchestrator.errors import RunError
from roundelay.orchestrator.ledger.checksums import weights_hash
from roundelay.workers.mixing import write_mixture


@pytest.fixture(scope="module")
def moved(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_moved(tiny_model, tmp_path_factory.mktemp("models") / "moved", scale=0.1, seed=1)


def parameters(path: Path) -> dict[str, Tensor]:
    return dict(AutoModelForCausalLM.from_pretrained(path).named_parameters())


@pytest.mark.parametrize("alpha", [0.3, 0.5, -1.0])
def test_an_extrapolation_is_that_of_every_parameter_in_plain_torch(
    tiny_model: Path, moved: Path, tmp_path: Path, alpha: float
) -> None:
    """θ₁ + α(θ₁ − θ₀) over named parameters, the tied head once; at α = −1 it is θ₀. The result loads in plain
    transformers."""
    write_mixture(str(tmp_path / "out"), [(str(moved), 1 + alpha), (str(tiny_model), -alpha)])
    before, after, found = parameters(tiny_model), parameters(moved), parameters(tmp_path / "out")
    assert found.keys() == after.keys()
    for name, tensor in found.items():
        expected = after[name] + alpha * (after[name] - before[name])
        torch.testing.assert_close(tensor, expected, atol=1e-6, rtol=0)
    assert (tmp_path / "out" / "tokenizer.json").is_file()


def test_nothing_of_another_policy_leaves_a_policy_as_it_is_to_the_bit(
    tiny_model: Path, moved: Path, tmp_path: Path
) -> None:
    """α = 0, also where a weight is a negative zero, which a sum with 0 would turn."""
    source = tmp_path / "source"
    source.mkdir()
    for file in moved.iterdir():
        (source / file.name).write_bytes(file.read_bytes())
    weights = load_file(source / "model.safetensors")
    next(iter(weights.values())).view(-1)[:3] = -0.0
    save_file(weights, source / "model.safetensors", metadata={"format": "pt"})
    write_mixture(str(tmp_path / "out"), [(str(source), 1.0), (str(tiny_model), -0.0)])
    assert weights_hash(str(tmp_path / "out")) == weights_hash(str(source))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_mean_of_three_in_half_precision_is_rounded_once(tmp_path: Path, dtype: torch.dtype) -> None:
    """1, 1 + ε and 1 + ε in steps of ε: the mean is 1 + 2ε/3, which rounds to 1 + ε. Thirds added up in half precision
    would not be exact."""
    step = torch.finfo(dtype).eps
    for index, value in enumerate((1.0, 1.0 + step, 1.0 + step)):
        (tmp_path / str(index)).mkdir()
        save_file({"w": torch.full((2,), value, dtype=dtype)}, tmp_path / str(index) / "model.safetensors")
    write_mixture(str(tmp_path / "out"), [(str(tmp_path / str(index)), 1 / 3) for index in range(3)])
    found = load_file(tmp_path / "out" / "model.safetensors")["w"]
    assert found.dtype == dtype and found.tolist() == [1.0 + step] * 2


def test_weights_are_found_in_whichever_file_they_lie(tmp_path: Path) -> None:
    """The first policy in one file, the other in two, with a weight more; what was there before is gone."""
    for name, files in (("a", [{"x": 1.0, "y": 2.0}]), ("b", [{"x": 3.0, "more": 0.0}, {"y": 6.0}])):
        (tmp_path / name).mkdir()
        for index, weights in enumerate(files):
            save_file({k: torch.tensor([v]) for k, v in weights.items()}, tmp_path / name / f"{index}.safetensors")
    (tmp_path / "out").mkdir()
    save_file({"stale": torch.zeros(1)}, tmp_path / "out" / "9.safetensors")
    write_mixture(str(tmp_path / "out"), [(str(tmp_path / "a"), 0.5), (str(tmp_path / "b"), 0.5)])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0.safetensors"]
    found = load_file(tmp_path / "out" / "0.safetensors")
    assert {name: tensor.item() for name, tensor in found.items()} == {"x": 2.0, "y": 4.0}


@pytest.mark.parametrize("other", [{"x": torch.zeros(3)}, {"y": torch.zeros(2)}])
def test_policies_of_another_shape_are_not_mixed(tmp_path: Path, other: dict[str, Tensor]) -> None:
    for name, weights in (("a", {"x": torch.zeros(2)}), ("b", other)):
        (tmp_path / name).mkdir()
        save_file(weights, tmp_path / name / "model.safetensors")
    with pytest.raises(RunError, match=r"x is \(2,\) in one"):
        write_mixture(str(tmp_path / "out"), [(str(tmp_path / "a"), 0.5), (str(tmp_path / "b"), 0.5)])
