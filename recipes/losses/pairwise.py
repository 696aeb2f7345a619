"""Objectives on preference pairs that pull towards a reference: one function a paper, no state.

Notation: L_w and L_l are Σ log π over the tokens of the chosen and the rejected response, R_w and R_l the same under
the reference, |y| is a response's number of tokens, Δ = (L_w − L_l) − (R_w − R_l), z = βΔ, ℓ(z) = −log σ(z).

Every function takes B pairs and returns losses of shape (B,) with the metrics of `reward_metrics`. Unless its docstring
says otherwise it works on sums over tokens, takes the reference that the recipe names (often the round's first
policy), and gives ln 2 with accuracy 0 at a tie (policy equal to reference). Gradients are wanted in L_w and L_l only:
references and labels come without. A response without tokens has no log-prob; the learner refuses it.
"""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from .batches import Loss, Metrics, PairBatch


def metrics_from_rewards(pairs: PairBatch, chosen_rewards_B: Tensor, rejected_rewards_B: Tensor) -> Metrics:
    """Detached metrics of shape (B,) with TRL's names; `logps/*` are sums over tokens, a tie counts as inaccurate."""
    margins_B = chosen_rewards_B - rejected_rewards_B
    metrics = {
        "rewards/chosen": chosen_rewards_B,
        "rewards/rejected": rejected_rewards_B,
        "rewards/margins": margins_B,
        "rewards/accuracies": (margins_B > 0).to(margins_B.dtype),
        "logps/chosen": pairs.chosen_B,
        "logps/rejected": pairs.rejected_B,
    }
    return {name: values.detach() for name, values in metrics.items()}


def reward_metrics(pairs: PairBatch, beta: float) -> Metrics:
    """The implicit rewards β(L − R) of both responses, their margin, whether it is positive, and the log-probs."""
    return metrics_from_rewards(
        pairs,
        beta * (pairs.chosen_B - pairs.reference_chosen_B),
        beta * (pairs.rejected_B - pairs.reference_rejected_B),
    )


def dpo(pairs: PairBatch, *, beta: float) -> Loss:
    """Direct Preference Optimization, arXiv 2305.18290, eq. 7: ℓ(z)."""
    return -F.logsigmoid(beta * pairs.margins_B), reward_metrics(pairs, beta)


def cdpo(pairs: PairBatch, *, beta: float, label_smoothing: float) -> Loss:
    """Conservative DPO, for labels that are wrong with probability ε (a note by an author of arXiv 2305.18290):
    (1−ε)ℓ(z) + εℓ(−z). Least where σ(z) = 1−ε. TRL's `sigmoid` ignores its label smoothing."""
    z_B = beta * pairs.margins_B
    losses_B = -(1 - label_smoothing) * F.logsigmoid(z_B) - label_smoothing * F.logsigmoid(-z_B)
    return losses_B, reward_metrics(pairs, beta)


def rdpo(pairs: PairBatch, *, beta: float, label_smoothing: float) -> Loss:
    """Robust DPO, arXiv 2403.00409: [(1−ε)ℓ(z) − εℓ(−z)] / (1−2ε), the unbiased estimate of DPO's loss when a share
    0 ≤ ε < 1/2 of the labels is flipped. It can be negative, and falls without bound in z when ε > 0."""
    if not 0 <= label_smoothing < 0.5:
        raise ValueError(f"rdpo: label_smoothing is {label_smoothing}, and has to be at least 0 and below 1/2.")
    z_B = beta * pairs.margins_B
    clean_B, flipped_B = -F.logsigmoid(z_B), -F.logsigmoid(-z_B)
    losses_B = ((1 - label_smoothing) * clean_B - label_smoothing * flipped_B) / (1 - 2 * label_smoothing)
    return losses_B, reward_metrics(pairs, beta)


def ipo(pairs: PairBatch, *, beta: float, tokens: Literal["sum", "mean"]) -> Loss:
    """Identity Preference Optimization, arXiv 2310.12036: (Δ − 1/(2β))², β being the paper's τ. At a tie 1/(4β²).

    With `tokens="mean"`, Δ = (L_w−R_w)/|y_w| − (L_l−R_l)/|y_l|, as in TRL, which says that the authors confirm it;
    with "sum" it is Δ itself, as in the original DPO repository. The metrics are of sums in both."""
    if tokens == "sum":
        margins_B = pairs.margins_B
    elif tokens == "mean":
        chosen_B = (pairs.chosen_B - pairs.reference_chosen_B) / pairs.chosen_lengths_B
        margins_B = chosen_B - (pairs.rejected_B - pairs.reference_rejected_B) / pairs.rejected_lengths_B
    else:
        raise ValueError(f"ipo: tokens is {tokens!r}, and has to be 'sum' or 'mean'.")
    return (margins_B - 1 / (2 * beta)) ** 2, reward_metrics(pairs, beta)


