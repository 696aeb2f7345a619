"""Pairwise objectives against hand-derived values, their gradients, their invariants and their traps.

The two pairs of `example`: log-ratios (L − R) 1 and −1, Δ = 2, lengths 4 and 2; log-ratios −2 and 4, Δ = −6, lengths 3
and 5. At β = 1/2 that is z = 1 and z = −3. Written ℓ(z) = ln(1 + e^−z), so ℓ(−z) = ℓ(z) + z.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from roundelay.recipes.losses import pairwise
from roundelay.recipes.losses.batches import Loss, PairBatch

BETA = 0.5
LOSS_1 = 0.3132616875182228  # ℓ(1) = ln(1 + 1/e)
LOSS_MINUS_3 = 3.048587351573742  # ℓ(−3) = ln(1 + e³)
P_CHOSEN, P_REJECTED = torch.tensor(0.75), torch.tensor(0.125)  # of no dimension: for any batch and precision
Objective = Callable[[PairBatch], Loss]


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def batch(
    chosen: list[float],
    rejected: list[float],
    reference_chosen: list[float],
    reference_rejected: list[float],
    lengths: tuple[list[float], list[float]] | None = None,
) -> PairBatch:
    ones = [1.0] * len(chosen)
    chosen_lengths, rejected_lengths = lengths or (ones, ones)
    return PairBatch(
        chosen_B=tensor(*chosen).requires_grad_(),
        rejected_B=tensor(*rejected).requires_grad_(),
        reference_chosen_B=tensor(*reference_chosen),
        reference_rejected_B=tensor(*reference_rejected),
        chosen_lengths_B=tensor(*chosen_lengths),
        rejected_lengths_B=tensor(*rejected_lengths),
    )


def example() -> PairBatch:
    return batch([-2, -6], [-5, -1], [-3, -4], [-4, -5], ([4, 3], [2, 5]))


def values(loss: Loss) -> list[float]:
    return loss[0].tolist()


def gradients(objective: Objective, pairs: PairBatch) -> tuple[list[float], list[float]]:
    chosen, rejected = torch.autograd.grad(objective(pairs)[0].sum(), [pairs.chosen_B, pairs.rejected_B])
    return chosen.tolist(), rejected.tolist()


def approx(*expected: float) -> object:
    return pytest.approx(list(expected), rel=1e-9, abs=1e-9)


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


def ell(z: float) -> float:
    return math.log1p(math.exp(-z))


OBJECTIVES: dict[str, Objective] = {
    "dpo": partial(pairwise.dpo, beta=BETA),
    "cdpo": partial(pairwise.cdpo, beta=BETA, label_smoothing=0.2),
    "rdpo": partial(pairwise.rdpo, beta=BETA, label_smoothing=0.2),
    "ipo of sums": partial(pairwise.ipo, beta=BETA, tokens="sum"),
    "ipo of means": partial(pairwise.ipo, beta=BETA, tokens="mean"),
    "hinge": partial(pairwise.hinge, beta=BETA),
    "dpop": partial(pairwise.dpop, beta=BETA, penalty=3.0),
    "r_dpo": partial(pairwise.r_dpo, beta=BETA, alpha=0.25),
    "mipo": partial(pairwise.mipo, beta=BETA),
    "sppo": partial(pairwise.sppo, chosen_probability_B=P_CHOSEN, rejected_probability_B=P_REJECTED, beta=BETA),
    "soft labels": partial(pairwise.soft_labels, partial(pairwise.dpo, beta=BETA), label_probability_B=P_CHOSEN),
}
every = pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)


@every
def test_every_objective_reports_the_rewards_and_log_probs_of_the_pairs_as_labelled(objective: Objective) -> None:
    """β(L − R): 1/2·1 and 1/2·(−1), margin 1, which is positive; 1/2·(−2) and 1/2·4, margin −3, which is not."""
    losses, metrics = objective(example())
    assert {name: value.tolist() for name, value in metrics.items()} == {
        "rewards/chosen": [0.5, -1.0],
        "rewards/rejected": [-0.5, 2.0],
        "rewards/margins": [1.0, -3.0],
        "rewards/accuracies": [1.0, 0.0],
        "logps/chosen": [-2.0, -6.0],
        "logps/rejected": [-5.0, -1.0],
    }
    assert losses.requires_grad
    assert not any(value.requires_grad for value in metrics.values())


@every
def test_every_loss_is_the_pairs_own(objective: Objective) -> None:
    """The other pairs of the batch change nothing, in whatever order they come."""
    pairs = example()
    reversed_pairs = PairBatch(**{field.name: getattr(pairs, field.name).flip(0) for field in fields(pairs)})
    alone = PairBatch(**{field.name: getattr(pairs, field.name)[:1] for field in fields(pairs)})
    losses = values(objective(pairs))
    assert values(objective(reversed_pairs)) == losses[::-1]
    assert values(objective(alone)) == losses[:1]


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_log_probs_give_finite_losses_and_gradients_in_the_inputs_precision(
    objective: Objective, dtype: torch.dtype
) -> None:
    """Margins of ±1e5 nats, which is e^100000 in a naive formula."""
    pairs = batch([0, -1e5, -1e5], [-1e5, 0, -1e5], [-1e5, 0, 0], [0, -1e5, -1e5], ([1, 2, 3], [3, 2, 1]))
    pairs = PairBatch(**{f.name: getattr(pairs, f.name).detach().to(dtype).requires_grad_() for f in fields(pairs)})
    losses, metrics = objective(pairs)
    assert losses.isfinite().all()
    assert {losses.dtype} | {value.dtype for value in metrics.values()} == {dtype}
    chosen, rejected = torch.autograd.grad(losses.sum(), [pairs.chosen_B, pairs.rejected_B])
    assert chosen.isfinite().all() and rejected.isfinite().all()


@pytest.mark.parametrize("name", [name for name in OBJECTIVES if name != "mipo"])
def test_what_policy_and_reference_share_cancels(name: str) -> None:
    """Adding the same amount to a response's log-prob under policy and reference leaves L − R, hence the loss."""
    pairs = example()
    shifted = replace(
        pairs,
        chosen_B=pairs.chosen_B + 0.75,
        reference_chosen_B=pairs.reference_chosen_B + 0.75,
        rejected_B=pairs.rejected_B - 1.25,
        reference_rejected_B=pairs.reference_rejected_B - 1.25,
    )
    assert values(OBJECTIVES[name](shifted)) == values(OBJECTIVES[name](pairs))


