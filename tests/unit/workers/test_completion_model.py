"""Log-probs and what goes with them, from hidden states at response places: against full logits, in plain PyTorch."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from roundelay.orchestrator.data.records import TokenSequence
from roundelay.workers import completion_model
from roundelay.workers.completion_model import CompletionModel, extrapolated_logps
from roundelay.workers.packing import ATTENTION, PackedBatch

GROUPS = [
    [
        TokenSequence(prompt_token_ids=(5, 6, 7), token_ids=(30, 31, 32, 2)),
        TokenSequence(prompt_token_ids=(5, 6, 7), token_ids=(40, 2)),
    ],
    [TokenSequence(prompt_token_ids=(8, 9), token_ids=(50, 51, 2))],
]
EXTRAS = ("entropy", "log_collision", "hidden")


@pytest.fixture
def batch() -> PackedBatch:
    return PackedBatch.of(GROUPS, torch.device("cpu"))


@pytest.fixture
def model(untied_model: Path) -> CompletionModel:
    return read(untied_model)


def read(path: Path) -> CompletionModel:
    return CompletionModel(AutoModelForCausalLM.from_pretrained(path, attn_implementation=ATTENTION))


def other_of(model: CompletionModel, path: Path) -> CompletionModel:
    """The same model with all its weights moved a little, as a policy is after some steps."""
    other = read(path)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return other


def gradients_of(model: CompletionModel) -> dict[str, Tensor]:
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}


def full_logits(path: Path) -> Tensor:
    """The plain model's next-token logits at the place before each response token, shape (N, V)."""
    plain: Any = AutoModelForCausalLM.from_pretrained(path)
    parts = []
    for one in (one for group in GROUPS for one in group):
        first = len(one.prompt_token_ids)
        with torch.no_grad():
            parts.append(plain(torch.tensor([[*one.prompt_token_ids, *one.token_ids]])).logits[0, first - 1 : -1])
    return torch.cat(parts)


@pytest.mark.parametrize("chunk", [1, 4, 9, 10])
def test_chunks_change_neither_outputs_nor_gradients(
    model: CompletionModel, batch: PackedBatch, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    """Nine response tokens, a whole number of chunks or not: logits are made, and made again, a chunk at a time."""
    weights = torch.linspace(-1, 1, 9) / 9
    expected = model(batch, EXTRAS)
    (expected["logps"] * weights).sum().backward()
    gradients = gradients_of(model)
    model.zero_grad()
    assert len(gradients) == len(list(model.parameters()))
    monkeypatch.setattr(completion_model, "CHUNK", chunk)
    sizes: list[int] = []
    head = model.language_model.get_output_embeddings()
    hook = head.register_forward_hook(lambda _module, inputs, _output: sizes.append(len(inputs[0])))
    found = model(batch, EXTRAS)
    hook.remove()
    assert max(sizes) == min(chunk, 9) and sum(sizes) == 9
    assert found.keys() == expected.keys() == {"logps", *EXTRAS}
    for name, values in expected.items():
        torch.testing.assert_close(found[name], values, atol=1e-6, rtol=1e-6, msg=name)
    (found["logps"] * weights).sum().backward()
    for name, gradient in gradients_of(model).items():
        torch.testing.assert_close(gradient, gradients[name], atol=1e-6, rtol=1e-6, msg=lambda text, n=name: n + text)


def test_chunks_without_gradient_give_the_same(
    model: CompletionModel, batch: PackedBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = model(batch)["logps"].detach()
    monkeypatch.setattr(completion_model, "CHUNK", 2)
    with torch.no_grad():
        found = model(batch)
    assert list(found) == ["logps"]
    torch.testing.assert_close(found["logps"], expected, atol=1e-6, rtol=0)


def test_extras_are_those_of_the_full_distribution(
    model: CompletionModel, batch: PackedBatch, untied_model: Path
) -> None:
    """−Σ π log π and log Σ π², over the whole vocabulary at each response token."""
    found = model(batch, EXTRAS)
    probabilities = full_logits(untied_model).softmax(-1)
    torch.testing.assert_close(found["entropy"], -(probabilities * probabilities.log()).sum(-1), atol=1e-5, rtol=0)
    torch.testing.assert_close(found["log_collision"], (probabilities**2).sum(-1).log(), atol=1e-5, rtol=0)


def test_extras_carry_no_gradient_and_log_probs_do(model: CompletionModel, batch: PackedBatch) -> None:
    found = model(batch, EXTRAS)
    assert found["logps"].requires_grad and found["logps"].dtype == torch.float32
    assert not any(found[name].requires_grad for name in EXTRAS)


def test_only_what_is_asked_for_is_given(model: CompletionModel, batch: PackedBatch) -> None:
    assert set(model(batch)) == {"logps"}
    assert set(model(batch, ("log_collision",))) == {"logps", "log_collision"}


def test_half_precision_models_give_log_probs_in_single(model: CompletionModel, batch: PackedBatch) -> None:
    """Normalised in float32: probabilities of half-precision logits would not add up to 1."""
    found = model.to(torch.bfloat16)(batch, ("entropy",))
    assert found["logps"].dtype == found["entropy"].dtype == torch.float32


# ------------------------------------------------------------------------------------------------------- extrapolation


def hidden(model: CompletionModel, batch: PackedBatch) -> Tensor:
    with torch.no_grad():
        return model(batch, ("hidden",))["hidden"]


@pytest.mark.parametrize("chunk", [4, 1024])
def test_extrapolated_log_probs_are_of_the_combined_logits(
    model: CompletionModel, batch: PackedBatch, untied_model: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    """log softmax of (1 + λ)·h_policy − λ·h_reference at the response token (arXiv 2406.04412), for λ = 1/2; heads
    differ between the models, too."""
    monkeypatch.setattr(completion_model, "CHUNK", chunk)
    policy = other_of(model, untied_model)
    with torch.no_grad():
        found = extrapolated_logps(policy, hidden(policy, batch), model, hidden(model, batch), batch, 0.5)
        own = policy.language_model.lm_head(hidden(policy, batch))
    combined = 1.5 * own - 0.5 * full_logits(untied_model)
    expected = combined.log_softmax(-1)[range(9), batch.targets_N]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert (found - policy(batch)["logps"].detach()).abs().max() > 1e-3


def test_without_extrapolation_log_probs_are_the_policys(
    model: CompletionModel, batch: PackedBatch, untied_model: Path
) -> None:
    """λ = 0, and whatever the reference is. Models may come wrapped, as DeepSpeed wraps them."""
    policy = other_of(model, untied_model)
    with torch.no_grad():
        wrapped = SimpleNamespace(module=policy)
        found = extrapolated_logps(wrapped, hidden(policy, batch), model, hidden(model, batch), batch, 0.0)
    torch.testing.assert_close(found, policy(batch)["logps"].detach(), atol=1e-6, rtol=0)
