"""KTO against hand-derived values, its gradient, its reference point, and its saturation."""

import math

import pytest
import torch
from torch import Tensor

from roundelay.recipes.losses.batches import Loss
from roundelay.recipes.losses.unpaired import kto, kto_kl

BETA, DESIRABLE_WEIGHT, UNDESIRABLE_WEIGHT = 0.5, 1.5, 0.7


def tensor(*values: float, requires_grad: bool = False) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=requires_grad)


def kto_of(log_ratios: Tensor, desirable: list[bool], kl: float) -> Loss:
    return kto(
        log_ratios,
        torch.tensor(desirable),
        torch.tensor(kl, dtype=log_ratios.dtype),
        beta=BETA,
        desirable_weight=DESIRABLE_WEIGHT,
        undesirable_weight=UNDESIRABLE_WEIGHT,
    )


def test_kto_gives_the_hand_derived_losses() -> None:
    """β = 1/2, KL = 1, λ_D = 1.5, λ_U = 0.7. Desirable: r = 3 gives 1.5·(1 − σ(1)) = 1.5·0.2689414214, r = −1 gives
    1.5·(1 − σ(−1)) = 1.5·0.7310585786. Undesirable: r = −2 gives 0.7·(1 − σ(1.5)) = 0.7·0.1824255238, r = 5 gives
    0.7·(1 − σ(−2)) = 0.7·0.8807970780."""
    losses, _ = kto_of(tensor(3, -1, -2, 5), [True, True, False, False], kl=1.0)
    expected = [1.5 * 0.2689414213699951, 1.5 * 0.7310585786300049, 0.7 * 0.18242552380635635, 0.7 * 0.8807970779778823]
    assert losses.tolist() == pytest.approx(expected, rel=1e-12)


def test_the_metrics_are_the_implicit_rewards_by_label_and_the_kl() -> None:
    """Rewards are βr: 1.5 and −0.5 for the desirable, −1 and 2.5 for the undesirable. A response has no reward under
    the other label's name: NaN, so that no mean takes it for a zero."""
    _, metrics = kto_of(tensor(3, -1, -2, 5), [True, True, False, False], kl=1.25)
    assert set(metrics) == {"rewards/chosen", "rewards/rejected", "kl"}
    assert metrics["rewards/chosen"].tolist() == pytest.approx([1.5, -0.5, math.nan, math.nan], nan_ok=True)
    assert metrics["rewards/rejected"].tolist() == pytest.approx([math.nan, math.nan, -1.0, 2.5], nan_ok=True)
    assert metrics["kl"].tolist() == [1.25] * 4


def test_the_gradient_is_the_analytic_one() -> None:
    """d(1 − σ(x))/dx = −σ(x)σ(−x): in r, −λ_D·β·σ(x)σ(−x) with x = β(r − KL) for a desirable response, and
    +λ_U·β·σ(x)σ(−x) with x = β(KL − r) for an undesirable one. σ(1)σ(−1) = 0.1966119332, σ(1.5)σ(−1.5) =
    0.1491464521."""
    log_ratios = tensor(3, -2, requires_grad=True)
    losses, _ = kto_of(log_ratios, [True, False], kl=1.0)
    losses.sum().backward()
    assert log_ratios.grad is not None
    expected = [-1.5 * 0.5 * 0.19661193324148185, 0.7 * 0.5 * 0.14914645207033284]
    assert log_ratios.grad.tolist() == pytest.approx(expected, rel=1e-12)


def test_only_the_log_ratios_get_a_gradient_and_metrics_carry_none() -> None:
    log_ratios, kl = tensor(3, -2, requires_grad=True), torch.tensor(0.5, requires_grad=True)
    losses, metrics = kto(
        log_ratios, torch.tensor([True, False]), kl, beta=BETA, desirable_weight=1.0, undesirable_weight=1.0
    )
    losses.sum().backward()
    assert log_ratios.grad is not None and (log_ratios.grad != 0).all()
    assert kl.grad is None
    assert not any(values.requires_grad for values in metrics.values())


def test_a_policy_equal_to_its_reference_costs_half_the_weight() -> None:
    """r = 0 and so KL = 0: 1 − σ(0) = 1/2."""
    losses, _ = kto_of(tensor(0, 0), [True, False], kl=0.0)
    assert losses.tolist() == [0.75, 0.35]


def test_swapping_the_label_takes_the_loss_to_its_complement() -> None:
    """With equal weights σ(−x) and σ(x) sum to 1: what a desirable response lacks, an undesirable one has too much."""
    log_ratios, kl = tensor(0.3, -7, 11), torch.tensor(0.4, dtype=torch.float64)
    labels = torch.tensor([True, False, True])
    losses, _ = kto(log_ratios, labels, kl, beta=BETA, desirable_weight=1.0, undesirable_weight=1.0)
    swapped, _ = kto(log_ratios, ~labels, kl, beta=BETA, desirable_weight=1.0, undesirable_weight=1.0)
    assert (losses + swapped).tolist() == pytest.approx([1.0] * 3, rel=1e-12)


def test_the_loss_depends_on_the_ratio_less_the_kl_only() -> None:
    losses, _ = kto_of(tensor(3, -2), [True, False], kl=1.0)
    shifted, _ = kto_of(tensor(3 + 0.7, -2 + 0.7), [True, False], kl=1.7)
    assert shifted.tolist() == pytest.approx(losses.tolist(), rel=1e-12)


def test_extreme_ratios_saturate_with_finite_losses_and_gradients() -> None:
    """Far above KL a desirable response costs 0, far below λ_D; an undesirable one the other way round. The gradient
    of either is 0, and the loss far on the good side keeps its digits: 1.5·σ(−50) = 1.5·e^−50 to 1e-12."""
    log_ratios = tensor(1e4, -1e4, 1e4, -1e4, 100, requires_grad=True)
    losses, _ = kto_of(log_ratios, [True, True, False, False, True], kl=0.0)
    losses.sum().backward()
    assert losses.tolist()[:4] == [0.0, 1.5, 0.7, 0.0]
    assert losses.tolist()[4] == pytest.approx(1.5 * math.exp(-50), rel=1e-12)
    assert log_ratios.grad is not None
    assert log_ratios.grad.tolist()[:4] == [0.0] * 4


def test_float32_in_gives_float32_losses() -> None:
    losses, metrics = kto_of(tensor(3, -2).to(torch.float32), [True, False], kl=1.0)
    assert {losses.dtype, *(values.dtype for values in metrics.values())} == {torch.float32}
    assert losses.tolist() == pytest.approx([1.5 * 0.2689414214, 0.7 * 0.1824255238], rel=1e-6)


@pytest.mark.parametrize(("ratios", "kl"), [((1.0, 2.0, 4.5), 2.5), ((-3.0, 1.0), 0.0), ((-1.0, 2.0), 0.5)])
def test_the_kl_is_the_mean_of_mismatched_ratios_but_not_below_zero(ratios: tuple[float, ...], kl: float) -> None:
    """The mean is clamped, not its terms: of −1 and 2 it is 1/2."""
    assert kto_kl(tensor(*ratios)).item() == pytest.approx(kl, rel=1e-12)


def test_the_kl_is_a_detached_scalar() -> None:
    kl = kto_kl(tensor(1, 2, requires_grad=True))
    assert kl.shape == () and not kl.requires_grad


def test_a_kl_of_no_examples_is_refused() -> None:
    with pytest.raises(ValueError, match="two examples or more"):
        kto_kl(tensor())
