"""Reward-model objectives against hand-derived values, their gradients, soft labels and missing attributes."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from roundelay.recipes.losses.reward_models import attribute_regression, bradley_terry

NAN = math.nan


def tensor(*values: float, requires_grad: bool = False) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=requires_grad)


def minus_log_sigmoid(x: float) -> float:
    return math.log1p(math.exp(-x))


# Bradley-Terry -------------------------------------------------------------------------------------------------------


def test_bradley_terry_gives_the_hand_derived_losses_and_metrics() -> None:
    """Pair 0: r = 2 and 0.5, m = 0.5, so −ln σ(1.5 − 0.5) = ln(1 + 1/e) = 0.3132616875, and 0.01·2.5² = 0.0625. Pair
    1: r = −1 and 3, m = 0.25, so −ln σ(−4.25) = ln(1 + e^4.25) = 4.2641634569, and 0.01·2² = 0.04. The metrics leave m
    out."""
    losses, metrics = bradley_terry(tensor(2, -1), tensor(0.5, 3), margins_B=tensor(0.5, 0.25), centring=0.01)
    assert losses.tolist() == pytest.approx([0.3132616875 + 0.0625, 4.2641634569 + 0.04], abs=1e-9)
    assert {name: values.tolist() for name, values in metrics.items()} == {
        "accuracy": [1.0, 0.0],
        "margin": [1.5, -4.0],
        "mean_reward": [1.25, 1.0],
    }


def test_without_options_it_is_the_plain_pairwise_loss() -> None:
    losses, metrics = bradley_terry(tensor(2, -1, 0.1), tensor(0.5, 3, 0))
    expected = [minus_log_sigmoid(1.5), minus_log_sigmoid(-4), minus_log_sigmoid(0.1)]
    assert losses.tolist() == pytest.approx(expected, rel=1e-12)
    assert metrics["accuracy"].tolist() == [1.0, 0.0, 1.0]  # however small the difference


def test_soft_labels_weigh_both_outcomes() -> None:
    """d = 1.5: p = 0.7 gives 0.7·ln(1 + e^−1.5) + 0.3·ln(1 + e^1.5) = 0.7·0.2014132780 + 0.3·1.7014132780 =
    0.6514132780, plus 0.1·2.5². Torch's cross-entropy of a logit, as RLCD's code trains it, says the same."""
    d, p = tensor(1.5, -4, 0.3), tensor(0.7, 0.2, 0.95)
    losses, _ = bradley_terry(tensor(2), tensor(0.5), label_probability_B=tensor(0.7), centring=0.1)
    assert losses.item() == pytest.approx(0.6514132779827524 + 0.625, rel=1e-12)
    losses, _ = bradley_terry(d, torch.zeros_like(d), label_probability_B=p)
    expected = F.binary_cross_entropy_with_logits(d, p, reduction="none")
    assert losses.tolist() == pytest.approx(expected.tolist(), rel=1e-12)


def test_certain_soft_labels_are_hard_labels() -> None:
    chosen, rejected = tensor(2, -1), tensor(0.5, 3)
    one, zero = tensor(1, 1), tensor(0, 0)
    hard, _ = bradley_terry(chosen, rejected)
    swapped, _ = bradley_terry(rejected, chosen)
    assert bradley_terry(chosen, rejected, label_probability_B=one)[0].tolist() == pytest.approx(hard.tolist())
    assert bradley_terry(chosen, rejected, label_probability_B=zero)[0].tolist() == pytest.approx(swapped.tolist())


def test_the_gradient_of_hard_labels_is_the_analytic_one() -> None:
    """In r_w: −σ(m − d) + 2c(r_w + r_l); in r_l: +σ(m − d) + 2c(r_w + r_l). Here d − m = 1, σ(−1) = 0.2689414214, and
    2·0.01·2.5 = 0.05. The margin gets none."""
    chosen, rejected = tensor(2, requires_grad=True), tensor(0.5, requires_grad=True)
    losses, metrics = bradley_terry(chosen, rejected, margins_B=tensor(0.5), centring=0.01)
    losses.sum().backward()
    assert chosen.grad is not None and rejected.grad is not None
    assert chosen.grad.item() == pytest.approx(-0.2689414213699951 + 0.05, rel=1e-12)
    assert rejected.grad.item() == pytest.approx(0.2689414213699951 + 0.05, rel=1e-12)
    assert not any(values.requires_grad for values in metrics.values())


def test_soft_labels_pull_the_difference_to_the_logit_of_the_label() -> None:
    """d/dr_w = σ(d) − p, zero where σ(d) = p: at p = 0.7 and d = ln(0.7/0.3)."""
    chosen = tensor(math.log(7 / 3), 0.0, requires_grad=True)
    losses, _ = bradley_terry(chosen, tensor(0, 0), label_probability_B=tensor(0.7, 0.7))
    losses.sum().backward()
    assert chosen.grad is not None
    assert chosen.grad.tolist() == pytest.approx([0.0, 0.5 - 0.7], abs=1e-12)


def test_equal_scores_cost_ln_2_whatever_the_label_and_are_inaccurate() -> None:
    for label_probability in (None, tensor(0.9), tensor(0.5)):
        losses, metrics = bradley_terry(tensor(-3.5), tensor(-3.5), label_probability_B=label_probability)
        assert losses.item() == pytest.approx(math.log(2), rel=1e-12)
        assert metrics["accuracy"].item() == 0.0


def test_only_centring_sees_a_constant_added_to_both_scores() -> None:
    plain, _ = bradley_terry(tensor(2), tensor(0.5))
    moved, _ = bradley_terry(tensor(12), tensor(10.5))
    centred, _ = bradley_terry(tensor(12), tensor(10.5), centring=0.01)
    assert moved.item() == pytest.approx(plain.item(), rel=1e-12)
    assert (centred - moved).item() == pytest.approx(0.01 * 22.5**2, rel=1e-12)


def test_a_margin_with_soft_labels_is_refused() -> None:
    with pytest.raises(ValueError, match="hard labels only"):
        bradley_terry(tensor(2), tensor(1), margins_B=tensor(0.5), label_probability_B=tensor(0.7))


@pytest.mark.parametrize("soft", [False, True])
def test_extreme_scores_give_finite_losses_and_gradients(soft: bool) -> None:
    """Differences of ±1000: losses 0 and 1000; with p = 1/2, 500 for either."""
    chosen = tensor(1000, 0, requires_grad=True)
    losses, _ = bradley_terry(chosen, tensor(0, 1000), label_probability_B=tensor(0.5, 0.5) if soft else None)
    losses.sum().backward()
    assert losses.tolist() == ([500.0, 500.0] if soft else [0.0, 1000.0])
    assert chosen.grad is not None
    assert chosen.grad.tolist() == ([0.5, -0.5] if soft else [0.0, -1.0])


def test_float32_in_gives_float32_out() -> None:
    losses, metrics = bradley_terry(tensor(2).float(), tensor(0.5).float(), centring=0.01)
    assert {losses.dtype, *(values.dtype for values in metrics.values())} == {torch.float32}


# Attributes ----------------------------------------------------------------------------------------------------------


def test_attribute_regression_is_the_mean_over_the_attributes_present() -> None:
    """Response 0: (1 − 2)² and (3 − 1)², the second missing: 5/2. Response 1: (0 − 1)², (4 − 1.5)², (1 − 4)²: 16.25/3.
    Response 2 has none: loss 0, and `attributes/present` says so."""
    scores = torch.stack([tensor(1, 2.5, 3), tensor(0, 4, 1), tensor(7, 8, 9)])
    targets = torch.stack([tensor(2, NAN, 1), tensor(1, 1.5, 4), tensor(NAN, NAN, NAN)])
    losses, metrics = attribute_regression(scores, targets)
    assert losses.tolist() == pytest.approx([2.5, 16.25 / 3, 0.0], rel=1e-12)
    assert {name: values.tolist() for name, values in metrics.items()} == {"attributes/present": [2.0, 3.0, 0.0]}


def test_missing_attributes_get_no_gradient_and_spoil_none() -> None:
    """d/d score = 2(score − target)/(number present): 2·(−1)/2 and 2·2/2, exactly 0 where the target is missing."""
    scores = torch.tensor([[1.0, 2.5, 3.0], [7.0, 8.0, 9.0]], dtype=torch.float64, requires_grad=True)
    losses, metrics = attribute_regression(scores, torch.stack([tensor(2, NAN, 1), tensor(NAN, NAN, NAN)]))
    losses.sum().backward()
    assert scores.grad is not None
    assert scores.grad.tolist() == [[-1.0, 0.0, 2.0], [0.0, 0.0, 0.0]]
    assert not metrics["attributes/present"].requires_grad


def test_scores_on_target_cost_nothing_and_zero_is_a_target() -> None:
    """A target of 0 is a value, not a missing one."""
    losses, metrics = attribute_regression(tensor(3, 0)[None], tensor(3, 0)[None])
    assert losses.tolist() == [0.0] and metrics["attributes/present"].tolist() == [2.0]
    losses, _ = attribute_regression(tensor(3, 1)[None], tensor(3, 0)[None])
    assert losses.tolist() == [0.5]


def test_attributes_keep_float32() -> None:
    losses, metrics = attribute_regression(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, NAN]]))
    assert losses.dtype == metrics["attributes/present"].dtype == torch.float32
    assert losses.tolist() == [4.0]
