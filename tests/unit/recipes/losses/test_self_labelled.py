"""Self-labelled objectives and what they are fed, against hand-derived values, gradients and traps.

The two pairs of `example`: log-ratios (L − R) 1 and −1, Δ = 2; log-ratios −2 and 4, Δ = −6. At β = 1/2 that is z = 1
and z = −3. Written ℓ(z) = ln(1 + e^−z), so ℓ(−z) = ℓ(z) + z.
"""

import math
from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial

import pytest
import torch
from torch import Tensor

from roundelay.recipes.losses.batches import Loss, PairBatch
from roundelay.recipes.losses.self_labelled import bottom_threshold, cream, global_quantile_threshold, spa

BETA = 0.5
LOSS_1 = 0.3132616875182228  # ℓ(1) = ln(1 + 1/e)
LOSS_MINUS_3 = 3.048587351573742  # ℓ(−3) = ln(1 + e³)
REWARDS = {
    "rewards/chosen": [0.5, -1.0],
    "rewards/rejected": [-0.5, 2.0],
    "rewards/margins": [1.0, -3.0],
    "rewards/accuracies": [1.0, 0.0],
    "logps/chosen": [-2.0, -6.0],
    "logps/rejected": [-5.0, -1.0],
}
Objective = Callable[[PairBatch], Loss]


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def batch(
    chosen: list[float], rejected: list[float], reference_chosen: list[float], reference_rejected: list[float]
) -> PairBatch:
    return PairBatch(
        chosen_B=tensor(*chosen).requires_grad_(),
        rejected_B=tensor(*rejected).requires_grad_(),
        reference_chosen_B=tensor(*reference_chosen),
        reference_rejected_B=tensor(*reference_rejected),
        chosen_lengths_B=tensor(*([3.0] * len(chosen))),
        rejected_lengths_B=tensor(*([5.0] * len(chosen))),
    )


def example() -> PairBatch:
    return batch([-2, -6], [-5, -1], [-3, -4], [-4, -5])


def gradients(objective: Objective, pairs: PairBatch) -> tuple[list[float], list[float]]:
    chosen, rejected = torch.autograd.grad(objective(pairs)[0].sum(), [pairs.chosen_B, pairs.rejected_B])
    return chosen.tolist(), rejected.tolist()


def approx(*expected: float) -> object:
    return pytest.approx(list(expected), rel=1e-9, abs=1e-9)


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


def half_noisy_spa(pairs: PairBatch) -> Loss:
    margins = torch.where(torch.arange(len(pairs.chosen_B)) % 2 == 0, 2.0, -2.0)
    return spa(pairs, margins, 0.5, beta=BETA, label_smoothing=0.2)


def mixed_cream(pairs: PairBatch) -> Loss:
    return cream(pairs, torch.full_like(pairs.chosen_B, 0.75), beta=BETA)


every = pytest.mark.parametrize("objective", [half_noisy_spa, mixed_cream])


# What both keep.


@every
def test_a_policy_equal_to_its_reference_has_loss_ln_2_and_accuracy_0(objective: Objective) -> None:
    """z = 0: both directions of the label cost ln 2, however they are weighed."""
    losses, metrics = objective(batch([-3, -120.5], [-7, -0.25], [-3, -120.5], [-7, -0.25]))
    assert losses.tolist() == approx(math.log(2), math.log(2))
    assert metrics["rewards/accuracies"].tolist() == [0, 0]


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_log_probs_give_finite_losses_and_gradients_in_the_inputs_precision(
    objective: Objective, dtype: torch.dtype
) -> None:
    pairs = batch([0, 0, -1e5, -1e5], [-1e5, -1e5, 0, 0], [-1e5, -1e5, 0, 0], [0, 0, -1e5, -1e5])
    pairs = PairBatch(**{f.name: getattr(pairs, f.name).detach().to(dtype).requires_grad_() for f in fields(pairs)})
    losses, metrics = objective(pairs)
    assert losses.isfinite().all()
    assert {losses.dtype} | {value.dtype for value in metrics.values()} == {dtype}
    chosen, rejected = torch.autograd.grad(losses.sum(), [pairs.chosen_B, pairs.rejected_B])
    assert chosen.isfinite().all() and rejected.isfinite().all()


@every
def test_metrics_carry_no_gradient_and_losses_do(objective: Objective) -> None:
    losses, metrics = objective(example())
    assert losses.requires_grad
    assert not any(value.requires_grad for value in metrics.values())


@every
def test_lengths_and_what_policy_and_reference_share_change_nothing(objective: Objective) -> None:
    pairs = example()
    shifted = replace(
        pairs,
        chosen_B=pairs.chosen_B + 0.75,
        reference_chosen_B=pairs.reference_chosen_B + 0.75,
        rejected_B=pairs.rejected_B - 1.25,
        reference_rejected_B=pairs.reference_rejected_B - 1.25,
        chosen_lengths_B=tensor(7, 9),
    )
    assert objective(shifted)[0].tolist() == objective(pairs)[0].tolist()


