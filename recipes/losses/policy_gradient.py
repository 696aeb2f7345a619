"""Policy-gradient losses on sampled responses, and how the losses of a step's tokens become one number.

Rewards and advantages are made in `advantages.py`; entropy, the value head and the sum over ranks are the learner's.
Only the current policy (and the current value head) is differentiated: old log-probs and values, references, advantages
and returns are data, and detached here. The learner refuses empty completions, so every response has a token.

Metrics have TRL's names; "_avg" and "_mean" become true when the learner averages the 0/1 entries over tokens.
"""

from typing import Literal, assert_never

import torch
from torch import Tensor

from .batches import Loss, TokenBatch

# Above this, e^x goes on as its tangent. An infinite ratio would turn a gradient into nan even where clipping discards
# the ratio (0·∞); e^60 ≈ 1e26 leaves float32 room for the factors it meets.
MAX_LOG_RATIO = 60.0


def kl_k1(logps_N: Tensor, reference_N: Tensor) -> Tensor:
    """The k1 estimator of KL(π‖r), log π − log r: of either sign. Schulman 2020, joschu.net/blog/kl-approx.html.

    Any shape, elementwise; 0 where the policy equals the reference. As a loss on the policy's own samples its expected
    gradient is 0, whatever the reference: it belongs in the reward.
    """
    return logps_N - reference_N.detach()


def kl_k3(logps_N: Tensor, reference_N: Tensor) -> Tensor:
    """The k3 estimator of KL(π‖r), e^d − d − 1 with d = log r − log π: never negative. Schulman 2020 (as `kl_k1`).

    Any shape, elementwise; 0, with gradient 0, where the policy equals the reference. GRPO (arXiv 2402.03300, eq. 4)
    adds it to the loss of each token.
    """
    log_ratios_N = reference_N.detach() - logps_N
    capped_N = log_ratios_N.clamp(max=MAX_LOG_RATIO)
    # expm1, because in float32 e^d − 1 would lose a small d
    return capped_N.expm1() + capped_N.exp() * (log_ratios_N - MAX_LOG_RATIO).clamp(min=0) - log_ratios_N


def ppo_policy_loss(logps_N: Tensor, old_logps_N: Tensor, advantages_N: Tensor, *, clip: float) -> Loss:
    """Proximal Policy Optimization, arXiv 1707.06347, eq. 7, per token: max(−A·ρ, −A·clip(ρ, 1−ε, 1+ε)), ρ = π/π_old.

    GRPO (arXiv 2402.03300, eq. 3) is this with A of a response at each of its tokens, plus a coefficient times `kl_k3`.

    Args:
        logps_N, old_logps_N: log-probs of the tokens under the policy, and under the policy that sampled them.
        advantages_N: of each token, whitened or not.
        clip: ε.

    Returns:
        losses of shape (N,), for `aggregate`, and the ratio and whether clipping raised the loss. Where the policy
        equals the old one the loss is −A and its gradient −A; where A is 0 both are 0. No reference enters.
    """
    losses_N, ratios_N, clipped_N = _clipped_surrogate(logps_N, old_logps_N, advantages_N, clip)
    return losses_N, {"val/ratio": ratios_N, "policy/clipfrac_avg": clipped_N}


def sequence_policy_loss(logps_S: Tensor, old_logps_S: Tensor, advantages_S: Tensor, *, clip: float) -> Loss:
    """REINFORCE Leave-One-Out, arXiv 2402.14740, with one ratio for a whole response: max(−A·ρ, −A·clip(ρ, 1−ε, 1+ε)).

    The paper takes one gradient step a sample, where ρ = 1 and the gradient is −A·∇log π(y); the clipped ratio for
    several steps is TRL's.

    Args:
        logps_S, old_logps_S: Σ log-probs over each response's tokens, under the policy and the policy that sampled.
        advantages_S: of each response (`rloo_advantages` of rewards that already hold the KL penalty).
        clip: ε, for the ratio of whole responses.

    Returns:
        losses of shape (S,), to be averaged over responses, and whether clipping raised the loss. Ties: as
        `ppo_policy_loss`. No reference enters.
    """
    losses_S, _, clipped_S = _clipped_surrogate(logps_S, old_logps_S, advantages_S, clip)
    return losses_S, {"clip_ratio/region_mean": clipped_S}


