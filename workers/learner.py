"""The learner: one DeepSpeed rank. Owns the update of a round; knows nothing of judges, pairs' origins or vLLM.

Every round starts from the committed files of the policy before it and a new optimizer. So a resumed round runs the
same code on the same numbers as an uninterrupted one, and nothing of the learner's memory needs to survive a crash.
"""

import gc
import itertools
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Literal

import deepspeed
import ray
import torch
from torch import Tensor

from ..orchestrator.cluster.step_report import StepReport
from ..orchestrator.config.schema import Config, LearnerConfig
from ..orchestrator.data.records import PolicyRef, TokenSequence, TrainingExample, UpdateStart
from ..orchestrator.data.seeds import derive_seed
from ..orchestrator.ledger.checksums import Hashes, hashes_of
from ..orchestrator.ledger.model_files import directory_for, verified_copy
from . import checkpoint
from .build_locks import remove_stale_build_locks
from .completion_model import CompletionModel, ScoreModel
from .encoding import ChatEncoder
from .lora import add_adapters, full_weights
from .memory import give_back
from .mixing import write_mixture
from .packing import PackedBatch, micro_batches, packed_length
from .policy_model import deepspeed_config, read_head, read_model, read_scorer, save_head, save_model
from .update import Update
from .weight_sync import HostWeights, pack


@dataclass(frozen=True, kw_only=True, slots=True)
class _Loaded:
    """What the engine was built from: equal ones need no other engine."""

    policy: PolicyRef
    learner: LearnerConfig
    scores: int = 0  # outputs of a reward model's head; 0 for a policy
    critic: Literal["separate", "shared"] | None = None
    critic_from: PolicyRef | None = None
    optimizer: PolicyRef | None = None