@pytest.mark.parametrize("name", ["dpo", "cdpo", "rdpo", "ipo of sums", "hinge", "dpop", "sppo", "soft labels"])
def test_objectives_of_sums_ignore_lengths(name: str) -> None:
    pairs = example()
    other = replace(pairs, chosen_lengths_B=tensor(7, 9), rejected_lengths_B=tensor(11, 13))
    assert values(OBJECTIVES[name](other)) == values(OBJECTIVES[name](pairs))


@pytest.mark.parametrize("name", ["dpo", "cdpo", "rdpo", "dpop", "r_dpo", "soft labels"])
def test_a_policy_equal_to_its_reference_has_loss_ln_2_and_accuracy_0(name: str) -> None:
    """z = 0, whatever β, the smoothing and the penalty are: σ(0) = 1/2. (R-DPO: at equal lengths.)"""
    losses, metrics = OBJECTIVES[name](batch([-3, -120.5], [-7, -0.25], [-3, -120.5], [-7, -0.25]))
    assert losses.tolist() == approx(math.log(2), math.log(2))
    assert metrics["rewards/margins"].tolist() == [0, 0]
    assert metrics["rewards/accuracies"].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("name", "tie"), [("ipo of sums", 1.0), ("ipo of means", 1.0), ("hinge", 1.0), ("sppo", 0.8125)]
)
def test_a_tie_under_the_other_losses_is_what_their_docstrings_say(name: str, tie: float) -> None:
    """At β = 1/2: IPO 1/(4β²) = 1, hinge 1 − 0 = 1, SPPO (.25² + .375²)/β² = (.0625 + .140625)·4 = .8125."""
    assert values(OBJECTIVES[name](batch([-3], [-7], [-3], [-7]))) == approx(tie)


def test_dpo_gives_the_hand_derived_losses() -> None:
    """ℓ(1) = ln(1 + 1/e) = 0.3132616875 and ℓ(−3) = ln(1 + e³) = 3.0485873516. A margin of ±1000: 0 and 1000."""
    assert values(pairwise.dpo(example(), beta=BETA)) == approx(LOSS_1, LOSS_MINUS_3)
    assert values(pairwise.dpo(batch([0, -1000], [-1000, 0], [0, 0], [0, 0]), beta=1.0)) == approx(0.0, 1000.0)


