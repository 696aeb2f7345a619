"""The scorer actor: a reward model that scores responses in batches. Owns no policy on what is asked of it.

A batched torch forward rather than a vLLM pooling engine: it computes what the learner that trained the model computes,
takes new weights without a second engine, and scoring is a single prefill a response.
"""

import time
from collections.abc import Sequence
from typing import Any

import torch

from ..orchestrator.config import Config
from ..orchestrator.records import PolicyRef, TokenSequence
from .completion_model import ScoreModel
from .packing import PackedBatch, micro_batches, packed_length
from .policy_model import read_reward_model


class Scorer:
    """A Ray actor around one reward model.

    Args:
        config: the run's configuration.
        threads: torch threads.
    """

    def __init__(self, config: Config, threads: int):
        torch.set_num_threads(threads)
        self.config = config
        self.device = torch.device("cuda:0" if config.cluster.device == "gpu" else "cpu")
        self.model: Any = None
        self._busy_s = 0.0

    def load(self, reward_model: PolicyRef) -> None:
        """Take on another reward model."""
        self.model = None
        scorer = read_reward_model(self.config, reward_model.path, self.device)
        self.model = ScoreModel(scorer).requires_grad_(False).eval()

    def score(self, sequences: Sequence[TokenSequence]) -> list[float]:
        """A score for each sequence, read at its last token."""
        assert self.model is not None, "load comes first"
        started = time.monotonic()
        lengths = [packed_length([sequence]) for sequence in sequences]
        scores: list[float] = []
        with torch.no_grad():
            for part in micro_batches(lengths, tokens=self.config.learner.tokens_per_device, examples=None):
                batch = PackedBatch.of([[sequences[index]] for index in part], self.device)
                scores.extend(self.model(batch)["scores"][:, 0].tolist())
        self._busy_s += time.monotonic() - started
        return scores

    def ready(self) -> None:
        """Answer once the process is up."""

    def busy_seconds(self) -> float:
        """Seconds so far spent scoring."""
        return self._busy_s
