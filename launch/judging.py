"""Judging outside a run: one engine, for pairs of responses that exist already, and results that are kept."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from ..orchestrator.cluster import Cluster
from ..orchestrator.config import Config
from ..orchestrator.errors import ConfigError
from ..orchestrator.judge_config import AbJudge, PairwiseJudge, asked
from ..orchestrator.ledger import Ledger
from ..orchestrator.policies import initial_policy, weights_hash
from ..orchestrator.protocols import Generate, Judge, Observer
from ..orchestrator.records import Generation, GenerationRequest, PolicyRef, Prompt, Shard
from ..orchestrator.stream import map_in_order
from ..recipes.evaluation.comparisons import Comparison, probabilities_of_first
from ..recipes.judges.rendering import shown_response
from .composition import start_rollouts
from .config_loading import compose_overrides, load_judge, parse_config
from .models import ensure_model
from .phases import build_phase
from .preflight import check_packages

DEFAULT_JUDGE = ("judge=ab", "judge.instructions=[better]")


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgeSetup:
    """A judge of two responses, the policy whose weights judge, and the configuration of the engine that holds it.

    Example:
        JudgeSetup(config=config, policy=policy)
    """

    config: Config
    policy: PolicyRef

    @property
    def graded(self) -> bool:
        """Whether a verdict of its says how much better: one of WildBench's five grades."""
        judge = asked(self.config.judge)
        return isinstance(judge, PairwiseJudge) and judge.format in ("wildbench", "arena") and judge.votes == 1

    @property
    def identity(self) -> dict[str, Any]:
        """What its answers hang on, in plain containers."""
        model = self.config.model
        return {
            "config": asdict(self.config.judge),  # pyright: ignore[reportArgumentType]
            "policy_sha256": self.policy.sha256,
            "dtype": model.dtype,
            "max_model_len": model.max_model_len,
            "seed": self.config.run.seed,
            "roundelay": metadata.version("roundelay"),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class ResponsePair:
    """Two responses to one prompt, to be compared. A prompt's id appears in no other pair.

    Example:
        ResponsePair(prompt=prompt, a="The Nile.", b="A river.")
    """

    prompt: Prompt
    a: str
    b: str

    @property
    def identical(self) -> bool:
        return self.a.strip() == self.b.strip()


def judge_setup(
    ledger: Ledger, overrides: Sequence[str], *, weights: PolicyRef | str, config_dir: Path | None
) -> JudgeSetup:
    """The judge that `overrides` name, on the run's own cluster and model settings; other overrides change those.

    What judges are the `weights` of a policy of the run, or those of the model at a path.

    Raises:
        ConfigError: an override is wrong, the judge does not compare two responses in both orders, or there is no such
            model.
    """
    of_judge = [text for text in overrides if text.partition("=")[0].partition(".")[0] == "judge"]
    named = any(text.startswith("judge=") for text in of_judge)
    judge = load_judge([*(() if named else DEFAULT_JUDGE), *of_judge], config_dir=config_dir)
    if not isinstance(judge, AbJudge | PairwiseJudge):
        raise ConfigError(
            f"judge.kind={judge.kind} does not compare two responses", "choose judge=ab, or judge=pairwise"
        )
    if judge.orders == "one":
        raise ConfigError(
            "judge.orders=one: a comparison asked once says nothing of the judge's bias for what stands first",
            "set judge.orders=both",
        )
    rest = [text for text in overrides if text not in of_judge]
    config = parse_config(compose_overrides(ledger.header()["config"], rest))
    if isinstance(weights, str):
        path = ensure_model(replace(config.model, path=weights, package=None))
        policy = PolicyRef(version=0, path=path, sha256=weights_hash(path))
    else:
        path, policy = initial_policy(ledger).path, weights
    one_engine = replace(config.cluster, rollout=replace(config.cluster.rollout, actors=1))
    return JudgeSetup(
        config=replace(
            config,
            judge=judge,
            evaluation=replace(config.evaluation, judge=judge),
            model=replace(config.model, path=path),
            cluster=one_engine,
        ),
        policy=policy,
    )


def judge_batches(
    batches: Sequence[Sequence[ResponsePair]],
    setup: JudgeSetup,
    observer: Observer,
    finished: Callable[[int, list[Comparison]], None],
) -> None:
    """Compare every batch's pairs in both orders by one engine; `finished` takes each batch as soon as it is through.

    Identical texts need no judge, and where there is nothing else no engine is started.
    """
    asyncio.run(_judge_batches(batches, setup, observer, finished))


async def _judge_batches(
    batches: Sequence[Sequence[ResponsePair]],
    setup: JudgeSetup,
    observer: Observer,
    finished: Callable[[int, list[Comparison]], None],
) -> None:
    judge = build_phase(setup.config, scorers=None).judge
    assert judge is not None, "a judge of two responses is a judge"
    asked = any(not pair.identical for batch in batches for pair in batch)
    async with engine(setup, observer) if asked else contextlib.nullcontext(_nobody) as generate:
        size, limit = setup.config.run.prompts_per_shard, setup.config.cluster.shards_in_flight
        shards = [
            (index, batch[start : start + size])
            for index, batch in enumerate(batches)
            for start in range(0, len(batch), size)
        ]

        async def compare(shard: tuple[int, Sequence[ResponsePair]]) -> tuple[int, list[Comparison]]:
            return shard[0], await _compare(shard[1], judge, generate)

        compared: list[list[Comparison]] = [[] for _ in batches]
        done = 0
        observer.stage(0, "comparisons", done, len(shards), 0)
        async for index, comparisons in map_in_order(compare, shards, limit=limit):
            compared[index] += comparisons
            if len(compared[index]) == len(batches[index]):
                finished(index, compared[index])
            done += 1
            observer.stage(0, "comparisons", done, len(shards), 0)


async def _nobody(requests: Sequence[GenerationRequest]) -> list[Generation]:
    assert not requests, "identical texts are not judged"
    return []


async def _compare(pairs: Sequence[ResponsePair], judge: Judge, generate: Generate) -> list[Comparison]:
    asked = [pair for pair in pairs if not pair.identical]
    shard = Shard(round=0, index=0, prompts=tuple(pair.prompt for pair in asked), split="heldout")
    rollouts = [shown_response(pair.prompt, i, text) for pair in asked for i, text in enumerate((pair.a, pair.b))]
    judgments = await judge(shard, rollouts, generate)
    by_prompt: dict[str, dict[int, float]] = {
        pair.prompt.id: probabilities_of_first([one for one in judgments if one.prompt_id == pair.prompt.id])
        for pair in asked
    }
    return [
        _tie(pair)
        if pair.identical
        else Comparison(
            prompt_id=pair.prompt.id,
            shown_first=by_prompt[pair.prompt.id].get(0),
            shown_second=by_prompt[pair.prompt.id].get(1),
            chars_a=len(pair.a),
            chars_b=len(pair.b),
        )
        for pair in pairs
    ]


def _tie(pair: ResponsePair) -> Comparison:
    return Comparison(
        prompt_id=pair.prompt.id,
        shown_first=None,
        shown_second=None,
        chars_a=len(pair.a),
        chars_b=len(pair.b),
        identical=True,
    )


@contextlib.asynccontextmanager
async def engine(setup: JudgeSetup, observer: Observer) -> AsyncIterator[Generate]:
    """One engine with the judge's weights, and nothing beside it."""
    check_packages()
    observer.stage(0, "start", 0, 1, 0)
    cluster = Cluster(setup.config.cluster, scorers=False, learners=False)
    try:
        await cluster.place()
        rollouts = start_rollouts(setup.config, cluster, setup.policy)
        await rollouts.ready()
        observer.stage(0, "start", 1, 1, 0)
        yield rollouts.generate
    finally:
        cluster.close()
