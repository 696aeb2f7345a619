"""A phase's functions: which of the recipes' parts stands for which configuration."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from ..orchestrator.conditioning_config import (
    AttributesConditioning,
    ClassesConditioning,
    HindsightConditioning,
    NoConditioning,
)
from ..orchestrator.config import Config
from ..orchestrator.filtering import Filter
from ..orchestrator.generation_config import (
    AlteredInstructionGeneration,
    ContrastGeneration,
    GivenAndSampledGeneration,
    GivenGeneration,
    JudgmentsGeneration,
    LadderGeneration,
    MixtureGeneration,
    PlainGeneration,
    ReviseGeneration,
    SystemMessagesGeneration,
    is_again,
    is_sampled_by_policy,
    samplers_of,
    samples_of,
)
from ..orchestrator.judge_config import AnnotatorsJudge, AttributeModelJudge, AttributesJudge, JudgeConfig
from ..orchestrator.objective_config import ObjectiveConfig, PolicyGradientObjective
from ..orchestrator.pairing_config import (
    AgreementPairing,
    AnchoredPairing,
    AnnotatedPairing,
    BestWorstPairing,
    ByChoicePairing,
    ConsistentPairing,
    ContrastPairing,
    CreamPairing,
    CritiquedPairing,
    DemonstrationsPairing,
    FunctionPairing,
    FutureGuidedPairing,
    GroupPairing,
    LengthControlledPairing,
    RankedPairing,
    RightOverWrongPairing,
    RightPairing,
    SoftPairing,
    SppoPairing,
    SweetSpotPairing,
    WithSourcePairing,
    WorstOfFewPairing,
    WpoTiesPairing,
)
from ..orchestrator.protocols import Generate, Phase, Scorers
from ..orchestrator.records import Judgment, PairingOutcome, Prompt, Rollout, Shard
from ..orchestrator.sampling_config import POLICY
from ..orchestrator.seeds import derive_seed
from ..orchestrator.user_functions import load_function
from ..recipes.conditioning.attributes import condition_attributes
from ..recipes.conditioning.classes import condition_classes
from ..recipes.conditioning.hindsight import condition_hindsight
from ..recipes.filters.measured import measure
from ..recipes.generation.altered_instruction import sample_altered_instruction
from ..recipes.generation.contrast import sample_contrast
from ..recipes.generation.given import sample_given
from ..recipes.generation.given_and_sampled import sample_beside_given
from ..recipes.generation.judgments import sample_judgments
from ..recipes.generation.ladder import sample_ladder
from ..recipes.generation.mixture import sample_mixture, sample_proposals
from ..recipes.generation.plain import sample_plain
from ..recipes.generation.revise import sample_revise
from ..recipes.generation.system_messages import sample_system_messages
from ..recipes.judges.annotators import flipped
from ..recipes.judges.canaries import judge_canaries
from ..recipes.judges.conclusions import conclusions
from ..recipes.pairing.agreement import pair_agreement
from ..recipes.pairing.anchored import pair_anchored
from ..recipes.pairing.annotated import pair_annotated
from ..recipes.pairing.best_worst import pair_best_worst
from ..recipes.pairing.by_choice import pair_by_choice
from ..recipes.pairing.candidates import dropped, remark_of
from ..recipes.pairing.consistent import pair_consistent
from ..recipes.pairing.contrast import pair_contrast
from ..recipes.pairing.cream import pair_cream
from ..recipes.pairing.critiqued import pair_critiqued
from ..recipes.pairing.demonstrations import pair_demonstrations
from ..recipes.pairing.function import pair_by_function
from ..recipes.pairing.future_guided import pair_future_guided
from ..recipes.pairing.group import pair_group
from ..recipes.pairing.length_controlled import pair_length_controlled
from ..recipes.pairing.ranked import pair_ranked
from ..recipes.pairing.right import pair_right, pair_right_over_wrong
from ..recipes.pairing.soft import pair_soft
from ..recipes.pairing.sppo import pair_sppo
from ..recipes.pairing.sweet_spot import pair_sweet_spot
from ..recipes.pairing.with_source import pair_with_source
from ..recipes.pairing.worst_of_few import pair_best_of_all_worst_of_few
from ..recipes.pairing.wpo_ties import pair_wpo_ties
from .judges import build_canary_judge, build_judge, build_moving_judge, build_opinions, judge_reading
from .new_prompts import prompt_maker


def build_phase(config: Config, scorers: Scorers | None) -> Phase:
    """A phase's functions with its configuration bound. `scorers` hold the models beside the policy, if any judge."""
    evaluation = config.evaluation
    canary_judge = build_canary_judge(config, scorers)
    return Phase(
        make_prompts=prompt_maker(config),
        samplers=samplers_of(config.generation),
        gathers=isinstance(config.generation, MixtureGeneration),
        again=is_again(config.generation),
        sample=partial(_sample, config=config),
        judge=build_judge(config.judge, config, scorers, "judge", own_logps=is_sampled_by_policy(config.generation)),
        reading=judge_reading(config.judge),
        pair=partial(_pair, config=config),
        condition=None if isinstance(config.conditioning, NoConditioning) else partial(_condition, config=config),
        filter=_round_filter(config),
        sample_heldout=partial(_sample_heldout, config=config),
        judge_heldout=build_judge(
            evaluation.judge, config, scorers, "evaluate", own_logps=evaluation.condition is None
        ),
        reading_heldout=judge_reading(evaluation.judge),
        judge_canaries=partial(judge_canaries, judge=canary_judge) if canary_judge else None,
        rejudge=build_moving_judge(evaluation.judge, config, scorers, "evaluate"),
        rejudge_pairs=build_moving_judge(config.judge, config, scorers, "judge"),
        opinions=build_opinions(config, scorers),
    )