def test_swapping_chosen_and_rejected_negates_dpos_margin() -> None:
    """With margin m the two losses differ by ln σ(m) − ln σ(−m) = m."""
    pairs = batch([-1], [-2.5], [-4], [-3])
    loss, metrics = pairwise.dpo(pairs, beta=BETA)
    swapped_loss, swapped = pairwise.dpo(pairs.swapped(), beta=BETA)
    assert [metrics["rewards/margins"].item(), swapped["rewards/margins"].item()] == [1.25, -1.25]
    assert (swapped_loss - loss).item() == pytest.approx(1.25, rel=1e-12)


def test_dpos_gradient_is_the_analytic_one() -> None:
    """dℓ/dz = −σ(−z) and z = β(L_w − R_w − L_l + R_l): the gradient in L_w is −βσ(−z), in L_l its negative. It raises
    the chosen response and lowers the rejected one, most where z is most negative."""
    pairs = batch([-1, -6, -30], [-2, -1, -2], [-3, -4, -5], [-4, -5, -6])
    expected = [-BETA * sigmoid(-z) for z in (0.0, -3.0, -14.5)]
    chosen, rejected = gradients(OBJECTIVES["dpo"], pairs)
    assert chosen == approx(*expected)
    assert rejected == approx(*(-value for value in expected))


def test_dpo_is_equation_7_of_the_paper_in_plain_arithmetic() -> None:
    """−ln σ(β ln(π_w/r_w) − β ln(π_l/r_l)), written with probabilities and without torch (TRL 1.16 has the same
    formula, but only inside its trainer's compute_loss)."""

    def equation_7(case: tuple[float, ...], beta: float) -> float:
        policy_w, policy_l, reference_w, reference_l = case
        ratio = (policy_w / reference_w) ** beta / (policy_l / reference_l) ** beta  # = e^margin
        return -math.log(ratio / (1 + ratio))

    cases = list(itertools.product((0.02, 0.3, 0.9), repeat=4))
    sides = [[math.log(case[side]) for case in cases] for side in range(4)]
    for beta in (0.1, 1.0):
        losses = values(pairwise.dpo(batch(sides[0], sides[1], sides[2], sides[3]), beta=beta))
        assert losses == pytest.approx([equation_7(case, beta) for case in cases], rel=1e-10)


@pytest.mark.parametrize(
    ("moved", "by"), [(0, 1.0), (1, -1.0), (2, -1.0), (3, 1.0)], ids=["chosen", "rejected", "r_chosen", "r_rejected"]
)
def test_each_input_enters_dpos_margin_with_its_own_sign(moved: int, by: float) -> None:
    """m = β(L_w − L_l − R_w + R_l): one nat more of an input moves the margin by plus or minus β, and lowers the loss
    exactly where it raises the margin."""

    def dpo_of(sides: list[float]) -> Loss:
        return pairwise.dpo(batch([sides[0]], [sides[1]], [sides[2]], [sides[3]]), beta=BETA)

    sides = [-1.0, -2.5, -4.0, -3.0]
    loss, metrics = dpo_of(sides)
    sides[moved] += 1
    moved_loss, moved_metrics = dpo_of(sides)
    assert (moved_metrics["rewards/margins"] - metrics["rewards/margins"]).item() == by * BETA
    assert ((moved_loss < loss).item()) == (by > 0)


def test_cdpo_gives_the_hand_derived_losses() -> None:
    """(1−ε)ℓ(z) + ε(ℓ(z) + z) = ℓ(z) + εz, ε = .2: .3132616875 + .2 = .5132616875; 3.0485873516 − .6 = 2.4485873516. At
    ε = 0 it is DPO."""
    assert values(OBJECTIVES["cdpo"](example())) == approx(LOSS_1 + 0.2, LOSS_MINUS_3 - 0.6)
    assert values(pairwise.cdpo(example(), beta=BETA, label_smoothing=0)) == approx(LOSS_1, LOSS_MINUS_3)


def test_cdpos_gradient_vanishes_where_the_label_is_as_likely_as_the_policy_believes() -> None:
    """d/dz = ε − σ(−z) is 0 at σ(z) = 1−ε, that is z = ln 4 for ε = .2, and pulls back beyond: a label that may be
    wrong is not worth more certainty. In L_w at z = 1 it is β(.2 − σ(−1))."""
    objective = OBJECTIVES["cdpo"]
    still = batch([2 * math.log(4), 4, 2], [0, 0, 0], [0, 0, 0], [0, 0, 0])
    chosen, rejected = gradients(objective, still)
    expected = [0.0, BETA * (0.2 - sigmoid(-2)), BETA * (0.2 - sigmoid(-1))]
    assert chosen == approx(*expected)
    assert rejected == approx(*(-value for value in expected))
    assert chosen[1] > 0 > chosen[2]