def hinge(pairs: PairBatch, *, beta: float) -> Loss:
    """The hinge of RSO, arXiv 2309.06657: max(0, 1 − z). At a tie 1; no gradient from z = 1 on. It has a reference,
    so it is not SLiC-HF (`reference_free.slic`)."""
    return torch.relu(1 - beta * pairs.margins_B), reward_metrics(pairs, beta)


def dpop(pairs: PairBatch, *, beta: float, penalty: float) -> Loss:
    """DPO-Positive, arXiv 2402.13228: ℓ(z − βλ·max(0, R_w−L_w)), λ = `penalty`: a chosen response that becomes less
    likely than under the reference costs extra. At R_w = L_w the penalty is 0, and so is its gradient. The usual
    λ (5 to 50) is not verified."""
    lost_B = torch.relu(pairs.reference_chosen_B - pairs.chosen_B)
    return -F.logsigmoid(beta * pairs.margins_B - beta * penalty * lost_B), reward_metrics(pairs, beta)


def r_dpo(pairs: PairBatch, *, beta: float, alpha: float) -> Loss:
    """Length-regularised DPO, arXiv 2403.19159 (iterated in iLR-DPO, arXiv 2406.11817): ℓ(z + α(|y_w|−|y_l|)).

    The sign is plus: rewards are r − α|y|, so a longer chosen response has to gain less. Ports that print minus reward
    length. At a tie ln 2 for equal lengths only. The usual α (.001 to .05) is not verified."""
    length_gaps_B = pairs.chosen_lengths_B - pairs.rejected_lengths_B
    return -F.logsigmoid(beta * pairs.margins_B + alpha * length_gaps_B), reward_metrics(pairs, beta)


def mipo(pairs: PairBatch, *, beta: float) -> Loss:
    """Modulated Intervention Preference Optimization, arXiv 2409.17545: ℓ(β[(L_w/|y_w| − L_l/|y_l|) − log(1+e^K)]) with
    K = R_w/|y_w| − R_l/|y_l|.

    On means over tokens. The reference pulls where it agrees with the label (K large) and lets go where it does not.
    At a tie ℓ(−β·log(1+e^−K)), above ln 2. The metrics are those of sums, as in DPO."""
    policy_B = pairs.chosen_B / pairs.chosen_lengths_B - pairs.rejected_B / pairs.rejected_lengths_B
    agreement_B = (
        pairs.reference_chosen_B / pairs.chosen_lengths_B - pairs.reference_rejected_B / pairs.rejected_lengths_B
    )
    pull_B = -F.logsigmoid(-agreement_B)  # log(1+e^K); F.softplus is rounded off above K = 20
    return -F.logsigmoid(beta * (policy_B - pull_B)), reward_metrics(pairs, beta)


def sppo(pairs: PairBatch, chosen_probability_B: Tensor, rejected_probability_B: Tensor, *, beta: float) -> Loss:
    """Self-Play Preference Optimization, arXiv 2405.00675: (r_w − (P_w−½)/β)² + (r_l − (P_l−½)/β)², r = L − R (without
    β), 1/β the paper's η.

    P is the probability (B,) that the response beats the policy's own; P = 1 and 0 is TRL's `sppo_hard`. The reference
    is the policy that sampled. At a tie ((P_w−½)² + (P_l−½)²)/β². Ports of the authors' code halve the sum."""
    chosen_B = pairs.chosen_B - pairs.reference_chosen_B - (chosen_probability_B - 0.5) / beta
    rejected_B = pairs.rejected_B - pairs.reference_rejected_B - (rejected_probability_B - 0.5) / beta
    return chosen_B**2 + rejected_B**2, reward_metrics(pairs, beta)


def soft_labels(loss: Callable[[PairBatch], Loss], pairs: PairBatch, label_probability_B: Tensor) -> Loss:
    """Any pairwise objective under labels that hold with probability p, shape (B,): p·loss(pairs) + (1−p)·loss(swapped
    pairs). The RLAIF of arXiv 2307.12950 has such labels (and trains a reward model on them).

    Metrics are those of the pairs as they are labelled. Reference, tokens and ties are the given loss's."""
    losses_B, metrics = loss(pairs)
    swapped_losses_B, _ = loss(pairs.swapped())
    return label_probability_B * losses_B + (1 - label_probability_B) * swapped_losses_B, metrics
