"""Samplers beside the policy: earlier policies of the run, or models from outside, on the same rollout engines.

No engine is started for them. Before the round's own stream begins, each other sampler's weights are loaded and
verified like the policy's, it samples every shard, and its rollouts are committed as a stage of their own; then the
policy comes back. So whatever judges afterwards is the policy, and a resumed run reads back what a sampler finished.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from ..cluster.sync import WeightSync
from ..config.schema import Config
from ..data.records import PolicyRef, Shard
from ..ledger.layout import PAIR_STAGES, sampled_by
from ..ledger.ledger import Ledger
from ..ledger.policies import initial_policy, policy_of, read_ref, round_policy
from ..parts.sampling import EARLIER_ROUND, POLICY, is_model_path
from ..prompts.shards import RoundShards
from .stages import Stages
from .stream import map_in_order


def sampler_policy(sampler: str, config: Config, ledger: Ledger, round: int) -> PolicyRef:
    """Which policy a sampler of round `round` is, by what the ledger says. `config` is the whole run's."""
    if sampler == "initial" or (round == 0 and not is_model_path(sampler)):
        return initial_policy(ledger)
    if is_model_path(sampler):
        sources: dict[str, Any] = ledger.header()["sources"]
        return read_ref(ledger, {"version": -1 - list(sources).index(sampler), **source_values(sources, sampler)})
    earlier = EARLIER_ROUND.fullmatch(sampler)
    made_in = int(earlier[1]) if earlier else {"latest": round - 1, "previous": max(0, round - 2)}.get(sampler)
    policy = round_policy(config, ledger, round) if made_in is None else policy_of(ledger, made_in)
    assert policy is not None, "a round samples from rounds before it"
    return policy


def source_values(sources: Mapping[str, Any], sampler: str) -> dict[str, Any]:
    """What `run.yaml` keeps of a model from outside: path, hash and files (format 1: the hash alone)."""
    kept = sources[sampler]
    return {"path": sampler, "sha256": kept} if isinstance(kept, str) else kept


def sampler_policies(config: Config, ledger: Ledger, round: int) -> dict[str, PolicyRef]:
    """Every sampler of round `round`. `config` is the whole run's."""
    samplers = config.at(round).generation.sampled_by()
    return {sampler: sampler_policy(sampler, config, ledger, round) for sampler in samplers}


def model_samplers(config: Config) -> list[str]:
    """The directories of models from outside of the run that any phase samples from, each once."""
    phases = [config, *(config.in_phase(name) for name in config.phases)]
    return list(dict.fromkeys(s for phase in phases for s in phase.generation.sampled_by() if is_model_path(s)))


async def sample_by_others(shards: RoundShards, *, config: Config, stages: Stages, sync: WeightSync) -> None:
    """Let every sampler but the policy sample what is missing of its responses to `shards`; then load the policy again.

    `config` is the whole run's. A sampler whose weights the engines hold is not loaded.
    """
    samplers = sampler_policies(config, stages.ledger, shards.round)
    for sampler, policy in samplers.items():
        stage = sampled_by(sampler, PAIR_STAGES[shards.split].rollouts).name
        if sampler == POLICY or stages.ledger.shards_finished(shards.round, stage) == len(shards):
            continue
        await sync.load(policy, stages.clock)
        async for _ in map_in_order(
            partial(_sampled, stages, sampler, len(shards)), shards, limit=config.cluster.shards_in_flight
        ):
            pass
    await sync.load(round_policy(config, stages.ledger, shards.round), stages.clock)


async def _sampled(stages: Stages, sampler: str, total: int, shard: Shard) -> None:
    await stages.sampled(sampler, shard, total)
