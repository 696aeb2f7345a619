"""Reference-free objectives against hand-derived values, their gradients and their traps.

The two pairs of `example`: L −2 and −6 with lengths 4 and 2, so a = −1/2 and −3; L −9 and −2 with lengths 3 and 5, so
a = −3 and −2/5. Written ℓ(z) = ln(1 + e^−z).
"""

import math
from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial

import pytest
import torch
from torch import Tensor

from roundelay.recipes.losses import reference_free
from roundelay.recipes.losses.batches import Loss, PairBatch

Objective = Callable[[PairBatch], Loss]


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def batch(chosen: list[float], rejected: list[float], lengths: tuple[list[float], list[float]]) -> PairBatch:
    return PairBatch(
        chosen_B=tensor(*chosen).requires_grad_(),
        rejected_B=tensor(*rejected).requires_grad_(),
        reference_chosen_B=torch.zeros(len(chosen), dtype=torch.float64),
        reference_rejected_B=torch.zeros(len(chosen), dtype=torch.float64),
        chosen_lengths_B=tensor(*lengths[0]),
        rejected_lengths_B=tensor(*lengths[1]),
    )


def example() -> PairBatch:
    return batch([-2, -9], [-6, -2], ([4, 3], [2, 5]))


def values(loss: Loss) -> list[float]:
    return loss[0].tolist()


def metrics_of(loss: Loss) -> dict[str, list[float]]:
    return {name: value.tolist() for name, value in loss[1].items()}


def gradients(objective: Objective, pairs: PairBatch) -> tuple[list[float], list[float]]:
    chosen, rejected = torch.autograd.grad(objective(pairs)[0].sum(), [pairs.chosen_B, pairs.rejected_B])
    return chosen.tolist(), rejected.tolist()


def approx(*expected: float) -> object:
    return pytest.approx(list(expected), rel=1e-9, abs=1e-9)


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


def ell(z: float) -> float:
    return math.log1p(math.exp(-z))


def log_odds(mean_logp: float) -> float:
    return math.log(math.exp(mean_logp) / (1 - math.exp(mean_logp)))


OBJECTIVES: dict[str, Objective] = {
    "simpo": partial(reference_free.simpo, beta=2.0, gamma=0.75),
    "orpo": partial(reference_free.orpo, weight=0.25),
    "slic": partial(reference_free.slic, delta=1.5, weight=0.25),
}
every = pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)


# What all of them keep.


@every
def test_no_objective_reads_a_reference(objective: Objective) -> None:
    pairs = replace(example(), reference_chosen_B=tensor(-1, -2), reference_rejected_B=tensor(-3, math.nan))
    assert values(objective(pairs)) == values(objective(example()))
    assert metrics_of(objective(pairs)) == metrics_of(objective(example()))


@every
def test_metrics_carry_no_gradient_and_losses_do(objective: Objective) -> None:
    losses, metrics = objective(example())
    assert losses.requires_grad
    assert not any(value.requires_grad for value in metrics.values())


@every
def test_every_loss_is_the_pairs_own(objective: Objective) -> None:
    pairs = example()
    reversed_pairs = PairBatch(**{field.name: getattr(pairs, field.name).flip(0) for field in fields(pairs)})
    alone = PairBatch(**{field.name: getattr(pairs, field.name)[:1] for field in fields(pairs)})
    losses = values(objective(pairs))
    assert values(objective(reversed_pairs)) == losses[::-1]
    assert values(objective(alone)) == losses[:1]


@every
def test_every_gradient_agrees_with_finite_differences(objective: Objective) -> None:
    pairs = example()

    def losses(chosen: Tensor, rejected: Tensor) -> Tensor:
        return objective(replace(pairs, chosen_B=chosen, rejected_B=rejected))[0]

    assert torch.autograd.gradcheck(losses, (pairs.chosen_B, pairs.rejected_B))


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_log_probs_give_finite_losses_and_gradients_in_the_inputs_precision(
    objective: Objective, dtype: torch.dtype
) -> None:
    """Log-probs of 0 (a response that is certain) and of −1e5, each beside each, and a hair below 0."""
    pairs = batch([0, -1e5, 0, -1e5, -1e-12], [-1e5, 0, 0, -1e5, -1e-12], ([1, 2, 3, 4, 5], [5, 4, 3, 2, 1]))
    pairs = PairBatch(**{f.name: getattr(pairs, f.name).detach().to(dtype).requires_grad_() for f in fields(pairs)})
    losses, metrics = objective(pairs)
    assert losses.isfinite().all()
    assert {losses.dtype} | {value.dtype for value in metrics.values()} == {dtype}
    chosen, rejected = torch.autograd.grad(losses.sum(), [pairs.chosen_B, pairs.rejected_B])
    assert chosen.isfinite().all() and rejected.isfinite().all()


