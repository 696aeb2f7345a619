"""A round's manifest: what it holds, and that with it the round is done."""

from typing import Any

from ..config.schema import Config
from ..data.records import PolicyRef
from ..ledger.layout import PAIR_STAGES, STAGES, sampled_by
from ..ledger.ledger import Ledger, round_name
from ..ledger.metrics_rows import rows_hash
from ..ledger.policies import named, policy_of, recorded
from ..ledger.retention import prune
from ..measure.alarms import judge_alarms
from ..parts.sampling import EARLIER_ROUND
from .new_prompts import counted_candidates
from .publish import policies_before
from .samplers import sampler_policies
from .stages import Stages

# What a manifest holds that metrics.jsonl does not repeat.
IDENTITIES = (
    "stage_sha256", "policy", "start", "samplers", "trained", "averaged", "extrapolation", "reference", "average",
    "reward_model", "critic", "optimizer", "judged_by",
)  # fmt: skip


def commit_round(
    round: int, policy: PolicyRef, measured: dict[str, Any], *, config: Config, stages: Stages, seconds: float
) -> None:
    """Write the round's manifest, of what its update said (`learn.json`) and what was `measured` since; then delete
    what the run keeps no longer. `config` is the whole run's."""
    ledger = stages.ledger
    learned = ledger.read_json(round_name(round), "learn.json") if round else {"policy": recorded(ledger, policy)}
    samplers = sampler_policies(config, ledger, round)
    stages_made = [
        *(sampled_by(name, of_split.rollouts).name for of_split in PAIR_STAGES.values() for name in samplers),
        *(name for name, stage in STAGES.items() if not stage.of_samplers),
    ]
    manifest = {
        **learned,
        **measured,
        "round": round,
        "phase": config.phase_name(round) if round else None,
        "seed": config.run.seed,
        "samplers": {name: named(ledger, sampler) for name, sampler in samplers.items()},
        "seconds": {**learned.get("seconds", {}), **stages.clock.seconds, "round": seconds},
        "new_prompts": counted_candidates(ledger, round),
        "stage_sha256": {stage: ledger.stage_hash(round, stage) for stage in stages_made},
        "stage_shards": {stage: ledger.shards_finished(round, stage) for stage in stages_made},
    }
    manifest["judge_alarms"] = judge_alarms(manifest, config.evaluation)
    stages.record({"stage": "round", **{name: value for name, value in manifest.items() if name not in IDENTITIES}})
    ledger.commit_round(round, {**manifest, "metrics_sha256": rows_hash(ledger.metrics(), round)})
    prune(ledger, config.run.keep_policies, policies_needed(config, ledger, round))


def policies_needed(config: Config, ledger: Ledger, finished: int) -> set[int]:
    """The rounds whose policies the rounds after `finished` may sample from, judge by, or average, whatever else is
    deleted.

    Every phase counts, also one whose rounds are over: phases are few.
    """
    rounds: set[int] = set()
    averaged: set[int] = set()
    for phase in (config, *(config.in_phase(name) for name in config.phases)):
        samplers, goes_back = phase.generation.sampled_by(), phase.learner.start == "before_previous"
        rounds |= {finished - 1} if "previous" in samplers or goes_back else set()
        if goes_back and "previous" in phase.held_models and finished:
            start = policy_of(ledger, finished - 1)
            rounds |= {start.version - 1} if start else set()
        rounds |= {int(earlier[1]) for sampler in samplers if (earlier := EARLIER_ROUND.fullmatch(sampler))}
        before = policies_before(ledger, finished + 1, (phase.learner.average_rounds or 1) - 1)
        averaged |= {policy.version for policy in before}
    sampled = {policy_of(ledger, round) for round in rounds if 0 < round <= finished}
    return averaged | {policy.version for policy in sampled if policy is not None}