# CREAM.


def test_cream_gives_the_hand_derived_losses_and_rewards() -> None:
    """cℓ(z) + (1−c)(ℓ(z) + z) = ℓ(z) + (1−c)z. c = .75: .3132616875 + .25 = .5632616875; c = .4:
    3.0485873516 − 1.8 = 1.2485873516."""
    losses, metrics = cream(example(), tensor(0.75, 0.4), beta=BETA)
    assert losses.tolist() == approx(LOSS_1 + 0.25, LOSS_MINUS_3 - 1.8)
    assert {name: value.tolist() for name, value in metrics.items()} == REWARDS


def test_full_consistency_is_dpo_and_none_is_dpo_of_the_swapped_pair() -> None:
    """c = 1: ℓ(1) and ℓ(−3); c = 0: ℓ(−1) = ℓ(1) + 1 and ℓ(3) = ℓ(−3) − 3. Swapping the pair and c with 1−c is the
    same."""
    certain, _ = cream(example(), tensor(1, 1), beta=BETA)
    assert certain.tolist() == approx(LOSS_1, LOSS_MINUS_3)
    reversed_labels, _ = cream(example(), tensor(0, 0), beta=BETA)
    assert reversed_labels.tolist() == approx(LOSS_1 + 1, LOSS_MINUS_3 - 3)
    swapped, _ = cream(example().swapped(), tensor(0.25, 0.6), beta=BETA)
    assert swapped.tolist() == approx(LOSS_1 + 0.25, LOSS_MINUS_3 - 1.8)


def test_creams_gradient_is_the_analytic_one() -> None:
    """d/dz = σ(z) − c, in L_w times β. Pair 0, z = 1, c = .75; pair 1, z = −3, c = .4; pair 2, z = 0, c = ½: none, so a
    ranking that is no better than chance moves nothing."""
    pairs = batch([-2, -6, -1], [-5, -1, -1], [-3, -4, -1], [-4, -5, -1])
    chosen, rejected = gradients(partial(cream, consistency_B=tensor(0.75, 0.4, 0.5), beta=BETA), pairs)
    expected = [BETA * (sigmoid(1) - 0.75), BETA * (sigmoid(-3) - 0.4), 0]
    assert chosen == approx(*expected)
    assert rejected == approx(*(-value for value in expected))


# SPA.


def test_spa_smooths_the_noisy_pairs_and_leaves_the_clean_ones() -> None:
    """α = .2, so a noisy pair has ℓ(z) + .2z. τ = .5. First pair 0 is noisy: .5132616875 and ℓ(−3); then pair 1:
    ℓ(1) and 3.0485873516 − .6 = 2.4485873516."""
    losses, metrics = spa(example(), tensor(0.25, 2), 0.5, beta=BETA, label_smoothing=0.2)
    assert losses.tolist() == approx(LOSS_1 + 0.2, LOSS_MINUS_3)
    assert {name: value.tolist() for name, value in metrics.items()} == REWARDS | {"spa/noisy": [1.0, 0.0]}
    losses, metrics = spa(example(), tensor(0.75, -4), 0.5, beta=BETA, label_smoothing=0.2)
    assert losses.tolist() == approx(LOSS_1, LOSS_MINUS_3 - 0.6)
    assert metrics["spa/noisy"].tolist() == [0, 1]


def test_a_margin_at_the_threshold_or_without_a_value_is_noisy() -> None:
    """Clean is strictly above: SPA's test is m̃ > τ. A NaN is above nothing."""
    for margins in (tensor(0.5, 0.5 + 1e-9), tensor(math.nan, math.inf)):
        _, metrics = spa(example(), margins, 0.5, beta=BETA, label_smoothing=0.2)
        assert metrics["spa/noisy"].tolist() == [1, 0]


def test_without_smoothing_spa_is_dpo_and_still_counts_the_noisy() -> None:
    """α = 0, as in the first fifth of the steps."""
    losses, metrics = spa(example(), tensor(-1, -1), 0.0, beta=BETA, label_smoothing=0)
    assert losses.tolist() == approx(LOSS_1, LOSS_MINUS_3)
    assert metrics["spa/noisy"].tolist() == [1, 1]


def test_spas_gradient_is_the_analytic_one_and_none_of_it_goes_through_the_denoised_margin() -> None:
    """Noisy, z = 1: d/dz = α − σ(−z) = .2 − σ(−1); clean, z = −3: −σ(3). Times β in L_w. The denoised margin only
    decides: it gets no gradient, even one that is computed from the same log-probs."""
    pairs = example()
    margins = BETA * pairs.margins_B * tensor(0.25, -1)  # 1/4 and 3, with gradient
    chosen, rejected = gradients(
        partial(spa, denoised_margins_B=margins, threshold=0.5, beta=BETA, label_smoothing=0.2), pairs
    )
    expected = [BETA * (0.2 - sigmoid(-1)), -BETA * sigmoid(3)]
    assert chosen == approx(*expected)
    assert rejected == approx(*(-value for value in expected))


