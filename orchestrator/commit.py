"""A round's manifest: what it holds, and that with it the round is done."""

from dataclasses import asdict
from typing import Any

from .config import Config
from .judge_alarms import judge_alarms
from .ledger import round_name
from .new_prompts import counted_candidates
from .records import PolicyRef
from .stages import Stages

HASHED_STAGES = (
    "prompts", "rollouts", "judgments", "pairs", "selected", "heldout-rollouts", "heldout-judgments", "heldout-pairs",
    "eval-rollouts", "eval-judgments", "eval-logps", "canary-judgments", "drift-judgments",
)  # fmt: skip

# What a manifest holds that metrics.jsonl does not repeat.
IDENTITIES = (
    "stage_sha256", "policy", "reference", "average", "reward_model", "critic", "optimizer", "judged_by",
)  # fmt: skip


def commit_round(
    round: int, policy: PolicyRef, measured: dict[str, Any], *, config: Config, stages: Stages, seconds: float
) -> None:
    """Write the round's manifest, of what its update said (`learn.json`) and what was `measured` since; then delete
    what the run keeps no longer. `config` is the whole run's."""
    ledger = stages.ledger
    learned = ledger.read_json(round_name(round), "learn.json") if round else {"policy": asdict(policy)}
    manifest = {
        **learned,
        **measured,
        "round": round,
        "phase": config.phase_name(round) if round else None,
        "seed": config.run.seed,
        "seconds": {**learned.get("seconds", {}), **stages.clock.seconds, "round": seconds},
        "new_prompts": counted_candidates(ledger, round),
        "stage_sha256": {stage: ledger.stage_hash(round, stage) for stage in HASHED_STAGES},
    }
    manifest["judge_alarms"] = judge_alarms(manifest, config.evaluation)
    stages.record({"stage": "round", **{name: value for name, value in manifest.items() if name not in IDENTITIES}})
    ledger.commit_round(round, manifest)
    ledger.prune(config.run.keep_policies)
