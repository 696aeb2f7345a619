"""All the ways in which a prompt is asked before any response is known: what has to fit the model."""

from collections.abc import Iterable
from typing import assert_never

from ...orchestrator.conditions import Condition
from ...orchestrator.generation_config import (
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
from ...orchestrator.parts.judge import JudgePart
from ...orchestrator.records import Message, Prompt, Variant
from .altered_instruction import alteration_prompt
from .contrast import contrast_prompt
from .conversations import described, under, with_system
from .mixture import aggregation_prompt

Way = tuple[tuple[Message, ...], str]


def asked_ways(
    prompt: Prompt, generation: GenerationConfig, judges: Iterable[JudgePart], condition: Condition | None = None
) -> list[Way]:
    """Every conversation, with the opening of the assistant's turn, that responses to `prompt` may be sampled from (by
    generation, or under `condition`), or that `judges` take their log-probs after."""
    return [
        (prompt.messages, ""),
        under(prompt.messages, condition),
        *_sampled_from(prompt.messages, generation),
        *((messages, "") for judge in judges for messages in judge.conversations(prompt.messages)),
    ]


def _sampled_from(messages: tuple[Message, ...], generation: GenerationConfig) -> list[Way]:
    """What generation asks beside the plain prompt."""
    match generation:
        case PlainGeneration(condition=condition):
            return [under(messages, condition)]
        case ReviseGeneration() | GivenGeneration() | GivenAndSampledGeneration():
            return []
        case JudgmentsGeneration():
            return []
        case AlteredInstructionGeneration():
            return [(alteration_prompt(messages), "")]
        case ContrastGeneration(affixes=affixes, placement=placement):
            sides: tuple[Variant, ...] = ("positive", "negative")
            return [contrast_prompt(messages, pair, variant, placement) for pair in affixes for variant in sides]
        case LadderGeneration(levels=levels, placement=placement):
            return [described(messages, level, placement) for level in levels]
        case SystemMessagesGeneration(system_messages=texts):
            return [(with_system(messages, text), "") for text in texts]
        case MixtureGeneration(instruction=instruction):
            return [(aggregation_prompt(messages, [], instruction), "")]
        case _:
            assert_never(generation)
