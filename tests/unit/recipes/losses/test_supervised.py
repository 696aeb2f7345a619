"""NLL and CUT against hand-derived values, their gradients, and tokens that weigh nothing."""

import math

import pytest
import torch
from torch import Tensor

from roundelay.recipes.losses.batches import TokenBatch
from roundelay.recipes.losses.supervised import cut, nll


def tensor(*values: float, requires_grad: bool = False) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=requires_grad)


def logs(*probabilities: float, requires_grad: bool = False) -> Tensor:
    return tensor(*(math.log(p) for p in probabilities), requires_grad=requires_grad)


def batch(
    logps: Tensor, rows: list[int], weights: Tensor | None = None, num_responses: int | None = None
) -> TokenBatch:
    return TokenBatch(
        logps_N=logps,
        rows_N=torch.tensor(rows),
        weights_N=torch.ones_like(logps.detach()) if weights is None else weights,
        num_responses=rows[-1] + 1 if num_responses is None else num_responses,
    )


# NLL -----------------------------------------------------------------------------------------------------------------


def test_nll_gives_the_hand_derived_sums_and_metrics() -> None:
    """Response 0: log-probs −1, −2, −4 with weights 1, 0.1, 0: 1·1 + 0.1·2 + 0·4 = 1.2, two trained tokens of weight
    1.1. Response 1: −3 and −0.5 with weights 2 and 1: 6.5 over weight 3. Response 2: nothing but context."""
    tokens = batch(tensor(-1, -2, -4, -3, -0.5, -9), [0, 0, 0, 1, 1, 2], tensor(1, 0.1, 0, 2, 1, 0))
    losses, metrics = nll(tokens)
    assert losses.tolist() == pytest.approx([1.2, 6.5, 0.0], rel=1e-12)
    assert set(metrics) == {"tokens", "weights", "nll"}
    assert metrics["tokens"].tolist() == [2.0, 2.0, 0.0]
    assert metrics["weights"].tolist() == pytest.approx([1.1, 3.0, 0.0], rel=1e-12)
    assert metrics["nll"].tolist() == pytest.approx([1.2 / 1.1, 6.5 / 3, 0.0], rel=1e-12)


def test_nlls_gradient_is_minus_the_weight_of_the_token() -> None:
    logps = tensor(-1, -2, -4, -3, requires_grad=True)
    losses, metrics = nll(batch(logps, [0, 0, 1, 1], tensor(1, 0.1, 0, 2)))
    losses.sum().backward()
    assert logps.grad is not None
    assert logps.grad.tolist() == [-1.0, -0.1, 0.0, -2.0]
    assert not any(values.requires_grad for values in metrics.values())


def test_losses_over_weights_are_the_token_mean_of_the_step_however_it_is_split() -> None:
    """Tokens of NLL 1, 2, 4, 3 have a mean of 2.5, as one response, as two, and as two uneven ones."""
    for rows in ([0, 0, 0, 0], [0, 0, 1, 1], [0, 1, 1, 1]):
        losses, metrics = nll(batch(tensor(-1, -2, -4, -3), rows))
        assert (losses.sum() / metrics["weights"].sum()).item() == 2.5


def test_a_negative_weight_unlearns_a_token_and_counts_as_trained() -> None:
    losses, metrics = nll(batch(tensor(-1, -3), [0, 0], tensor(-0.5, 2)))
    assert losses.tolist() == [5.5]
    assert metrics["tokens"].tolist() == [2.0]


# CUT -----------------------------------------------------------------------------------------------------------------

PLAIN = (0.5, 0.2, 0.9, 0.25)
JUDGED = (0.8, 0.1, 0.3, 0.28)
ROWS = [0, 0, 0, 1]
WEIGHTS = (3.0, 1.0, 0.0, 1.0)


def test_cut_gives_the_hand_derived_losses_and_metrics() -> None:
    """Threshold 1.2, weight 0.7, token weights 3, 1, 0 | 1. Ratios p(y|x,j)/p(y|x): 1.6, 0.5, – | 1.12, so only token 0
    is inappropriate. Response 0: A = [3·(−0.7·ln(1 − 0.5)) + 1·(−ln 0.2)]/4, B = [3·(−ln 0.8) + 1·(−ln 0.1)]/4, share
    3/4. Response 1: A = −ln 0.25, B = −ln 0.28. Loss (A + B)/2."""
    tokens = batch(logs(*PLAIN), ROWS, tensor(*WEIGHTS))
    losses, metrics = cut(tokens, logs(*JUDGED), threshold=1.2, weight=0.7)
    plain = (3 * 0.7 * math.log(2) + math.log(5)) / 4
    judged = (3 * math.log(1.25) + math.log(10)) / 4
    assert losses.tolist() == pytest.approx([(plain + judged) / 2, (math.log(4) - math.log(0.28)) / 2], rel=1e-12)
    assert set(metrics) == {"cut/inappropriate", "cut/judged_nll"}
    assert metrics["cut/inappropriate"].tolist() == [0.75, 0.0]
    assert metrics["cut/judged_nll"].tolist() == pytest.approx([judged, -math.log(0.28)], rel=1e-12)


