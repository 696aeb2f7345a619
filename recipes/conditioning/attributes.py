"""Responses learnt after the values of their attributes."""

from collections.abc import Sequence

from ...orchestrator.protocols import Generate
from ...orchestrator.records import PairingOutcome
from .encoding import Lesson, learnt


async def condition_attributes(
    outcomes: Sequence[PairingOutcome], generate: Generate, *, names: Sequence[str], max_tokens: int
) -> list[PairingOutcome]:
    """Every response of an annotated group after a line of its values, which opens the assistant's turn:
    attribute-conditioned fine-tuning, SteerLM, arXiv 2310.05344. The line is no response: it weighs 0.

    Drop reason: `too_long` (no response fits `max_tokens` with its prompt).
    """
    return await learnt(outcomes, generate, lambda outcome: _lessons(outcome, names), max_tokens=max_tokens)


def attribute_line(names: Sequence[str], values: Sequence[float]) -> str:
    """What stands before a response of these values.

    Example:
        >>> attribute_line(("helpfulness", "verbosity"), (4, 2))
        'helpfulness:4,verbosity:2\\n'
    """
    return ",".join(f"{name}:{value:g}" for name, value in zip(names, values, strict=True)) + "\n"


def _lessons(outcome: PairingOutcome, names: Sequence[str]) -> list[Lesson]:
    group = outcome.group
    if group is None:
        return []
    return [
        Lesson(
            messages=group.prompt.messages,
            assistant_prefix=attribute_line(names, values),
            rollout=rollout,
            weight=1.0,
        )
        for rollout, values in zip(group.responses, group.attributes, strict=True)
    ]
