"""The round driver: (prompts →) sample → judge → pair → learn → sync → evaluate, round after round.

Owns the order of things. What a stage does is the phase's; where it runs is the actors'; what is done already is the
ledger's.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from .cluster.sync import WeightSync
from .config.schema import Config
from .errors import located
from .evaluate.evaluation import evaluate
from .ledger.ledger import Ledger
from .ledger.policies import judging_models, newest_policy, policy_of, round_policy
from .measure.alarms import heed_alarms
from .prompts.choosing import choosing_prompts
from .prompts.shards import RoundShards, fresh_shards, heldout_shards, round_drawn, train_shards
from .prompts.store import PromptStore
from .protocols import Learner, Phase, Rollouts, Scorers
from .round.commit import commit_round
from .round.learn import LearningRound, learn_round, update_start
from .round.learning_data import rounds_learnt
from .round.new_prompts import kept_prompts, new_prompts
from .round.samplers import sample_by_others
from .round.stages import Stages

NUM_PROBES = 4


@dataclass(kw_only=True, slots=True)
class RoundDriver:
    """Runs what is left of a run. `build` makes a phase's functions of its configuration; `scorers` are there where
    models judge beside the policy."""

    config: Config
    build: Callable[[Config], Phase]
    ledger: Ledger
    train: Mapping[str, PromptStore]  # by `Config.prompt_set`
    heldout: PromptStore
    stages: Stages
    rollouts: Rollouts
    learner: Learner
    scorers: Scorers | None
    sync: WeightSync = field(init=False)

    async def run(self) -> None:
        """Go on from the newest policy until every round is committed."""
        finished = self.ledger.finished_rounds()
        if finished:
            heed_alarms(finished[-1], self.config.evaluation, self.ledger, self.stages.observer)
        probes = self.heldout.take(range(min(NUM_PROBES, self.config.evaluation.num_prompts)))
        dtype, policy = self.config.model.dtype, newest_policy(self.ledger)
        self.sync = WeightSync(
            rollouts=self.rollouts, learner=self.learner, scorers=self.scorers, probes=probes, dtype=dtype
        )
        await self.learner.hold(policy)
        first = finished[-1] + 1 if finished else 0
        await self.hold_models(first, made=first if policy_of(self.ledger, first) else first - 1)
        await self.sync.verify(policy)
        for round in range(first, self.config.run.rounds + 1):
            with located(f"round {round}"):
                await self.play(round)

    async def play(self, round: int) -> None:
        """One round; round 0 evaluates the initial policy. What a crash left finished is not done again."""
        started, busy_before = time.monotonic(), await self.busy_seconds()
        self.stages.start_round(self.build(self.config.at(round)))
        if policy_of(self.ledger, round) is None:
            await self.hold_models(round, made=round - 1)
            await self.learn(round)
        await self.hold_models(round, made=round)
        policy = policy_of(self.ledger, round)
        assert policy is not None
        await self.sync.deliver(policy, self.stages.clock)
        if round == 0:
            await self.sample_by_others(heldout_shards(0, self.heldout, self.config))
        with self.stages.clock.active("evaluate"):
            evaluation = await evaluate(
                heldout_shards(round, self.heldout, self.config),
                fresh=fresh_shards(round, self.heldout, self.config),
                choosing=self.choosing_prompts(),
                config=self.config,
                stages=self.stages,
                learner=self.learner,
                in_flight=self.config.cluster.shards_in_flight,
            )
        busy, seconds = await self.busy_seconds(), time.monotonic() - started
        idle = {name: 1.0 - (busy[name] - busy_before.get(name, 0.0)) / seconds for name in busy}
        measured = {"evaluation": evaluation, "idle_share": idle, "sync_parity": self.sync.parity}
        commit_round(round, policy, measured, config=self.config, stages=self.stages, seconds=seconds)
        heed_alarms(round, self.config.evaluation, self.ledger, self.stages.observer)

    async def learn(self, round: int) -> None:
        """Everything up to the round's policy."""
        await new_prompts(round, self.train, config=self.config, stages=self.stages)
        shards = self.train_shards(round)
        await self.sample_by_others(shards)
        work = LearningRound(
            config=self.config.at(round),
            policy=round_policy(self.config, self.ledger, round),
            start=update_start(self.config, self.ledger, round),
            shards=shards,
            earlier=[self.train_shards(r) for r in rounds_learnt(self.config, round)[:-1]],
            heldout=heldout_shards(0, self.heldout, self.config),
            choosing=self.choosing_prompts(),
            stages=self.stages,
            learner=self.learner,
            scorers=self.scorers,
        )
        await learn_round(work)

    def choosing_prompts(self) -> frozenset[str]:
        return choosing_prompts(self.config, heldout_shards(0, self.heldout, self.config))

    def train_shards(self, round: int) -> RoundShards:
        """The training shards of a round whose new prompts are written."""
        new = list(kept_prompts(self.ledger, round_drawn(self.config, round)))
        return train_shards(round, self.train, self.config, new)

    async def sample_by_others(self, shards: RoundShards) -> None:
        await sample_by_others(shards, config=self.config, stages=self.stages, sync=self.sync)

    async def hold_models(self, round: int, *, made: int) -> None:
        """Let what judges round `round` beside the policy be the models as the update of round `made` left them."""
        if self.scorers is not None:
            policy = policy_of(self.ledger, round) if made == round else round_policy(self.config, self.ledger, round)
            assert policy is not None, "judges compare policies that are made"
            await self.scorers.hold(judging_models(self.ledger, self.config.at(round).held_models, policy, made))

    async def busy_seconds(self) -> dict[str, float]:
        scorers = await self.scorers.busy_seconds() if self.scorers else {}
        return {**await self.rollouts.busy_seconds(), **await self.learner.busy_seconds(), **scorers}
