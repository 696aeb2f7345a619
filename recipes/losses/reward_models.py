"""Objectives of reward models, from the scores a scalar or attribute head gives responses. None has a reference.

Scores are of whole responses, read at the last token: nothing is summed or averaged over tokens. The learner refuses
empty completions.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .batches import Loss


def bradley_terry(
    chosen_scores_B: Tensor,
    rejected_scores_B: Tensor,
    *,
    margins_B: Tensor | None = None,
    label_probability_B: Tensor | None = None,
    centring: float = 0.0,
) -> Loss:
    """Bradley-Terry reward model: −log σ(r_w − r_l − m) + c·(r_w + r_l)².

    The loss is eq. 1 of InstructGPT (arXiv 2203.02155), the margin m eq. 2 of Llama 2 (2307.09288), the centring eq. 2
    of 2312.09244. With soft labels p = P(chosen ≻ rejected), as in RLCD (2307.12950), −p·log σ(d) − (1 − p)·log σ(−d)
    for d = r_w − r_l. Equal scores cost ln 2 without a margin, whatever p, and count as inaccurate.

    Args:
        chosen_scores_B, rejected_scores_B: r_w and r_l, shape (B,).
        margins_B: m, how much better the chosen response is, shape (B,); none is 0.
        label_probability_B: p, shape (B,); none is 1. Excludes a margin, which presumes who won.
        centring: c.

    Returns:
        losses of shape (B,), and per pair TRL's metrics: `accuracy` (r_w > r_l), `margin` (r_w − r_l, without m) and
        `mean_reward`.
    """
    if margins_B is not None and label_probability_B is not None:
        raise ValueError("a margin is defined for hard labels only: give margins_B or label_probability_B, not both")
    differences_B = chosen_scores_B - rejected_scores_B
    totals_B = chosen_scores_B + rejected_scores_B
    if label_probability_B is not None:
        won_B, lost_B = -F.logsigmoid(differences_B), -F.logsigmoid(-differences_B)
        preferences_B = label_probability_B * won_B + (1 - label_probability_B) * lost_B
    else:
        preferences_B = -F.logsigmoid(differences_B if margins_B is None else differences_B - margins_B)
    return preferences_B + centring * totals_B**2, {
        "accuracy": (differences_B > 0).to(differences_B.dtype),
        "margin": differences_B.detach(),
        "mean_reward": totals_B.detach() / 2,
    }


def attribute_regression(scores_SA: Tensor, targets_SA: Tensor) -> Loss:
    """SteerLM's attribute model, arXiv 2310.05344 (HelpSteer, 2311.09528): mean over attributes of (score − target)².

    The mean is over the attributes that one response has, so a response weighs the same however many those are. (The
    official code's is over those of the micro-batch: the same where no attribute is missing.)

    Args:
        scores_SA: one regression head an attribute, shape (S, A).
        targets_SA: the attributes' values, 0–4 in the papers, shape (S, A). NaN is missing: no loss and no gradient.

    Returns:
        losses of shape (S,), 0 for a response without an attribute, and `attributes/present`, how many it has.
    """
    present_SA = ~targets_SA.isnan()
    errors_SA = torch.where(present_SA, scores_SA - targets_SA, 0.0)
    present_S = present_SA.sum(dim=1).to(scores_SA.dtype)
    return (errors_SA**2).sum(dim=1) / present_S.clamp(min=1), {"attributes/present": present_S}
