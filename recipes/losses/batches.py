"""What objectives are computed from: log-probs under policy and reference, as the learner's forward pass gives them.

Shape suffixes: B pairs or groups, S responses, K responses of one group, N response tokens of all responses, A
attributes. All tensors are float32. Log-probs of padding and prompt tokens are never in these tensors.
"""

from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from torch import Tensor

Metrics: TypeAlias = dict[str, Tensor]
Loss: TypeAlias = tuple[Tensor, Metrics]


@dataclass(frozen=True, kw_only=True, slots=True)
class PairBatch:
    """B preference pairs.

    `chosen_B` and `rejected_B` are Σ log π over the response's tokens (with the end-of-turn token) under the policy,
    `reference_*` the same under the reference (zeros where the objective has none), `*_lengths_B` the number of those
    tokens, at least 1.
    """

    chosen_B: Tensor
    rejected_B: Tensor
    reference_chosen_B: Tensor
    reference_rejected_B: Tensor
    chosen_lengths_B: Tensor
    rejected_lengths_B: Tensor

    @property
    def margins_B(self) -> Tensor:
        """Δ = (log π_w − log π_l) − (log r_w − log r_l)."""
        return (self.chosen_B - self.rejected_B) - (self.reference_chosen_B - self.reference_rejected_B)

    def swapped(self) -> "PairBatch":
        """The same pairs with the opposite label."""
        return replace(
            self,
            chosen_B=self.rejected_B,
            rejected_B=self.chosen_B,
            reference_chosen_B=self.reference_rejected_B,
            reference_rejected_B=self.reference_chosen_B,
            chosen_lengths_B=self.rejected_lengths_B,
            rejected_lengths_B=self.chosen_lengths_B,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenBatch:
    """The N response tokens of S responses, response after response.

    `rows_N` is each token's response (0..S−1), non-decreasing. `weights_N` weighs tokens in a loss: 1 for a trained
    token, 0 for one that is only context.
    """

    logps_N: Tensor
    rows_N: Tensor
    weights_N: Tensor
    num_responses: int

    def sums(self, values_N: Tensor) -> Tensor:
        """Σ over each response's tokens, shape (S,)."""
        return torch.zeros(self.num_responses, dtype=values_N.dtype, device=values_N.device).index_add(
            0, self.rows_N, values_N
        )

    def means(self, values_N: Tensor) -> Tensor:
        """Weighted mean over each response's tokens, shape (S,); 0 for a response without a weighed token."""
        totals_S = self.sums(self.weights_N)
        return self.sums(values_N * self.weights_N) / totals_S.clamp(min=torch.finfo(totals_S.dtype).tiny)
