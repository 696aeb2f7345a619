"""A round whose engines are scripted: for tests about the driver alone."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from roundelay.orchestrator.config.schema import Config
from roundelay.orchestrator.data.filtering import Filter
from roundelay.orchestrator.data.records import (
    Judgment,
    Message,
    PairingOutcome,
    PolicyRef,
    Prompt,
    Rollout,
    Shard,
    TrainingExample,
    UpdateStart,
)
from roundelay.orchestrator.ledger.layout import PAIRS, SELECTED, Activity, Stage
from roundelay.orchestrator.ledger.ledger import Ledger
from roundelay.orchestrator.parts.sampling import POLICY
from roundelay.orchestrator.prompts.shards import RoundShards
from roundelay.orchestrator.protocols import Generate, Heldout, Phase, Reading
from roundelay.orchestrator.round.learn import LearningRound, learn_round
from roundelay.orchestrator.round.stages import Stages

START = PolicyRef(version=0, path="scripted", sha256="0")


class Killed(Exception):
    """The end of a driver, where a test wants it."""


class Events(list[str]):
    """What happened, in order. After the event `last` nothing happens any more."""

    last: str | None = None

    def happen(self, event: str) -> None:
        if self.last not in self:
            self.append(event)
        if self.last in self:
            raise Killed(event)


class Store:
    """`count` prompts, named by their numbers."""

    def __init__(self, count: int):
        self.prompts = [Prompt(id=str(i), messages=(Message(role="user", content=f"{i}?"),)) for i in range(count)]

    def __len__(self) -> int:
        return len(self.prompts)

    def take(self, indices: Sequence[int]) -> tuple[Prompt, ...]:
        return tuple(self.prompts[index] for index in indices)


class Engines:
    """Rollout engines that nobody asks for anything but to make room."""

    policy_version = 0

    def __init__(self, events: Events):
        self.events = events

    async def generate(self, requests: Sequence[Any]) -> list[Any]:
        raise AssertionError("the phase's own functions answer")

    async def sleep(self) -> None:
        self.events.happen("sleep")

    async def wake(self) -> None: ...


class Learner:
    """Steps on every call, and keeps what it is given."""

    def __init__(self, events: Events):
        self.events = events
        self.learned: list[TrainingExample] = []

    async def begin(self, start: UpdateStart) -> None: ...

    async def update(self, examples: Sequence[TrainingExample], *, flush: bool) -> list[dict[str, float]]:
        self.learned += examples
        self.events.happen(f"learn {','.join(example.id for example in examples)}")
        return [{"step": 1, "pairs": len(examples), "loss": 0.5, "learning_rate": 1e-6}] if examples else []

    async def save(self, version: int, name: str = "policy") -> PolicyRef:
        return PolicyRef(version=version, path="scripted", sha256="1")


class Watching:
    """An observer to whom every finished shard is an event."""

    def __init__(self, events: Events):
        self.events = events

    def stage(self, round: int, stage: Stage[Any] | Activity, done: int, total: int, tokens: int) -> None:
        if done and stage in (PAIRS, SELECTED):
            self.events.happen(f"{stage.name} {done}/{total}")

    def metrics(self, row: dict[str, Any]) -> None: ...

    def pairs(self, round: int, outcomes: Sequence[PairingOutcome]) -> None: ...

    def note(self, text: str) -> None: ...


def response(prompt: Prompt, sample: int, text: str) -> Rollout:
    """As many tokens as characters."""
    return Rollout(
        prompt_id=prompt.id, sample=sample, variant="plain", prompt_token_ids=(1,), sampler_token_ids=(1,),
        token_ids=tuple(range(len(text))), logprobs=(-1.0,) * len(text), text=text, finish_reason="stop",
        policy_version=0, seed=0,
    )  # fmt: skip


class ScriptedRound:
    """Round 1 over `count` prompts, of which `outcome` says what pairing makes, in shards of two.

    Everything between is real: stages, ledger, filter, accounting. `play` is one life of the driver.
    """

    def __init__(
        self,
        directory: Path,
        config: Config,
        count: int,
        outcome: Callable[[Prompt], PairingOutcome],
        votes: Callable[[Prompt], list[Judgment]],
        filter: Filter | None,
    ):
        self.ledger, self.config, self.store = Ledger(str(directory)), config, Store(count)
        self.outcome, self.votes, self.filter = outcome, votes, filter
        self.sampled: list[str] = []

    def play(self, last: str | None = None) -> tuple[Events, Learner]:
        """Until the round is learnt, or until the event `last`."""
        events = Events()
        events.last = last
        learner = Learner(events)
        stages = Stages(ledger=self.ledger, rollouts=Engines(events), observer=Watching(events))  # pyright: ignore
        stages.start_round(self._phase())
        work = LearningRound(
            config=self.config,
            policy=START,
            start=UpdateStart(round=1, policy=START, reference=START, critic=None, optimizer=None),
            shards=self._shards("train"),
            earlier=(),
            heldout=self._shards("heldout"),
            stages=stages,
            learner=learner,  # pyright: ignore[reportArgumentType]
            scorers=None,
        )
        try:
            asyncio.run(learn_round(work))
        except Killed:
            assert events[-1] == last
        return events, learner

    def _shards(self, split: Any) -> RoundShards:
        store: Any = self.store
        return RoundShards(round=1, split=split, store=store, indices=range(len(self.store)), prompts_per_shard=2)

    def _phase(self) -> Phase:
        async def sample(
            shard: Shard, version: int, generate: Generate, sampler: str = POLICY, others: Sequence[Rollout] = ()
        ) -> list[Rollout]:
            self.sampled += [prompt.id for prompt in shard.prompts]
            return [response(prompt, sample, "x") for prompt in shard.prompts for sample in (0, 1)]

        async def judge(shard: Shard, rollouts: Sequence[Rollout], generate: Generate) -> list[Judgment]:
            return [vote for prompt in shard.prompts for vote in self.votes(prompt)]

        heldout: Callable[[Shard, int, Generate], Awaitable[list[Rollout]]] = sample
        return Phase(
            make_prompts=None,
            samplers=(POLICY,),
            again=False,
            sample=sample,
            gathers=False,
            judge=judge,
            reading=Reading(),
            pair=lambda shard, prompt, rollouts, judgments: self.outcome(prompt),
            condition=None,
            filter=self.filter,
            heldout=Heldout(
                sample=heldout,
                judge=None,
                reading=Reading(),
                judge_canaries=None,
                rejudge=None,
                rejudge_pairs=None,
                opinions=None,
            ),
        )
