"""Objectives: pure tensor functions, log-probs in, per-pair losses and detached metrics out; one function a paper."""

import torch
import torch.nn.functional as F
from torch import Tensor


def dpo(
    chosen_logps_B: Tensor,
    rejected_logps_B: Tensor,
    reference_chosen_logps_B: Tensor,
    reference_rejected_logps_B: Tensor,
    *,
    beta: float,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Direct Preference Optimization, arXiv 2305.18290, eq. 7: −log σ(β[(log π_w − log π_l) − (log r_w − log r_l)]).

    Args:
        chosen_logps_B: Σ log-probs over the response tokens (with the end-of-turn token) under the policy, shape (B,).
        rejected_logps_B, reference_chosen_logps_B, reference_rejected_logps_B: likewise, shape (B,). Zeros for the
            reference make the objective reference-free.
        beta: strength of the pull towards the reference.

    Returns:
        losses of shape (B,), and detached metrics of shape (B,) with TRL's names: the implicit rewards
        β(log π − log r), their margin, and whether the margin is positive. At a tie (policy equal to reference) the
        loss is ln 2 and the accuracy 0.
    """
    chosen_rewards_B = beta * (chosen_logps_B - reference_chosen_logps_B)
    rejected_rewards_B = beta * (rejected_logps_B - reference_rejected_logps_B)
    margins_B = chosen_rewards_B - rejected_rewards_B
    losses_B = -F.logsigmoid(margins_B)
    metrics = {
        "rewards/chosen": chosen_rewards_B,
        "rewards/rejected": rejected_rewards_B,
        "rewards/margins": margins_B,
        "rewards/accuracies": (margins_B > 0).to(torch.float32),
        "logps/chosen": chosen_logps_B,
        "logps/rejected": rejected_logps_B,
    }
    return losses_B, {name: values.detach() for name, values in metrics.items()}
