"""Weights of responses and pairs, detached: factors on the losses of other objectives, not losses.

They need no reference. A response without a weighed token gets 1; the learner refuses empty ones.
"""

from torch import Tensor

from .batches import TokenBatch


def wpo_weights(tokens: TokenBatch, log_collision_N: Tensor, *, clip: bool) -> Tensor:
    """Weighted Preference Optimization, arXiv 2406.11827: w_y = exp(mean_t[log π(y_t) − log Σ_v π(v)²]), shape (S,).

    How likely the policy is to have written the response itself, 1 for a uniform policy. `log_collision_N` is
    log Σ_v π(v)² at each token's position. The mean is over the response's tokens by their `weights_N`, so context
    counts for nothing. `clip` caps each response's weight at 1; WPO caps the product of a pair instead: for pairs, pass
    False here and clip in `pair_weights`.
    """
    weights_S = tokens.means(tokens.logps_N - log_collision_N).exp().detach()
    return weights_S.clamp(max=1) if clip else weights_S


def pair_weights(weights_chosen_B: Tensor, weights_rejected_B: Tensor, clip: bool) -> Tensor:
    """WPO's weight of each pair's loss, arXiv 2406.11827: w_w·w_l, shape (B,), capped at 1 if `clip`, as the
    authors' code does and TRL's `use_weighting` does not."""
    weights_B = weights_chosen_B * weights_rejected_B
    return weights_B.clamp(max=1) if clip else weights_B