class Learner:
    """One rank of the learner, a Ray actor.

    Args:
        config: the run's configuration.
        rank, world_size: of this process among the learner's ranks.
        threads: torch threads of this rank.
    """

    def __init__(self, config: Config, rank: int, world_size: int, threads: int):
        torch.set_num_threads(threads)
        self.run_config = config
        self.config = config.at(1)  # that of a round's phase
        self.rank, self.world_size = rank, world_size
        self.device = torch.device("cuda:0" if config.cluster.device == "gpu" else "cpu")
        model = config.model
        self.encoder = ChatEncoder(model.path, trust_remote_code=model.trust_remote_code, date=model.date)
        self.engine: Any = None
        self.loaded: _Loaded | None = None
        self.reference: Any = None
        self.reference_ref: PolicyRef | None = None
        self._update: Update | None = None
        self._steps_before = 0  # optimizer steps of earlier rounds, where the optimizer is carried on
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
        remove_stale_build_locks()
        timeout = timedelta(seconds=self.config.cluster.call_timeout_s)
        deepspeed.init_distributed(dist_backend="nccl" if self.device.type == "cuda" else "gloo", timeout=timeout)

    # Models -----------------------------------------------------------------------------------------------------

    def hold(self, policy: PolicyRef) -> None:
        """Load `policy` outside of any update. Does nothing if it is loaded and untouched."""
        loaded = self.loaded
        if loaded is None or loaded.policy != policy or loaded.scores or self.update_state.steps:
            self._start(_Loaded(policy=policy, learner=self.config.learner))

    def begin(self, start: UpdateStart) -> None:
        """Load what a round's update starts from. What is loaded already, and untouched, is not read again."""
        self.config = self.run_config.at(start.round)
        wanted = self._loaded_of(start)
        if self.loaded != wanted or self.update_state.steps:
            tensors, notes = checkpoint.read(verified_copy(start.optimizer)) if start.optimizer else (None, {})
            self._start(wanted, tensors, notes.get("optimizer_steps", 0))
        else:
            self._new_update()
        self._measure_against(start)

    def restore(self, start: UpdateStart, written: PolicyRef) -> str:
        """Go on from a checkpoint, `written` by the update that began with `start`.

        Returns:
            in words, how exactly that continues what was interrupted.
        """
        self.config = self.run_config.at(start.round)
        tensors, notes = checkpoint.read(verified_copy(written))
        began_with = (notes["policy"]["version"], notes["policy"]["sha256"])
        assert began_with == (start.policy.version, start.policy.sha256), "a checkpoint belongs to its round's start"
        self._start(self._loaded_of(start), tensors, notes["optimizer_steps"])
        self._steps_before -= notes["steps"]  # those of this update are counted by it
        self._measure_against(start)
        return self.update_state.go_on(tensors, notes)

    def save_checkpoint(self, path: str) -> Hashes | None:
        """Write what this round's update needs to go on, to a directory or URL; a collective call.

        Returns:
            as `save_policy`.
        """
        assert self.loaded is not None
        notes = {
            "policy": {"version": self.loaded.policy.version, "sha256": self.loaded.policy.sha256},
            "world_size": self.world_size,
            "optimizer_steps": self._steps_before + self.update_state.steps,
            **self.update_state.notes(),
        }
        tensors = checkpoint.collect(self.engine, self.config.learner.zero_stage)
        if self.rank != 0:
            return _exhaust(tensors)
        with directory_for(path) as directory:
            checkpoint.write(directory, itertools.chain(tensors, self.update_state.known_tensors()), notes)
            return hashes_of(directory)

    def _loaded_of(self, start: UpdateStart) -> "_Loaded":
        plain = _Loaded(policy=start.policy, learner=self.config.learner, optimizer=start.optimizer)
        objective = self.config.objective
        if objective.trains == "reward_model":
            scores = len(self.config.prompts.seed.attributes) if objective.scores_attributes else 1
            return replace(plain, scores=scores)
        if (critic := objective.value_model()) is not None:
            return replace(plain, critic=critic, critic_from=start.critic)
        return plain

    def _measure_against(self, start: UpdateStart) -> None:
        """Hold the reference frozen beside the policy, if its log-probs do not come with the rollouts."""
        reference = None if self.config.objective.reference.logps == "rollout" else start.reference
        if reference != self.reference_ref:
            _free(self.reference)
            self.reference = None
            gc.collect()
            if reference is not None:
                self.reference = self._frozen(reference)
            self.reference_ref = reference
        self.update_state.measure_against(self.reference, is_start=reference == start.policy)

    def _start(self, loaded: "_Loaded", tensors: Mapping[str, Tensor] | None = None, optimizer_steps: int = 0) -> None:
        """An engine and an optimizer for models' files; or with a checkpoint's tensors over them, going on after
        `optimizer_steps`."""
        _free(self.engine)
        self.engine = self._update = None
        gc.collect()
        give_back()
        learner = self.config.learner
        model = self._model(loaded)
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
        self.loaded, self._steps_before = loaded, optimizer_steps
        self._new_update()
        if tensors is not None:
            self.update_state.step_on_nothing()
            checkpoint.load_optimizer(self.engine, tensors, steps=optimizer_steps, zero_stage=learner.zero_stage)

    def _new_update(self) -> None:
        self._update = Update(self.config, self.engine, self.device, self.rank, self.world_size)

    def _model(self, loaded: "_Loaded") -> CompletionModel | ScoreModel:
        config, path = self.config, verified_copy(loaded.policy)
        if loaded.scores:
            trained = read_scorer(config, path, self.device, outputs=loaded.scores)
        else:
            trained = read_model(config, path, self.device)
        if config.learner.lora is not None:
            torch.manual_seed(derive_seed(config.run.seed, "lora", loaded.policy.version))  # the same on every rank
            trained = add_adapters(trained, config.learner.lora)
        if loaded.scores:
            trained.score.requires_grad_(True)  # a head that starts at zero is trained, adapters or not
            return ScoreModel(trained)
        if loaded.critic is None:
            return CompletionModel(trained)
        critic_path = verified_copy(loaded.critic_from or loaded.policy)
        if loaded.critic == "shared":
            return CompletionModel(trained, read_head(config, critic_path, self.device))
        return CompletionModel(trained, read_scorer(config, critic_path, self.device))

    def _frozen(self, reference: PolicyRef) -> Any:
        model = CompletionModel(read_model(self.config, verified_copy(reference), self.device)).requires_grad_(False)
        if self.config.learner.zero_stage == 3:  # sharded like the policy
            model, *_ = deepspeed.initialize(model=model, config=deepspeed_config(self.config))
        model.eval()
        return model

    @property
    def update_state(self) -> Update:
        """The round's update on its way."""
        assert self._update is not None, "begin or hold comes first"
        return self._update

    # The update -------------------------------------------------------------------------------------------------

    def update(self, examples: Sequence[TrainingExample], flush: bool) -> list[StepReport]:
        """The next examples of the round, the same on every rank; see `Update.take`."""
        with self._busy():
            return self.update_state.take(self._as_read(examples), flush)

    def prepare(self, examples: Sequence[TrainingExample], last: bool) -> None:
        """A policy gradient's examples before the first step; see `Update.prepare`."""
        with self._busy():
            self.update_state.prepare(examples, last)

    def measure(self, examples: Sequence[TrainingExample]) -> list[dict[str, float]]:
        """The objective's metrics on this rank's share of `examples`; see `Update.measure`."""
        with self._busy():
            return self.update_state.measure(self._as_read(examples))

    def _as_read(self, examples: Sequence[TrainingExample]) -> Sequence[TrainingExample]:
        """A reward model reads a response at its end-of-turn token, as the scorer does."""
        if self.config.objective.trains != "reward_model":
            return examples
        return [replace(one, sequences=tuple(map(self.encoder.ended, one.sequences))) for one in examples]

    # What others need of the weights ----------------------------------------------------------------------------

    def logps(self, sequences: Sequence[TokenSequence]) -> list[tuple[int, list[float]]]:
        """Per-token log-probs of this rank's share of `sequences` under the policy, with their indices."""
        return self._of_sequences(sequences, lambda batch, outputs: [v.tolist() for v in batch.split(outputs["logps"])])

    def scores(self, sequences: Sequence[TokenSequence]) -> list[tuple[int, list[float]]]:
        """Scores of this rank's share of `sequences` under the reward model in training, with their indices."""
        ended = [self.encoder.ended(sequence) for sequence in sequences]
        return self._of_sequences(ended, lambda _, outputs: outputs["scores"].tolist())

    def _of_sequences(
        self, sequences: Sequence[TokenSequence], read: Callable[[PackedBatch, dict[str, Tensor]], list[Any]]
    ) -> list[tuple[int, Any]]:
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
        scored: list[tuple[int, Any]] = []
        with self._busy(), torch.no_grad():
            for indices in mine + [[]] * (max(map(len, plans)) - len(mine)):
                batch = PackedBatch.of([[sequences[index]] for index in indices or [0]], self.device)
                scored.extend(zip(indices, read(batch, self.engine(batch)), strict=False))
        return scored

    def export_weights(self) -> HostWeights | None:
        """All weights in one buffer on rank 0, None elsewhere. A collective call."""
        weights = self._whole(self.engine.module.language_model)
        return pack(weights) if self.rank == 0 else _exhaust(weights)

    def connect_rollouts(self, handles: Sequence[Any], tensor_parallel_size: int) -> None:
        """Join the rollout engines in an NCCL group. A collective call; GPUs only."""
        from .nccl_sync import GatheredSource, RolloutClient, open_sender

        self._client = RolloutClient(handles, tensor_parallel_size)
        source = GatheredSource(self.engine.module.language_model, self.config.learner.zero_stage)
        self._sender = open_sender(source, self._client, rank=self.rank, master=self.address())

    def send_weights(self) -> None:
        """Broadcast all weights to the engines of `connect_rollouts`. A collective call; GPUs only."""
        from .nccl_sync import GatheredSource

        # Every round has a new DeepSpeed engine: the source is the one of now.
        self._sender.source = GatheredSource(self.engine.module.language_model, self.config.learner.zero_stage)
        self._sender.send_weights()

    def save_policy(self, path: str) -> Hashes | None:
        """Write the policy to a directory or URL, as plain transformers and vLLM load it; a collective call.

        Returns:
            the hashes of its weights and of its files on rank 0, None elsewhere.
        """
        return self._save(self.engine.module.language_model, path)

    def save_reward_model(self, path: str) -> Hashes | None:
        """Write the reward model, as plain transformers load it for sequence classification; a collective call."""
        return self._save(self.engine.module.scorer, path)

    def save_critic(self, path: str) -> Hashes | None:
        """Write the critic like a reward model; of one that shares the policy's backbone, the head alone."""
        critic = self.engine.module.critic
        if not isinstance(critic, torch.nn.Linear):
            return self._save(critic, path, adapters=False)
        with self._gather(list(critic.parameters())):
            weight = critic.weight.detach().cpu().clone()
        if self.rank != 0:
            return None
        with directory_for(path) as directory:
            save_head(weight, directory)
            return hashes_of(directory)

    def save_mixture(self, path: str, parts: Sequence[tuple[PolicyRef, float]]) -> Hashes | None:
        """Write Σ coefficient·policy over policies; see `mixing.write_mixture`."""
        if self.rank != 0:
            return None
        with directory_for(path) as directory:
            write_mixture(directory, [(verified_copy(policy), coefficient) for policy, coefficient in parts])
            return hashes_of(directory)

    def _save(self, model: Any, path: str, *, adapters: bool = True) -> Hashes | None:
        give_back()  # the update is over, and what its passes needed is free
        weights = self._whole(model)
        if self.rank != 0:
            return _exhaust(weights)
        with directory_for(path) as directory:
            adapters = adapters and self.config.learner.lora is not None
            save_model(model, directory, dict(weights), adapters=adapters)
            self.encoder.tokenizer.save_pretrained(directory)
            return hashes_of(directory)

    def _whole(self, model: Any) -> Iterator[tuple[str, Tensor]]:
        """(name, full tensor on the CPU) in checkpoint names, adapters merged. A collective call under ZeRO-3."""
        weights = full_weights(model, self._gather, sharded=self.config.learner.zero_stage == 3)
        return ((name, weight.cpu()) for name, weight in weights)

    def _gather(self, parameters: list[torch.nn.Parameter]) -> AbstractContextManager[Any]:
        return deepspeed.zero.GatheredParameters(parameters, enabled=self.config.learner.zero_stage == 3)

    @contextmanager
    def _busy(self) -> Iterator[None]:
        started = time.monotonic()
        yield
        self._busy_s += time.monotonic() - started

    def ready(self) -> int:
        return self.rank

    def busy_seconds(self) -> float:
        """Seconds so far spent in forward, backward and optimizer steps."""
        return self._busy_s


def _free(engine: Any) -> None:
    """Let go of an engine's memory: DeepSpeed's hooks hold it in a cycle that Python does not see."""
    if isinstance(engine, deepspeed.DeepSpeedEngine):
        engine.destroy()


def _exhaust(weights: Iterator[Any]) -> None:
    """Take part in gathering weights that another rank keeps."""
    for _ in weights:
        pass
