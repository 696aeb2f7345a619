"""A judge's function: which of the recipes' parts stands for which configuration."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from ..orchestrator.config import Config
from ..orchestrator.judge_config import (
    REWARD_MODEL,
    AbJudge,
    AdditiveJudge,
    AnnotatorsJudge,
    AttributeModelJudge,
    AttributesJudge,
    ChecklistJudge,
    CritiqueJudge,
    DensityRatioJudge,
    EndpointJudge,
    ExpectedScoreJudge,
    FunctionJudge,
    ImplicitRewardJudge,
    JudgeConfig,
    MetaJudge,
    NoJudge,
    PairwiseJudge,
    PanelJudge,
    RatingJudge,
    RewardModelJudge,
    TruthJudge,
    ValidatorJudge,
    asked_both_ways,
    is_policy,
    models_of,
    score_points,
    votes_of,
)
from ..orchestrator.protocols import Generate, Judge, Opinion, Reading, Scorers
from ..orchestrator.records import Judgment, Rollout, Shard
from ..orchestrator.user_functions import load_function
from ..recipes.judges.ab import judge_ab
from ..recipes.judges.additive import judge_additive
from ..recipes.judges.annotators import judge_annotators
from ..recipes.judges.attributes import judge_attributes
from ..recipes.judges.checklist import judge_checklist
from ..recipes.judges.conclusions import conclusions
from ..recipes.judges.critique import judge_critique
from ..recipes.judges.density_ratio import judge_density_ratio
from ..recipes.judges.endpoint import Endpoint, api_key, judge_by_endpoint
from ..recipes.judges.expected_score import judge_expected_score
from ..recipes.judges.function import judge_function
from ..recipes.judges.implicit_reward import judge_implicit_reward
from ..recipes.judges.log_probs import with_own_logps
from ..recipes.judges.meta_judge import judge_meta
from ..recipes.judges.pairwise import judge_pairwise
from ..recipes.judges.panel import judge_panel
from ..recipes.judges.rating import judge_rating
from ..recipes.judges.reward_model import judge_attribute_model, judge_reward_model
from ..recipes.judges.truth import judge_truth
from ..recipes.judges.validator import judge_validator


def build_judge(
    judge: JudgeConfig, config: Config, scorers: Scorers | None, *purpose: str, own_logps: bool
) -> Judge | None:
    """The judge's function with its configuration bound; None where nobody judges.

    `purpose` keeps apart the seeds of judges that are asked about the same responses. `own_logps`: what is judged
    was sampled from the plain prompts, so that its log-probs are the policy's own."""
    seed_parts = (config.run.seed, *purpose)
    match judge:
        case NoJudge():
            return None
        case ExpectedScoreJudge():
            return partial(judge_expected_score, config=judge)
        case AdditiveJudge():
            return partial(judge_additive, config=judge, seed_parts=seed_parts)
        case RatingJudge():
            return partial(judge_rating, config=judge, seed_parts=seed_parts)
        case AttributesJudge():
            return partial(judge_attributes, config=judge, seed_parts=seed_parts)
        case ChecklistJudge():
            return partial(judge_checklist, config=judge, seed_parts=seed_parts)
        case CritiqueJudge():
            return partial(judge_critique, config=judge, seed_parts=seed_parts)
        case AbJudge():
            return partial(_compare, judge=judge, config=config)
        case PairwiseJudge():
            return partial(judge_pairwise, config=judge, seed_parts=seed_parts)
        case RewardModelJudge():
            assert scorers is not None, "a run that judges by a reward model has scorers"
            return partial(_score, scorers=scorers, judge=judge_reward_model)
        case AttributeModelJudge(weights=weights):
            assert scorers is not None, "a run that judges by a reward model has scorers"
            return partial(_score, scorers=scorers, judge=partial(judge_attribute_model, weights=weights))
        case ImplicitRewardJudge() | DensityRatioJudge():
            return partial(_compare_models, judge=judge, scorers=scorers, own_logps=own_logps)
        case FunctionJudge():
            return partial(judge_function, function=load_function(judge.function, "judge.function"))
        case TruthJudge():
            return judge_truth
        case ValidatorJudge():
            return partial(judge_validator, config=judge)
        case EndpointJudge():
            inner = build_judge(judge.judge, config, scorers, *purpose, own_logps=own_logps)
            assert inner is not None
            return partial(judge_by_endpoint, judge=inner, endpoint=Endpoint(config=judge, key=api_key(judge)))
        case PanelJudge():
            members = [
                build_judge(member, config, scorers, *purpose, name, own_logps=own_logps)
                for name, member in judge.members.items()
            ]
            return partial(
                judge_panel,
                members=[member for member in members if member is not None],
                votes=[votes_of(member) for member in judge.members.values()],
            )
        case AnnotatorsJudge():
            annotators = {
                name: build_judge(member, config, scorers, *purpose, name, own_logps=own_logps)
                for name, member in judge.members.items()
            }
            return partial(
                judge_annotators,
                members={name: member for name, member in annotators.items() if member is not None},
                seed_parts=seed_parts,
            )
        case MetaJudge():
            return partial(judge_meta, config=judge, seed_parts=seed_parts)


