"""The composition root: which function stands for which configuration, and which actor for which bundle."""

import os
from collections.abc import Sequence
from functools import partial

from ..orchestrator.actors import LearnerGroup, RolloutPool
from ..orchestrator.cluster import Actor, AsyncHost, Cluster, Host
from ..orchestrator.config import (
    AdditiveJudge,
    BestWorstPairing,
    Config,
    ContrastGeneration,
    ExpectedScoreJudge,
    JudgeConfig,
)
from ..orchestrator.ledger import Ledger
from ..orchestrator.protocols import Generate, Judge, Phase
from ..orchestrator.records import Judgment, PairingOutcome, PolicyRef, Prompt, Rollout, Shard
from ..recipes.generation import sample_contrast, sample_plain
from ..recipes.judging import judge_additive, judge_expected_score
from ..recipes.pairing import pair_best_worst, pair_contrast

# On CPU, freed memory stays in the process. By default glibc hands large buffers back to the system and faults every
# page in again at the next step: about a sixth of a learner's step.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(4 << 30), "MALLOC_TRIM_THRESHOLD_": str(64 << 30)}


def build_phase(config: Config) -> Phase:
    """The recipe's functions with their configuration bound."""
    return Phase(
        sample=partial(_sample, config=config),
        judge=_judge(config.judge, (config.run.seed, "judge")),
        pair=partial(_pair, config=config),
        sample_heldout=partial(_sample_heldout, config=config),
        judge_heldout=_judge(config.evaluation.judge, (config.run.seed, "evaluate")),
    )


async def _sample(shard: Shard, policy_version: int, generate: Generate, *, config: Config) -> list[Rollout]:
    generation, seed_parts = config.generation, (config.run.seed, shard.split, shard.round)
    if isinstance(generation, ContrastGeneration):
        return await sample_contrast(shard, policy_version, generate, config=generation, seed_parts=seed_parts)
    return await sample_plain(
        shard,
        policy_version,
        generate,
        sampling=generation.sampling,
        samples_per_prompt=generation.samples_per_prompt,
        seed_parts=seed_parts,
    )


async def _sample_heldout(shard: Shard, policy_version: int, generate: Generate, *, config: Config) -> list[Rollout]:
    """One response a held-out prompt, with the same seeds in every round: rounds differ by their policies only."""
    return await sample_plain(
        shard,
        policy_version,
        generate,
        sampling=config.evaluation.sampling,
        samples_per_prompt=1,
        seed_parts=(config.run.seed, "evaluate"),
    )


def _judge(judge: JudgeConfig, seed_parts: tuple[int | str, ...]) -> Judge | None:
    if isinstance(judge, ExpectedScoreJudge):
        return partial(judge_expected_score, config=judge)
    if isinstance(judge, AdditiveJudge):
        return partial(judge_additive, config=judge, seed_parts=seed_parts)
    return None


def _pair(
    shard: Shard, prompt: Prompt, rollouts: Sequence[Rollout], judgments: Sequence[Judgment], *, config: Config
) -> PairingOutcome:
    drop_truncated, pairing = config.generation.truncated == "drop", config.pairing
    if isinstance(pairing, BestWorstPairing):
        return pair_best_worst(
            prompt, rollouts, judgments, min_margin=pairing.min_margin, drop_truncated=drop_truncated
        )
    # Held-out pairs keep their true labels: it is them that the control must fail on.
    shuffle = config.run.seed if pairing.shuffle_labels and shard.split == "train" else None
    return pair_contrast(prompt, rollouts, drop_truncated=drop_truncated, shuffle_seed=shuffle)


def start_rollouts(config: Config, cluster: Cluster, policy: PolicyRef) -> RolloutPool:
    """Start every rollout engine with `policy`."""
    env = {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # the engine runs inside the actor: see workers.engine
        "VLLM_CPU_NUM_OF_RESERVED_CPU": "0",
        "VLLM_CPU_KVCACHE_SPACE": str(config.cluster.rollout.kv_cache_gib),
        "VLLM_LOGGING_LEVEL": "WARNING",
        "VLLM_NO_USAGE_STATS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": str(os.cpu_count() or 1),
        **({} if config.cluster.device == "gpu" else KEEP_MEMORY),
    }

    def spawn(index: int, policy: PolicyRef) -> Actor:
        target = "roundelay.workers.rollout:RolloutWorker"
        name = f"rollout-{index}"
        return cluster.spawn(AsyncHost, target, name, env, config.model, config.cluster, policy.path, policy.version)

    return RolloutPool(config.cluster, spawn, policy)


def start_learner(config: Config, cluster: Cluster, ledger: Ledger) -> LearnerGroup:
    """Start every rank of the learner."""
    ranks = config.cluster.learner.ranks
    threads = config.cluster.learner.threads or max(1, (os.cpu_count() or 1) // ranks)
    env = {
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": str(threads),
        **({"DS_ACCELERATOR": "cpu"} if config.cluster.device == "cpu" else {}),
        **({} if config.cluster.device == "gpu" else KEEP_MEMORY),
    }
    target = "roundelay.workers.learner:Learner"
    actors = [
        cluster.spawn(Host, target, f"learner-{rank}", env, config, rank, ranks, threads) for rank in range(ranks)
    ]
    return LearnerGroup(config.cluster, actors, ledger)
