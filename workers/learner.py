"""The learner: one DeepSpeed rank. Owns the update of a round; knows nothing of judges, pairs' origins or vLLM.

Every round starts from the committed files of the policy before it and a new optimizer. So a resumed round runs the
same code on the same numbers as an uninterrupted one, and nothing of the learner's memory needs to survive a crash.
"""

import contextlib
import gc
import os
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import deepspeed
import ray
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from ..orchestrator.config import Config
from ..orchestrator.errors import NonFiniteError
from ..orchestrator.policies import local_copy, publish, weights_hash
from ..orchestrator.records import PolicyRef, TokenSequence, TrainingPair
from ..orchestrator.step_report import StepReport
from ..recipes.objectives import dpo
from ..recipes.schedules import learning_rate_factor
from .completion_model import CompletionBatch, CompletionModel, completion_logps
from .encoding import ChatEncoder
from .weight_sync import HostWeights, pack

PREFIX = "language_model."


def deepspeed_config(config: Config) -> dict[str, Any]:
    """DeepSpeed's configuration. The caller owns accumulation: gradients add up until `step()`."""
    learner = config.learner
    return {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "managed_gradient_accumulation": False,
        "gradient_clipping": learner.max_grad_norm,
        "zero_optimization": {"stage": learner.zero_stage, "overlap_comm": False},
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "bf16": {"enabled": config.model.dtype == "bfloat16"},
        "fp16": {"enabled": config.model.dtype == "float16"},
        "steps_per_print": 10**9,
    }


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
        self._reference_logps: dict[str, tuple[float, float]] = {}
        self._pending: list[TrainingPair] = []
        self._steps = 0
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
        if self.policy == policy and self._steps == 0:
            return
        self.engine = None
        gc.collect()
        model = CompletionModel(self._read_model(policy.path))
        learner = self.config.learner
        optimizer = torch.optim.AdamW(
            model.parameters(),
            lr=learner.learning_rate,
            betas=learner.adam_betas,
            eps=learner.adam_eps,
            weight_decay=learner.weight_decay,
        )
        self.engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=deepspeed_config(self.config))
        self.engine.train()
        self.policy, self._steps, self._pending = policy, 0, []

    def load_reference(self, reference: PolicyRef | None) -> None:
        """Hold `reference` frozen beside the policy; None for no second model."""
        self._reference_logps = {}
        if reference == self.reference_ref:
            return
        self.reference = None
        gc.collect()
        self.reference_ref = reference
        if reference is None:
            return
        model = CompletionModel(self._read_model(reference.path)).requires_grad_(False)
        if self.config.learner.zero_stage == 3:  # sharded like the policy
            model, *_ = deepspeed.initialize(model=model, config=deepspeed_config(self.config))
        model.eval()
        self.reference = model

    def _read_model(self, path: str) -> torch.nn.Module:
        settings, path = self.config.model, local_copy(path)
        config = AutoConfig.from_pretrained(path, trust_remote_code=settings.trust_remote_code)
        for name, value in config.to_dict().items():  # dropout off, whatever the architecture calls it
            if name.endswith(("dropout", "pdrop")) and isinstance(value, float):
                setattr(config, name, 0.0)
        model: Any = AutoModelForCausalLM.from_pretrained(
            path,
            config=config,
            dtype=getattr(torch, settings.dtype),
            trust_remote_code=settings.trust_remote_code,
            use_safetensors=True,
        )
        if self.config.learner.gradient_checkpointing:
            model.gradient_checkpointing_enable()
        return model.to(self.device)

    # The update -------------------------------------------------------------------------------------------------

    def update(self, pairs: Sequence[TrainingPair], flush: bool) -> list[StepReport]:
        """Take pairs in order; make an optimizer step whenever `pairs_per_step` have come together.

        Args:
            pairs: the next pairs of the round, the same on every rank.
            flush: whether to step on what is left (the end of an epoch).

        Raises:
            NonFiniteError: with the ids of the pairs.
        """
        self._pending.extend(pairs)
        size = self.config.learner.pairs_per_step
        reports = []
        while len(self._pending) >= size or (flush and self._pending):
            step, self._pending = self._pending[:size], self._pending[size:]
            reports.append(self._step(step))
        return reports

    def _step(self, pairs: Sequence[TrainingPair]) -> StepReport:
        started = time.monotonic()
        learner = self.config.learner
        mine = pairs[self.rank :: self.world_size]
        most = -(-len(pairs) // self.world_size)  # pairs on rank 0: every rank makes as many forward passes
        rows: list[dict[str, float]] = []
        for start in range(0, most, learner.pairs_per_device):
            micro = mine[start : start + learner.pairs_per_device]
            losses_B, metrics = self._losses(micro or pairs[:1])
            if micro:
                rows.extend(_rows(micro, losses_B, metrics))
            # DeepSpeed averages over ranks: the step's gradient is that of the mean over its pairs.
            scale = self.world_size / len(pairs) if micro else 0.0
            self.engine.backward(losses_B.sum() * scale)
        learning_rate = learner.learning_rate * learning_rate_factor(
            pairs[0].progress,
            schedule=learner.schedule,
            warmup_fraction=learner.warmup_fraction,
            final_fraction=learner.final_lr_fraction,
        )
        for group in self.engine.optimizer.param_groups:
            group["lr"] = learning_rate
        self.engine.step()
        grad_norm = float(self.engine.get_global_grad_norm() or 0.0)
        if not torch.isfinite(torch.tensor(grad_norm)):
            raise NonFiniteError(f"gradient norm {grad_norm} at step {self._steps} on pairs {_ids(pairs)}")
        self._steps += 1
        seconds = time.monotonic() - started
        self._busy_s += seconds
        tokens = sum(len(p.prompt_token_ids) * 2 + len(p.chosen_token_ids) + len(p.rejected_token_ids) for p in mine)
        return StepReport(
            step=self._steps, learning_rate=learning_rate, grad_norm=grad_norm, seconds=seconds, tokens=tokens,
            rows=tuple(rows),
        )  # fmt: skip

    def _losses(self, pairs: Sequence[TrainingPair]) -> tuple[Tensor, dict[str, Tensor]]:
        batch = CompletionBatch.of(_sequences(pairs), self.device)
        logps_2B = batch.sums(completion_logps(self.engine, batch))
        reference_2B = self._reference_sums(pairs, batch)
        if self._steps == 0 and self.config.objective.reference.logps == "rollout":
            _check_rollout_logps(pairs, logps_2B.detach(), reference_2B, batch.lengths, self.config.model.dtype)
        half = len(pairs)
        losses_B, metrics = dpo(
            logps_2B[:half], logps_2B[half:], reference_2B[:half], reference_2B[half:], beta=self.config.objective.beta
        )
        if not torch.isfinite(losses_B).all():
            raise NonFiniteError(f"loss {losses_B.tolist()} at step {self._steps} on pairs {_ids(pairs)}")
        return losses_B, metrics

    def _reference_sums(self, pairs: Sequence[TrainingPair], batch: CompletionBatch) -> Tensor:
        """Σ log-probs under the reference, chosen then rejected, shape (2B,). Computed once a round and pair."""
        if self.config.objective.reference.policy == "none":
            return torch.zeros(2 * len(pairs), device=self.device)
        known = {pair.id: pair.reference_logps or self._reference_logps.get(pair.id) for pair in pairs}
        if self.reference is not None and (self.config.learner.zero_stage == 3 or None in known.values()):
            with torch.no_grad():
                sums_2B = batch.sums(completion_logps(self.reference, batch))
            chosen, rejected = sums_2B.tolist()[: len(pairs)], sums_2B.tolist()[len(pairs) :]
            for pair, logps in zip(pairs, zip(chosen, rejected, strict=True), strict=True):
                self._reference_logps[pair.id] = logps
            return sums_2B
        missing = [identity for identity, logps in known.items() if logps is None]
        assert not missing, f"no reference log-probs for pairs {missing}"
        values = [logps for logps in known.values() if logps is not None]
        return torch.tensor([c for c, _ in values] + [r for _, r in values], device=self.device)

    # What others need of the weights ----------------------------------------------------------------------------

    def logps(self, sequences: Sequence[TokenSequence]) -> list[tuple[int, list[float]]]:
        """Per-token log-probs of this rank's share of `sequences` under the policy, with their indices."""
        started = time.monotonic()
        width = 2 * self.config.learner.pairs_per_device
        mine = list(range(self.rank, len(sequences), self.world_size))
        most = -(-len(sequences) // self.world_size)
        scored: list[tuple[int, list[float]]] = []
        for start in range(0, most, width):
            indices = mine[start : start + width]
            batch = CompletionBatch.of([sequences[index] for index in indices or [0]], self.device)
            with torch.no_grad():
                values = batch.split(completion_logps(self.engine, batch))
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
        weights = self._full_weights()
        if self.rank != 0:
            return _exhaust(weights)
        remote = "://" in path
        with tempfile.TemporaryDirectory() if remote else contextlib.nullcontext(path) as directory:
            self.engine.module.language_model.save_pretrained(directory, state_dict=dict(weights))
            self.encoder.tokenizer.save_pretrained(directory)
            if remote:
                publish(directory, path)
            return weights_hash(directory)

    def _full_weights(self) -> Iterator[tuple[str, Tensor]]:
        """(name, full tensor on the CPU) in checkpoint names; under ZeRO-3 one parameter is gathered at a time."""
        for name, parameter in self.engine.module.named_parameters():
            with deepspeed.zero.GatheredParameters([parameter], enabled=self.config.learner.zero_stage == 3):
                full = parameter.detach().cpu()
                # A gathered parameter is taken away again; one that is whole anyway needs no copy of its own.
                yield name.removeprefix(PREFIX), full.clone() if self.config.learner.zero_stage == 3 else full

    def ready(self) -> int:
        return self.rank

    def busy_seconds(self) -> float:
        """Seconds so far spent in forward, backward and optimizer steps."""
        return self._busy_s


def _check_rollout_logps(
    pairs: Sequence[TrainingPair], logps_2B: Tensor, sampler_2B: Tensor, lengths: Sequence[int], dtype: str
) -> None:
    """Before the first step policy and sampler are the same model: their log-probs must agree.

    Raises:
        RuntimeError: the mean difference a token is over the tolerance.
    """
    tolerance = {"float32": 1e-4, "bfloat16": 5e-2, "float16": 1e-2}[dtype]
    per_token = (logps_2B - sampler_2B).abs() / torch.tensor(lengths, device=logps_2B.device)
    if (worst := float(per_token.max())) > tolerance:
        raise RuntimeError(
            f"objective.reference.logps=rollout: sampler and learner differ by {worst:.2e} nats a token "
            f"(tolerance {tolerance:.0e}) on pairs {_ids(pairs)}; set objective.reference.logps=recompute"
        )


def _sequences(pairs: Sequence[TrainingPair]) -> list[TokenSequence]:
    """Chosen responses, then rejected ones."""
    chosen = [TokenSequence(prompt_token_ids=p.prompt_token_ids, token_ids=p.chosen_token_ids) for p in pairs]
    rejected = [TokenSequence(prompt_token_ids=p.prompt_token_ids, token_ids=p.rejected_token_ids) for p in pairs]
    return chosen + rejected


def _rows(pairs: Sequence[TrainingPair], losses_B: Tensor, metrics: dict[str, Tensor]) -> list[dict[str, float]]:
    columns = {"loss": losses_B.detach().tolist()} | {name: values.tolist() for name, values in metrics.items()}
    return [{name: values[index] for name, values in columns.items()} for index in range(len(pairs))]


def _ids(pairs: Sequence[TrainingPair]) -> list[str]:
    return [pair.id for pair in pairs]


def _exhaust(weights: Iterator[Any]) -> None:
    """Take part in gathering weights that another rank keeps."""
    for _ in weights:
        pass
