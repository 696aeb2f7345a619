"""What each objective's losses are computed from, and how they are averaged. Owns no formula and no model.

Shapes: E examples of a micro-batch, S their sequences, A attributes.
"""

from collections.abc import Callable, Sequence

from torch import Tensor

from ..orchestrator.data.records import TokenSequence, TrainingExample
from ..orchestrator.parts.objective import ObjectivePart
from ..recipes.losses.batches import Loss
from ..recipes.losses.micro_batches import MicroBatch, of_batch, of_group, of_pairs
from .formulas import formula

_CALLED: dict[str, Callable[..., Loss]] = {"batch": of_batch, "pairs": of_pairs, "group": of_group}


def losses(objective: ObjectivePart, batch: MicroBatch) -> Loss:
    """One loss an example, shape (E,), with its further terms added; and detached metrics of the same shape."""
    losses_E, metrics = _CALLED[objective.takes](objective, formula(objective.formula()), batch)
    for term in objective.further():
        added_E, _ = _CALLED[term.loss.takes](term.loss, formula(term.loss.added_formula()), batch)
        losses_E = losses_E + term.weight * added_E
        metrics = {**metrics, f"{term.loss.kind}/loss": added_E.detach()}
    return losses_E, metrics


def score_losses(objective: ObjectivePart, examples: Sequence[TrainingExample], scores_SA: Tensor) -> Loss:
    """One loss an example, shape (E,), from the scores of its sequences."""
    return formula(objective.formula())(objective, examples, scores_SA)


def denominator(objective: ObjectivePart, examples: Sequence[TrainingExample]) -> float:
    """What the sum of a step's losses is divided by."""
    sequences = [sequence for example in examples for sequence in example.sequences]
    match objective.averaged_over():
        case "examples":
            return float(len(examples))
        case "responses":
            return float(len(sequences))
        case "tokens":
            return float(sum(len(sequence.token_ids) for sequence in sequences))
        case "weights":
            return sum(map(_weight, sequences))


def trained_sequences(objective: ObjectivePart, example: TrainingExample) -> tuple[TokenSequence, ...]:
    """The sequences of an example that its loss is computed from."""
    return example.sequences[: objective.trained_sequences]


def extras_of(objective: ObjectivePart) -> tuple[str, ...]:
    """What the policy's forward pass must give beside log-probs."""
    every = [objective, *(term.loss for term in objective.further())]
    return tuple(dict.fromkeys(extra for one in every for extra in one.extras()))


def _weight(sequence: TokenSequence) -> float:
    return float(len(sequence.token_ids)) if sequence.weights is None else sum(sequence.weights)
