"""Objectives on preference pairs without a reference: the reference fields of the pairs are never read.

Notation as in `pairwise`: L_w and L_l are Σ log π over the tokens of the chosen and the rejected response, |y| its
number of tokens, a = L/|y|, ℓ(z) = −log σ(z). Every function takes B pairs and returns losses of shape (B,) with
detached metrics of shape (B,): TRL's names, rewards as each docstring defines them, `logps/*` as sums. A tie is a pair
of equal log-probs. A response without tokens has no log-prob; the learner refuses it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .batches import Loss, PairBatch
from .pairwise import metrics_from_rewards


def log1mexp(logps: Tensor) -> Tensor:
    """log(1 − e^a) for a ≤ 0, by expm1 (1 − e^a cancels near 0), and finite with no gradient at a = 0."""
    return torch.log(-torch.expm1(logps.clamp(max=-torch.finfo(logps.dtype).eps)))


def simpo(pairs: PairBatch, *, beta: float, gamma: float) -> Loss:
    """Simple Preference Optimization, arXiv 2405.14734: ℓ(β(a_w − a_l) − γ). Means over tokens, no NLL term.

    γ is the margin itself: the paper's table and its code give γ/β. At a tie ln(1+e^γ). Rewards are βa, and the
    accuracy asks for a positive margin, not for one above γ."""
    chosen_rewards_B = beta * pairs.chosen_B / pairs.chosen_lengths_B
    rejected_rewards_B = beta * pairs.rejected_B / pairs.rejected_lengths_B
    losses_B = -F.logsigmoid(chosen_rewards_B - rejected_rewards_B - gamma)
    return losses_B, metrics_from_rewards(pairs, chosen_rewards_B, rejected_rewards_B)


def orpo(pairs: PairBatch, *, weight: float) -> Loss:
    """Odds Ratio Preference Optimization, arXiv 2403.07691: −a_w − λ·log σ(o), with the log-odds ratio
    o = (a_w − a_l) − (log(1−e^a_w) − log(1−e^a_l)) and λ = `weight`.

    Means over tokens, in the NLL too, which is of response tokens only (the authors' code counts the prompt's unless
    told not to). At a tie λ·ln 2 − a_w. Rewards are λa; the paper's λ = .1 is not verified. Further metrics, with TRL's
    names: `nll_loss` −a_w, `log_odds_chosen` o, `log_odds_ratio` log σ(o)."""
    chosen_B = pairs.chosen_B / pairs.chosen_lengths_B
    rejected_B = pairs.rejected_B / pairs.rejected_lengths_B
    log_odds_B = (chosen_B - rejected_B) - (log1mexp(chosen_B) - log1mexp(rejected_B))
    log_ratio_B = F.logsigmoid(log_odds_B)
    metrics = metrics_from_rewards(pairs, weight * chosen_B, weight * rejected_B)
    metrics["nll_loss"] = -chosen_B.detach()
    metrics["log_odds_chosen"] = log_odds_B.detach()
    metrics["log_odds_ratio"] = log_ratio_B.detach()
    return -chosen_B - weight * log_ratio_B, metrics


def slic(pairs: PairBatch, *, delta: float, weight: float) -> Loss:
    """SLiC-HF, arXiv 2305.10425: max(0, δ − L_w + L_l) − λL_w, λ = `weight`: the chosen response is the target that the
    paper's second term keeps likely.

    Sums over tokens. At a tie δ − λL_w; from a margin of δ on only the second term pulls. Rewards are L. Not TRL's
    `hinge`, which has a reference (`pairwise.hinge`)."""
    losses_B = torch.relu(delta - pairs.chosen_B + pairs.rejected_B) - weight * pairs.chosen_B
    return losses_B, metrics_from_rewards(pairs, pairs.chosen_B, pairs.rejected_B)
