"""A phase's functions: which of the recipes' parts stands for which configuration."""

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Literal

import numpy as np

from ..orchestrator.config.schema import Config
from ..orchestrator.data.filtering import Filter
from ..orchestrator.data.records import Judgment, PairingOutcome, Prompt, Rollout, Shard
from ..orchestrator.data.seeds import derive_seed
from ..orchestrator.parts.conditioning import ConditioningContext
from ..orchestrator.parts.judge import JudgePart
from ..orchestrator.parts.pairing import Pair, PairingContext
from ..orchestrator.protocols import Generate, Heldout, Phase, Scorers
from ..recipes.filters.measured import measure
from ..recipes.generation.plain import sample_plain
from ..recipes.judges.canaries import judge_canaries
from ..recipes.pairing.candidates import dropped, remark_of
from .judges import build_canary_judge, build_judge, build_moving_judge, build_opinions


def build_phase(config: Config, scorers: Scorers | None) -> Phase:
    """A phase's functions with its configuration bound. `scorers` hold the models beside the policy, if any judge."""
    return Phase(
        make_prompts=config.new_prompts.build(config),
        samplers=config.generation.sampled_by(),
        gathers=config.generation.gathers,
        again=config.generation.is_again(),
        sample=config.generation.build(config.run.seed),
        judge=build_judge(config.judge, config, scorers, "judge", own_logps=config.generation.sampled_by_policy()),
        reading=config.judge.reading(),
        pair=partial(_pair, config=config, rule=cache(partial(_pairing_rule, config=config))),
        condition=None if config.conditioning.says_nothing else partial(_condition, config=config),
        filter=_round_filter(config),
        heldout=_heldout(config, scorers),
    )


def _heldout(config: Config, scorers: Scorers | None) -> Heldout:
    evaluation, canary_judge = config.evaluation, build_canary_judge(config, scorers)
    own_logps = evaluation.condition is None
    return Heldout(
        sample=partial(_sample_heldout, config=config),
        judge=build_judge(evaluation.judge, config, scorers, "evaluate", own_logps=own_logps),
        reading=evaluation.judge.reading(),
        judge_canaries=partial(judge_canaries, judge=canary_judge) if canary_judge else None,
        rejudge=build_moving_judge(evaluation.judge, config, scorers, "evaluate"),
        rejudge_pairs=build_moving_judge(config.judge, config, scorers, "judge"),
        opinions=build_opinions(config, scorers),
    )


async def _sample_heldout(shard: Shard, policy_version: int, generate: Generate, *, config: Config) -> list[Rollout]:
    """One response a held-out prompt, with the same seeds in every round: rounds differ by their policies only."""
    return await sample_plain(
        shard,
        policy_version,
        generate,
        sampling=config.evaluation.sampling,
        samples=range(1),
        seed_parts=(config.run.seed, "evaluate"),
        condition=config.evaluation.condition,
    )


def _round_filter(config: Config) -> Filter | None:
    """What keeps or drops what pairing made; None where all of it is learnt from."""
    decide = config.filter.build(derive_seed(config.run.seed, "filter"))
    if decide is None:
        return None
    return Filter(whole_round=config.filter.whole_round, measure=partial(_measure, judge=config.judge), decide=decide)


def _measure(outcomes: Sequence[PairingOutcome], judgments: Sequence[Judgment], *, judge: JudgePart) -> np.ndarray:
    """By the scores that pairing went by."""
    return measure(outcomes, judge.conclude(judgments))


def _pair(
    shard: Shard,
    prompt: Prompt,
    rollouts: Sequence[Rollout],
    judgments: Sequence[Judgment],
    *,
    config: Config,
    rule: Callable[[Literal["train", "heldout"], int], Pair],
) -> PairingOutcome:
    if not config.pairing.by_voter:
        judgments = config.judge.conclude(judgments)
    if shard.split == "train":
        judgments = config.judge.labels(judgments, derive_seed(config.run.seed, "pair", shard.split, shard.round))
    if all(rollout.interim for rollout in rollouts):
        return dropped(prompt, remark_of(rollouts))
    return rule(shard.split, shard.round)(prompt, rollouts, judgments)


def _pairing_rule(split: Literal["train", "heldout"], round: int, *, config: Config) -> Pair:
    context = PairingContext(
        run_seed=config.run.seed,
        split=split,
        round=round,
        drop_truncated=config.generation.drops_truncated(),
        drop_empty=not config.objective.rewards_empty(),
        max_tokens=config.model.max_model_len,
    )
    return config.pairing.build(context)


async def _condition(
    shard: Shard, outcomes: Sequence[PairingOutcome], generate: Generate, *, config: Config
) -> list[PairingOutcome]:
    context = ConditioningContext(
        run_seed=config.run.seed,
        split=shard.split,
        round=shard.round,
        max_tokens=config.model.max_model_len,
        attributes=config.judge.attributes(),
    )
    tell = config.conditioning.build(context)
    return list(outcomes) if tell is None else await tell(outcomes, generate)
