"""Scripted stand-ins for the three actors: everything around them is the real thing.

They load and verify models as the real ones do, and all that they say depends on every byte that the real ones would
use: the weights, the architecture, the tokenizer's files, the examples in their order. A run that ends with the same
files has read the same bytes on its way.
"""

import asyncio
import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from roundelay.orchestrator.cluster.step_report import StepReport
from roundelay.orchestrator.config.schema import ClusterConfig, Config, ModelConfig
from roundelay.orchestrator.data.records import (
    Generation,
    GenerationRequest,
    PolicyRef,
    TokenSequence,
    TrainingExample,
    UpdateStart,
)
from roundelay.orchestrator.ledger.checksums import model_files, weights_hash
from roundelay.orchestrator.ledger.model_files import directory_for, verified_copy

WEIGHTS = "model.safetensors"
PAUSE = "FAULTS_PAUSE_S"  # how long every call to an engine takes

Hashes = tuple[str, dict[str, str]]


def digest(*parts: Any) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def number(*parts: Any) -> float:
    """In [0, 1)."""
    return int(digest(*parts)[:8], 16) / 2**32


def bytes_in(directory: str | Path, *patterns: str) -> str:
    """A digest of the files that match."""
    paths = sorted({path for pattern in patterns for path in Path(directory).glob(pattern)})
    return digest([(path.name, path.read_bytes()) for path in paths])


def read_state(directory: str) -> tuple[str, str]:
    """What stands for a model's weights and for its architecture."""
    tensors = load_file(str(Path(directory, WEIGHTS)))
    state = tensors["state"].tobytes().hex() if "state" in tensors else bytes_in(directory, WEIGHTS)
    return state, bytes_in(directory, "config.json")


def logps_of(model: tuple[str, str], sequence: TokenSequence) -> list[float]:
    return [
        -1.0 - number(model, sequence.prompt_token_ids, sequence.token_ids[: t + 1])
        for t in range(len(sequence.token_ids))
    ]


class Rollouts:
    """In place of the rollout worker."""

    def __init__(self, model: ModelConfig, cluster: ClusterConfig, policy: PolicyRef):
        self.held, self.policy_version = read_state(verified_copy(policy)), policy.version
        self.tokenizer = bytes_in(model.path, "tokenizer*", "*.jinja", "generation_config.json")

    async def ready(self) -> int:
        return self.policy_version

    async def generate(self, requests: Sequence[GenerationRequest], policy_version: int) -> list[Generation]:
        assert policy_version == self.policy_version
        await asyncio.sleep(float(os.environ.get(PAUSE, 0)))
        return [self._answer(request) for request in requests]

    async def score(self, sequences: Sequence[TokenSequence]) -> list[list[float]]:
        return [logps_of(self.held, sequence) for sequence in sequences]

    async def load_weights(self, weights: tuple[str, str], policy_version: int) -> None:
        self.held, self.policy_version = weights, policy_version

    async def sleep(self) -> None: ...

    async def wake(self) -> None: ...

    async def busy_seconds(self) -> float:
        return 0.0

    def _answer(self, request: GenerationRequest) -> Generation:
        prompt = self._tokens(request.messages, request.assistant_prefix)
        spoken = digest(self.held, prompt, request.seed)
        tokens = (*(int(spoken[i : i + 3], 16) % 500 + 10 for i in (0, 3, 6)), 2)
        return Generation(
            prompt_token_ids=prompt,
            plain_token_ids=self._tokens(request.plain_messages, "") if request.plain_messages else (),
            token_ids=tokens,
            logprobs=() if request.choices else tuple(-number(spoken, t) for t in range(len(tokens))),
            text=f"It is {spoken[:8]}.",
            finish_reason="stop",
            choice_logprobs=tuple(-0.1 - number(spoken, choice) for choice in request.choices),
        )

    def _tokens(self, messages: Any, prefix: str) -> tuple[int, ...]:
        said = digest(self.tokenizer, messages, prefix)
        return tuple(int(said[i : i + 3], 16) % 500 + 10 for i in (0, 3, 6, 9))


