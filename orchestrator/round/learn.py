"""One round's update: pairs (or groups of responses) in shard order, epoch after epoch, into the learner."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..cluster.verification import verify_scores
from ..config.heldout_split import chooses
from ..config.schema import Config
from ..data.records import PairingOutcome, PolicyRef, Shard, TrainingExample, UpdateStart
from ..data.seeds import derive_seed
from ..errors import RunError
from ..ledger.layout import HELDOUT_PAIRS, JUDGMENTS, LEARN, PAIRS, PREPARE
from ..ledger.ledger import Ledger, round_name
from ..ledger.policies import (
    checkpoint_of,
    critic_of,
    initial_policy,
    named,
    optimizer_of,
    recorded,
    reference_of,
    round_policy,
)
from ..ledger.retention import keep_checkpoints, name_checkpoint, remove_update_files
from ..measure.judge_health import JudgeHealth
from ..measure.metrics import LearningStats, RoundStats
from ..parts.judge import REWARD_MODEL
from ..prompts.shards import RoundShards
from ..protocols import Learner, Observer, Scorers
from .examples import training_examples
from .learning_data import riffled
from .outcomes import OfShard, committed_outcomes, fresh_outcomes
from .publish import published
from .selection import Selection
from .stages import Stages


@dataclass(frozen=True, kw_only=True, slots=True)
class LearningRound:
    """What one round's learning works with.

    `config` is that of the round's phase; `policy` is what the round begins with and what samples, `start` what its
    update begins with; `shards` are the round's, `earlier` those of earlier rounds that it learns from too, `heldout`
    those of the held-out pairs (round 0's), of which those of the prompts `choosing` choose and are not reported (if
    there is none, all do both).
    """

    config: Config
    policy: PolicyRef
    start: UpdateStart
    shards: RoundShards
    earlier: Sequence[RoundShards]
    heldout: RoundShards
    choosing: frozenset[str] = frozenset()
    stages: Stages
    learner: Learner
    scorers: Scorers | None

    @property
    def num_shards(self) -> int:
        """Of an epoch."""
        return sum(len(shards) for shards in (*self.earlier, self.shards))

    def riffle(self, stream: AsyncIterator[OfShard], epoch: int) -> AsyncIterator[OfShard]:
        """An epoch: the round's shards, which `stream` gives, among those of earlier rounds."""
        seed = derive_seed(self.config.run.seed, "riffle", self.start.round, epoch)
        return riffled(stream, self.earlier, self.shards, stages=self.stages, seed=seed)

    def examples(
        self, shard: Shard, outcomes: Sequence[PairingOutcome], first: int, epoch: int
    ) -> list[TrainingExample]:
        """A shard's examples, after `first` prompts of the epoch. Where several rounds are learnt from, an id begins
        with its round's number: a prompt may come in several."""
        examples = training_examples(
            outcomes,
            self.config.objective,
            first=first,
            num_prompts=sum(len(shards.indices) for shards in (*self.earlier, self.shards)),
            epoch=epoch,
            epochs=self.config.learner.epochs,
        )
        if not self.earlier:
            return examples
        return [replace(example, id=f"{shard.round}/{example.id}") for example in examples]


def update_start(config: Config, ledger: Ledger, round: int) -> UpdateStart:
    """What round `round`'s update starts from, by what the ledger says. `config` is the whole run's."""
    objective = config.at(round).objective
    reference, previous = objective.reference, round_policy(config, ledger, round)
    return UpdateStart(
        round=round,
        policy=initial_policy(ledger) if config.at(round).learner.start == "initial" else previous,
        reference=previous if reference.policy == "previous" else reference_of(ledger, reference, round),
        critic=critic_of(ledger, round) if objective.value_model() else None,
        optimizer=optimizer_of(ledger, config, round),
    )


