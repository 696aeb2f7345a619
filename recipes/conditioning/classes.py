"""Responses of two classes, each learnt under words that name its class."""

from collections.abc import Sequence

from ...orchestrator.conditioning_config import ClassesConditioning
from ...orchestrator.protocols import Generate
from ...orchestrator.records import PairingOutcome, Rollout
from ..generation.conversations import under
from .encoding import Lesson, learnt


async def condition_classes(
    outcomes: Sequence[PairingOutcome], generate: Generate, *, config: ClassesConditioning, max_tokens: int
) -> list[PairingOutcome]:
    """Every response under its class, with its class's weight: conditioned RLFT of OpenChat, arXiv 2309.11235, eq. 6.

    The chosen response of a pair is the expert's, and so are those of a group with its highest score; all others are of
    the other class. The prompt, its class included, weighs 0. Drop reason: `too_long` (no response fits `max_tokens`
    with its prompt).
    """
    return await learnt(outcomes, generate, lambda outcome: _lessons(outcome, config), max_tokens=max_tokens)


def _lessons(outcome: PairingOutcome, config: ClassesConditioning) -> list[Lesson]:
    made = outcome.pair or outcome.group
    if made is None:
        return []
    lessons = []
    for rollout, is_expert in _classes(outcome):
        condition = config.expert if is_expert else config.other
        messages, prefix = under(made.prompt.messages, condition)
        weight = config.expert_weight if is_expert else config.other_weight
        lessons.append(Lesson(messages=messages, assistant_prefix=prefix, rollout=rollout, weight=weight))
    return lessons


def _classes(outcome: PairingOutcome) -> list[tuple[Rollout, bool]]:
    """Each response, and whether it is the expert's."""
    if outcome.pair is not None:
        return [(outcome.pair.chosen, True), (outcome.pair.rejected, False)]
    assert outcome.group is not None
    best = max(outcome.group.scores)
    return [
        (rollout, score == best) for rollout, score in zip(outcome.group.responses, outcome.group.scores, strict=True)
    ]