async def _sample(
    shard: Shard,
    policy_version: int,
    generate: Generate,
    sampler: str,
    others: Sequence[Rollout],
    *,
    config: Config,
) -> list[Rollout]:
    seed_parts = (config.run.seed, shard.split, shard.round)
    match config.generation:
        case GivenGeneration():
            return await sample_given(shard, policy_version, generate)
        case PlainGeneration() as plain:
            return await sample_plain(
                shard,
                policy_version,
                generate,
                sampling=plain.sampling,
                samples=samples_of(plain, sampler),
                seed_parts=seed_parts,
                sampler=sampler,
                condition=plain.condition,
            )
        case GivenAndSampledGeneration(sampling=sampling):
            return await sample_beside_given(shard, policy_version, generate, sampling=sampling, seed_parts=seed_parts)
        case ContrastGeneration() as contrast:
            return await sample_contrast(shard, policy_version, generate, config=contrast, seed_parts=seed_parts)
        case LadderGeneration() as ladder:
            return await sample_ladder(shard, policy_version, generate, config=ladder, seed_parts=seed_parts)
        case SystemMessagesGeneration() as messages:
            return await sample_system_messages(shard, policy_version, generate, config=messages, seed_parts=seed_parts)
        case MixtureGeneration() as mixture if sampler != POLICY:
            return await sample_proposals(
                shard, policy_version, generate, config=mixture, seed_parts=seed_parts, sampler=sampler
            )
        case MixtureGeneration() as mixture:
            return await sample_mixture(
                shard, policy_version, generate, config=mixture, seed_parts=seed_parts, others=others
            )
        case ReviseGeneration() as revise:
            return await sample_revise(shard, policy_version, generate, config=revise, seed_parts=seed_parts)
        case AlteredInstructionGeneration() as altered:
            return await sample_altered_instruction(
                shard, policy_version, generate, config=altered, seed_parts=seed_parts
            )
        case JudgmentsGeneration() as judgments:
            return await sample_judgments(shard, policy_version, generate, config=judgments, seed_parts=seed_parts)


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


def _measure(outcomes: Sequence[PairingOutcome], judgments: Sequence[Judgment], *, judge: JudgeConfig) -> np.ndarray:
    """By the scores that pairing went by."""
    return measure(outcomes, conclusions(judgments, judge=judge))


def _rewards_empty(objective: ObjectiveConfig) -> bool:
    """Whether an empty response has a reward of its own, as in AlpacaFarm: then it is a sample like any other."""
    return isinstance(objective, PolicyGradientObjective) and objective.missing_eos_reward is not None