async def learn_round(work: LearningRound) -> None:
    """Sample, judge and pair the round's shards, update the policy on what comes of them, and write it.

    `learn.json` is written last: with it the round's policy exists, and a resumed run learns this round no more.

    Raises:
        RunError: no prompt gave anything to learn from.
    """
    config, stages, ledger = work.config, work.stages, work.stages.ledger
    judging = {name: named(ledger, work.scorers.models[name]) for name in config.judge_models} if work.scorers else {}
    assert stages.rollouts.policy_version == work.policy.version
    stats = RoundStats(judge=JudgeHealth(reading=stages.phase.reading))
    if config.objective.trains == "nothing":
        steps, selected = await _collect(work, stats), 0
        made = _nothing_made() | {"policy": recorded(ledger, work.policy)}
    else:
        update = _Update.begin(work)
        steps = await _learn(work, update, stats)
        selected = await update.select()
        with stages.clock.active("save"):
            made = await _save(work)
    summary: dict[str, Any] = {
        **made,
        "start": named(ledger, work.start.policy),
        "rounds_learnt": [shards.round for shards in (*work.earlier, work.shards)],
        "reference": named(ledger, work.start.reference) if work.start.reference else None,
        "judged_by": judging,
        "data": stats.summary(),
        "learn": LearningStats.of(steps).summary(),
        "selected_step": selected,
        "seconds": dict(stages.clock.seconds),
    }
    ledger.sync_metrics()
    ledger.write_json(summary, round_name(work.start.round), "learn.json")
    remove_update_files(ledger, work.start.round)
    await stages.rollouts.wake()


async def _learn(work: LearningRound, update: "_Update", stats: RoundStats) -> list[dict[str, float]]:
    """The round's shards into the learner, epoch after epoch; the metrics of every step."""
    config, stages, shards, epochs = work.config, work.stages, work.shards, work.config.learner.epochs
    stream = fresh_outcomes(shards, stages, stats, config)
    if config.objective.policy_gradient:  # its advantages are those of the whole round
        async for shard, outcomes in stream:
            first = shard.index * config.run.prompts_per_shard
            await update.prepare(work.examples(shard, outcomes, first, 0), last=shard.index == len(shards) - 1)
            stages.observer.stage(work.start.round, PREPARE, shard.index + 1, len(shards), 0)
        stream = committed_outcomes(shards, stages)
    for epoch in range(epochs):
        taken, prompts = 0, 0
        async for shard, outcomes in work.riffle(stream, epoch):
            examples = work.examples(shard, outcomes, prompts, epoch)
            taken, prompts = taken + 1, prompts + len(outcomes)
            await update.learn(examples, flush=taken == work.num_shards)
            tokens = sum(len(s.token_ids) for example in examples for s in example.sequences)
            done = epoch * work.num_shards + taken
            stages.observer.stage(work.start.round, LEARN, done, epochs * work.num_shards, tokens)
            if shard.round == work.start.round:
                stages.observer.pairs(work.start.round, outcomes)
        stream = committed_outcomes(shards, stages)
    if not update.steps:
        raise _nothing(work, stats)
    return update.steps


async def _collect(work: LearningRound, stats: RoundStats) -> list[dict[str, float]]:
    """The round's pairs into the ledger alone: no steps."""
    async for _, outcomes in fresh_outcomes(work.shards, work.stages, stats, work.config):
        work.stages.observer.pairs(work.start.round, outcomes)
    if not stats.pairs + stats.groups:
        raise _nothing(work, stats)
    return []


def _nothing(work: LearningRound, stats: RoundStats) -> RunError:
    return RunError(
        f"round {work.start.round} gave nothing to learn from {stats.prompts} prompts: {dict(stats.dropped)}",
        f"read {work.stages.ledger.path(round_name(work.start.round), JUDGMENTS.name)}: a judge that only ties teaches "
        "nothing",
    )


def _nothing_made() -> dict[str, Any]:
    return {"average": None, "reward_model": None, "critic": None, "optimizer": None}


