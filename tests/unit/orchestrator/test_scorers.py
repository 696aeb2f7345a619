"""The scorers as the driver sees them: what is held when, whom a call goes to, and that their log-probs are checked."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from roundelay.orchestrator.cluster.pools import ScorerPool
from roundelay.orchestrator.cluster.ray import Actor
from roundelay.orchestrator.cluster.verification import verify_sync
from roundelay.orchestrator.data.records import Generation, GenerationRequest, Message, PolicyRef, Prompt, TokenSequence
from roundelay.orchestrator.errors import RunError

INITIAL, FIRST = (PolicyRef(version=round, path=f"policy{round}", sha256=f"{round}") for round in (0, 1))
SEQUENCES = [TokenSequence(prompt_token_ids=(1,), token_ids=(2, 3))] * 2
PROBE = Prompt(id="p", messages=(Message(role="user", content="Hi"),))


class Scripted(Actor):
    """A scorer actor that remembers its calls, and finds every token as likely as its model's version says."""

    def __init__(self) -> None:
        super().__init__("scorer", None, 1.0)
        self.calls: list[tuple[Any, ...]] = []
        self.held: dict[str, PolicyRef] = {}

    async def call(self, method: str, *args: Any, timeout_s: float | None = None) -> Any:
        self.calls.append((method, *args))
        if method == "hold":
            self.held = args[0]
            return None
        name, sequences = args
        return [[-1.0 - self.held[name].version] * len(one.token_ids) for one in sequences]


def pool(actors: int = 1) -> tuple[ScorerPool, list[Scripted]]:
    made = [Scripted() for _ in range(actors)]
    return ScorerPool(made), made


def test_models_are_handed_to_every_actor_and_only_when_one_changes() -> None:
    async def run() -> list[Scripted]:
        scorers, actors = pool(2)
        for models in ({"initial": INITIAL}, {"initial": INITIAL}, {"initial": INITIAL, "policy": FIRST}, {}):
            await scorers.hold(models)
            assert scorers.models == models
        return actors

    for actor in asyncio.run(run()):
        assert actor.calls == [
            ("hold", {"initial": INITIAL}),
            ("hold", {"initial": INITIAL, "policy": FIRST}),
            ("hold", {}),
        ]


def test_a_shards_sequences_are_one_actors_and_shards_take_turns() -> None:
    """Whatever the number of actors, the same sequences are computed side by side."""

    async def run() -> list[Scripted]:
        scorers, actors = pool(2)
        await scorers.hold({"initial": INITIAL})
        for _ in range(3):
            assert await scorers.logps("initial", SEQUENCES) == [[-1.0, -1.0]] * 2
        assert await scorers.logps("initial", []) == []
        return actors

    calls = [[call for call in actor.calls if call[0] == "logps"] for actor in asyncio.run(run())]
    assert calls == [[("logps", "initial", SEQUENCES)] * 2, [("logps", "initial", SEQUENCES)]]


class Engines:
    """A rollout engine and a learner that agree on every token of the initial policy."""

    async def generate(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        return [
            Generation(
                prompt_token_ids=(1, 2), plain_token_ids=(), token_ids=(3,), logprobs=(-1.0,), text="",
                finish_reason="stop", choice_logprobs=(),
            )
            for _ in requests
        ]  # fmt: skip

    async def score(self, sequences: Sequence[TokenSequence]) -> list[list[list[float]]]:
        return [await self.logps(sequences)]

    async def logps(self, sequences: Sequence[TokenSequence]) -> list[list[float]]:
        return [[-1.0] * len(one.token_ids) for one in sequences]


def parity(models: Mapping[str, PolicyRef], wrong: float = 0.0) -> float:
    """Of the initial policy, where every scorer is `wrong` by so much."""

    class Wrong(ScorerPool):
        async def logps(self, name: str, sequences: Sequence[TokenSequence]) -> list[list[float]]:
            return [[value + wrong for value in values] for values in await super().logps(name, sequences)]

    async def run() -> float:
        scorers = Wrong([Scripted()])
        await scorers.hold(models)
        engines: Any = Engines()
        return await verify_sync(INITIAL, [PROBE], rollouts=engines, learner=engines, scorers=scorers, dtype="float32")

    return asyncio.run(run())


def test_a_scorer_that_holds_the_learners_policy_computes_its_log_probs() -> None:
    assert parity({"initial": INITIAL}) == 0.0
    assert parity({"initial": INITIAL}, wrong=5e-5) == pytest.approx(5e-5)
    with pytest.raises(RunError) as caught:
        parity({"initial": INITIAL}, wrong=0.01)
    assert "scorer's model 'initial' and the learner disagree on policy 0" in caught.value.what
    assert "1.00e-02" in caught.value.what


def test_another_model_is_not_measured_against_the_learners() -> None:
    """It is another model: its log-probs are others."""
    assert parity({"policy": FIRST}) == 0.0
