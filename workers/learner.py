"""The learner: one DeepSpeed rank. Owns the update of a round; knows nothing of judges, pairs' origins or vLLM.

Every round starts from the committed files of the policy before it and a new optimizer. So a resumed round runs the
same code on the same numbers as an uninterrupted one, and nothing of the learner's memory needs to survive a crash.
"""

import gc
import itertools
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from typing import Any

import deepspeed
import ray
import torch
from torch import Tensor

from ..orchestrator.config import Config
from ..orchestrator.policies import local_copy, weights_hash
from ..orchestrator.records import PolicyRef, TokenSequence, TrainingExample
from ..orchestrator.seeds import derive_seed
from ..orchestrator.step_report import StepReport
from . import checkpoint
from .completion_model import CompletionModel
from .encoding import ChatEncoder
from .lora import add_adapters, full_weights
from .packing import PackedBatch, micro_batches, packed_length
from .policy_model import averaged, deepspeed_config, directory_for, read_model, save_model
from .update import Update
from .weight_sync import HostWeights, pack

PREFIX = "language_model."


class Learner:
    """One rank of the learner, a Ray actor.

    Args:
        config: the run's configuration.
        rank, world_size: of this process among the learner's ranks.
        threads: torch threads of this rank.
    """

    def __init__(self, config: Config, rank: int, world_size: int, threads: int):
        torch.set_num_threads(threads)
        self.config, self.rank, self.world_size = config, rank, world_size
        self.device = torch.device("cuda:0" if config.cluster.device == "gpu" else "cpu")
        self.encoder = ChatEncoder(config.model.path, trust_remote_code=config.model.trust_remote_code)
        self.engine: Any = None
        self.policy: PolicyRef | None = None
        self.reference: Any = None
        self.reference_ref: PolicyRef | None = None
        self._update: Update | None = None
        self._busy_s = 0.0
        self._client: Any = None
        self._sender: Any = None

    def address(self) -> tuple[str, int]:
        """Where the ranks can meet: this node's address and a free port on it."""
        with socket.socket() as probe:
            probe.bind(("", 0))
            return ray.util.get_node_ip_address(), probe.getsockname()[1]

    def connect(self, master: tuple[str, int]) -> None:
        """Join the other ranks at `master`."""
        os.environ.update(
            RANK=str(self.rank),
            LOCAL_RANK="0",
            WORLD_SIZE=str(self.world_size),
            MASTER_ADDR=master[0],
            MASTER_PORT=str(master[1]),
        )
        timeout = timedelta(seconds=self.config.cluster.call_timeout_s)
        deepspeed.init_distributed(dist_backend="nccl" if self.device.type == "cuda" else "gloo", timeout=timeout)

    # Policies ---------------------------------------------------------------------------------------------------

    def load_policy(self, policy: PolicyRef) -> None:
        """Put `policy` under a new optimizer. Does nothing if it is loaded and untouched."""
        if self.policy != policy or self.update_state.steps:
            self._start(policy, None, 0)

    def load_reference(self, reference: PolicyRef | None) -> None:
        """Hold `reference` frozen beside the policy; None for no second model."""
        if reference != self.reference_ref:
            self.reference = None
            gc.collect()
            if reference is not None:
                self.reference = self._frozen(reference)
            self.reference_ref = reference
        self.update_state.measure_against(self.reference, is_start=reference == self.policy)

    def save_checkpoint(self, path: str) -> None:
        """Write what this round's update needs to go on, to a directory or URL; a collective call."""
        assert self.policy is not None
        notes = {"policy": asdict(self.policy), "world_size": self.world_size, **self.update_state.notes()}
        tensors = checkpoint.collect(self.engine, self.config.learner.zero_stage)
        if self.rank != 0:
            return _exhaust(tensors)
        with directory_for(path) as directory:
            checkpoint.write(directory, itertools.chain(tensors, self.update_state.known_tensors()), notes)

    def load_checkpoint(self, policy: PolicyRef, reference: PolicyRef | None, path: str) -> str:
        """Go on from a checkpoint of the update that began with `policy`.

        Returns:
            in words, how exactly that continues what was interrupted.
        """
        tensors, notes = checkpoint.read(local_copy(path))
        assert PolicyRef(**notes["policy"]) == policy, "a checkpoint belongs to the policy that its round began with"
        self._start(policy, tensors, notes["steps"])
        self.load_reference(reference)
        return self.update_state.go_on(tensors, notes)

    def _start(self, policy: PolicyRef, tensors: Mapping[str, Tensor] | None, steps: int) -> None:
        """An engine and an optimizer for `policy`'s files; or with a checkpoint's tensors over them, after `steps`."""
        self.engine = self._update = None
        gc.collect()
        learner = self.config.learner
        language_model = read_model(self.config, policy.path, self.device)
        if learner.lora is not None:
            torch.manual_seed(derive_seed(self.config.run.seed, "lora", policy.version))  # the same on every rank
            language_model = add_adapters(language_model, learner.lora)
        model = CompletionModel(language_model)
        if tensors is not None:
            checkpoint.load_weights(model, tensors)
        optimizer = torch.optim.AdamW(
            [parameter for parameter in model.parameters() if parameter.requires_grad],
            lr=learner.learning_rate,
            betas=learner.adam_betas,
            eps=learner.adam_eps,
            weight_decay=learner.weight_decay,
        )
        self.engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=deepspeed_config(self.config))
        self.engine.train()
        self.policy = policy
        self._update = Update(self.config, self.engine, self.device, self.rank, self.world_size)
        if tensors is not None:
            self._update.step_on_nothing()
            checkpoint.load_optimizer(self.engine, tensors, steps=steps, zero_stage=learner.zero_stage)

    def _frozen(self, reference: PolicyRef) -> Any:
        model = CompletionModel(read_model(self.config, reference.path, self.device)).requires_grad_(False)
        if self.config.learner.zero_stage == 3:  # sharded like the policy
            model, *_ = deepspeed.initialize(model=model, config=deepspeed_config(self.config))
        model.eval()
        return model

    @property
    def update_state(self) -> Update:
        """The round's update on its way."""
        assert self._update is not None, "load_policy comes first"
        return self._update

    # The update -------------------------------------------------------------------------------------------------

    def update(self, examples: Sequence[TrainingExample], flush: bool) -> list[StepReport]:
        """The next examples of the round, the same on every rank; see `Update.take`."""
        started = time.monotonic()
        reports = self.update_state.take(examples, flush)
        self._busy_s += time.monotonic() - started
        return reports

    # What others need of the weights ----------------------------------------------------------------------------

    def logps(self, sequences: Sequence[TokenSequence]) -> list[tuple[int, list[float]]]:
        """Per-token log-probs of this rank's share of `sequences` under the policy, with their indices."""
        started = time.monotonic()
        by_rank = [list(range(rank, len(sequences), self.world_size)) for rank in range(self.world_size)]
        plans = [
            [
                [indices[i] for i in part]
                for part in micro_batches(
                    [packed_length([sequences[index]]) for index in indices],
                    tokens=self.config.learner.tokens_per_device,
                    examples=None,
                )
            ]
            for indices in by_rank
        ]
        mine = plans[self.rank]
        scored: list[tuple[int, list[float]]] = []
        for indices in mine + [[]] * (max(map(len, plans)) - len(mine)):
            batch = PackedBatch.of([[sequences[index]] for index in indices or [0]], self.device)
            with torch.no_grad():
                values = batch.split(self.engine(batch)["logps"])
            scored.extend((index, value.tolist()) for index, value in zip(indices, values, strict=False))
        self._busy_s += time.monotonic() - started
        return scored

    def export_weights(self) -> HostWeights | None:
        """All weights in one buffer on rank 0, None elsewhere. A collective call."""
        weights = self._full_weights()
        return pack(weights) if self.rank == 0 else _exhaust(weights)

    def connect_rollouts(self, handles: Sequence[Any], tensor_parallel_size: int) -> None:
        """Join the rollout engines in an NCCL group. A collective call; GPUs only."""
        from .nccl_sync import GatheredSource, RolloutClient, open_sender

        self._client = RolloutClient(handles, tensor_parallel_size)
        source = GatheredSource(self.engine.module, PREFIX, self.config.learner.zero_stage)
        self._sender = open_sender(source, self._client, rank=self.rank, master=self.address())

    def send_weights(self) -> None:
        """Broadcast all weights to the engines of `connect_rollouts`. A collective call; GPUs only."""
        from .nccl_sync import GatheredSource

        # Every round has a new DeepSpeed engine: the source is the one of now.
        self._sender.source = GatheredSource(self.engine.module, PREFIX, self.config.learner.zero_stage)
        self._sender.send_weights()

    def save_policy(self, path: str) -> str | None:
        """Write the policy to a directory or URL, as plain transformers and vLLM load it; a collective call.

        Returns:
            the hash of its weights on rank 0, None elsewhere.
        """
        return self._save(self._full_weights(), path)

    def save_average(self, reference_path: str, decay: float, path: str) -> str | None:
        """Write decay·reference + (1 − decay)·policy like a policy, weight by weight; a collective call."""
        return self._save(averaged(self._full_weights(), local_copy(reference_path), decay), path)

    def _save(self, weights: Iterator[tuple[str, Tensor]], path: str) -> str | None:
        if self.rank != 0:
            return _exhaust(weights)
        model = self.engine.module.language_model
        with directory_for(path) as directory:
            save_model(model, directory, dict(weights), adapters=self.config.learner.lora is not None)
            self.encoder.tokenizer.save_pretrained(directory)
            return weights_hash(directory)

    def _full_weights(self) -> Iterator[tuple[str, Tensor]]:
        """(name, full tensor on the CPU) in checkpoint names, adapters merged. A collective call under ZeRO-3."""
        sharded = self.config.learner.zero_stage == 3
        gather = partial(deepspeed.zero.GatheredParameters, enabled=sharded)
        return full_weights(self.engine.module.language_model, gather, sharded=sharded)

    def ready(self) -> int:
        return self.rank

    def busy_seconds(self) -> float:
        """Seconds so far spent in forward, backward and optimizer steps."""
        return self._busy_s


def _exhaust(weights: Iterator[Any]) -> None:
    """Take part in gathering weights that another rank keeps."""
    for _ in weights:
        pass
