"""Objectives on single responses labelled desirable or undesirable, from Σ log-probs under policy and reference.

The learner refuses empty completions: log-ratios here are of at least one token. Building the mismatched examples (a
prompt with another prompt's response) and gathering them over ranks is the caller's part.
"""

import torch
from torch import Tensor

from .batches import Loss


def kto(
    log_ratios_S: Tensor,
    desirable_S: Tensor,
    kl: Tensor,
    *,
    beta: float,
    desirable_weight: float,
    undesirable_weight: float,
) -> Loss:
    """Kahneman-Tversky Optimization, arXiv 2402.01306, eq. 7.

    With r = log π(y|x) − log ref(y|x): λ_D·(1 − σ(β(r − KL))) for a desirable response,
    λ_U·(1 − σ(β(KL − r))) for an undesirable one. The gradient vanishes far on either side of KL: the loss saturates.

    Args:
        log_ratios_S: r, log-probs summed over the response's tokens, shape (S,). The reference is the caller's, in the
            paper the SFT model.
        desirable_S: bool labels, shape (S,).
        kl: scalar from `kto_kl`; gets no gradient.
        beta: strength of the pull towards the reference.
        desirable_weight, undesirable_weight: λ_D and λ_U. The paper keeps λ_D·n_D / (λ_U·n_U) within [1, 4/3] for
            numbers n of either label [that range is not verified].

    Returns:
        losses of shape (S,), and per response TRL's metrics: the implicit reward βr as `rewards/chosen` of a desirable
        response and `rewards/rejected` of an undesirable one (NaN, not applicable, for the other label), and `kl`.
        Policy equal to reference, and so KL 0: half the weight.
    """
    kl = kl.detach()
    gains_S = torch.where(desirable_S, log_ratios_S - kl, kl - log_ratios_S)
    values_S = torch.sigmoid(-beta * gains_S)  # 1 − σ(x) = σ(−x), without the cancellation
    losses_S = torch.where(desirable_S, desirable_weight * values_S, undesirable_weight * values_S)
    rewards_S = (beta * log_ratios_S).detach()
    return losses_S, {
        "rewards/chosen": rewards_S.masked_fill(~desirable_S, torch.nan),
        "rewards/rejected": rewards_S.masked_fill(desirable_S, torch.nan),
        "kl": kl.expand_as(log_ratios_S),
    }


def kto_kl(mismatched_log_ratios_S: Tensor) -> Tensor:
    """KTO's reference point, arXiv 2402.01306: max(0, mean of log π(y'|x) − log ref(y'|x)), detached scalar.

    `mismatched_log_ratios_S`, shape (S,), is of prompts with another prompt's response, Σ over tokens; so it takes two
    examples or more. With several ranks, give all their ratios: the mean of the ranks' maxima is another number.
    """
    if mismatched_log_ratios_S.numel() == 0:
        raise ValueError("KTO's KL is a mean over mismatched responses and got none; learn from two examples or more")
    return mismatched_log_ratios_S.detach().mean().clamp(min=0)