def test_without_extrapolation_the_pairs_in_doubt_are_those_the_policy_would_label_otherwise() -> None:
    """λ = 0 gives m̃ = z: at τ = 0 (the start) noisy is exactly what has accuracy 0, and swapping flips it."""
    for pairs in (example(), example().swapped()):
        _, metrics = spa(pairs, BETA * pairs.margins_B, 0.0, beta=BETA, label_smoothing=0.2)
        assert metrics["spa/noisy"].tolist() == [1 - value for value in metrics["rewards/accuracies"].tolist()]


# SPA's thresholds.


def test_the_bottom_threshold_of_the_official_window_is_between_the_sixth_and_the_seventh() -> None:
    """n = 50, K = .1: k = 5, so the mean of s_5 = 25 and s_6 = 36 for s_i = i², in whatever order they come."""
    window = [float(value * value) for value in range(50)]
    assert bottom_threshold(window[::-1], 0.1) == 30.5
    assert window[0] == 0 and window == sorted(window)


@pytest.mark.parametrize(
    ("fraction", "expected"),
    [(0.0, 0.5), (0.19, 0.5), (0.2, 2.5), (0.5, 6.5), (0.75, 12.5)],
)
def test_the_bottom_threshold_rounds_the_count_down(fraction: float, expected: float) -> None:
    """s = 0, 1, 4, 9, 16: k = 0, 0, 1, 2, 3."""
    assert bottom_threshold([9, 1, 16, 0, 4], fraction) == expected


@pytest.mark.parametrize("fraction", [0.8, 1.0, -0.2])
def test_the_bottom_threshold_refuses_a_fraction_without_a_next_value(fraction: float) -> None:
    with pytest.raises(ValueError, match="of 5 margins"):
        bottom_threshold([9, 1, 16, 0, 4], fraction)


@pytest.mark.parametrize("few", [[], [1.0]])
def test_the_bottom_threshold_refuses_fewer_than_two_margins(few: list[float]) -> None:
    with pytest.raises(ValueError, match="margins"):
        bottom_threshold(few, 0.1)


@pytest.mark.parametrize(("fraction", "expected"), [(0.2, 0), (0.39, 0), (0.4, 1), (0.8, 9), (1.0, 16)])
def test_the_global_threshold_is_the_kth_smallest(fraction: float, expected: float) -> None:
    """Of 0, 1, 4, 9, 16: k = 1, 1, 2, 4, 5."""
    assert global_quantile_threshold(tensor(9, 1, 16, 0, 4), fraction) == expected


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.2, 0.5, 0.79, 1.0])
def test_spa_finds_exactly_the_bottom_share_noisy_under_the_global_threshold(fraction: float) -> None:
    """⌊fraction·n⌋ pairs, and the least confident ones. Below one pair, none."""
    margins = tensor(0.7, -1.2, 3.4, 0.1, 0.2, -5, 2, 1, 6, 0.3)
    count = len(margins)
    pairs = batch([-1.0] * count, [-2.0] * count, [0.0] * count, [0.0] * count)
    threshold = global_quantile_threshold(margins, fraction)
    _, metrics = spa(pairs, margins, threshold, beta=BETA, label_smoothing=0.1)
    bottom = sorted(margins.tolist())[: math.floor(count * fraction)]
    assert sorted(margins[metrics["spa/noisy"] == 1].tolist()) == bottom


def test_margins_equal_to_the_threshold_are_noisy_together() -> None:
    """Of 1, 1, 1, 2 the bottom quarter is a 1, and the other ones are not above it."""
    threshold = global_quantile_threshold(tensor(1, 2, 1, 1), 0.25)
    assert threshold == 1
    assert (~(tensor(1, 2, 1, 1) > threshold)).tolist() == [True, False, True, True]


def test_a_fraction_below_one_margin_has_no_threshold() -> None:
    assert global_quantile_threshold(tensor(3, 1, 2), 0.3) == -math.inf


@pytest.mark.parametrize("fraction", [-0.1, 1.1])
def test_the_global_threshold_refuses_what_is_not_a_share(fraction: float) -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        global_quantile_threshold(tensor(3, 1, 2), fraction)


def test_a_share_counts_as_it_is_written() -> None:
    """100 · .29 is 28.999999999999996 in binary, and 29 on paper."""
    margins = [float(value) for value in range(100)]
    assert bottom_threshold(margins, 0.29) == 29.5
    assert global_quantile_threshold(tensor(*margins), 0.29) == 28


def test_thresholds_refuse_nan() -> None:
    """It would sort anywhere, and the threshold with it."""
    with pytest.raises(ValueError, match="bottom_threshold: NaN among 3"):
        bottom_threshold([1, math.nan, 2], 0.1)
    with pytest.raises(ValueError, match="global_quantile_threshold: NaN among 2"):
        global_quantile_threshold(tensor(1, math.nan), 0.5)
