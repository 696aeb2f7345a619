"""From scores to advantages: what `policy_gradient.py`'s losses weigh tokens and responses by.

Everything here is data, computed once per round without gradient: outputs are detached. The learner refuses empty
completions, so every response has a token. In a group, nan marks a response that has no score: it counts for nothing
and its advantage is 0.
"""

from collections.abc import Sequence
from typing import Literal, assert_never

import torch
from torch import Tensor

from .batches import TokenBatch
from .policy_gradient import kl_k1, kl_k3

WHITEN_EPSILON = 1e-8  # added to a variance, TRL's
SCALE_EPSILON = 1e-4  # added to a standard deviation, TRL's


def kl_penalty(
    logps_N: Tensor,
    reference_N: Tensor,
    *,
    coefficient: float,
    estimator: Literal["k1", "k3"],
    clamp_min: float | None,
) -> Tensor:
    """coefficient · max(KL, clamp_min) per token, shape (N,): what `token_rewards` subtracts.

    KL is `kl_k1` or `kl_k3` of the policy that sampled to the reference. RLCD (arXiv 2307.12950; AlpacaFarm's code)
    clamps k1 at 0, so that a token less likely than under the reference earns nothing; Ziegler et al. (arXiv
    1909.08593, eq. 2) do not clamp. Equal policies pay 0 (unless clamp_min is positive).
    """
    match estimator:
        case "k1":
            kl_N = kl_k1(logps_N, reference_N)
        case "k3":
            kl_N = kl_k3(logps_N, reference_N)
        case _:
            assert_never(estimator)
    return coefficient * (kl_N if clamp_min is None else kl_N.clamp(min=clamp_min)).detach()


def token_rewards(scores_S: Tensor, kl_N: Tensor, tokens: TokenBatch) -> Tensor:
    """The reward of each token, r_t = −kl_t + 1[t is the response's last token]·score, shape (N,).

    Ziegler et al., arXiv 1909.08593, eq. 2. `kl_N` is scaled and clamped (`kl_penalty`) and taken as it is at every
    token, weighed or not. The last token is the end-of-turn token, or the last one sampled of a truncated response.
    """
    ends_N = torch.ones_like(tokens.rows_N, dtype=torch.bool)
    ends_N[:-1] = tokens.rows_N[1:] != tokens.rows_N[:-1]
    assert int(ends_N.sum()) == tokens.num_responses, "token_rewards: an empty response would lose its score"
    return (torch.where(ends_N, scores_S[tokens.rows_N], 0) - kl_N).detach()


def gae(rewards_N: Tensor, values_N: Tensor, rows_N: Tensor, *, gamma: float, lam: float) -> tuple[Tensor, Tensor]:
    """Generalized Advantage Estimation, arXiv 1506.02438, eq. 16: A_t = Σ_k (γλ)^k δ_{t+k}, δ_t = r_t + γV_{t+1} − V_t.

    Args:
        rewards_N, values_N: of each response token, shape (N,); the value of a token is that of the state before it.
        rows_N: each token's response, non-decreasing. After a response's last token the value is 0.
        gamma, lam: γ and λ. λ = 0 is the one-step error, λ = 1 the discounted return minus the value.

    Returns:
        advantages, and returns G = A + V (the value head's targets), both (N,) and detached.
    """
    rewards_N, values_N = rewards_N.detach(), values_N.detach()
    _, response_N, lengths_S = torch.unique_consecutive(rows_N, return_inverse=True, return_counts=True)
    steps_N = torch.arange(len(rows_N), device=rows_N.device) - (lengths_S.cumsum(0) - lengths_S)[response_N]
    num_responses, num_steps = len(lengths_S), int(lengths_S.max())
    # Zeros to the right of a response: no reward, no value, hence no advantage flows out of its padding.
    rewards_ST = rewards_N.new_zeros(num_responses, num_steps)
    rewards_ST[response_N, steps_N] = rewards_N
    values_ST = values_N.new_zeros(num_responses, num_steps + 1)
    values_ST[response_N, steps_N] = values_N
    errors_ST = rewards_ST + gamma * values_ST[:, 1:] - values_ST[:, :-1]

    advantages_ST = torch.empty_like(errors_ST)
    advantages_S = errors_ST.new_zeros(num_responses)
    for step in reversed(range(num_steps)):
        advantages_S = errors_ST[:, step] + gamma * lam * advantages_S
        advantages_ST[:, step] = advantages_S
    advantages_N = advantages_ST[response_N, steps_N]
    return advantages_N, advantages_N + values_N