def test_rdpo_gives_the_hand_derived_losses() -> None:
    """[(1−ε)ℓ(z) − ε(ℓ(z) + z)]/(1−2ε) = ℓ(z) − εz/(1−2ε), ε = .2: .3132616875 − 1/3 = −.0200716458, which is negative;
    3.0485873516 + 1 = 4.0485873516. At ε = 0 it is DPO."""
    assert values(OBJECTIVES["rdpo"](example())) == approx(LOSS_1 - 1 / 3, LOSS_MINUS_3 + 1)
    assert values(pairwise.rdpo(example(), beta=BETA, label_smoothing=0)) == approx(LOSS_1, LOSS_MINUS_3)


def test_rdpo_under_noisy_labels_has_dpos_expectation() -> None:
    """What the method is for: with labels flipped with probability ε, E[rDPO] = DPO of the true labels."""
    robust = partial(pairwise.rdpo, beta=BETA, label_smoothing=0.3)
    expectation, _ = pairwise.soft_labels(robust, example(), tensor(0.7, 0.7))
    assert expectation.tolist() == approx(LOSS_1, LOSS_MINUS_3)


@pytest.mark.parametrize("noise", [-0.1, 0.5, 0.7, math.nan])
def test_rdpo_refuses_noise_that_leaves_no_signal(noise: float) -> None:
    """At ε = 1/2 it divides by 0, above it the sign of every label turns."""
    with pytest.raises(ValueError, match="label_smoothing"):
        pairwise.rdpo(example(), beta=BETA, label_smoothing=noise)


def test_soft_labels_weigh_both_directions() -> None:
    """DPO, p = .75 and .4: .75·ℓ(1) + .25·(ℓ(1) + 1) = .5632616875; .4·ℓ(−3) + .6·(ℓ(−3) − 3) = 1.2485873516.
    The slope in z is σ(z) − p, times β in L_w."""
    soft = partial(pairwise.soft_labels, OBJECTIVES["dpo"], label_probability_B=tensor(0.75, 0.4))
    assert values(soft(example())) == approx(LOSS_1 + 0.25, LOSS_MINUS_3 - 1.8)
    slopes = [BETA * (sigmoid(1) - 0.75), BETA * (sigmoid(-3) - 0.4)]
    assert gradients(soft, example()) == (approx(*slopes), approx(*(-slope for slope in slopes)))


def test_soft_labels_swap_all_that_belongs_to_a_response() -> None:
    """With p = 0 an objective sees the swapped pair, lengths and reference with it. R-DPO, α = 1/4: z = −1 and 3, gaps
    −2 and 2, so ℓ(−1.5) = ln(1 + e^1.5) = 1.7014132780 and ℓ(3.5) = 0.0297504183."""
    losses, _ = pairwise.soft_labels(OBJECTIVES["r_dpo"], example(), tensor(0, 0))
    assert losses.tolist() == approx(1.7014132779827525, 0.029750418272620565)


def test_ipo_of_means_divides_each_log_ratio_by_its_own_length() -> None:
    """β = 1/5, 1/(2β) = 5/2. Sums: (2 − 5/2)² = 1/4 and (−6 − 5/2)² = 289/4. Means:
    (1/4 + 1/2 − 5/2)² = (−7/4)² = 49/16 and (−2/3 − 4/5 − 5/2)² = (−119/30)² = 14161/900."""
    assert values(pairwise.ipo(example(), beta=0.2, tokens="sum")) == approx(0.25, 72.25)
    assert values(pairwise.ipo(example(), beta=0.2, tokens="mean")) == approx(49 / 16, 14161 / 900)


