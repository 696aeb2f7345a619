"""Learners in a process of their own: DeepSpeed's process group and vLLM's do not share one."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray

from roundelay.launch.run.composition import usable_cores
from roundelay.launch.run.identity import model_identity
from roundelay.orchestrator.config.schema import Config
from roundelay.orchestrator.data.records import PolicyRef, UpdateStart


def start_of(policy: PolicyRef, reference: PolicyRef | None = None, **changes: Any) -> UpdateStart:
    """The start of a first round's update, with a new optimizer and no critic but for `changes`."""
    return replace(UpdateStart(round=1, policy=policy, reference=reference, critic=None, optimizer=None), **changes)


def written(path: Path | str, version: int = 1) -> PolicyRef:
    """What lies at `path`, by the hashes of its files now."""
    return PolicyRef(version=version, **model_identity(str(path)))


class LearnerHost:
    """A process that holds learners of one rank each, by number."""

    def __init__(self) -> None:
        self.learners: list[Any] = []

    def make(self, config: Config, policy: PolicyRef, reference: PolicyRef | None) -> int:
        from roundelay.workers.learner import Learner

        learner = Learner(config, 0, 1, usable_cores())
        learner.connect(learner.address())
        learner.begin(start_of(policy, reference))
        self.learners.append(learner)
        return len(self.learners) - 1

    def address(self) -> tuple[str, int]:
        """Where ranks can meet this one."""
        import socket

        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()

    def meet(self, rank: int, world_size: int, master: tuple[str, int]) -> None:
        """Join a group of ranks, once and for all learners of this process."""
        import deepspeed

        address, port = master
        os.environ.update(
            RANK=str(rank), LOCAL_RANK="0", WORLD_SIZE=str(world_size), MASTER_ADDR=address, MASTER_PORT=str(port)
        )
        deepspeed.init_distributed(dist_backend="gloo")

    def create(self, config: Config, rank: int, world_size: int, threads: int = 1) -> None:
        """A learner that is one rank of the group that was met."""
        from roundelay.workers.learner import Learner

        self.learners.append(Learner(config, rank, world_size, threads))

    def tensor_bytes(self) -> int:
        """What all tensors of this process hold."""
        import gc

        import torch

        gc.collect()
        storages = {
            storage.data_ptr(): storage.nbytes()
            for tensor in gc.get_objects()
            if isinstance(tensor, torch.Tensor)
            for storage in [tensor.untyped_storage()]
        }
        return sum(storages.values())

    def call(self, number: int, method: str, *args: Any) -> Any:
        return getattr(self.learners[number], method)(*args)


class RemoteLearner:
    """One of the host's learners, with its methods."""

    def __init__(self, host: Any, number: int):
        self._host, self._number = host, number

    def __getattr__(self, method: str):
        return lambda *args: ray.get(self._host.call.remote(self._number, method, *args))


def start_hosts(count: int) -> list[Any]:
    """Hosts in a local Ray of their own. `ray.shutdown()` ends it and them."""
    folders = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {"PYTHONPATH": os.pathsep.join(filter(None, folders)), "DS_ACCELERATOR": "cpu"}
    ray.init(address="local", num_cpus=count, include_dashboard=False, log_to_driver=False)
    options = {"num_cpus": 1, "runtime_env": {"env_vars": {**environment, "OMP_NUM_THREADS": str(usable_cores())}}}
    return [ray.remote(LearnerHost).options(**options).remote() for _ in range(count)]
