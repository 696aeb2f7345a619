"""What responses are learnt and asked for under, in sentences (see `words`)."""

from typing import assert_never

from ..orchestrator.conditioning_config import (
    AttributesConditioning,
    ClassesConditioning,
    ConditioningConfig,
    HindsightConditioning,
    NoConditioning,
)
from ..orchestrator.conditions import asked_under


def conditioned(conditioning: ConditioningConfig) -> str:
    """What a response is learnt under, beside the prompt that it answers."""
    match conditioning:
        case NoConditioning():
            return "Nothing is said of a response where it is learnt."
        case HindsightConditioning(helpful=helpful, unhelpful=unhelpful, orders=orders):
            return (
                f"The responses of a pair in one turn, the chosen one after “{helpful.strip()}”, the rejected one "
                f"after “{unhelpful.strip()}” (orders {', '.join(orders)}, drawn by seed); only responses are learnt."
            )
        case ClassesConditioning(expert=expert, other=other, expert_weight=expert_weight, other_weight=other_weight):
            return (
                f"Better responses{asked_under(expert)}, weight {expert_weight:g}; all others{asked_under(other)}, "
                f"weight {other_weight:g}."
            )
        case AttributesConditioning():
            return "Every response after a line of its attributes' values, which opens the assistant's turn."
        case _:
            assert_never(conditioning)