def ppo_value_loss(values_N: Tensor, old_values_N: Tensor, returns_N: Tensor, *, clip: float) -> Loss:
    """PPO's clipped value loss, per token: ½·max((V−G)², (V_clip−G)²), V_clip = V_old + clip(V−V_old, −ε, ε).

    Not in the paper, which has the plain square; this is TRL's and its predecessors'.

    Args:
        values_N, old_values_N: values now, and when the responses were sampled.
        returns_N: G, of `gae`.
        clip: ε, in units of value.

    Returns:
        losses of shape (N,) without the value coefficient, and whether clipping raised the loss. At V = V_old the loss
        is ½(V−G)². Once V has moved by more than ε towards G its gradient is 0.
    """
    old_values_N, returns_N = old_values_N.detach(), returns_N.detach()
    clipped_values_N = old_values_N + (values_N - old_values_N).clamp(-clip, clip)
    plain_N = (values_N - returns_N).square()
    clipped_N = (clipped_values_N - returns_N).square()
    return 0.5 * torch.maximum(plain_N, clipped_N), {"val/clipfrac_avg": (clipped_N > plain_N).to(plain_N.dtype)}


def aggregate(
    losses_N: Tensor,
    tokens: TokenBatch,
    *,
    normaliser: Literal["grpo", "bnpo", "dr_grpo", "dapo"],
    max_tokens: int | None,
    num_sequences: int,
    total_tokens: float,
) -> Tensor:
    """One loss from the tokens' weighted losses, shape (). With w = `tokens.weights_N`:

    - grpo, arXiv 2402.03300: Σ_responses (Σ w·loss / Σ w) / num_sequences. A response without a weighed token adds 0.
    - bnpo, TRL's name: Σ w·loss / Σ w over these tokens. Means of micro-batches are not the mean of the step.
    - dr_grpo, arXiv 2503.20783: Σ w·loss / (num_sequences · max_tokens), so that length does not change the weight.
    - dapo, arXiv 2503.14476: Σ w·loss / total_tokens.

    `num_sequences` and `total_tokens` (Σ w) count what the caller averages over: of the whole step on every rank, the
    results of all micro-batches and ranks *add up* to the loss of the step (not so for bnpo, which uses neither).
    `max_tokens` is the generation's limit, not the longest response seen; only dr_grpo uses it.
    """
    weighted_N = losses_N * tokens.weights_N
    match normaliser:
        case "grpo":
            return tokens.means(losses_N).sum() / num_sequences
        case "bnpo":
            total = tokens.weights_N.sum()
            return weighted_N.sum() / total.clamp(min=torch.finfo(total.dtype).tiny)
        case "dr_grpo":
            if max_tokens is None:
                raise ValueError("aggregate: dr_grpo divides by max_tokens; give the generation's token limit.")
            return weighted_N.sum() / (num_sequences * max_tokens)
        case "dapo":
            return weighted_N.sum() / total_tokens
    assert_never(normaliser)


def _clipped_surrogate(
    logps: Tensor, old_logps: Tensor, advantages: Tensor, clip: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Losses, and detached: ratios, whether clipping raised the loss. Of tokens or of responses."""
    log_ratios, advantages = logps - old_logps.detach(), advantages.detach()
    ratios = log_ratios.clamp(max=MAX_LOG_RATIO).exp() * (1 + (log_ratios - MAX_LOG_RATIO).clamp(min=0))
    plain = -advantages * ratios
    clipped = -advantages * ratios.clamp(1 - clip, 1 + clip)
    return torch.maximum(plain, clipped), ratios.detach(), (clipped > plain).to(plain.dtype)