def whiten(values_N: Tensor, weights_N: Tensor, *, shift_mean: bool = True) -> Tensor:
    """(x − mean)/√(var + 1e-8) over the tokens of positive weight, all alike; 0 at the others. Shape (N,).

    The variance is the unbiased one (n − 1), as in TRL's PPO, which whitens advantages so, and rewards with
    `shift_mean=False`: scaled, then the mean added back. Equal values give zeros (or their mean). It is a statistic of
    the tokens given: whiten the whole step, not each micro-batch.
    """
    weighed_N = weights_N > 0
    weighed_values = values_N.detach()[weighed_N]
    if len(weighed_values) < 2:
        raise ValueError(
            f"whiten: {len(weighed_values)} trained token(s) have no variance; whiten more responses at once."
        )
    mean = weighed_values.mean()
    whitened = (weighed_values - mean) * (weighed_values.var() + WHITEN_EPSILON).rsqrt()
    whitened_N = torch.zeros_like(values_N)
    whitened_N[weighed_N] = whitened if shift_mean else whitened + mean
    return whitened_N


def grpo_advantages(rewards: Tensor | Sequence[float], *, scale: Literal["group", "none"]) -> Tensor:
    """Group Relative Policy Optimization, arXiv 2402.03300, section 4.1.2: (r − mean)/(std + 1e-4) in one group, (K,).

    The standard deviation is the unbiased one (K − 1) and 1e-4 is added to it, as in TRL; the paper says neither.
    "none" only subtracts the mean (Dr. GRPO, arXiv 2503.20783); TRL's "batch" is `scale_by` of that. All rewards equal,
    or fewer than two scored: zeros.
    """
    if not isinstance(rewards, Tensor):
        rewards = torch.tensor(rewards, dtype=torch.get_default_dtype())
    rewards_K = rewards.detach()
    scored_K, centred_K = _centred(rewards_K)
    match scale:
        case "none":
            return centred_K
        case "group":
            return scale_by(centred_K, rewards_K[scored_K].std()) if centred_K.any() else centred_K
    assert_never(scale)


def scale_by(advantages_K: Tensor, std: Tensor | float) -> Tensor:
    """advantages/(std + 1e-4), with the unbiased standard deviation of the rewards of a group, or of a whole batch."""
    return advantages_K / (std + SCALE_EPSILON)


def rloo_advantages(rewards_K: Tensor) -> Tensor:
    """REINFORCE Leave-One-Out, arXiv 2402.14740: r_i − mean_{j≠i} r_j in one group, (K,).

    Rewards hold the KL penalty already (TRL: coefficient · Σ_t k1, subtracted). They sum to 0; all equal, or only one
    scored: zeros.
    """
    if len(rewards_K) < 2:
        raise ValueError(
            f"rloo_advantages: no other response to compare with in a group of {len(rewards_K)}; sample 2."
        )
    scored_K, centred_K = _centred(rewards_K.detach())
    num_scored = scored_K.sum()
    # r − (Σ−r)/(n−1) = (r − mean)·n/(n−1); with fewer than two scored every centred reward is 0
    return centred_K * num_scored / (num_scored - 1).clamp(min=1)


def _centred(rewards_K: Tensor) -> tuple[Tensor, Tensor]:
    """Which responses are scored, and r − mean over these: exactly 0 for equal rewards, whose mean may be rounded."""
    scored_K = ~rewards_K.isnan()
    scored = rewards_K[scored_K]
    centred_K = torch.zeros_like(rewards_K)
    if len(scored) > 1 and scored.min() < scored.max():
        centred_K[scored_K] = scored - scored.mean()
    return scored_K, centred_K