# SimPO.


def test_simpo_gives_the_hand_derived_losses_and_rewards() -> None:
    """β = 2, γ = 3/4. Rewards 2·(−1/2) = −1 and 2·(−3) = −6, margin 5, ℓ(5 − 3/4) = ℓ(4.25) = .0141635; rewards −6 and
    −4/5, margin −26/5, ℓ(−5.95) = 5.9526025."""
    loss = OBJECTIVES["simpo"](example())
    assert values(loss) == approx(ell(4.25), ell(-5.95))
    assert values(loss) == pytest.approx([0.0141635, 5.9526025], abs=1e-7)
    metrics = metrics_of(loss)
    assert metrics == {
        "rewards/chosen": [-1.0, -6.0],
        "rewards/rejected": [-6.0, -0.8],
        "rewards/margins": [5.0, -5.2],
        "rewards/accuracies": [1.0, 0.0],
        "logps/chosen": [-2.0, -9.0],
        "logps/rejected": [-6.0, -2.0],
    }


def test_simpos_gamma_is_the_margin_itself_and_not_a_multiple_of_beta() -> None:
    """At a tie of mean log-probs, β drops out and γ stays: ℓ(−γ) = ln(1 + e^γ). Published settings give γ/β."""
    tie = batch([-2], [-4], ([1], [2]))
    for beta in (2.0, 10.0):
        loss, metrics = reference_free.simpo(tie, beta=beta, gamma=0.75)
        assert loss.tolist() == approx(math.log1p(math.exp(0.75)))
        assert metrics["rewards/accuracies"].tolist() == [0]


def test_simpos_accuracy_asks_for_a_positive_margin_not_for_gamma() -> None:
    _, metrics = reference_free.simpo(batch([-1], [-1.25], ([1], [1])), beta=2, gamma=3)
    assert metrics["rewards/accuracies"].tolist() == [1]


def test_simpos_gradient_is_the_analytic_one_and_has_no_nll_term() -> None:
    """−σ(γ − m)·β/|y_w| in L_w and +σ(γ − m)·β/|y_l| in L_l, m the margin: 5 and −26/5. Per token the two are opposite:
    with an NLL term (TRL's `cpo_alpha`, 1 by default) they are not."""
    chosen, rejected = gradients(OBJECTIVES["simpo"], example())
    assert chosen == approx(-sigmoid(-4.25) * 2 / 4, -sigmoid(5.95) * 2 / 3)
    assert rejected == approx(sigmoid(-4.25) * 2 / 2, sigmoid(5.95) * 2 / 5)


# ORPO.


def test_orpo_gives_the_hand_derived_losses_and_metrics() -> None:
    """λ = 1/4. Pair 0: odds e^a/(1−e^a) of a = −1/2 and −3 are 1.5414941 and .0523957, log-ratio o = 3.3816829,
    ln σ(o) = −.0334253, loss 1/2 + .0334253/4. Pair 1: a = −3 and −2/5: odds .0523957 and 2.0332448, o = −3.6585638,
    ln σ(o) = −3.6840068, loss 3 + 3.6840068/4."""
    loss = OBJECTIVES["orpo"](example())
    first, second = log_odds(-1 / 2) - log_odds(-3), log_odds(-3) - log_odds(-2 / 5)
    assert values(loss) == approx(1 / 2 + ell(first) / 4, 3 + ell(second) / 4)
    assert values(loss) == pytest.approx([0.5083563, 3.9210017], abs=1e-7)
    metrics = metrics_of(loss)
    assert metrics.pop("rewards/chosen") == approx(-1 / 8, -3 / 4)
    assert metrics.pop("rewards/rejected") == approx(-3 / 4, -1 / 10)
    assert metrics.pop("rewards/margins") == approx(5 / 8, -13 / 20)
    assert metrics.pop("log_odds_chosen") == approx(first, second)
    assert metrics.pop("log_odds_ratio") == approx(-ell(first), -ell(second))
    assert metrics == {
        "rewards/accuracies": [1.0, 0.0],
        "logps/chosen": [-2.0, -9.0],
        "logps/rejected": [-6.0, -2.0],
        "nll_loss": [0.5, 3.0],
    }


