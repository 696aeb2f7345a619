"""Learners in a process of their own: DeepSpeed's process group and vLLM's do not share one."""

import os
from pathlib import Path
from typing import Any

import ray

from roundelay.orchestrator.config import Config
from roundelay.orchestrator.records import PolicyRef


class LearnerHost:
    """A process that holds learners of one rank each, by number."""

    def __init__(self) -> None:
        self.learners: list[Any] = []

    def make(self, config: Config, policy: PolicyRef, reference: PolicyRef | None) -> int:
        from roundelay.workers.learner import Learner

        learner = Learner(config, 0, 1, 2)
        learner.connect(learner.address())
        learner.load_policy(policy)
        learner.load_reference(reference)
        self.learners.append(learner)
        return len(self.learners) - 1

    def call(self, number: int, method: str, *args: Any) -> Any:
        return getattr(self.learners[number], method)(*args)


class RemoteLearner:
    """One of the host's learners, with its methods."""

    def __init__(self, host: Any, number: int):
        self._host, self._number = host, number

    def __getattr__(self, method: str):
        return lambda *args: ray.get(self._host.call.remote(self._number, method, *args))


def start_host() -> Any:
    """A host in a local Ray of its own. `ray.shutdown()` ends it."""
    environment = {"PYTHONPATH": str(Path(__file__).parents[1]), "DS_ACCELERATOR": "cpu"}
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    options = {"num_cpus": 1, "runtime_env": {"env_vars": {**environment, "OMP_NUM_THREADS": str(os.cpu_count())}}}
    return ray.remote(LearnerHost).options(**options).remote()
