"""Objectives for pairs that the policy labelled itself: each distrusts some labels, and says which.

Notation as in `pairwise`: Δ = (L_w − L_l) − (R_w − R_l) of log-probs summed over tokens, z = βΔ, ℓ(z) = −log σ(z). The
reference of training is the previous iterate. Losses have shape (B,), metrics are those of `reward_metrics`, a tie
(policy equal to reference) gives ln 2. A response without tokens has no log-prob; the learner refuses it.
"""

import math
from collections.abc import Sequence
from fractions import Fraction

import torch.nn.functional as F
from torch import Tensor

from .batches import Loss, PairBatch
from .pairwise import reward_metrics


def cream(pairs: PairBatch, consistency_B: Tensor, *, beta: float) -> Loss:
    """CREAM, arXiv 2410.12735: c·ℓ(z) + (1−c)·ℓ(−z).

    c in [0, 1], shape (B,), is how far the previous policy's ranking of the prompt's responses agrees
    (`recipes.pairing.cream`), or its mean over the data set. At c = 1 it is DPO, at c = ½ it holds the policy still.
    """
    z_B = beta * pairs.margins_B
    losses_B = -consistency_B * F.logsigmoid(z_B) - (1 - consistency_B) * F.logsigmoid(-z_B)
    return losses_B, reward_metrics(pairs, beta)


def spa(pairs: PairBatch, denoised_margins_B: Tensor, threshold: float, *, beta: float, label_smoothing: float) -> Loss:
    """SPA's self-refinement, arXiv 2406.04412: (1−α)ℓ(z) + αℓ(−z) for a noisy pair, ℓ(z) for a clean one.

    A pair is clean if m̃ > τ, noisy if not (also at equality, and for a NaN). m̃ = β[(L̃_w−L̃_l) − (R_w−R_l)], shape (B,),
    comes without gradient: L̃ is of the logits (1+λ)h_θ − λh_ref, renormalised at each position, so λ = 0 gives m̃ = z.
    τ = `threshold` is from `bottom_threshold` or `global_quantile_threshold`. α = `label_smoothing` is .1 in the
    authors' code and 0 in the first fifth of the steps; the caller schedules it. Metric `spa/noisy` is 0 or 1. The
    schedule of λ (1/2, 1/4, 1/8) is not verified.
    """
    z_B = beta * pairs.margins_B
    noisy_B = (~(denoised_margins_B > threshold)).to(z_B.dtype)
    smoothing_B = label_smoothing * noisy_B
    losses_B = -(1 - smoothing_B) * F.logsigmoid(z_B) - smoothing_B * F.logsigmoid(-z_B)
    return losses_B, reward_metrics(pairs, beta) | {"spa/noisy": noisy_B}


def bottom_threshold(margins: Sequence[float], fraction: float) -> float:
    """SPA's τ in the authors' code: the mean of s_k and s_(k+1), k = ⌊n·fraction⌋, s the n margins in rising order.

    Counted from 0, so k+1 margins are below it (barring ties): 6 of the code's rolling window of 50 at fraction .1.
    """
    _refuse_nan("bottom_threshold", margins)
    first = _bottom_count(len(margins), fraction)
    if not 0 <= first < len(margins) - 1:
        raise ValueError(
            f"bottom_threshold: of {len(margins)} margins, fraction {fraction} asks for numbers {first} and {first + 1}"
            " (counted from 0). Take more margins, or a fraction from 0 up to below 1."
        )
    ordered = sorted(margins)
    return (ordered[first] + ordered[first + 1]) / 2


def global_quantile_threshold(margins_B: Tensor, fraction: float) -> float:
    """SPA's τ as the paper describes it: the k-th smallest margin, k = ⌊fraction·n⌋. The bottom k are not above it.

    Margins equal to the k-th are not above it either, and are noisy with it. For k = 0 it is −inf: all are clean.
    """
    _refuse_nan("global_quantile_threshold", margins_B.tolist())
    if not 0 <= fraction <= 1:
        raise ValueError(f"global_quantile_threshold: fraction is {fraction}, and has to be from 0 to 1.")
    count = _bottom_count(len(margins_B), fraction)
    return float(margins_B.kthvalue(count).values) if count else -math.inf


def _bottom_count(total: int, fraction: float) -> int:
    """⌊total·fraction⌋ of the fraction as it is written: in binary, 100·.29 is a little less than 29."""
    return math.floor(total * Fraction(str(fraction)))


def _refuse_nan(function: str, values: Sequence[float]) -> None:
    if any(math.isnan(value) for value in values):
        raise ValueError(f"{function}: NaN among {len(values)} values has no place in an order. Drop it.")