def test_a_lower_threshold_makes_more_tokens_inappropriate() -> None:
    """At 1.1 the token of ratio 1.12 is too: response 1 has A = −0.7·ln(1 − 0.25), and its share is 1."""
    tokens = batch(logs(*PLAIN), ROWS, tensor(*WEIGHTS))
    losses, metrics = cut(tokens, logs(*JUDGED), threshold=1.1, weight=0.7)
    assert losses[1].item() == pytest.approx((-0.7 * math.log(0.75) - math.log(0.28)) / 2, rel=1e-12)
    assert metrics["cut/inappropriate"].tolist() == [0.75, 1.0]


def test_cuts_gradient_is_the_analytic_one_on_both_branches() -> None:
    """d(−w·ln(1 − p))/d ln p = w·p/(1 − p): pushes an inappropriate token down, 0.7·0.5/0.5 = 0.7; −1 for any other and
    for the judged branch. Times the token's share 3/4 or 1/4 and the half. Were the mask differentiated, or one branch
    detached, these would differ. Context gets no gradient."""
    plain, judged = logs(*PLAIN, requires_grad=True), logs(*JUDGED, requires_grad=True)
    losses, metrics = cut(batch(plain, ROWS, tensor(*WEIGHTS)), judged, threshold=1.2, weight=0.7)
    losses.sum().backward()
    assert plain.grad is not None and judged.grad is not None
    assert plain.grad.tolist() == pytest.approx([0.7 * 0.75 / 2, -0.25 / 2, 0.0, -0.5], rel=1e-12)
    assert judged.grad.tolist() == pytest.approx([-0.75 / 2, -0.25 / 2, 0.0, -0.5], rel=1e-12)
    assert not any(values.requires_grad for values in metrics.values())


def test_a_judgment_that_changes_nothing_leaves_the_mean_nll() -> None:
    """A ratio of 1 is not above a threshold of 1: no token is inappropriate and A = B = the mean NLL."""
    tokens = batch(logs(0.5, 0.2, 1.0), [0, 0, 1])
    losses, metrics = cut(tokens, tokens.logps_N, threshold=1.0, weight=0.7)
    assert losses.tolist() == pytest.approx([math.log(10) / 2, 0.0], rel=1e-12)
    assert metrics["cut/inappropriate"].tolist() == [0.0, 0.0]


def test_extreme_log_probs_give_finite_losses_and_gradients() -> None:
    """An inappropriate token of probability e^−1000 costs −ln(1 − 0) = 0 and is pushed nowhere. An appropriate one of
    probability 1 costs 0, with the gradient of −log p, though ln(1 − p) is infinite in the branch not taken. The judged
    branch costs 0.5 and 1000."""
    plain, judged = tensor(-1000, 0, requires_grad=True), tensor(-0.5, -1000, requires_grad=True)
    losses, _ = cut(batch(plain, [0, 1]), judged, threshold=1.1, weight=1.0)
    losses.sum().backward()
    assert losses.tolist() == [0.25, 500.0]
    assert plain.grad is not None and plain.grad.tolist() == [0.0, -0.5]
    assert judged.grad is not None and judged.grad.tolist() == [-0.5, -0.5]


def test_unlikelihood_is_exact_for_a_probability_close_to_one() -> None:
    """−ln(1 − e^−1e-12) = 12·ln 10 to 1e-12; subtracting the rounded p from 1 would leave four digits of 1e-12."""
    losses, metrics = cut(batch(tensor(-1e-12), [0]), tensor(0), threshold=1.0, weight=1.0)
    assert metrics["cut/inappropriate"].tolist() == [1.0]
    assert losses.item() == pytest.approx(6 * math.log(10), rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_inappropriate_token_of_probability_one_costs_a_finite_amount(dtype: torch.dtype) -> None:
    """Only possible below a threshold of 1. 1 − p counts as ε: −ln ε = 15.94 in float32, 36.04 in float64."""
    losses, metrics = cut(
        batch(torch.zeros(1, dtype=dtype), [0]), torch.zeros(1, dtype=dtype), threshold=0.5, weight=2.0
    )
    assert metrics["cut/inappropriate"].tolist() == [1.0]
    assert losses.dtype == dtype
    assert losses.item() == pytest.approx(-math.log(torch.finfo(dtype).eps), rel=1e-6)


def test_a_response_of_context_only_costs_nothing() -> None:
    plain = logs(0.5, 0.2, requires_grad=True)
    losses, metrics = cut(batch(plain, [0, 1], tensor(1, 0)), logs(0.9, 0.9), threshold=1.1, weight=1.0)
    losses.sum().backward()
    assert losses[1].item() == 0.0
    assert metrics["cut/inappropriate"].tolist() == [1.0, 0.0]
    assert plain.grad is not None and plain.grad[1].item() == 0.0