async def _save(work: LearningRound) -> dict[str, Any]:
    """Write what the update made, and say what lies where: a reward model beside the policy as it was, or a policy."""
    start, learner, objective, ledger = work.start, work.learner, work.config.objective, work.stages.ledger
    made = _nothing_made()
    if work.config.learner.optimizer == "carried":
        optimizer = await learner.checkpoint(start.round, ledger.model_path(start.round, "optimizer"))
        made["optimizer"] = recorded(ledger, optimizer)
    if objective.trains == "reward_model":
        measures = objective.measures_heldout
        examples = reported_examples(work) if measures else _first_examples(work)
        made["heldout"] = await learner.measure(examples) if examples and measures else {}
        reward_model = await learner.save_reward_model(start.round)
        if work.scorers is not None:
            await work.scorers.hold({**work.scorers.models, REWARD_MODEL: reward_model})
            made["score_parity"] = await verify_scores(
                reward_model, examples[:4], scorers=work.scorers, learner=learner, dtype=work.config.model.dtype
            )
        await learner.hold(work.policy)
        return {**made, "reward_model": recorded(ledger, reward_model), "policy": recorded(ledger, work.policy)}
    if objective.value_model():
        made["critic"] = recorded(ledger, await learner.save_critic(start.round))
    extrapolation = work.config.learner.extrapolation
    several = extrapolation is not None and len(extrapolation.alphas) > 1
    policy, how = await published(
        start,
        work.config.learner,
        learner=learner,
        ledger=ledger,
        choosing=choosing_examples(work) if several else (),
        reported=reported_examples(work) if several and work.choosing else (),
    )
    if (decay := objective.reference.decay) is not None:
        assert start.reference is not None
        parts = [(start.reference, decay), (policy, 1.0 - decay)]
        made["average"] = recorded(ledger, await learner.save_mixture(start.round, "average", parts))
    return {**made, **how, "policy": recorded(ledger, policy)}


def _first_examples(work: LearningRound) -> list[TrainingExample]:
    """The examples of the first shard that has some."""
    for shard in work.shards:
        outcomes = work.stages.ledger.read_shard(PAIRS.name, shard, PairingOutcome) or []
        examples = training_examples(
            outcomes, work.config.objective, first=0, num_prompts=len(shard.prompts), epoch=0, epochs=1
        )
        if examples:
            return examples
    return []


def choosing_examples(work: LearningRound) -> list[TrainingExample]:
    """The held-out pairs of round 0 that choose, as the round's objective takes them.

    Raises:
        RunError: there is none.
    """
    examples = _heldout_examples(work, lambda prompt: not work.choosing or prompt in work.choosing)
    if not examples:
        raise RunError(
            f"{chooses(work.config.learner)} measures on held-out pairs, and the initial policy made none"
            f"{f' on the {len(work.choosing)} prompts whose pairs choose' if work.choosing else ''}",
            f"read {work.stages.ledger.path(round_name(0), HELDOUT_PAIRS.name)} for the reasons; raise "
            "evaluation.num_prompts, or set it to null",
        )
    return examples


def reported_examples(work: LearningRound) -> list[TrainingExample]:
    """The held-out pairs of round 0 that choose nothing, as the round's objective takes them."""
    return _heldout_examples(work, lambda prompt: prompt not in work.choosing)


def _heldout_examples(work: LearningRound, wanted: Callable[[str], bool]) -> list[TrainingExample]:
    """The examples of the held-out prompts whose ids are wanted."""
    examples: list[TrainingExample] = []
    for shard in work.heldout:
        outcomes = work.stages.read(HELDOUT_PAIRS, shard)
        made = [one for one in outcomes if (of := one.pair or one.group) is not None and wanted(of.prompt.id)]
        examples.extend(
            training_examples(made, work.config.objective, first=0, num_prompts=len(outcomes), epoch=0, epochs=1)
        )
    return examples


