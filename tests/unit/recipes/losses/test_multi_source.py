"""WRPO against hand-derived values, its gradient and its limits.

Pair 0: log-ratios (L − R) of y_ws, y_wt, y_l are 3, 1, −1; pair 1: −1, −2, 4. At β = 1/2 rewards are 1.5, .5, −.5 and
−.5, −1, 2. Written ℓ(z) = ln(1 + e^−z).
"""

import math
from dataclasses import fields

import pytest
import torch
from torch import Tensor

from roundelay.recipes.losses.batches import PairBatch
from roundelay.recipes.losses.multi_source import wrpo, wrpo_alpha

BETA = 0.5


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def example() -> tuple[PairBatch, Tensor, Tensor]:
    """The pairs, and the source's log-probs under policy and reference."""
    pairs = PairBatch(
        chosen_B=tensor(-2, -6).requires_grad_(),
        rejected_B=tensor(-5, -1).requires_grad_(),
        reference_chosen_B=tensor(-3, -4),
        reference_rejected_B=tensor(-4, -5),
        chosen_lengths_B=tensor(4, 3),
        rejected_lengths_B=tensor(2, 5),
    )
    return pairs, tensor(-7, -9).requires_grad_(), tensor(-10, -8)


def approx(*expected: float) -> object:
    return pytest.approx(list(expected), rel=1e-9, abs=1e-9)


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


def ell(z: float) -> float:
    return math.log1p(math.exp(-z))


def test_wrpo_gives_the_hand_derived_losses_and_metrics() -> None:
    """α = 1/4. Pair 0: 1.5/4 + 3·.5/4 + .5 = 1.25: ln(1 + e^−1.25) = .2519291. Pair 1: −.5/4 − 3/4 − 2 = −2.875:
    ln(1 + e^2.875) = 2.9298822. The pair's own margins stay 1 and −3."""
    losses, metrics = wrpo(*example(), beta=BETA, alpha=0.25)
    assert losses.tolist() == approx(ell(1.25), ell(-2.875))
    assert losses.tolist() == pytest.approx([0.2519291, 2.9298822], abs=1e-7)
    assert {name: value.tolist() for name, value in metrics.items()} == {
        "rewards/chosen": [0.5, -1.0],
        "rewards/rejected": [-0.5, 2.0],
        "rewards/margins": [1.0, -3.0],
        "rewards/accuracies": [1.0, 0.0],
        "logps/chosen": [-2.0, -6.0],
        "logps/rejected": [-5.0, -1.0],
        "rewards/source": [1.5, -0.5],
        "logps/source": [-7.0, -9.0],
        "wrpo/margins": [1.25, -2.875],
    }
    assert losses.requires_grad
    assert not any(value.requires_grad for value in metrics.values())


def test_wrpos_gradient_is_the_analytic_one() -> None:
    """−σ(−m)β times α in the source's, 1−α in the own chosen and −1 in the rejected log-prob, m = 1.25 and −2.875."""
    pairs, source, reference_source = example()
    losses, _ = wrpo(pairs, source, reference_source, beta=BETA, alpha=0.25)
    slopes = [-BETA * sigmoid(-1.25), -BETA * sigmoid(2.875)]
    found = torch.autograd.grad(losses.sum(), [source, pairs.chosen_B, pairs.rejected_B])
    for gradient, share in zip(found, (0.25, 0.75, -1), strict=True):
        assert gradient.tolist() == approx(*(share * slope for slope in slopes))


@pytest.mark.parametrize("alpha", [0.0, 0.1, 0.5, 1.0])
def test_a_policy_equal_to_its_reference_has_loss_ln_2(alpha: float) -> None:
    pairs, source, _ = example()
    tie = PairBatch(
        chosen_B=pairs.chosen_B,
        rejected_B=pairs.rejected_B,
        reference_chosen_B=pairs.chosen_B,
        reference_rejected_B=pairs.rejected_B,
        chosen_lengths_B=pairs.chosen_lengths_B,
        rejected_lengths_B=pairs.rejected_lengths_B,
    )
    losses, _ = wrpo(tie, source, source, beta=BETA, alpha=alpha)
    assert losses.tolist() == approx(math.log(2), math.log(2))


def test_alpha_moves_from_dpo_on_the_own_pair_to_dpo_on_the_sources() -> None:
    """α = 0: margins .5 + .5 = 1 and −1 − 2 = −3. α = 1: 1.5 + .5 = 2 and −.5 − 2 = −2.5."""
    assert wrpo(*example(), beta=BETA, alpha=0)[0].tolist() == approx(ell(1), ell(-3))
    assert wrpo(*example(), beta=BETA, alpha=1)[0].tolist() == approx(ell(2), ell(-2.5))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_log_probs_give_finite_losses_and_gradients_in_the_inputs_precision(dtype: torch.dtype) -> None:
    """Margins of ±2.5e7 nats and a tie between the two chosen responses."""
    pairs, _, _ = example()
    pairs = PairBatch(**{f.name: (getattr(pairs, f.name) * 1e7).detach().to(dtype) for f in fields(pairs)})
    source = tensor(-1e8, 0).to(dtype).requires_grad_()
    losses, metrics = wrpo(pairs, source, tensor(0, -1e8).to(dtype), beta=BETA, alpha=0.5)
    assert losses.isfinite().all()
    assert {losses.dtype} | {value.dtype for value in metrics.values()} == {dtype}
    (gradient,) = torch.autograd.grad(losses.sum(), [source])
    assert gradient.isfinite().all()


def test_alpha_rises_in_a_line_to_its_final_value() -> None:
    """.1 at the end: 0, .025 after a quarter, .075 after three, .1."""
    found = [wrpo_alpha(progress, final=0.1) for progress in (0, 0.25, 0.75, 1)]
    assert found == pytest.approx([0, 0.025, 0.075, 0.1], abs=1e-15)


@pytest.mark.parametrize("progress", [-0.01, 1.01, math.nan])
def test_alpha_refuses_progress_that_is_no_share_of_the_steps(progress: float) -> None:
    """A step number in place of a share would give an α above its final value."""
    with pytest.raises(ValueError, match="progress"):
        wrpo_alpha(progress, final=0.1)
