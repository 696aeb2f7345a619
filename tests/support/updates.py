"""What tests of whole updates share: examples of token ids, learners at the start of an update, the same step in plain
PyTorch, and weights to compare."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import ray
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification

from roundelay.launch.config.loading import load_config
from roundelay.orchestrator.config.schema import Config
from roundelay.orchestrator.data.records import PolicyRef, TokenSequence, TrainingExample, UpdateStart
from roundelay.orchestrator.ledger.checksums import weights_hash

from .learner_host import RemoteLearner

# Adam's eps is large, so that a step depends smoothly on its gradient: one of pure rounding noise would otherwise move
# its weight by a full learning rate.
LEARNING_RATE, ADAM_EPS = 1e-3, 1e-2
SIZES = (
    f"learner.learning_rate={LEARNING_RATE}",
    f"learner.adam_eps={ADAM_EPS}",
    "learner.schedule=constant",
    "learner.pairs_per_step=6",
    "learner.pairs_per_device=2",
)
POLICY_GRADIENT = ("pairing=group", "generation.sampling.temperature=1.0", "generation.sampling.top_p=1.0")


def config_of(model: Path, *overrides: str) -> Config:
    return load_config(["model=local", f"model.path={model}", *SIZES, *overrides], default_name="test")


def sequence(prompt: Iterable[int], response: Iterable[int]) -> TokenSequence:
    return TokenSequence(prompt_token_ids=tuple(prompt), token_ids=tuple(response))


def pairs(count: int) -> list[TrainingExample]:
    """All prompts and responses of different length."""
    return [
        TrainingExample(
            id=f"p{index}",
            sequences=tuple(
                sequence(range(5, 9 + index), (*range(first, first + length), 2))
                for first, length in ((30 + index, 6 + index), (90 + index, 3))
            ),
            progress=index / count,
        )
        for index in range(count)
    ]


def groups(count: int) -> list[TrainingExample]:
    """Two or three scored responses to each prompt; the id of one looks like a path."""
    return [
        TrainingExample(
            id=f"g/{index}" if index == 1 else f"g{index}",
            sequences=tuple(
                sequence(range(5, 8 + index), (*range(20 * k + 10 + index, 20 * k + 12 + index + (index + k) % 4), 2))
                for k in range(2 + index % 2)
            ),
            scores=tuple(((7 * index + 5 * k) % 11) / 4 - 1 for k in range(2 + index % 2)),
            progress=index / count,
        )
        for index in range(count)
    ]


def ref(path: Path | str, version: int = 0) -> PolicyRef:
    return PolicyRef(version=version, path=str(path), sha256=weights_hash(str(path)))


class Learners:
    """Learners of one rank in the process of `host`, each made at the start of an update."""

    def __init__(self, host: Any):
        self._host = host

    def __call__(self, config: Config, start: UpdateStart) -> RemoteLearner:
        learner = RemoteLearner(self._host, ray.get(self._host.make.remote(config, start.policy, None)))
        learner.begin(start)
        return learner

    def tensor_bytes(self) -> int:
        """What all tensors of the process hold."""
        return ray.get(self._host.tensor_bytes.remote())


class Ranks:
    """The ranks of one learner, one a process, called together."""

    def __init__(self, hosts: list[Any], config: Config, start: UpdateStart):
        self.hosts = hosts
        ray.get([host.create.remote(config, rank, len(hosts)) for rank, host in enumerate(hosts)])
        self.all("begin", start)

    def all(self, method: str, *args: Any) -> list[Any]:
        return ray.get([host.call.remote(-1, method, *args) for host in self.hosts])

    def losses(self, examples: Sequence[TrainingExample]) -> list[float]:
        """The sum of each step's losses, over the examples of all ranks."""
        steps = zip(*self.all("update", list(examples), True), strict=True)
        return [sum(row["loss"] for report in step for row in report.rows) for step in steps]

    def saved(self, kind: str, path: Path) -> dict[str, Tensor]:
        """The weights that `save_{kind}` writes."""
        self.all(f"save_{kind}", str(path))
        return tensors_in(path)


def exported(learner: RemoteLearner) -> dict[str, Tensor]:
    """The policy's weights."""
    from roundelay.workers.weight_sync import unpack

    weights: Any = learner.export_weights()
    return {name: tensor.clone() for name, tensor in unpack(weights)}


def tensors_in(directory: Path | str) -> dict[str, Tensor]:
    """Of all safetensors files in a directory, by name."""
    return {n: t for file in sorted(Path(directory).glob("*.safetensors")) for n, t in load_file(file).items()}


def assert_close(found: dict[str, Tensor], expected: dict[str, Tensor], *, atol: float) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, atol=atol, rtol=0, msg=lambda text, n=name: f"{n}: {text}")


def assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """To the bit."""
    assert_close(found, expected, atol=0.0)


def furthest(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """The largest difference of any weight."""
    return max(float((one[name] - tensor).abs().max()) for name, tensor in other.items())


def scorer_at(path: Path | str) -> Any:
    """A reward model or critic in plain transformers."""
    return AutoModelForSequenceClassification.from_pretrained(path, num_labels=1, attn_implementation="eager")


def score_alone(model: Any, one: TokenSequence) -> Tensor:
    return model(torch.tensor([one.prompt_token_ids + one.token_ids])).logits[0, 0]


def steps_by_hand(
    models: Sequence[nn.Module], loss: Callable[[], Tensor], *, steps: int = 1, learning_rate: float = LEARNING_RATE
) -> list[float]:
    """Steps of AdamW with the gradient clipped at 1 over all models. Returns the loss before each."""
    parameters = [parameter for model in models for parameter in model.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate, betas=(0.9, 0.999), eps=ADAM_EPS, weight_decay=0.0)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        value = loss()
        value.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        losses.append(float(value.detach()))
    return losses


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
