"""Objectives on tokens of single responses: likelihood, and likelihood corrected by a written judgment.

Neither has a reference. The learner refuses empty completions; a response whose tokens all weigh 0 has loss 0.
"""

import math

import torch
from torch import Tensor

from .batches import Loss, TokenBatch


def nll(tokens: TokenBatch) -> Loss:
    """Maximum likelihood: Σ over a response's tokens of −w·log π(y_t), shape (S,).

    The loss of SFT and of what is SFT on chosen data: RAFT (arXiv 2304.06767), Chain of Hindsight (2302.02676, w = 0
    off the answers), conditional behaviour cloning (OpenChat, 2309.11235, w = 1 for experts, 0.1 for others). It is a
    sum: the learner divides by the weight of the whole step (the sum of `weights`), so a token counts the same in a
    short and in a long response, on one device and on many.

    Returns:
        losses of shape (S,), and per response `tokens` (the number of trained ones, w ≠ 0), `weights` (their Σ w) and
        `nll` (the weighted mean of −log π; 0 without a trained token).
    """
    return tokens.sums(-tokens.weights_N * tokens.logps_N), {
        "tokens": tokens.sums((tokens.weights_N != 0).to(tokens.weights_N.dtype)),
        "weights": tokens.sums(tokens.weights_N),
        "nll": tokens.means(-tokens.logps_N).detach(),
    }


def cut(tokens: TokenBatch, judged_logps_N: Tensor, *, threshold: float, weight: float) -> Loss:
    """Contrastive Unlikelihood Training, arXiv 2312.14591, as in the official code.

    A token is inappropriate if p(y_t|x,j) / p(y_t|x) > threshold: the judgment j makes the model expect it more. Then

        A = mean_t of −weight·log(1 − p(y_t|x)) where inappropriate, −log p(y_t|x) elsewhere
        B = mean_t of −log p(y_t|x,j)
        loss = (A + B) / 2

    Means are over one response's tokens, weighted by `weights_N` (the official code's are over the micro-batch). Both
    branches are trained; which tokens are inappropriate is data. A ratio equal to the threshold is appropriate. An
    inappropriate token of probability 1, possible at a threshold below 1 only, counts as 1 − ε of the dtype and gets
    no gradient from A. A response with an empty judgment, or judged good (score 7 or more in the official code), is
    trained by `nll` instead.

    Args:
        tokens: the responses, with log-probs without the judgment in context.
        judged_logps_N: the same tokens' log-probs with it, shape (N,).
        threshold: 1.1 online, 1.2 offline in the paper.
        weight: of the unlikelihood, 1 or 0.5 in the paper.

    Returns:
        losses of shape (S,), and per response `cut/inappropriate`, the share of inappropriate tokens, and
        `cut/judged_nll`, B.
    """
    logps_N = tokens.logps_N
    inappropriate_N = judged_logps_N - logps_N > math.log(threshold)
    # log(1 − p) must be finite for every token: an infinity in the branch that `where` does not take makes its gradient
    # NaN. expm1 keeps 1 − p exact where p is close to 1.
    unlikelihood_N = -weight * torch.log(-torch.expm1(logps_N.clamp(max=-torch.finfo(logps_N.dtype).eps)))
    plain_S = tokens.means(torch.where(inappropriate_N, unlikelihood_N, -logps_N))
    judged_S = tokens.means(-judged_logps_N)
    return (plain_S + judged_S) / 2, {
        "cut/inappropriate": tokens.means(inappropriate_N),
        "cut/judged_nll": judged_S.detach(),
    }