def _pair(
    shard: Shard, prompt: Prompt, rollouts: Sequence[Rollout], judgments: Sequence[Judgment], *, config: Config
) -> PairingOutcome:
    generation = config.generation
    drop_truncated = not isinstance(generation, GivenGeneration) and generation.truncated == "drop"
    if not isinstance(config.pairing, CreamPairing):  # it compares the two voters
        judgments = conclusions(judgments, judge=config.judge)
    if isinstance(config.judge, AnnotatorsJudge) and shard.split == "train":
        seed = derive_seed(config.run.seed, "pair", shard.split, shard.round)
        judgments = flipped(judgments, fraction=config.judge.flipped_fraction, seed=seed)
    if all(rollout.interim for rollout in rollouts):
        return dropped(prompt, remark_of(rollouts))
    match config.pairing:
        case BestWorstPairing(min_margin=min_margin):
            return pair_best_worst(prompt, rollouts, judgments, min_margin=min_margin, drop_truncated=drop_truncated)
        case SweetSpotPairing(chosen_at=chosen_at, rejected_at=rejected_at):
            return pair_sweet_spot(
                prompt, rollouts, judgments, chosen_at=chosen_at, rejected_at=rejected_at, drop_truncated=drop_truncated
            )
        case WorstOfFewPairing(few=few):
            seed = derive_seed(config.run.seed, "pair", shard.split, shard.round)
            return pair_best_of_all_worst_of_few(
                prompt, rollouts, judgments, few=few, seed=seed, drop_truncated=drop_truncated
            )
        case LengthControlledPairing(rho=rho, max_chosen_chars=max_chosen_chars):
            return pair_length_controlled(
                prompt, rollouts, judgments, rho=rho, max_chosen_chars=max_chosen_chars, drop_truncated=drop_truncated
            )
        case WpoTiesPairing():
            return pair_wpo_ties(prompt, rollouts, judgments, drop_truncated=drop_truncated)
        case ByChoicePairing(choice=choice, length_penalty=length_penalty):
            seed = derive_seed(config.run.seed, "pair", shard.split, shard.round)
            return pair_by_choice(
                prompt,
                rollouts,
                judgments,
                choice=choice,
                length_penalty=length_penalty,
                seed=seed,
                drop_truncated=drop_truncated,
            )
        case RankedPairing(take=take):
            seed = derive_seed(config.run.seed, "pair", shard.split, shard.round)
            return pair_ranked(prompt, rollouts, take=take, seed=seed, drop_truncated=drop_truncated)
        case AnchoredPairing():
            return pair_anchored(prompt, rollouts, judgments, drop_truncated=drop_truncated)
        case FutureGuidedPairing():
            return pair_future_guided(prompt, rollouts, judgments, drop_truncated=drop_truncated)
        case WithSourcePairing():
            return pair_with_source(prompt, rollouts, judgments, drop_truncated=drop_truncated)
        case RightPairing():
            return pair_right(prompt, rollouts, judgments, drop_truncated=drop_truncated)
        case RightOverWrongPairing():
            return pair_right_over_wrong(prompt, rollouts, judgments, drop_truncated=drop_truncated)
        case SppoPairing():
            return pair_sppo(prompt, rollouts, judgments, drop_truncated=drop_truncated)
        case AgreementPairing():
            return pair_agreement(prompt, rollouts, judgments, drop_truncated=drop_truncated)
        case CreamPairing():
            return pair_cream(prompt, rollouts, judgments, drop_truncated=drop_truncated)
        case SoftPairing():
            return pair_soft(prompt, rollouts, judgments, drop_truncated=drop_truncated)
        case ConsistentPairing():
            return pair_consistent(prompt, rollouts, judgments, drop_truncated=drop_truncated)
        case CritiquedPairing(good_score=good_score, keep_good=keep_good):
            return pair_critiqued(
                prompt,
                rollouts,
                judgments,
                good_score=good_score,
                keep_good=keep_good,
                max_tokens=config.model.max_model_len,
                seed=derive_seed(config.run.seed, "pair", shard.split, shard.round),
                drop_truncated=drop_truncated,
            )
        case GroupPairing() as group:
            return pair_group(
                prompt,
                rollouts,
                judgments,
                min_responses=group.min_responses,
                drop_ties=group.ties == "drop",
                drop_truncated=drop_truncated,
                drop_empty=not _rewards_empty(config.objective),
            )
        case AnnotatedPairing():
            return pair_annotated(prompt, rollouts, judgments, drop_truncated=drop_truncated)
        case FunctionPairing(function=name):
            function = load_function(name, "pairing.function")
            return pair_by_function(prompt, rollouts, judgments, function=function, drop_truncated=drop_truncated)
        case DemonstrationsPairing():
            return pair_demonstrations(prompt, rollouts, drop_truncated=drop_truncated)
        case ContrastPairing(shuffle_labels=shuffles):
            # Held-out pairs keep their true labels: it is them that the control must fail on.
            shuffle = config.run.seed if shuffles and shard.split == "train" else None
            return pair_contrast(prompt, rollouts, drop_truncated=drop_truncated, shuffle_seed=shuffle)


async def _condition(
    shard: Shard, outcomes: Sequence[PairingOutcome], generate: Generate, *, config: Config
) -> list[PairingOutcome]:
    max_tokens = config.model.max_model_len
    match config.conditioning:
        case NoConditioning():
            return list(outcomes)
        case HindsightConditioning() as hindsight:
            seed_parts = (config.run.seed, "hindsight", shard.split, shard.round)
            return await condition_hindsight(
                outcomes, generate, config=hindsight, max_tokens=max_tokens, seed_parts=seed_parts
            )
        case ClassesConditioning() as classes:
            return await condition_classes(outcomes, generate, config=classes, max_tokens=max_tokens)
        case AttributesConditioning():
            assert isinstance(config.judge, AttributesJudge | AttributeModelJudge), "attributes are told where judged"
            return await condition_attributes(
                outcomes, generate, names=tuple(config.judge.weights), max_tokens=max_tokens
            )