def test_ipos_gradient_is_the_analytic_one_and_turns_at_its_target() -> None:
    """2(Δ − 1/(2β)), over the length for means. β = 1/5, Δ = 2 and −6: 2·(−1/2) = −1 and 2·(−17/2) = −17; means:
    2·(−7/4)/4 = −7/8 in L_w, +7/4 in L_l; 2·(−119/30)/3 = −119/45 and +119/75. Beyond the target it pulls back."""
    assert gradients(partial(pairwise.ipo, beta=0.2, tokens="sum"), example()) == (approx(-1, -17), approx(1, 17))
    chosen, rejected = gradients(partial(pairwise.ipo, beta=0.2, tokens="mean"), example())
    assert chosen == approx(-7 / 8, -119 / 45)
    assert rejected == approx(7 / 4, 119 / 75)
    beyond = batch([3], [0], [0], [0])
    assert gradients(partial(pairwise.ipo, beta=0.2, tokens="sum"), beyond) == (approx(1), approx(-1))


@pytest.mark.parametrize("tokens", ["max", "min", "total", ""])
def test_ipo_refuses_an_unknown_way_to_count_tokens(tokens: Any) -> None:
    with pytest.raises(ValueError, match=f"'{tokens}'"):
        pairwise.ipo(example(), beta=0.2, tokens=tokens)


def test_hinge_gives_the_hand_derived_losses() -> None:
    """β = 1/5: z = 2/5 and −6/5: losses 3/5 and 11/5. β = 5: z = 10 is past the margin, z = −30 costs 31.
    At β = 1/2 and z = .5, 1, 1.5 the slope in L_w is −β below 1, then none."""
    assert values(pairwise.hinge(example(), beta=0.2)) == approx(0.6, 2.2)
    assert values(pairwise.hinge(example(), beta=5)) == approx(0, 31)
    slopes = gradients(OBJECTIVES["hinge"], batch([1, 2, 3], [0, 0, 0], [0, 0, 0], [0, 0, 0]))
    assert slopes == ([-0.5, 0, 0], [0.5, 0, 0])


def test_dpop_gives_the_hand_derived_losses() -> None:
    """λ = 3, β = 1/2. Pair 0: R_w − L_w = −1, no penalty: ℓ(1). Pair 1: R_w − L_w = 2, so z − 1/2·3·2 = −6:
    ln(1 + e⁶) = 6.0024756851. At λ = 0 it is DPO."""
    assert values(pairwise.dpop(example(), beta=BETA, penalty=3)) == approx(LOSS_1, 6.0024756851377304)
    assert values(pairwise.dpop(example(), beta=BETA, penalty=0)) == approx(LOSS_1, LOSS_MINUS_3)


def test_dpop_pulls_a_lost_chosen_response_back_1_plus_lambda_times() -> None:
    """Below the reference the argument moves by β(1 + λ) with L_w and by −β with L_l; else, and at R_w = L_w, as in
    DPO. Pair 0: −βσ(−1). Pair 1: −4βσ(6) and βσ(6). Pair 2 is a tie: −β/2."""
    pairs = batch([-2, -6, -1], [-5, -1, -1], [-3, -4, -1], [-4, -5, -1])
    chosen, rejected = gradients(OBJECTIVES["dpop"], pairs)
    assert chosen == approx(-BETA * sigmoid(-1), -4 * BETA * sigmoid(6), -BETA / 2)
    assert rejected == approx(BETA * sigmoid(-1), BETA * sigmoid(6), BETA / 2)


def test_r_dpo_gives_the_hand_derived_losses() -> None:
    """α = 1/4: 1 + (4 − 2)/4 = 1.5: ln(1 + e^−1.5) = 0.2014132780; −3 + (3 − 5)/4 = −3.5: ln(1 + e^3.5) = 3.5297504183.
    At α = 0 it is DPO."""
    assert values(OBJECTIVES["r_dpo"](example())) == approx(0.20141327798275241, 3.5297504182726206)
    assert values(pairwise.r_dpo(example(), beta=BETA, alpha=0)) == approx(LOSS_1, LOSS_MINUS_3)


def test_r_dpo_asks_less_of_a_longer_chosen_response() -> None:
    """The sign that tutorials get wrong: rewards are r − α|y|, so length already explains part of the preference, and
    loss and gradient of a longer chosen response are smaller; of a shorter one, larger. Tie at β = 1/2, α = 1/4, gaps
    2, 0, −2: losses ℓ(.5), ln 2, ℓ(−.5); gradients in L_w −βσ(−.5), −β/2, −βσ(.5)."""
    pairs = batch([0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0], ([5, 4, 3], [3, 4, 5]))
    losses = values(OBJECTIVES["r_dpo"](pairs))
    assert losses == approx(ell(0.5), math.log(2), ell(-0.5))
    assert losses[0] < losses[1] < losses[2]
    chosen, rejected = gradients(OBJECTIVES["r_dpo"], pairs)
    expected = [-BETA * sigmoid(-0.5), -BETA / 2, -BETA * sigmoid(0.5)]
    assert chosen == approx(*expected)
    assert rejected == approx(*(-value for value in expected))


