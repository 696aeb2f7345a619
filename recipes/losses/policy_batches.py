"""From a forward pass on the policy's own samples to the formulas: the losses and the advantages that policy gradients
name. Owns no formula.

Shapes: E examples (a prompt's responses each), S their responses, N response tokens.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from ...orchestrator.data.records import TrainingExample
from ..objectives.grpo import GrpoObjective
from ..objectives.ppo import PpoObjective
from ..objectives.rloo import RlooObjective
from . import advantages
from .batches import Metrics, TokenBatch
from .policy_gradient import aggregate, kl_k1, kl_k3, ppo_policy_loss, ppo_value_loss, sequence_policy_loss

# By name, of response tokens, shape (N,): `old_logps`, `reference` (equal to it where there is none), `values` (where
# there is a value model), and once they are known `advantages` and `returns` (PPO).
Measured: TypeAlias = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True, slots=True)
class PolicyBatch:
    """A micro-batch's responses with what the models say of them, now (`tokens`, `outputs`) and before the first step
    (`prepared`). `max_tokens` is the generation's limit."""

    examples: Sequence[TrainingExample]
    tokens: TokenBatch  # by response
    by_example: TokenBatch  # the same, with each example's tokens as one row
    examples_S: Tensor  # the example of each response
    outputs: Mapping[str, Tensor]
    prepared: Mapping[str, Tensor]
    max_tokens: int

    @property
    def sizes(self) -> list[int]:
        """Numbers of responses."""
        return [len(example.sequences) for example in self.examples]

    def summed(self, values_S: Tensor) -> Tensor:
        """Σ over each example's responses, shape (E,)."""
        zeros = torch.zeros(len(self.examples), dtype=values_S.dtype, device=values_S.device)
        return zeros.index_add(0, self.examples_S, values_S)

    def kl_S(self) -> Tensor:
        """Σ log(π_old/reference) over each response's tokens."""
        return self.tokens.sums(kl_k1(self.prepared["old_logps"], self.prepared["reference"]))


class PolicyLoss(NamedTuple):
    """Losses to be summed over the step, metrics of tokens, and what the KL takes from each response's reward (None
    where it is a term of the loss)."""

    losses_E: Tensor
    metrics_N: Metrics
    penalty_S: Tensor | None


def ppo(objective: PpoObjective, batch: PolicyBatch) -> PolicyLoss:
    tokens, prepared = batch.by_example, batch.prepared
    policy_N, metrics = ppo_policy_loss(
        tokens.logps_N, prepared["old_logps"], prepared["advantages"], clip=objective.clip
    )
    value_N, value_metrics = ppo_value_loss(
        batch.outputs["values"], prepared["values"], prepared["returns"], clip=objective.value_clip
    )
    metrics = {**metrics, **value_metrics, "loss/policy_avg": policy_N.detach(), "loss/value_avg": value_N.detach()}
    losses_E = tokens.sums(policy_N + objective.value_weight * value_N)
    return PolicyLoss(losses_E, metrics, batch.tokens.sums(ppo_kl_penalty(objective, prepared)))


def grpo(objective: GrpoObjective, batch: PolicyBatch) -> PolicyLoss:
    tokens, prepared = batch.tokens, batch.prepared
    losses_N, metrics = ppo_policy_loss(
        tokens.logps_N, prepared["old_logps"], prepared["advantages"], clip=objective.clip
    )
    metrics = {**metrics, "loss/policy_avg": losses_N.detach()}
    if objective.kl_coefficient:
        losses_N = losses_N + objective.kl_coefficient * kl_k3(tokens.logps_N, prepared["reference"])
    losses = [
        aggregate(
            losses_n,
            part,
            normaliser=objective.normaliser,
            max_tokens=batch.max_tokens,
            num_sequences=1,
            total_tokens=1.0,
        )
        for losses_n, part in _parts(losses_N, tokens, batch.sizes)
    ]
    return PolicyLoss(torch.stack(losses), metrics, None)


def rloo(objective: RlooObjective, batch: PolicyBatch) -> PolicyLoss:
    tokens, prepared = batch.tokens, batch.prepared
    old_S = tokens.sums(prepared["old_logps"])
    advantages_S = tokens.means(prepared["advantages"])  # one a response: the same at its every token
    losses_S, metrics_S = sequence_policy_loss(tokens.sums(tokens.logps_N), old_S, advantages_S, clip=objective.clip)
    per_token: Metrics = {name: values_S[tokens.rows_N] for name, values_S in metrics_S.items()}
    return PolicyLoss(batch.summed(losses_S), per_token, objective.kl_coefficient * batch.kl_S())


def ppo_advantages(
    objective: PpoObjective, scores_S: Tensor, sizes: Sequence[int], tokens: TokenBatch, measured: Mapping[str, Tensor]
) -> Measured:
    rewards_N = advantages.token_rewards(scores_S, ppo_kl_penalty(objective, measured), tokens)
    if objective.whiten_rewards:
        rewards_N = advantages.whiten(rewards_N, tokens.weights_N, shift_mean=False)
    advantages_N, returns_N = advantages.gae(
        rewards_N, measured["values"], tokens.rows_N, gamma=objective.gamma, lam=objective.lam
    )
    return {"advantages": advantages.whiten(advantages_N, tokens.weights_N), "returns": returns_N}


def grpo_advantages(
    objective: GrpoObjective, scores_S: Tensor, sizes: Sequence[int], tokens: TokenBatch, measured: Mapping[str, Tensor]
) -> Measured:
    groups, scale = scores_S.split(list(sizes)), "none" if objective.scale == "batch" else objective.scale
    advantages_S = torch.cat([advantages.grpo_advantages(scores_K, scale=scale) for scores_K in groups])
    if objective.scale == "batch":
        advantages_S = advantages.scale_by(advantages_S, scores_S.std())
    return {"advantages": advantages_S[tokens.rows_N]}


def rloo_advantages(
    objective: RlooObjective, scores_S: Tensor, sizes: Sequence[int], tokens: TokenBatch, measured: Mapping[str, Tensor]
) -> Measured:
    kl_S = tokens.sums(kl_k1(measured["old_logps"], measured["reference"]))
    rewards_S = scores_S - objective.kl_coefficient * kl_S
    parts = [advantages.rloo_advantages(rewards_K) for rewards_K in rewards_S.split(list(sizes))]
    return {"advantages": torch.cat(parts)[tokens.rows_N]}


def ppo_kl_penalty(objective: PpoObjective, measured: Mapping[str, Tensor]) -> Tensor:
    """What is taken from each token's reward, shape (N,)."""
    return advantages.kl_penalty(
        measured["old_logps"],
        measured["reference"],
        coefficient=objective.kl_coefficient,
        estimator=objective.kl_estimator,
        clamp_min=objective.kl_clamp_min,
    )


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
