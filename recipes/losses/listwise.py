"""Objectives on K scored responses to one prompt, from Σ log-probs under the policy. Neither has a reference.

One call is one group; losses and metrics are scalars, shape (). The learner refuses empty completions (a length is at
least 1), and the caller leaves out unscored responses and drops groups whose rewards are all equal: they rank nothing.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .batches import Loss

PRO_EPSILON = 1e-10  # the official code's, inside the logarithm


def rrhf(logps_K: Tensor, lengths_K: Tensor, rewards_K: Tensor, *, length_exponent: float, weight: float) -> Loss:
    """Rank Responses to align Human Feedback, arXiv 2304.05302, section 3.

    With p_i = L_i / |y_i|^κ: weight · Σ over r_i < r_j of max(0, p_i − p_j), plus the best response's NLL.

    The NLL is the mean over the response's tokens (the official code averages over padding too, the paper sums). The
    first of equally good responses is the best. Responses of equal reward are not compared; p_i = p_j costs nothing
    and has no gradient. With all rewards equal only the NLL of the first response is left.

    Args:
        logps_K: L, log-probs summed over each response's tokens, shape (K,), in any order.
        lengths_K: |y|, numbers of those tokens, shape (K,).
        rewards_K: no gradient, shape (K,).
        length_exponent: κ; 1 compares means, 0 sums.
        weight: of the ranking term; 1 in the paper, 100 the default of the official code.

    Returns:
        the loss, and `rrhf/ranking` (unweighted), `rrhf/nll`, and `rewards/accuracies`: the share of comparisons that
        p orders as the rewards do, NaN without any.
    """
    assert not rewards_K.isnan().any(), f"an unscored response in a group: rewards {rewards_K.tolist()}"
    lengths_K = lengths_K.to(logps_K.dtype)
    scores_K = logps_K / lengths_K**length_exponent
    worse_KK = rewards_K[:, None] < rewards_K[None, :]
    ranking = F.relu(scores_K[:, None] - scores_K[None, :])[worse_KK].sum()
    best = rewards_K.argmax()
    nll = -logps_K[best] / lengths_K[best]
    return weight * ranking + nll, {
        "rrhf/ranking": ranking.detach(),
        "rrhf/nll": nll.detach(),
        "rewards/accuracies": _accuracy(scores_K, rewards_K),
    }


def pro(logps_K: Tensor, lengths_K: Tensor, rewards_K: Tensor, *, sft_weight: float) -> Loss:
    """Preference Ranking Optimization, arXiv 2306.17492, as in the official code.

    With p the mean log-prob of a response and g_i = r_k − r_i, each response k against those ranked below it:
    Σ_k { log[e^{p_k·max g} + Σ_{i>k} e^{p_i·g_i} + 1e-10] − p_k·max g }, plus sft_weight·(K − 1)²·(−Σ log-probs of the
    best response).

    p is a mean over tokens, the SFT term a sum. A response's rewards equal to k's have g = 0: in k's term they add a
    constant and get no gradient. A term whose responses all tie is the constant log(1 + their number).

    Args:
        logps_K: log-probs summed over each response's tokens, shape (K,), ranked best → worst, K ≥ 2.
        lengths_K: numbers of those tokens, shape (K,).
        rewards_K: non-increasing, no gradient, shape (K,).
        sft_weight: the official code's; 0.05 in its scripts. The (K − 1)² is in here.

    Returns:
        the loss, and `pro/ranking` (the sum over k), `pro/sft` (unweighted), and `rewards/accuracies`: the share of
        pairs of unequal reward that p orders as the rewards do, NaN without any.
    """
    group_size = len(logps_K)
    assert group_size >= 2, "a ranking takes two responses or more"
    assert (rewards_K[:-1] >= rewards_K[1:]).all(), f"responses are not ranked best to worst: {rewards_K.tolist()}"
    means_K = logps_K / lengths_K
    epsilon = means_K.new_tensor([PRO_EPSILON]).log()
    ranking = means_K.new_zeros(())
    for k in range(group_size - 1):
        gaps = rewards_K[k] - rewards_K[k + 1 :]
        positive = means_K[k] * gaps.max()
        exponents = torch.cat([positive[None], means_K[k + 1 :] * gaps, epsilon])
        ranking = ranking + exponents.logsumexp(0) - positive
    sft = -logps_K[0]
    return ranking + sft_weight * (group_size - 1) ** 2 * sft, {
        "pro/ranking": ranking.detach(),
        "pro/sft": sft.detach(),
        "rewards/accuracies": _accuracy(means_K, rewards_K),
    }


def _accuracy(scores_K: Tensor, rewards_K: Tensor) -> Tensor:
    worse_KK = rewards_K[:, None] < rewards_K[None, :]
    agree_KK = scores_K[:, None] < scores_K[None, :]
    return agree_KK[worse_KK].to(scores_K.dtype).mean()  # of nothing: NaN
