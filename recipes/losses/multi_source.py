"""Objectives with a response from a stronger model beside the policy's own pair.

Notation as in `pairwise`: r = β(L − R) of log-probs summed over tokens, ℓ(z) = −log σ(z). A response without tokens has
no log-prob; the learner refuses it.
"""

import torch.nn.functional as F
from torch import Tensor

from .batches import Loss, PairBatch
from .pairwise import reward_metrics


def wrpo(pairs: PairBatch, source_B: Tensor, reference_source_B: Tensor, *, beta: float, alpha: float) -> Loss:
    """Weighted-Reward Preference Optimization, arXiv 2412.03187: ℓ(α·r_ws + (1−α)·r_wt − r_l).

    y_wt and y_l are the pair, the policy's own; y_ws is the source's best, with L and R in `source_B` and
    `reference_source_B`, shape (B,). The reference is the policy before this training. Losses have shape (B,); at a tie
    (policy equal to reference) ln 2; at α = 0 it is DPO on the pair. Metrics are `reward_metrics` of the pair, with
    `rewards/source`, `logps/source` and the argument of ℓ as `wrpo/margins`.
    """
    source_rewards_B = beta * (source_B - reference_source_B)
    chosen_rewards_B = beta * (pairs.chosen_B - pairs.reference_chosen_B)
    rejected_rewards_B = beta * (pairs.rejected_B - pairs.reference_rejected_B)
    margins_B = alpha * source_rewards_B + (1 - alpha) * chosen_rewards_B - rejected_rewards_B
    metrics = reward_metrics(pairs, beta)
    metrics["rewards/source"] = source_rewards_B.detach()
    metrics["logps/source"] = source_B.detach()
    metrics["wrpo/margins"] = margins_B.detach()
    return -F.logsigmoid(margins_B), metrics


def wrpo_alpha(progress: float, *, final: float) -> float:
    """WRPO's α after a share `progress` of all steps: linear from 0 to `final` (.1 in the paper)."""
    if not 0 <= progress <= 1:
        raise ValueError(f"wrpo_alpha: progress is {progress}, and has to be a share of the steps, from 0 to 1.")
    return final * progress
