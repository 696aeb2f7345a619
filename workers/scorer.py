"""The scorer actor: models that judge beside the policy, asked in batches. Owns no policy on what is asked of them.

A model is a reward model, which gives a response a score, or a frozen policy, which gives its tokens log-probs.
Batched torch forwards rather than further vLLM engines: they compute what the learner that trained the model computes,
take new weights without a second engine, and a response is a single prefill.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..orchestrator.config.schema import Config
from ..orchestrator.data.records import PolicyRef, TokenSequence
from ..orchestrator.ledger.model_files import verified_copy
from ..orchestrator.parts.judge import REWARD_MODEL
from .completion_model import CompletionModel, ScoreModel
from .encoding import ChatEncoder
from .packing import PackedBatch, micro_batches, packed_length
from .policy_model import read_model, read_reward_model


class Scorer:
    """A Ray actor around a few frozen models.

    Args:
        config: the run's configuration.
        threads: torch threads.
    """

    def __init__(self, config: Config, threads: int):
        torch.set_num_threads(threads)
        self.config = config
        self.device = torch.device("cuda:0" if config.cluster.device == "gpu" else "cpu")
        model = config.model
        self.encoder = ChatEncoder(model.path, trust_remote_code=model.trust_remote_code, date=model.date)
        self.models: dict[str, PolicyRef] = {}
        self._loaded: dict[PolicyRef, Any] = {}
        self._busy_s = 0.0

    def hold(self, models: Mapping[str, PolicyRef]) -> None:
        """Hold `models` and no others, by name. What is loaded already is not read again, whatever it is called now.

        Raises:
            ConfigError, RunError: a model's files are not whole.
        """
        self.models = dict(models)
        self._loaded = {model: loaded for model, loaded in self._loaded.items() if model in models.values()}
        for name, model in models.items():
            if model not in self._loaded:
                self._loaded[model] = self._read(name, verified_copy(model)).requires_grad_(False).eval()

    def _read(self, name: str, path: str) -> CompletionModel | ScoreModel:
        if name == REWARD_MODEL:
            return ScoreModel(read_reward_model(self.config, path, self.device))
        return CompletionModel(read_model(self.config, path, self.device))

    def score(self, name: str, sequences: Sequence[TokenSequence]) -> list[list[float]]:
        """A reward model's scores for each sequence, read at its end-of-turn token: one, or one an attribute."""
        ended = [self.encoder.ended(sequence) for sequence in sequences]
        return self._of_sequences(name, ended, lambda _, outputs: outputs["scores"].tolist())

    def logps(self, name: str, sequences: Sequence[TokenSequence]) -> list[list[float]]:
        """A policy's log-probs of each sequence's response tokens."""
        return self._of_sequences(
            name, sequences, lambda batch, outputs: [logps_n.tolist() for logps_n in batch.split(outputs["logps"])]
        )

    def _of_sequences(
        self,
        name: str,
        sequences: Sequence[TokenSequence],
        read: Callable[[PackedBatch, dict[str, Tensor]], list[Any]],
    ) -> list[Any]:
        """What `read` takes of the model's outputs for each sequence, in order."""
        assert name in self.models, f"hold comes first: {name} is none of {', '.join(self.models) or 'no models'}"
        started, model = time.monotonic(), self._loaded[self.models[name]]
        lengths = [packed_length([sequence]) for sequence in sequences]
        found: list[Any] = []
        with torch.no_grad():
            for part in micro_batches(lengths, tokens=self.config.learner.tokens_per_device, examples=None):
                batch = PackedBatch.of([[sequences[index]] for index in part], self.device)
                found.extend(read(batch, model(batch)))
        self._busy_s += time.monotonic() - started
        return found

    def ready(self) -> None:
        """Answer once the process is up."""

    def busy_seconds(self) -> float:
        """Seconds so far spent on sequences."""
        return self._busy_s