@dataclass(kw_only=True, slots=True)
class _Update:
    """A round's update on its way. What a checkpoint holds of it is not learnt again."""

    work: LearningRound
    selection: Selection | None
    heldout: Sequence[TrainingExample]  # what a selection measures on
    steps: list[dict[str, float]]
    held: int  # examples, of those still to come, that the checkpoint holds
    loading: asyncio.Future[None]  # the learner reads its models while the first shards are sampled
    written: dict[int, PolicyRef] = field(default_factory=dict)  # this update's checkpoints, by their steps

    @classmethod
    def begin(cls, work: LearningRound) -> "_Update":
        """From the round's newest checkpoint, or from its start."""
        ledger, round = work.stages.ledger, work.start.round
        steps = ledger.checkpointed_steps(round)
        written = {int(number): checkpoint_of(ledger, round, int(number)) for number in ledger.checkpoints(round)}
        if steps:
            newest = checkpoint_of(ledger, round, len(steps))
            loading = _restore(work.learner, work.start, newest, work.stages.observer)
        else:
            loading = work.learner.begin(work.start)
        selection = work.config.learner.selection
        return cls(
            work=work,
            selection=Selection.of(selection, steps) if selection else None,
            heldout=choosing_examples(work) if selection else (),
            steps=steps,
            held=int(sum(step["pairs"] for step in steps)),
            loading=asyncio.ensure_future(loading),
            written=written,
        )

    async def prepare(self, examples: Sequence[TrainingExample], *, last: bool) -> None:
        """Hand the learner what a policy gradient measures before its first step; a checkpoint holds that."""
        await self.loading
        if not self.steps:
            with self.work.stages.clock.active("prepare"):
                await self.work.learner.prepare(examples, last=last)

    async def learn(self, examples: Sequence[TrainingExample], *, flush: bool) -> None:
        """Hand the learner the next examples; record the steps that came of them, and keep a checkpoint."""
        work, stages = self.work, self.work.stages
        await self.loading
        fresh, self.held = examples[self.held :], max(0, self.held - len(examples))
        if self.selection is not None and self.selection.stopped:
            return
        with stages.clock.active(LEARN.name):
            new = await work.learner.update(fresh, flush=flush)
        before, self.steps = len(self.steps), [*self.steps, *new]
        if self.selection is not None and self.selection.due(before, len(self.steps)):
            await self._measure(self.selection)
        for step in new:
            stages.record({"round": work.start.round, "stage": LEARN.name, **step})
        every = work.config.learner.checkpoint_every_steps
        if every and len(self.steps) // every > before // every:
            with stages.clock.active("save"):
                await self._checkpoint()
                kept = {len(self.steps), self.selection.best if self.selection else None}
                self.written = {number: one for number, one in self.written.items() if number in kept}
                name_checkpoint(stages.ledger, work.start.round, self.steps, self.written)

    async def _measure(self, selection: Selection) -> None:
        """Measure the update so far on held-out pairs, note that in its last step, and keep what is the best so far."""
        work = self.work
        with work.stages.clock.active("select"):
            measured = await work.learner.measure(self.heldout)
            self.steps[-1].update({f"heldout/{name}": value for name, value in measured.items()})
            if selection.add(self.steps[-1], len(self.steps)):
                await self._checkpoint()
                # What a resume goes on from keeps its own best, until a newer checkpoint takes its place.
                resumable = work.stages.ledger.checkpointed_steps(work.start.round)
                before = Selection.of(selection.config, resumable).best
                kept = {len(resumable), before, len(self.steps)}
                keep_checkpoints(work.stages.ledger, work.start.round, kept)

    async def select(self) -> int:
        """Go back to the best moment of the update; how many steps it is after."""
        best = self.selection.best if self.selection else None
        if best is None or best == len(self.steps):
            return len(self.steps)
        checkpoint = self.written.get(best) or checkpoint_of(self.work.stages.ledger, self.work.start.round, best)
        await _restore(self.work.learner, self.work.start, checkpoint, self.work.stages.observer)
        return best

    async def _checkpoint(self) -> None:
        """Write what the learner needs to go on from here."""
        round, steps = self.work.start.round, len(self.steps)
        path = self.work.stages.ledger.checkpoint_path(round, steps)
        self.written[steps] = await self.work.learner.checkpoint(round, path)


async def _restore(learner: Learner, start: UpdateStart, checkpoint: PolicyRef, observer: Observer) -> None:
    observer.note(await learner.restore(start, checkpoint))
