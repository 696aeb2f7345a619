"""Judging outside a run: one engine at most, for pairs of responses that exist already."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from ...orchestrator.cluster.ray import Cluster
from ...orchestrator.config.judge_checks import check_judge
from ...orchestrator.config.schema import Config
from ...orchestrator.data.records import Generation, GenerationRequest, Judgment, PolicyRef, Prompt, Shard
from ...orchestrator.errors import ConfigError
from ...orchestrator.ledger.layout import COMPARISONS, START
from ...orchestrator.ledger.ledger import Ledger
from ...orchestrator.ledger.policies import initial_policy
from ...orchestrator.parts.judge import JudgePart, judges_in
from ...orchestrator.protocols import Generate, Judge, Observer
from ...orchestrator.round.stream import map_in_order
from ...recipes.evaluation.comparisons import Comparison, probabilities_of_first
from ...recipes.judges.rendering import shown_response
from ...recipes.pairing.candidates import mean_scores
from ..config.loading import compose_overrides, judge_values, load_judge, parse_config
from ..judges import build_judge
from ..run.composition import start_rollouts
from ..run.identity import model_identity
from ..run.models import ensure_model
from ..run.preflight import check_packages

DEFAULT_JUDGE = ("judge=ab", "judge.instructions=[better]")
CHOOSE = "choose a judge that compares, such as judge=ab, or one that scores, such as judge=expected_score"


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgeSetup:
    """A judge, the policy whose weights judge (if any do), and the configuration of the engine that holds it.

    Example:
        JudgeSetup(config=config, policy=policy)
    """

    config: Config
    policy: PolicyRef

    @property
    def compares(self) -> bool:
        """Whether it is shown two responses, in both orders; else it scores each by itself."""
        return self.config.judge.asked().compares

    @property
    def needs_engine(self) -> bool:
        """Whether a policy judges, at least in part, and not an endpoint alone."""
        return self.config.judge.by_policy()

    @property
    def description(self) -> str:
        """Who judges, in words."""
        judge = self.config.judge
        return f"{judge.description()}, weights of {self.policy.path}" if self.needs_engine else judge.description()

    @property
    def graded(self) -> bool:
        """Whether a verdict of its says how much better: one of WildBench's five grades."""
        return self.config.judge.graded()

    @property
    def identity(self) -> dict[str, Any]:
        """What its answers depend on, in plain containers."""
        model = self.config.model
        return {
            "config": judge_values(self.config.judge),
            "policy_sha256": self.policy.sha256 if self.needs_engine else None,
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
        ConfigError: an override is wrong, the judge can say nothing of two responses here, or there is no such model.
    """
    of_judge = [text for text in overrides if re.match(r"[+~]*(judge[.@=]|parts=)", text)]
    named = any(text.startswith("judge=") for text in of_judge)
    judge = load_judge([*(() if named else DEFAULT_JUDGE), *of_judge], config_dir=config_dir)
    _check_outside(judge)
    if isinstance(weights, str) and not judge.by_policy():
        raise ConfigError(
            f"judge.kind={judge.kind} asks no model of ours: that of {weights} would do nothing",
            "leave --judge-model and --third-party out, or choose a judge that a policy is, such as judge=ab",
        )
    rest = [text for text in overrides if text not in of_judge]
    config = parse_config(compose_overrides(ledger.header()["config"], rest))
    if isinstance(weights, str):
        path = ensure_model(replace(config.model, path=weights, package=None))
        policy = PolicyRef(version=0, **model_identity(path))
    else:
        path, policy = initial_policy(ledger).path, weights
    one_engine = replace(config.cluster, rollout=replace(config.cluster.rollout, actors=1))
    config = replace(config, judge=judge, model=replace(config.model, path=path), cluster=one_engine)
    check_judge("judge", config, judge)
    return JudgeSetup(config=config, policy=policy)


def _check_outside(judge: JudgePart) -> None:
    """Refuse a judge that says nothing of two given responses, or of which more is needed than an engine.

    Raises:
        ConfigError: naming the field, its value and the remedy.
    """
    for field, one in judges_in(judge).items():
        if not one.of_responses:
            raise ConfigError(f"{field}.kind={one.kind} says nothing of two responses to a user's prompt", CHOOSE)
        if one.only_in_runs is not None:
            why, instead = one.only_in_runs
            raise ConfigError(f"{field}.kind={one.kind}: {why}", instead)
        if models := one.models(own_logps=False):
            raise ConfigError(
                f"{field}.kind={one.kind} asks {', '.join(models)} beside the policy, and here one engine alone starts",
                CHOOSE,
            )
        if one.asked_once():
            raise ConfigError(
                f"{field}.orders=one: a comparison asked once says nothing of the judge's bias for what stands first",
                f"set {field}.orders=both",
            )


def judge_batches(
    batches: Sequence[Sequence[ResponsePair]],
    setup: JudgeSetup,
    observer: Observer,
    finished: Callable[[int, list[Comparison]], None],
) -> None:
    """Judge every batch's pairs by one engine; `finished` takes each batch as soon as it is through.

    Identical texts need no judge. Where there is nothing else, or another's endpoint judges, no engine is started.
    """
    asyncio.run(_judge_batches(batches, setup, observer, finished))


async def _judge_batches(
    batches: Sequence[Sequence[ResponsePair]],
    setup: JudgeSetup,
    observer: Observer,
    finished: Callable[[int, list[Comparison]], None],
) -> None:
    judge = build_judge(setup.config.judge, setup.config, None, "judge", own_logps=False)
    assert judge is not None, "who judges nothing is refused"
    starts = setup.needs_engine and any(not pair.identical for batch in batches for pair in batch)
    async with engine(setup, observer) if starts else contextlib.nullcontext(_nobody) as generate:
        size, limit = setup.config.run.prompts_per_shard, setup.config.cluster.shards_in_flight
        shards = [
            (index, batch[start : start + size])
            for index, batch in enumerate(batches)
            for start in range(0, len(batch), size)
        ]

        async def compare(shard: tuple[int, Sequence[ResponsePair]]) -> tuple[int, list[Comparison]]:
            return shard[0], await _compare(shard[1], setup.config.judge, judge, generate)

        compared: list[list[Comparison]] = [[] for _ in batches]
        done = 0
        observer.stage(0, COMPARISONS, done, len(shards), 0)
        async for index, comparisons in map_in_order(compare, shards, limit=limit):
            compared[index] += comparisons
            if len(compared[index]) == len(batches[index]):
                finished(index, compared[index])
            done += 1
            observer.stage(0, COMPARISONS, done, len(shards), 0)


async def _nobody(requests: Sequence[GenerationRequest]) -> list[Generation]:
    assert not requests, "without an engine nobody here is asked"
    return []


async def _compare(
    pairs: Sequence[ResponsePair], config: JudgePart, judge: Judge, generate: Generate
) -> list[Comparison]:
    differ = [pair for pair in pairs if not pair.identical]
    shard = Shard(round=0, index=0, prompts=tuple(pair.prompt for pair in differ), split="heldout")
    rollouts = [shown_response(pair.prompt, i, text) for pair in differ for i, text in enumerate((pair.a, pair.b))]
    said: dict[str, list[Judgment]] = {}
    for judgment in await judge(shard, rollouts, generate):
        said.setdefault(judgment.prompt_id, []).append(judgment)
    return [_comparison(pair, said.get(pair.prompt.id, []), config) for pair in pairs]


def _comparison(pair: ResponsePair, judgments: Sequence[Judgment], config: JudgePart) -> Comparison:
    """What the judgments on a pair come to; nobody is asked about identical texts."""
    scored = not pair.identical and not config.asked().compares
    orders = probabilities_of_first(judgments)
    scores = mean_scores(config.conclude(judgments)) if scored else {}
    return Comparison(
        prompt_id=pair.prompt.id,
        shown_first=orders.get(0),
        shown_second=orders.get(1),
        chars_a=len(pair.a),
        chars_b=len(pair.b),
        identical=pair.identical,
        scores=(scores.get(0), scores.get(1)) if scored else None,
    )


@contextlib.asynccontextmanager
async def engine(setup: JudgeSetup, observer: Observer) -> AsyncIterator[Generate]:
    """One engine with the judge's weights, and nothing beside it."""
    check_packages()
    observer.stage(0, START, 0, 1, 0)
    cluster = Cluster(setup.config.cluster, scorers=False, learners=False)
    try:
        await cluster.place()
        rollouts = start_rollouts(setup.config, cluster, setup.policy)
        await rollouts.ready()
        observer.stage(0, START, 1, 1, 0)
        yield rollouts.generate
    finally:
        cluster.close()