class Learner:
    """In place of the learner, one rank."""

    def __init__(self, config: Config, rank: int, world_size: int, threads: int):
        self.run_config, self.config = config, config.at(1)

    def address(self) -> tuple[str, int]:
        return "127.0.0.1", 0

    def connect(self, master: tuple[str, int]) -> None: ...

    def hold(self, policy: PolicyRef) -> None:
        self.read_from = verified_copy(policy)
        self.weights, self.architecture = read_state(self.read_from)
        self.beside, self.steps, self.pending = "", 0, []

    def begin(self, start: UpdateStart) -> None:
        self.config = self.run_config.at(start.round)
        self.hold(start.policy)
        beside = [start.reference, start.critic, start.optimizer]
        self.beside = digest(start.round, [read_state(verified_copy(model))[0] for model in beside if model])

    def restore(self, start: UpdateStart, written: PolicyRef) -> str:
        self.begin(start)
        directory = verified_copy(written)
        self.weights, _ = read_state(directory)
        self.steps = json.loads(Path(directory, "notes.json").read_text())["steps"]
        return f"the update goes on after step {self.steps}"

    def prepare(self, examples: Sequence[TrainingExample], last: bool) -> None: ...

    def update(self, examples: Sequence[TrainingExample], flush: bool) -> list[StepReport]:
        self.pending.extend(examples)
        size, reports = self.config.learner.pairs_per_step, []
        while len(self.pending) >= size or (flush and self.pending):
            step, self.pending = self.pending[:size], self.pending[size:]
            self.weights = digest(self.weights, self.architecture, self.beside, step)
            self.steps += 1
            rows = tuple({"loss": number(self.weights, example.id)} for example in step)
            reports.append(
                StepReport(step=self.steps, learning_rate=1e-3, grad_norm=1.0, seconds=1.0, tokens=8, rows=rows)
            )
        return reports

    def measure(self, examples: Sequence[TrainingExample]) -> list[dict[str, float]]:
        return [{"loss": number(self.weights, example), "accuracy": 1.0} for example in examples]

    def logps(self, sequences: Sequence[TokenSequence]) -> list[tuple[int, list[float]]]:
        return list(enumerate(logps_of((self.weights, self.architecture), sequence) for sequence in sequences))

    def scores(self, sequences: Sequence[TokenSequence]) -> list[tuple[int, list[float]]]:
        return [(index, [number(self.weights, sequence)]) for index, sequence in enumerate(sequences)]

    def export_weights(self) -> tuple[str, str]:
        return self.weights, self.architecture

    def save_policy(self, path: str) -> Hashes:
        return self._save(path, self.weights)

    def save_reward_model(self, path: str) -> Hashes:
        return self._save(path, self.weights)

    def save_critic(self, path: str) -> Hashes:
        return self._save(path, digest(self.weights, "critic"))

    def save_mixture(self, path: str, parts: Sequence[tuple[PolicyRef, float]]) -> Hashes:
        return self._save(path, digest([(read_state(verified_copy(part)), share) for part, share in parts]))

    def save_checkpoint(self, path: str) -> Hashes:
        return self._save(path, self.weights, {"steps": self.steps})

    def ready(self) -> int:
        return 0

    def busy_seconds(self) -> float:
        return 0.0

    def _save(self, path: str, state: str, notes: Mapping[str, Any] | None = None) -> Hashes:
        with directory_for(path) as directory:
            for file in Path(self.read_from).iterdir() if notes is None else ():
                if file.is_file() and file.name != WEIGHTS:
                    shutil.copyfile(file, Path(directory, file.name))
            if notes is not None:
                Path(directory, "notes.json").write_text(json.dumps(notes))
            save_file({"state": np.frombuffer(bytes.fromhex(state), np.uint8)}, str(Path(directory, WEIGHTS)))
            return weights_hash(directory), model_files(directory)


class Scorer:
    """In place of the scorer."""

    def __init__(self, config: Config, threads: int):
        self.models: dict[str, tuple[str, str]] = {}

    def hold(self, models: Mapping[str, PolicyRef]) -> None:
        self.models = {name: read_state(verified_copy(model)) for name, model in models.items()}

    def score(self, name: str, sequences: Sequence[TokenSequence]) -> list[list[float]]:
        return [[number(self.models[name][0], sequence)] for sequence in sequences]

    def logps(self, name: str, sequences: Sequence[TokenSequence]) -> list[list[float]]:
        return [logps_of(self.models[name], sequence) for sequence in sequences]

    def ready(self) -> None: ...

    def busy_seconds(self) -> float:
        return 0.0
