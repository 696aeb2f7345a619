"""DPO against hand-derived values, its invariants, and its gradient."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from roundelay.recipes.objectives import dpo

BETA = 0.5


def tensor(*values: float, requires_grad: bool = False) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=requires_grad)


def test_dpo_gives_the_hand_derived_losses_and_rewards() -> None:
    """Pair 0, β = 1/2: log-ratios are −2 − (−3) = 1 and −5 − (−4) = −1, rewards 1/2 and −1/2, margin 1, so the loss is
    −ln σ(1) = ln(1 + 1/e) = 0.3132616875. Pair 1: log-ratios −6 − (−4) = −2 and −1 − (−5) = 4, rewards −1 and 2, margin
    −3, loss ln(1 + e³) = 3.0485873516."""
    losses, metrics = dpo(tensor(-2, -6), tensor(-5, -1), tensor(-3, -4), tensor(-4, -5), beta=BETA)
    assert losses.tolist() == pytest.approx([0.3132616875182228, 3.048587351573742], rel=1e-12)
    assert {name: values.tolist() for name, values in metrics.items()} == {
        "rewards/chosen": [0.5, -1.0],
        "rewards/rejected": [-0.5, 2.0],
        "rewards/margins": [1.0, -3.0],
        "rewards/accuracies": [1.0, 0.0],
        "logps/chosen": [-2.0, -6.0],
        "logps/rejected": [-5.0, -1.0],
    }


@pytest.mark.parametrize("beta", [0.01, 0.1, 5.0])
def test_a_policy_equal_to_its_reference_has_loss_ln_2_and_accuracy_0(beta: float) -> None:
    chosen, rejected = tensor(-3, -120.5), tensor(-7, -0.25)
    losses, metrics = dpo(chosen, rejected, chosen, rejected, beta=beta)
    assert losses.tolist() == pytest.approx([math.log(2)] * 2, rel=1e-12)
    assert metrics["rewards/margins"].tolist() == [0, 0]
    assert metrics["rewards/accuracies"].tolist() == [0, 0]


def test_swapping_chosen_and_rejected_negates_the_margin() -> None:
    """With margin m the two losses differ by ln σ(m) − ln σ(−m) = m."""
    chosen, rejected, reference_chosen, reference_rejected = tensor(-1), tensor(-2.5), tensor(-4), tensor(-3)
    loss, metrics = dpo(chosen, rejected, reference_chosen, reference_rejected, beta=BETA)
    swapped_loss, swapped = dpo(rejected, chosen, reference_rejected, reference_chosen, beta=BETA)
    margin = metrics["rewards/margins"].item()
    assert margin == 1.25
    assert swapped["rewards/margins"].item() == -margin
    assert (swapped_loss - loss).item() == pytest.approx(margin, rel=1e-12)


def test_the_gradient_is_the_analytic_one() -> None:
    """d(−ln σ(m))/dm = −σ(−m) and m = β(L_w − R_w − L_l + R_l): the gradient in L_w is −βσ(−m), in L_l its negative.
    It raises the chosen response and lowers the rejected one, most where the margin is most negative."""
    chosen, rejected = tensor(-1, -6, -30, requires_grad=True), tensor(-2, -1, -2, requires_grad=True)
    losses, metrics = dpo(chosen, rejected, tensor(-3, -4, -5), tensor(-4, -5, -6), beta=BETA)
    losses.sum().backward()
    margins = metrics["rewards/margins"].tolist()
    assert margins == [0.0, -3.0, -14.5]
    expected = [-BETA / (1 + math.exp(margin)) for margin in margins]
    assert chosen.grad is not None and rejected.grad is not None
    assert chosen.grad.tolist() == pytest.approx(expected, rel=1e-12)
    assert rejected.grad.tolist() == pytest.approx([-value for value in expected], rel=1e-12)


def test_metrics_carry_no_gradient_and_losses_do() -> None:
    losses, metrics = dpo(tensor(-1, requires_grad=True), tensor(-2), tensor(-3), tensor(-4), beta=BETA)
    assert losses.requires_grad
    assert not any(values.requires_grad for values in metrics.values())


def test_dpo_is_equation_7_of_the_paper_in_plain_arithmetic() -> None:
    """−ln σ(β ln(π_w/r_w) − β ln(π_l/r_l)), written with probabilities and without torch (TRL 1.16 has the same
    formula, but only inside its trainer's compute_loss)."""

    def equation_7(case: tuple[float, ...], beta: float) -> float:
        policy_w, policy_l, reference_w, reference_l = case
        ratio = (policy_w / reference_w) ** beta / (policy_l / reference_l) ** beta  # = e^margin
        return -math.log(ratio / (1 + ratio))

    probabilities = (0.02, 0.3, 0.9)
    cases = list(itertools.product(probabilities, repeat=4))
    logps = [tensor(*(math.log(case[side]) for case in cases)) for side in range(4)]
    for beta in (0.1, 1.0):
        losses, _ = dpo(logps[0], logps[1], logps[2], logps[3], beta=beta)
        assert losses.tolist() == pytest.approx([equation_7(case, beta) for case in cases], rel=1e-10)


@pytest.mark.parametrize(
    ("moved", "by"), [(0, 1.0), (1, -1.0), (2, -1.0), (3, 1.0)], ids=["chosen", "rejected", "r_chosen", "r_rejected"]
)
def test_each_input_enters_the_margin_with_its_own_sign(moved: int, by: float) -> None:
    """m = β(L_w − L_l − R_w + R_l): one nat more of an input moves the margin by plus or minus β, and lowers the loss
    exactly where it raises the margin."""

    def dpo_of(values: list[float]) -> tuple[Tensor, dict[str, Tensor]]:
        chosen, rejected, reference_chosen, reference_rejected = map(tensor, values)
        return dpo(chosen, rejected, reference_chosen, reference_rejected, beta=BETA)

    values = [-1.0, -2.5, -4.0, -3.0]
    loss, metrics = dpo_of(values)
    values[moved] += 1
    moved_loss, moved_metrics = dpo_of(values)
    assert (moved_metrics["rewards/margins"] - metrics["rewards/margins"]).item() == by * BETA
    assert ((moved_loss < loss).item()) == (by > 0)


def test_extreme_margins_give_finite_losses() -> None:
    """A margin of ±1000: losses 0 and 1000, with no overflow on the way."""
    losses, _ = dpo(tensor(0, -1000), tensor(-1000, 0), tensor(0, 0), tensor(0, 0), beta=1.0)
    assert losses.tolist() == pytest.approx([0.0, 1000.0])
