"""Responses learnt after the values of their attributes."""

from collections.abc import Sequence
from functools import partial
from typing import ClassVar, Literal

from ...orchestrator.data.records import PairingOutcome
from ...orchestrator.parts.conditioning import ConditioningContext, ConditioningPart, Tell
from ...orchestrator.parts.registry import part
from ...orchestrator.protocols import Generate
from .encoding import Lesson, learnt


@part("conditioning")
class AttributesConditioning(ConditioningPart):
    """Every annotated response after a line of its values, such as "helpfulness:4,verbosity:2", which opens the
    assistant's turn (SteerLM, arXiv 2310.05344).

    Policies trained so are asked with the line of the values that are wanted.
    """

    kind: Literal["attributes"]
    tells_attributes: ClassVar[bool] = True

    def sentence(self) -> str:
        return "Every response after a line of its attributes' values, which opens the assistant's turn."

    def build(self, context: ConditioningContext) -> Tell:
        assert context.attributes, "attributes are told where judged"
        return partial(condition_attributes, names=context.attributes, max_tokens=context.max_tokens)


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
