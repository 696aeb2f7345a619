"""From a forward pass to the losses of a policy gradient, and what is told of its samples. Owns no formula.

Shapes: E examples (a prompt's responses each) of a micro-batch, S their responses, N response tokens.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ..orchestrator.data.records import TrainingExample
from ..orchestrator.parts.objective import ObjectivePart
from ..recipes.losses.batches import Loss, Metrics, TokenBatch
from ..recipes.losses.policy_batches import PolicyBatch
from .formulas import formula


def policy_losses(
    objective: ObjectivePart,
    examples: Sequence[TrainingExample],
    tokens: TokenBatch,
    outputs: Mapping[str, Tensor],
    prepared: Mapping[str, Tensor],
    max_tokens: int,
) -> Loss:
    """One loss an example, shape (E,), to be summed over the step and divided by `denominator`.

    `max_tokens` is the generation's limit. Metrics have TRL's names; those of tokens are means over an example's.
    """
    sizes = torch.tensor([len(example.sequences) for example in examples], device=tokens.rows_N.device)
    examples_S = torch.repeat_interleave(sizes)
    batch = PolicyBatch(
        examples=examples,
        tokens=tokens,
        by_example=TokenBatch(
            logps_N=tokens.logps_N,
            rows_N=examples_S[tokens.rows_N],
            weights_N=tokens.weights_N,
            num_responses=len(examples),
        ),
        examples_S=examples_S,
        outputs=outputs,
        prepared=prepared,
        max_tokens=max_tokens,
    )
    losses_E, metrics_N, penalty_S = formula(objective.formula())(objective, batch)
    log_ratios_N = (tokens.logps_N - prepared["old_logps"]).detach()
    metrics_N |= {"policy/approxkl_avg": 0.5 * log_ratios_N.square(), "policy/entropy_avg": outputs["entropy"]}
    return losses_E, {
        **{name: batch.by_example.means(values_N) for name, values_N in metrics_N.items()},
        **_rewards(objective, batch, penalty_S),
    }


def _rewards(objective: ObjectivePart, batch: PolicyBatch, penalty_S: Tensor | None) -> Metrics:
    """Of the sampled responses, means over an example's: scores; Σ log(π_old/reference), neither clamped nor scaled;
    and what is left of the score after the penalty, where the KL is taken from the reward."""
    means = [sum(example.scores) / len(example.scores) for example in batch.examples]
    scores_E = torch.tensor(means, dtype=torch.float32, device=batch.tokens.logps_N.device)
    metrics = {"objective/scores": scores_E}
    if objective.reference.policy != "none":
        counts_E = torch.bincount(batch.examples_S)
        metrics["objective/kl"] = batch.summed(batch.kl_S()) / counts_E
        if penalty_S is not None:
            metrics["objective/rlhf_reward"] = scores_E - batch.summed(penalty_S) / counts_E
    return metrics
