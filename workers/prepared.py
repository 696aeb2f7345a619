"""What a policy gradient knows of a round's responses before its first step: log-probs under the policy that sampled
and under the reference, the critic's values, and the advantages that come of them and of the scores.

Pure functions over the whole round; the formulas are `recipes.losses.advantages`'. Shapes: N response tokens of all
examples, S responses, n tokens of one example.
"""

from collections.abc import Mapping, Sequence

import torch

from ..orchestrator.data.records import TrainingExample
from ..orchestrator.parts.objective import ObjectivePart
from ..recipes.losses.batches import TokenBatch
from ..recipes.losses.policy_batches import Measured
from .formulas import formula


def with_advantages(
    objective: ObjectivePart, examples: Sequence[TrainingExample], measured: Mapping[str, Measured]
) -> dict[str, Measured]:
    """`measured` with the advantages of all the round's `examples`, by example: shape (n,)."""
    lengths = [len(sequence.token_ids) for example in examples for sequence in example.sequences]
    whole = {name: torch.cat([measured[example.id][name] for example in examples]) for name in _names(measured)}
    device = whole["old_logps"].device
    tokens = TokenBatch(
        logps_N=whole["old_logps"],
        rows_N=torch.repeat_interleave(torch.tensor(lengths, device=device)),
        weights_N=torch.ones(sum(lengths), device=device),
        num_responses=len(lengths),
    )
    scores_S = torch.tensor([score for example in examples for score in example.scores], device=device)
    sizes = [len(example.sequences) for example in examples]
    whole |= formula(objective.advantages)(objective, scores_S, sizes, tokens, whole)
    ends = torch.tensor([sum(len(s.token_ids) for s in example.sequences) for example in examples]).tolist()
    split = {name: values_N.split(ends) for name, values_N in whole.items()}
    return {
        example.id: {name: parts[index].clone() for name, parts in split.items()}
        for index, example in enumerate(examples)
    }


def _names(measured: Mapping[str, Measured]) -> list[str]:
    return list(next(iter(measured.values())))
