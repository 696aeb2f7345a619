"""How many responses and judgments a round of a phase has: what the plan says before anything is asked."""

from typing import assert_never

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


def judgments_of_round(config: Config) -> Count:
    """The judgments of a round of a phase."""
    return config.judge.judgments_of(responses_of_prompt(config.generation)).times(config.run.prompts_per_round)