def test_mipo_gives_the_hand_derived_losses() -> None:
    """Means over tokens. Pair 0: −2/4 + 5/2 = 2, K = −3/4 + 4/2 = 5/4, ln(1 + e^(5/4)) = 1.5019291, so ℓ(.2490355).
    Pair 1: −6/3 + 1/5 = −9/5, K = −4/3 + 5/5 = −1/3, ln(1 + e^(−1/3)) = .5403056, so ℓ(−1.1701528)."""
    pulls = [math.log1p(math.exp(5 / 4)), math.log1p(math.exp(-1 / 3))]
    assert pulls == pytest.approx([1.5019291, 0.5403056], abs=1e-7)
    assert values(OBJECTIVES["mipo"](example())) == approx(ell((2 - pulls[0]) / 2), ell((-9 / 5 - pulls[1]) / 2))


def test_mipos_gradient_is_the_analytic_one() -> None:
    """−σ(−u)·β/|y_w| in L_w and σ(−u)·β/|y_l| in L_l, u the argument of ℓ: .2490355 and −1.1701528 (see above)."""
    first, second = (2 - math.log1p(math.exp(5 / 4))) / 2, (-9 / 5 - math.log1p(math.exp(-1 / 3))) / 2
    chosen, rejected = gradients(OBJECTIVES["mipo"], example())
    assert chosen == approx(-sigmoid(-first) * BETA / 4, -sigmoid(-second) * BETA / 3)
    assert rejected == approx(sigmoid(-first) * BETA / 2, sigmoid(-second) * BETA / 5)


def test_mipos_reference_pulls_where_it_agrees_and_lets_go_where_it_does_not() -> None:
    """log(1+e^K) is K for K = 40 (DPO on means: 42 − 40 = 2) and e^−40 for K = −40 (no reference: the policy's own 2).
    At K = 21 it is 21 + e^−21 = 21 + 7.58e-10. A tie is ℓ(−β·log(1+e^−K)): K = 1/2, ℓ(−.2370385)."""
    assert values(OBJECTIVES["mipo"](batch([42, 2], [0, 0], [40, -40], [0, 0]))) == approx(ell(1), ell(1))
    loss = pairwise.mipo(batch([21], [0], [21], [0]), beta=1e9)[0].item()
    assert loss == pytest.approx(ell(-0.7582560425037146), rel=1e-5)
    tie = batch([-2], [-3], [-2], [-3], ([2], [2]))
    assert values(OBJECTIVES["mipo"](tie)) == approx(ell(-math.log1p(math.exp(-0.5)) / 2))
    assert values(OBJECTIVES["mipo"](tie))[0] > math.log(2)


def test_sppo_gives_the_hand_derived_losses() -> None:
    """β = 1/4. Pair 0, P = .9 and .3: targets 1.6 and −.8: (1 − 1.6)² + (−1 + .8)² = .36 + .04. Pair 1, P = .6 and .2:
    targets .4 and −1.2: (−2 − .4)² + (4 + 1.2)² = 5.76 + 27.04. Hard, P = 1 and 0 (TRL's `sppo_hard`):
    (1 − 2)² + (−1 + 2)² = 2 and (−2 − 2)² + (4 + 2)² = 52."""
    assert values(pairwise.sppo(example(), tensor(0.9, 0.6), tensor(0.3, 0.2), beta=0.25)) == approx(0.4, 32.8)
    assert values(pairwise.sppo(example(), tensor(1, 1), tensor(0, 0), beta=0.25)) == approx(2, 52)


def test_sppos_gradient_is_the_analytic_one() -> None:
    """2(r − (P−½)/β): pair 0: 2·(−.6) and 2·(−.2); pair 1: 2·(−2.4) and 2·5.2. The log-ratio carries no β."""
    objective = partial(
        pairwise.sppo, chosen_probability_B=tensor(0.9, 0.6), rejected_probability_B=tensor(0.3, 0.2), beta=0.25
    )
    chosen, rejected = gradients(objective, example())
    assert chosen == approx(-1.2, -4.8)
    assert rejected == approx(-0.4, 10.4)
