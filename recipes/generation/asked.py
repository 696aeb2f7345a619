"""All the ways in which a prompt is asked before any response is known: what has to fit the model."""

from collections.abc import Iterable

from ...orchestrator.data.records import Prompt
from ...orchestrator.parts.conditions import Condition
from ...orchestrator.parts.generation import GenerationPart, Way
from ...orchestrator.parts.judge import JudgePart
from .conversations import under


def asked_ways(
    prompt: Prompt, generation: GenerationPart, judges: Iterable[JudgePart], condition: Condition | None = None
) -> list[Way]:
    """Every conversation, with the opening of the assistant's turn, that responses to `prompt` may be sampled from (by
    generation, or under `condition`), or that `judges` take their log-probs after."""
    return [
        (prompt.messages, ""),
        under(prompt.messages, condition),
        *generation.ways(prompt.messages),
        *((messages, "") for judge in judges for messages in judge.conversations(prompt.messages)),
    ]
