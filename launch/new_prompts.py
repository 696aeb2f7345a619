"""A phase's maker of new prompts: which of the recipes' parts stands for which configuration."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import assert_never

from ..orchestrator.config import Config
from ..orchestrator.errors import RunError
from ..orchestrator.new_prompts_config import (
    EvolvePrompts,
    FromKeptPrompts,
    JudgePrompts,
    MadePrompts,
    NoNewPrompts,
    SelfInstructPrompts,
    SkillMixPrompts,
)
from ..orchestrator.protocols import PromptMaker, PromptSources
from ..orchestrator.seeds import derive_seed
from ..recipes.prompts.asking import Ask, Read, is_single, read_list, read_one, text_of
from ..recipes.prompts.contamination import HeldoutText
from ..recipes.prompts.evolve import ask_evolved, leaks, review
from ..recipes.prompts.filters import KnownPrompts
from ..recipes.prompts.from_kept import ask_from_kept
from ..recipes.prompts.judgments import (
    JudgingMaker,
    disputed_response,
    judging_prompts,
    ranked_pair,
    ranked_responses,
    scored_responses,
)
from ..recipes.prompts.maker import Maker, MakingRules
from ..recipes.prompts.self_instruct import ask_self_instruct
from ..recipes.prompts.skill_mix import ask_skill_mix


def prompt_maker(config: Config) -> Callable[[PromptSources], PromptMaker] | None:
    """What makes a round's new prompts, with the configuration bound; None where the training file gives all."""
    match config.new_prompts:
        case NoNewPrompts():
            return None
        case JudgePrompts() as settings:
            return partial(_judging, settings=settings, config=config)
        case settings:
            return partial(_maker, settings=settings, config=config)


def _judging(sources: PromptSources, *, settings: JudgePrompts, config: Config) -> JudgingMaker:
    match settings.of:
        case "given":
            groups = (judging_prompts(one, settings.form) for one in map(ranked_responses, sources.given) if one)
        case "pairs":
            groups = (judging_prompts(ranked_pair(pair), settings.form) for pair in sources.pairs)
        case "disputed":
            seed = derive_seed(config.run.seed, "disputed", sources.round)
            disputed = (disputed_response(*judged, seed=seed) for judged in sources.judged_responses)
            groups = (judging_prompts(one, settings.form) for one in disputed if one)
        case "scored":
            assert sources.judge is not None
            groups = (scored_responses(*judged, judge=sources.judge) for judged in sources.judged_responses)
    # A score is part of its prompt's length already: only the end of turn comes after it.
    answer = 1 if settings.of == "scored" else config.generation.sampled_with().max_tokens
    return JudgingMaker(
        groups=groups,
        judged=sources.judged,
        max_tokens=config.model.max_model_len - answer,
        policy_version=sources.policy_version,
        seed=config.run.seed,
    )


def _maker(sources: PromptSources, *, settings: MadePrompts, config: Config) -> Maker:
    known = KnownPrompts(settings.rules.max_rouge_l)
    seeds, made = [], list(sources.made)
    for prompt in sources.file:
        known.add(text_of(prompt))
        if is_single(prompt):
            seeds.append(replace(prompt, responses=()))
    for prompt in (*sources.given, *made):
        known.add(text_of(prompt))
    if isinstance(settings, FromKeptPrompts):
        seeds = [prompt for prompt in sources.survivors if is_single(prompt)]
        if len(seeds) < settings.shots:
            raise RunError(
                f"round {sources.round} makes its prompts from {settings.shots} that were learnt from in earlier "
                f"rounds (new_prompts.shots), and only {len(seeds)} of one message were",
                "start a run with more prompts in the rounds before it, or with fewer new_prompts.shots",
            )
    ask, read = _kind(settings)
    evolves = isinstance(settings, EvolvePrompts)
    return Maker(
        ask=ask,
        read=read,
        requests_per_batch=settings.requests_per_batch,
        making=MakingRules(
            rules=settings.rules,
            generation=config.generation,
            judge=config.judge,
            max_model_len=config.model.max_model_len,
            system=config.prompts.system,
            leaks=leaks if evolves else None,
            review=partial(review, sampling=settings.sampling) if evolves and settings.review else None,
        ),
        known=known,
        heldout=HeldoutText(
            (text_of(prompt) for prompt in sources.heldout),
            settings.rules.contamination_words,
            settings.rules.max_rouge_l,
        ),
        seeds=seeds,
        made=made,
        policy_version=sources.policy_version,
        seed_parts=(config.run.seed, "new-prompts", sources.round),
    )


def _kind(settings: MadePrompts) -> tuple[Ask, Read]:
    match settings:
        case SelfInstructPrompts():
            return partial(ask_self_instruct, config=settings), read_list
        case FromKeptPrompts():
            return partial(ask_from_kept, config=settings), read_list
        case EvolvePrompts():
            return partial(ask_evolved, config=settings), read_one
        case SkillMixPrompts():
            return partial(ask_skill_mix, config=settings), read_one
        case _:
            assert_never(settings)
