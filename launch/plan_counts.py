"""How many responses and judgments a round of a phase has: what the plan says before anything is asked."""

from dataclasses import replace
from typing import Literal, assert_never

from ..orchestrator.config import Config
from ..orchestrator.counts import AT_LEAST, AT_MOST, Count
from ..orchestrator.generation_config import (
    AlteredInstructionGeneration,
    ContrastGeneration,
    GenerationConfig,
    GivenAndSampledGeneration,
    GivenGeneration,
    JudgmentsGeneration,
    LadderGeneration,
    MixtureGeneration,
    PlainGeneration,
    ReviseGeneration,
    SystemMessagesGeneration,
)
from ..orchestrator.judge_config import (
    AbJudge,
    AdditiveJudge,
    AnnotatorsJudge,
    AttributesJudge,
    ChecklistJudge,
    EndpointJudge,
    ImplicitRewardJudge,
    JudgeConfig,
    MetaJudge,
    NoJudge,
    PairwiseJudge,
    PanelJudge,
    RatingJudge,
    TruthJudge,
)
from ..recipes.generation.mixture import windows


def texts_of_prompt(generation: GenerationConfig) -> Count:
    """The texts that are made of a prompt, or come with it, those on the way to a response too."""
    match generation:
        case MixtureGeneration(proposals=proposals, samplers=samplers, layers=layers, window=window):
            first, later = proposals * len(samplers), proposals * (layers - 1)
            responses = len(windows(first, window.size, window.carried)) if window else 1
            return Count(number=first + later + responses, bound=AT_MOST)
        case ReviseGeneration(revisions=revisions):
            return Count(number=1 + 2 * revisions, bound=AT_MOST)
        case AlteredInstructionGeneration():
            return Count(number=3, bound=AT_MOST)
    return responses_of_prompt(generation)


def responses_of_prompt(generation: GenerationConfig) -> Count:
    """The responses to a prompt: what is judged."""
    match generation:
        case GivenGeneration():
            return Count(number=1, bound=AT_LEAST)
        case PlainGeneration(samples_per_prompt=samples, samplers=samplers):
            return Count(number=samples * len(samplers))
        case ContrastGeneration() | SystemMessagesGeneration() | GivenAndSampledGeneration():
            return Count(number=2)
        case LadderGeneration(levels=levels):
            return Count(number=len(levels))
        case MixtureGeneration():
            return Count(number=1, bound=AT_MOST)
        case ReviseGeneration() | AlteredInstructionGeneration():
            return Count(number=2, bound=AT_MOST)
        case JudgmentsGeneration(samples_per_prompt=samples):
            return Count(number=samples)
    assert_never(generation)


def judgments_of_prompt(judge: JudgeConfig, responses: Count) -> Count:
    """The judgments of a prompt's responses, every vote and every order by itself."""
    number, bound = responses.number, responses.bound
    match judge:
        case NoJudge():
            return Count(number=0)
        case EndpointJudge(judge=inner):
            return judgments_of_prompt(inner, responses)
        case PanelJudge(members=members):
            return Count(
                number=sum(judgments_of_prompt(one, responses).number for one in members.values()), bound=bound
            )
        case AnnotatorsJudge(members=members):  # one of them, by lot
            numbers = {judgments_of_prompt(one, responses).number for one in members.values()}
            return Count(number=max(numbers), bound=bound if len(numbers) == 1 else AT_MOST)
        case AbJudge(orders=orders):
            return _compared(1, orders, responses)
        case PairwiseJudge(orders=orders, votes=votes):
            return _compared(votes, orders, responses)
        case MetaJudge():  # every two that can be read in both orders; what cannot be read is said once
            return Count(number=max(number, number * (number - 1)), bound=AT_MOST)
        case TruthJudge():
            return Count(number=number, bound=bound or AT_MOST)
        case ImplicitRewardJudge(voters="policy_and_previous"):
            return Count(number=2 * number, bound=bound)
        case AttributesJudge(read="words", votes=votes) | AdditiveJudge(votes=votes) | RatingJudge(votes=votes):
            return Count(number=votes * number, bound=bound)
        case ChecklistJudge(votes=votes):
            return Count(number=votes * number, bound=bound)
    return Count(number=number, bound=bound)


def judgments_of_round(config: Config) -> Count:
    """The judgments of a round of a phase."""
    count = judgments_of_prompt(config.judge, responses_of_prompt(config.generation))
    return replace(count, number=config.run.prompts_per_round * count.number)


def _compared(votes: int, orders: Literal["one", "both"], responses: Count) -> Count:
    """Of exactly two responses; how many given ones there are is not known before they are read."""
    bound = AT_MOST if responses.bound else ""
    return Count(number=votes * (2 if orders == "both" else 1) * (bool(bound) or responses.number == 2), bound=bound)