def judge_reading(judge: JudgeConfig) -> Reading:
    """How the judgments of `judge` are read."""
    return Reading(conclude=partial(conclusions, judge=judge), points=score_points(judge))


def build_canary_judge(config: Config, scorers: Scorers | None) -> Judge | None:
    """The judge of planted responses, which nobody sampled: none where it asks for the policy's log-probs of them,
    which no actor beside the rollout engines holds, or judges judgments."""
    judge = asked_both_ways(config.judge)
    if isinstance(judge, MetaJudge) or not _can_ask(judge, config):
        return None
    return build_judge(judge, config, scorers, "canary", own_logps=False)


def build_moving_judge(judge: JudgeConfig, config: Config, scorers: Scorers | None, *purpose: str) -> Judge | None:
    """`judge` for responses of another policy than the one that judges now: none where the policy does not judge, or
    where its log-probs of them are asked for, which no actor beside the rollout engines holds."""
    if not is_policy(judge) or not _can_ask(judge, config):
        return None
    return build_judge(judge, config, scorers, *purpose, own_logps=False)


def build_opinions(config: Config, scorers: Scorers | None) -> tuple[Opinion, Opinion] | None:
    """The policy's, and that of a judge that is not the policy: where one of the round's judge and the evaluation's is
    each, and both can judge any response."""
    found: dict[bool, Opinion] = {}
    for judge in map(asked_both_ways, (config.judge, config.evaluation.judge)):
        if isinstance(judge, NoJudge | TruthJudge | MetaJudge) or not _can_ask(judge, config):
            continue
        built = build_judge(judge, config, scorers, "self_preference", own_logps=False)
        assert built is not None
        found[is_policy(judge)] = Opinion(judge=built, reading=judge_reading(judge))
    return (found[True], found[False]) if len(found) == 2 else None


def _can_ask(judge: JudgeConfig, config: Config) -> bool:
    """Whether what a judge of any policy's responses asks is held beside the rollout engines."""
    return {*models_of(judge, own_logps=False)} <= {*config.held_models}


async def _compare(
    shard: Shard, rollouts: Sequence[Rollout], generate: Generate, *, judge: AbJudge, config: Config
) -> list[Judgment]:
    """By the seeds of generation: a prompt's instruction is drawn as its affix is."""
    return await judge_ab(
        shard, rollouts, generate, config=judge, seed_parts=(config.run.seed, shard.split, shard.round)
    )


async def _score(
    shard: Shard,
    rollouts: Sequence[Rollout],
    generate: Generate,
    *,
    scorers: Scorers,
    judge: Callable[..., Awaitable[list[Judgment]]],
) -> list[Judgment]:
    """By the newest reward model. Before a phase has trained one nothing is judged: the first evaluations have none."""
    if REWARD_MODEL not in scorers.models:
        return []
    return await judge(shard, rollouts, generate, score=partial(scorers.score, REWARD_MODEL))


async def _compare_models(
    shard: Shard,
    rollouts: Sequence[Rollout],
    generate: Generate,
    *,
    judge: ImplicitRewardJudge | DensityRatioJudge,
    scorers: Scorers | None,
    own_logps: bool,
) -> list[Judgment]:
    """The scorers hold the policy itself where its log-probs do not come with the rollouts; where those are all that is
    compared, there are no scorers."""
    names = models_of(judge, own_logps=own_logps)
    logps = with_own_logps(rollouts, scorers.logps if scorers else None)
    if "policy" in names:
        assert scorers is not None, "a run whose judge asks a model has scorers"
        logps = scorers.logps
    if isinstance(judge, ImplicitRewardJudge):
        return await judge_implicit_reward(shard, rollouts, generate, config=judge, logps=logps)
    return await judge_density_ratio(shard, rollouts, generate, config=judge, logps=logps)
