"""The composition root: which actor stands for which bundle. What a phase does is `phases`'."""

import os

from ...orchestrator.cluster.pools import LearnerGroup, RolloutPool, ScorerPool
from ...orchestrator.cluster.ray import Actor, AsyncHost, Cluster, Host
from ...orchestrator.config.schema import Config
from ...orchestrator.data.records import PolicyRef
from ...orchestrator.ledger.ledger import Ledger

# On CPU, freed memory stays in the process. By default glibc hands large buffers back to the system and faults every
# page in again at the next step: about a sixth of a learner's step.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(4 << 30), "MALLOC_TRIM_THRESHOLD_": str(64 << 30)}


def usable_cores() -> int:
    """Cores that this process may use: fewer than the machine has under taskset, Slurm or in a container."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def torch_env(config: Config, threads: int) -> dict[str, str]:
    """The environment of an actor whose models torch computes with so many threads."""
    return {
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": str(threads),
        **({"DS_ACCELERATOR": "cpu"} if config.cluster.device == "cpu" else {}),
        **({} if config.cluster.device == "gpu" else KEEP_MEMORY),
    }


def start_rollouts(config: Config, cluster: Cluster, policy: PolicyRef) -> RolloutPool:
    """Start every rollout engine with `policy`."""
    env = {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # the engine runs inside the actor: see workers.engine
        "VLLM_CPU_NUM_OF_RESERVED_CPU": "0",
        "VLLM_CPU_KVCACHE_SPACE": str(config.cluster.rollout.kv_cache_gib),
        "VLLM_LOGGING_LEVEL": "WARNING",
        "VLLM_NO_USAGE_STATS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": str(usable_cores()),
        **({} if config.cluster.device == "gpu" else KEEP_MEMORY),
    }

    def spawn(index: int, policy: PolicyRef) -> Actor:
        target = "roundelay.workers.rollout:RolloutWorker"
        name = f"rollout-{index}"
        return cluster.spawn(AsyncHost, target, name, env, config.model, config.cluster, policy)

    return RolloutPool(config.cluster, spawn, policy)


def start_learner(config: Config, cluster: Cluster, ledger: Ledger) -> LearnerGroup:
    """Start every rank of the learner."""
    ranks = config.cluster.learner.ranks
    threads = config.cluster.learner.threads or max(1, usable_cores() // ranks)
    env = torch_env(config, threads)
    target = "roundelay.workers.learner:Learner"
    actors = [
        cluster.spawn(Host, target, f"learner-{rank}", env, config, rank, ranks, threads) for rank in range(ranks)
    ]
    return LearnerGroup(config.cluster, actors, ledger)


def start_scorers(config: Config, cluster: Cluster) -> ScorerPool | None:
    """Start the actors of the reward model, if one judges in this run."""
    if not config.needs_scorer:
        return None
    threads = usable_cores()
    env = torch_env(config, threads)
    target = "roundelay.workers.scorer:Scorer"
    names = [f"scorer-{index}" for index in range(config.cluster.scorer.actors)]
    return ScorerPool([cluster.spawn(Host, target, name, env, config, threads) for name in names])
