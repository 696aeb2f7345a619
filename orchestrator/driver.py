"""The round driver: sample → judge → pair → learn → sync → evaluate, round after round.

Owns the order of things. What a stage does is the phase's; where it runs is the actors'; what is done already is the
ledger's.
"""

import time
from dataclasses import asdict, dataclass
from typing import Any

from .config import Config
from .evaluation import evaluate
from .learning import learn_round
from .ledger import Ledger, round_name
from .policies import newest_policy, policy_of
from .prompts import PromptStore
from .protocols import Learner, Rollouts
from .records import PolicyRef
from .shards import heldout_shards, train_shards
from .stages import Stages
from .verification import verify_sync

NUM_PROBES = 4
HASHED_STAGES = (
    "rollouts", "judgments", "pairs", "heldout-rollouts", "heldout-judgments", "heldout-pairs",
    "eval-rollouts", "eval-judgments", "eval-logps",
)  # fmt: skip


@dataclass(kw_only=True, slots=True)
class RoundDriver:
    """Runs what is left of a run."""

    config: Config
    ledger: Ledger
    train: PromptStore
    heldout: PromptStore
    stages: Stages
    rollouts: Rollouts
    learner: Learner
    parity: float = 0.0

    async def run(self) -> None:
        """Go on from the newest policy until every round is committed."""
        policy = newest_policy(self.ledger)
        await self.learner.begin(policy, None)
        await self.verify(policy)
        finished = self.ledger.finished_rounds()
        for round in range(finished[-1] + 1 if finished else 0, self.config.run.rounds + 1):
            await self.play(round)

    async def play(self, round: int) -> None:
        """One round; round 0 evaluates the initial policy. What a crash left finished is not done again."""
        started, busy_before = time.monotonic(), await self.busy_seconds()
        self.stages.start_round()
        policy = policy_of(self.ledger, round)
        if policy is None:
            shards = train_shards(round, self.train, self.config.run)
            policy = await learn_round(round, shards, config=self.config, stages=self.stages, learner=self.learner)
        if self.rollouts.policy_version != policy.version:
            with self.stages.clock.active("sync"):
                await self.rollouts.load(await self.learner.weights(), policy)
                await self.verify(policy)
        with self.stages.clock.active("evaluate"):
            evaluation = await evaluate(
                heldout_shards(round, self.heldout, self.config.run),
                stages=self.stages,
                learner=self.learner,
                in_flight=self.config.cluster.shards_in_flight,
            )
        seconds, busy = time.monotonic() - started, await self.busy_seconds()
        idle = {name: 1.0 - (busy[name] - busy_before.get(name, 0.0)) / seconds for name in busy}
        self.commit(round, policy, {"evaluation": evaluation, "idle_share": idle}, seconds)

    async def verify(self, policy: PolicyRef) -> None:
        """Stop unless every rollout engine computes the learner's log-probs."""
        probes = self.heldout.take(range(min(NUM_PROBES, len(self.heldout))))
        self.parity = await verify_sync(
            policy, probes, rollouts=self.rollouts, learner=self.learner, dtype=self.config.model.dtype
        )

    async def busy_seconds(self) -> dict[str, float]:
        return {**await self.rollouts.busy_seconds(), **await self.learner.busy_seconds()}

    def commit(self, round: int, policy: PolicyRef, measured: dict[str, Any], seconds: float) -> None:
        """Write the round's manifest: with it the round is done."""
        learned = self.ledger.read_json(round_name(round), "learn.json") if round else {"policy": asdict(policy)}
        manifest = {
            **learned,
            "round": round,
            "seed": self.config.run.seed,
            "sync_parity": self.parity,
            **measured,
            "seconds": {**learned.get("seconds", {}), **self.stages.clock.seconds, "round": seconds},
            "stage_sha256": {stage: self.ledger.stage_hash(round, stage) for stage in HASHED_STAGES},
        }
        row = {name: value for name, value in manifest.items() if name not in ("stage_sha256", "policy", "reference")}
        self.stages.record({**row, "stage": "round"})
        self.ledger.commit_round(round, manifest)
        if (keep := self.config.run.keep_policies) is not None:
            self.ledger.prune_policies(keep)
