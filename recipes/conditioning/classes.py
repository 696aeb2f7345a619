"""Responses of two classes, each learnt under words that name its class."""

from collections.abc import Sequence
from functools import partial
from typing import ClassVar, Literal

from ...orchestrator.data.records import PairingOutcome, Rollout
from ...orchestrator.errors import ConfigError
from ...orchestrator.fields import PositiveFloat
from ...orchestrator.parts.conditioning import ConditioningContext, ConditioningPart, Tell
from ...orchestrator.parts.conditions import Condition, asked_under, check_condition
from ...orchestrator.parts.registry import Place, part
from ...orchestrator.protocols import Generate
from ..generation.conversations import under
from .encoding import Lesson, learnt


@part("conditioning")
class ClassesConditioning(ConditioningPart):
    """The chosen response of a pair, or the best of a group, under the words of an expert; the others under other
    words, with another weight (OpenChat's C-RLFT, arXiv 2309.11235).

    Policies trained so are asked as an expert.
    """

    kind: Literal["classes"]
    expert: Condition
    other: Condition
    expert_weight: PositiveFloat  # of every token of an expert's response
    other_weight: PositiveFloat
    tells_better: ClassVar[bool] = True

    def check(self, at: Place) -> None:
        """Refuse words that tell no classes apart.

        Raises:
            ConfigError: naming the class, or both.
        """
        check_condition(f"{at / 'expert'}", self.expert)
        check_condition(f"{at / 'other'}", self.other)
        if self.expert == self.other:
            raise ConfigError(
                f"{at / 'expert'} and {at / 'other'} are the same: no prompt would tell the classes apart",
                "give the classes different words",
            )

    def sentence(self) -> str:
        return (
            f"Better responses{asked_under(self.expert)}, weight {self.expert_weight:g}; all others"
            f"{asked_under(self.other)}, weight {self.other_weight:g}."
        )

    def build(self, context: ConditioningContext) -> Tell:
        return partial(condition_classes, config=self, max_tokens=context.max_tokens)


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