def test_orpo_at_a_tie_and_without_weight() -> None:
    """Equal mean log-probs: o = 0, so λ·ln 2 − a_w. With λ = 0 only the mean NLL of the chosen response is left."""
    tie = batch([-2], [-4], ([1], [2]))
    assert values(OBJECTIVES["orpo"](tie)) == approx(2 + math.log(2) / 4)
    assert values(reference_free.orpo(example(), weight=0)) == approx(1 / 2, 3)


def test_orpos_gradient_is_the_analytic_one() -> None:
    """do/da_w = 1 + e^a/(1−e^a) = 1/(1−e^a_w), do/da_l = −1/(1−e^a_l); a moves by 1/|y|. In L_w
    −[1 + λσ(−o)/(1−e^a_w)]/|y_w|, in L_l λσ(−o)/(1−e^a_l)/|y_l|."""
    expected_chosen, expected_rejected = [], []
    for chosen, rejected, chosen_length, rejected_length in ((-1 / 2, -3, 4, 2), (-3, -2 / 5, 3, 5)):
        pull = 0.25 * sigmoid(log_odds(rejected) - log_odds(chosen))
        expected_chosen.append(-(1 + pull / (1 - math.exp(chosen))) / chosen_length)
        expected_rejected.append(pull / (1 - math.exp(rejected)) / rejected_length)
    chosen_gradient, rejected_gradient = gradients(OBJECTIVES["orpo"], example())
    assert chosen_gradient == approx(*expected_chosen)
    assert rejected_gradient == approx(*expected_rejected)


def test_a_certain_rejected_response_is_still_pushed_down() -> None:
    """At a_l = 0 the odds are infinite: the loss is held finite, and the a_l outside log(1−e^a) keeps its slope, λ."""
    _, rejected = gradients(OBJECTIVES["orpo"], batch([-1], [0], ([1], [1])))
    assert rejected == approx(0.25)


def test_log1mexp_is_exact_at_both_ends() -> None:
    """1 − e^a at a = −1e-10 is 1e-10 − 5e-21, which 1 − exp(a) has to 6 digits only: its log is ln(1e-10) − 5e-11. At
    a = −ln 4 it is 3/4; at −1e5, 1; and a = 0 is taken as one rounding below it, ln(2^−52) in float64."""
    found = reference_free.log1mexp(tensor(-1e-10, -math.log(4), -1e5, 0.0))
    expected = [math.log(1e-10) - 5e-11, math.log(3 / 4), 0.0, -52 * math.log(2)]
    assert found.tolist() == pytest.approx(expected, rel=1e-13)


# SLiC-HF.


def test_slic_gives_the_hand_derived_losses_and_rewards() -> None:
    """δ = 3/2, λ = 1/4. Pair 0: 3/2 + 2 − 6 = −5/2, past the margin: 0 + 2/4 = 1/2. Pair 1: 3/2 + 9 − 2 = 17/2, and
    17/2 + 9/4 = 43/4. Sums, so lengths are no matter."""
    loss = OBJECTIVES["slic"](example())
    assert values(loss) == [0.5, 10.75]
    assert metrics_of(loss) == {
        "rewards/chosen": [-2.0, -9.0],
        "rewards/rejected": [-6.0, -2.0],
        "rewards/margins": [4.0, -7.0],
        "rewards/accuracies": [1.0, 0.0],
        "logps/chosen": [-2.0, -9.0],
        "logps/rejected": [-6.0, -2.0],
    }
    other = replace(example(), chosen_lengths_B=tensor(7, 9), rejected_lengths_B=tensor(11, 13))
    assert values(OBJECTIVES["slic"](other)) == [0.5, 10.75]


def test_slic_at_a_tie_and_its_gradient() -> None:
    """Tie: δ − λL_w = 3/2 + 3/4. Slopes in L_w −1 − λ within the margin and −λ past it, in L_l 1 and 0."""
    pairs = batch([-3, -2, -9], [-3, -6, -2], ([1, 1, 1], [1, 1, 1]))
    assert values(OBJECTIVES["slic"](pairs))[:1] == [2.25]
    assert gradients(OBJECTIVES["slic"], pairs) == ([-1.25, -0.25, -1.25], [1, 0, 1])


def test_without_weight_slic_is_the_hinge_alone() -> None:
    assert values(reference_free.slic(example(), delta=1.5, weight=0)) == [0, 8.5]
