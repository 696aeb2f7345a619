"""From a forward pass to the losses of policy gradients: PPO, GRPO, RLOO. Owns no formula (`recipes.losses`).

Shapes: E examples (a prompt's responses each) of a micro-batch, S their responses, N response tokens.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ..orchestrator.objective_config import GrpoObjective, PolicyGradientObjective, PpoObjective, RlooObjective
from ..orchestrator.records import TrainingExample
from ..recipes.losses.batches import Loss, Metrics, TokenBatch
from ..recipes.losses.policy_gradient import (
    aggregate,
    kl_k1,
    kl_k3,
    ppo_policy_loss,
    ppo_value_loss,
    sequence_policy_loss,
)
from .prepared import Measured, ppo_kl_penalty


def policy_losses(
    objective: PolicyGradientObjective,
    examples: Sequence[TrainingExample],
    tokens: TokenBatch,
    outputs: dict[str, Tensor],
    prepared: Measured,
    max_tokens: int,
) -> Loss:
    """One loss an example, shape (E,), to be summed over the step and divided by `policy_denominator`.

    `max_tokens` is the generation's limit. Metrics have TRL's names; those of tokens are means over an example's.
    """
    sizes = [len(example.sequences) for example in examples]
    examples_S = torch.repeat_interleave(torch.tensor(sizes, device=tokens.rows_N.device))
    by_example = TokenBatch(
        logps_N=tokens.logps_N,
        rows_N=examples_S[tokens.rows_N],
        weights_N=tokens.weights_N,
        num_responses=len(examples),
    )
    match objective:
        case PpoObjective():
            losses_E, metrics_N = _ppo(objective, by_example, outputs, prepared)
        case GrpoObjective():
            losses_E, metrics_N = _grpo(objective, tokens, sizes, prepared, max_tokens)
        case RlooObjective():
            losses_E, metrics_N = _rloo(objective, tokens, examples_S, prepared)
        case _:
            raise AssertionError(objective)
    log_ratios_N = (tokens.logps_N - prepared["old_logps"]).detach()
    metrics_N |= {"policy/approxkl_avg": 0.5 * log_ratios_N.square(), "policy/entropy_avg": outputs["entropy"]}
    return losses_E, {
        **{name: by_example.means(values_N) for name, values_N in metrics_N.items()},
        **_rewards(objective, examples, tokens, examples_S, prepared),
    }


def policy_denominator(objective: PolicyGradientObjective, examples: Sequence[TrainingExample]) -> float:
    """What the sum of a step's losses is divided by: its tokens (PPO, DAPO's normaliser) or its responses."""
    if isinstance(objective, PpoObjective) or (isinstance(objective, GrpoObjective) and objective.normaliser == "dapo"):
        return float(sum(len(sequence.token_ids) for example in examples for sequence in example.sequences))
    return float(sum(len(example.sequences) for example in examples))


def _ppo(objective: PpoObjective, by_example: TokenBatch, outputs: dict[str, Tensor], prepared: Measured) -> Loss:
    policy_N, metrics = ppo_policy_loss(
        by_example.logps_N, prepared["old_logps"], prepared["advantages"], clip=objective.clip
    )
    value_N, value_metrics = ppo_value_loss(
        outputs["values"], prepared["values"], prepared["returns"], clip=objective.value_clip
    )
    metrics = {**metrics, **value_metrics, "loss/policy_avg": policy_N.detach(), "loss/value_avg": value_N.detach()}
    return by_example.sums(policy_N + objective.value_weight * value_N), metrics


def _grpo(
    objective: GrpoObjective, tokens: TokenBatch, sizes: Sequence[int], prepared: Measured, max_tokens: int
) -> Loss:
    losses_N, metrics = ppo_policy_loss(
        tokens.logps_N, prepared["old_logps"], prepared["advantages"], clip=objective.clip
    )
    metrics = {**metrics, "loss/policy_avg": losses_N.detach()}
    if objective.kl_coefficient:
        losses_N = losses_N + objective.kl_coefficient * kl_k3(tokens.logps_N, prepared["reference"])
    losses = [
        aggregate(
            losses_n, part, normaliser=objective.normaliser, max_tokens=max_tokens, num_sequences=1, total_tokens=1.0
        )
        for losses_n, part in _parts(losses_N, tokens, sizes)
    ]
    return torch.stack(losses), metrics


def _rloo(objective: RlooObjective, tokens: TokenBatch, examples_S: Tensor, prepared: Measured) -> Loss:
    old_S = tokens.sums(prepared["old_logps"])
    advantages_S = tokens.means(prepared["advantages"])  # one a response: the same at its every token
    losses_S, metrics_S = sequence_policy_loss(tokens.sums(tokens.logps_N), old_S, advantages_S, clip=objective.clip)
    per_token: Metrics = {name: values_S[tokens.rows_N] for name, values_S in metrics_S.items()}
    return _summed(losses_S, examples_S, int(examples_S.max()) + 1), per_token


def _rewards(
    objective: PolicyGradientObjective,
    examples: Sequence[TrainingExample],
    tokens: TokenBatch,
    examples_S: Tensor,
    prepared: Measured,
) -> Metrics:
    """Of the sampled responses, means over an example's: scores; Σ log(π_old/reference), neither clamped nor scaled;
    and what is left of the score after the penalty, where the KL is taken from the reward."""
    device = tokens.logps_N.device
    scores_E = torch.tensor([sum(e.scores) / len(e.scores) for e in examples], dtype=torch.float32, device=device)
    metrics = {"objective/scores": scores_E}
    if objective.reference.policy != "none":
        kl_S = tokens.sums(kl_k1(prepared["old_logps"], prepared["reference"]))
        counts_E = torch.bincount(examples_S)
        metrics["objective/kl"] = _summed(kl_S, examples_S, len(examples)) / counts_E
        penalty_S = objective.kl_coefficient * kl_S
        if isinstance(objective, PpoObjective):
            penalty_S = tokens.sums(ppo_kl_penalty(objective, prepared))
        if not isinstance(objective, GrpoObjective):
            penalty_E = _summed(penalty_S, examples_S, len(examples)) / counts_E
            metrics["objective/rlhf_reward"] = scores_E - penalty_E
    return metrics


def _parts(values_N: Tensor, tokens: TokenBatch, sizes: Sequence[int]) -> Iterator[tuple[Tensor, TokenBatch]]:
    """Each example's own tokens."""
    first = 0
    for size in sizes:
        own = (tokens.rows_N >= first) & (tokens.rows_N < first + size)
        yield (
            values_N[own],
            TokenBatch(
                logps_N=tokens.logps_N[own],
                rows_N=tokens.rows_N[own] - first,
                weights_N=tokens.weights_N[own],
                num_responses=size,
            ),
        )
        first += size


def _summed(values_S: Tensor, examples_S: Tensor, num_examples: int) -> Tensor:
    return torch.zeros(num_examples, dtype=values_S.dtype, device=values_S.device).index_add(0, examples_S, values_S)
