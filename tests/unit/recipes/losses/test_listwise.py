"""RRHF and PRO against hand-derived values, their gradients, and what they do with ties."""

import math

import pytest
import torch
from torch import Tensor

from roundelay.recipes.losses.listwise import pro, rrhf


def tensor(*values: float, requires_grad: bool = False) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=requires_grad)


# RRHF ----------------------------------------------------------------------------------------------------------------


def test_rrhf_gives_the_hand_derived_loss_and_metrics() -> None:
    """κ = 1/2: p = −2/√4, −6/√9, −4.5/√1 = −1, −2, −4.5. Rewards 0.3 < 0.5 < 0.9 of responses 0, 2, 1, so p_0 − p_2 =
    3.5, p_0 − p_1 = 1 and p_2 − p_1 = −2.5, which is in order: the ranking term is 4.5. The best is response 1, NLL
    6/9 a token. Loss 0.2·4.5 + 2/3; one comparison of three is in order."""
    loss, metrics = rrhf(tensor(-2, -6, -4.5), tensor(4, 9, 1), tensor(0.3, 0.9, 0.5), length_exponent=0.5, weight=0.2)
    assert loss.item() == pytest.approx(0.9 + 2 / 3, rel=1e-12)
    assert {name: value.item() for name, value in metrics.items()} == pytest.approx(
        {"rrhf/ranking": 4.5, "rrhf/nll": 2 / 3, "rewards/accuracies": 1 / 3}, rel=1e-12
    )


@pytest.mark.parametrize(("exponent", "ranking"), [(0.0, 6.5), (0.5, 7.0), (1.0, 8.0)])
def test_the_length_exponent_divides_by_a_power_of_the_length(exponent: float, ranking: float) -> None:
    """Rewards rise from response 0 to 2. κ = 0: p = −2, −6, −4.5, terms 4 and 2.5, the third in order. κ = 1/2: p = −1,
    −2, −4.5, terms 1, 3.5 and 2.5. κ = 1: p = −1/2, −2/3, −4.5, terms 1/6, 4 and 23/6. The NLL is a mean whatever κ."""
    loss, metrics = rrhf(
        tensor(-2, -6, -4.5), tensor(4, 9, 1), tensor(0.3, 0.4, 0.9), length_exponent=exponent, weight=1.0
    )
    assert metrics["rrhf/ranking"].item() == pytest.approx(ranking, rel=1e-12)
    assert loss.item() == pytest.approx(ranking + 4.5, rel=1e-12)


def test_rrhfs_gradient_is_the_analytic_one() -> None:
    """In the worked example the pairs (0, 2) and (0, 1) are out of order. d/dL_0 = 0.2·2/√4 = 0.2, d/dL_2 = −0.2/√1,
    d/dL_1 = −0.2/√9 from the ranking and −1/9 from the NLL: worse responses down, the best up."""
    logps = tensor(-2, -6, -4.5, requires_grad=True)
    loss, metrics = rrhf(logps, tensor(4, 9, 1), tensor(0.3, 0.9, 0.5), length_exponent=0.5, weight=0.2)
    loss.backward()
    assert logps.grad is not None
    assert logps.grad.tolist() == pytest.approx([0.2, -0.2 / 3 - 1 / 9, -0.2], rel=1e-12)
    assert not any(value.requires_grad for value in metrics.values())


def test_rrhf_does_not_depend_on_the_order_of_the_responses() -> None:
    values = ((-2, -6, -4.5), (4, 9, 1), (0.3, 0.9, 0.5))
    expected, _ = rrhf(*(tensor(*v) for v in values), length_exponent=0.5, weight=0.2)
    for order in ((1, 2, 0), (2, 1, 0), (0, 2, 1)):
        loss, _ = rrhf(*(tensor(*(v[i] for i in order)) for v in values), length_exponent=0.5, weight=0.2)
        assert loss.item() == pytest.approx(expected.item(), rel=1e-12)


def test_responses_in_the_right_order_cost_the_nll_of_the_best_only() -> None:
    loss, metrics = rrhf(tensor(-1, -2, -3), tensor(2, 2, 2), tensor(3, 2, 1), length_exponent=1.0, weight=100.0)
    assert loss.item() == 0.5
    assert metrics["rewards/accuracies"].item() == 1.0


def test_equal_rewards_are_not_compared_and_the_first_of_the_best_is_learned() -> None:
    """Responses 0 and 1 tie at the top. Only response 2 is worse than either: p_2 − p_0 = −1 + 2 = 1, p_2 − p_1 =
    −1 + 3 = 2, and p_0 − p_1 is no term. NLL of response 0: 2."""
    loss, metrics = rrhf(tensor(-2, -3, -1), tensor(1, 1, 1), tensor(5, 5, 4), length_exponent=1.0, weight=10.0)
    assert metrics["rrhf/ranking"].item() == 3.0
    assert metrics["rrhf/nll"].item() == 2.0
    assert loss.item() == 32.0
    assert metrics["rewards/accuracies"].item() == 0.0


def test_an_all_equal_group_has_no_ranking_term_and_no_accuracy() -> None:
    loss, metrics = rrhf(tensor(-6, -3), tensor(2, 3), tensor(1, 1), length_exponent=1.0, weight=10.0)
    assert loss.item() == 3.0
    assert metrics["rrhf/ranking"].item() == 0.0
    assert math.isnan(metrics["rewards/accuracies"].item())


def test_equal_scores_of_unequal_rewards_are_no_hit_and_have_no_ranking_gradient() -> None:
    """p_0 = p_1 = −2: the hinge is at its kink, where the gradient is taken as 0, and the order is not right."""
    logps = tensor(-4, -6, requires_grad=True)
    loss, metrics = rrhf(logps, tensor(2, 3), tensor(0, 1), length_exponent=1.0, weight=10.0)
    loss.backward()
    assert metrics["rrhf/ranking"].item() == 0.0
    assert metrics["rewards/accuracies"].item() == 0.0
    assert logps.grad is not None
    assert logps.grad.tolist() == pytest.approx([0.0, -1 / 3], rel=1e-12)


def test_integer_lengths_keep_the_precision_of_the_log_probs() -> None:
    """7^0.3 in float32 is off by 1e-8: lengths take the log-probs' dtype first."""
    _, metrics = rrhf(tensor(-1, -9), torch.tensor([3, 7]), tensor(0, 1), length_exponent=0.3, weight=1.0)
    assert metrics["rrhf/ranking"].item() == pytest.approx(9 / 7**0.3 - 1 / 3**0.3, rel=1e-13)


def test_rrhf_refuses_unscored_responses() -> None:
    with pytest.raises(AssertionError, match="unscored"):
        rrhf(tensor(-1, -2), tensor(1, 1), tensor(1, math.nan), length_exponent=1.0, weight=1.0)


# PRO -----------------------------------------------------------------------------------------------------------------


def test_pro_gives_the_hand_derived_loss_and_metrics() -> None:
    """p = −2/4, −6/3, −3/1 = −0.5, −2, −3; rewards 3, 1, 0.5. k = 0: gaps 2 and 2.5, largest 2.5, so
    log[e^(−0.5·2.5) + e^(−2·2) + e^(−3·2.5)] + 0.5·2.5 = log 0.3053735280 + 1.25 = 0.0637804045; k = 1: gap 0.5 for
    both, log[e^(−2·0.5) + e^(−3·0.5)] + 2·0.5 = log(1 + e^−0.5) = 0.4740769842. SFT: 0.05·(3 − 1)²·2 = 0.4, of the sum
    of log-probs, not the mean (0.5)."""
    loss, metrics = pro(tensor(-2, -6, -3), tensor(4, 3, 1), tensor(3, 1, 0.5), sft_weight=0.05)
    ranking = 0.0637804045 + 0.4740769842
    assert loss.item() == pytest.approx(ranking + 0.4, abs=1e-9)
    assert {name: value.item() for name, value in metrics.items()} == pytest.approx(
        {"pro/ranking": ranking, "pro/sft": 2.0, "rewards/accuracies": 1.0}, abs=1e-9
    )


def test_the_official_epsilon_is_inside_the_logarithm() -> None:
    """p = −10, −12 and a gap of 4: log[e^−40 + e^−48 + 1e-10] + 40 = 16.9741490700 (e^−40 = 4e-18 is nothing beside
    1e-10; without it the term would be log(1 + e^−8) = 0.0003)."""
    loss, _ = pro(tensor(-10, -24), tensor(1, 2), tensor(4, 0), sft_weight=0.0)
    assert loss.item() == pytest.approx(40 - 10 * math.log(10), abs=1e-7)


def test_pros_gradient_is_the_analytic_one() -> None:
    """In the worked example let a = softmax(−1.25, −4, −7.5) and b = softmax(−1, −1.5). With p_i = L_i/|y_i|:
    d/dL_0 = (a_0 − 1)·2.5/4 − 0.05·4, d/dL_1 = (a_1·2 + (b_0 − 1)·0.5)/3, d/dL_2 = (a_2·2.5 + b_1·0.5)/1."""
    logps = tensor(-2, -6, -3, requires_grad=True)
    loss, metrics = pro(logps, tensor(4, 3, 1), tensor(3, 1, 0.5), sft_weight=0.05)
    loss.backward()
    a = [math.exp(x) for x in (-1.25, -4, -7.5)]
    a = [x / sum(a) for x in a]
    b = 1 / (1 + math.exp(-0.5))
    assert logps.grad is not None
    assert logps.grad.tolist() == pytest.approx(
        [(a[0] - 1) * 2.5 / 4 - 0.2, (a[1] * 2 + (b - 1) * 0.5) / 3, a[2] * 2.5 + (1 - b) * 0.5], abs=1e-9
    )
    assert not any(value.requires_grad for value in metrics.values())


@pytest.mark.parametrize(("group_size", "factor"), [(2, 1), (3, 4), (4, 9)])
def test_the_sft_term_grows_with_the_square_of_the_group(group_size: int, factor: int) -> None:
    logps, ones = tensor(*[-0.6] * group_size), torch.ones(group_size, dtype=torch.float64)
    rewards = tensor(*range(group_size, 0, -1))
    with_sft, _ = pro(logps, ones, rewards, sft_weight=0.05)
    without, _ = pro(logps, ones, rewards, sft_weight=0.0)
    assert (with_sft - without).item() == pytest.approx(0.05 * factor * 0.6, rel=1e-12)


def test_two_responses_one_reward_apart_make_a_sigmoid_loss_of_means() -> None:
    """log[e^p_w + e^p_l] − p_w = −log σ(p_w − p_l): with p = −0.5 and −1.5, log(1 + e^−1)."""
    loss, _ = pro(tensor(-1, -3), tensor(2, 2), tensor(1, 0), sft_weight=0.0)
    assert loss.item() == pytest.approx(0.3132616875182228, abs=1e-9)


def test_equal_rewards_have_a_zero_gap_and_no_ranking_gradient() -> None:
    """All three tie: terms log(e^0 + e^0 + e^0) = ln 3 and ln 2, constants. Only the SFT term has a gradient."""
    logps = tensor(-2, -6, -3, requires_grad=True)
    loss, metrics = pro(logps, tensor(4, 3, 1), tensor(1, 1, 1), sft_weight=0.05)
    loss.backward()
    assert metrics["pro/ranking"].item() == pytest.approx(math.log(3) + math.log(2), abs=1e-9)
    assert math.isnan(metrics["rewards/accuracies"].item())
    assert logps.grad is not None
    assert logps.grad.tolist() == pytest.approx([-0.2, 0.0, 0.0], abs=1e-15)


def test_a_response_tied_with_the_best_gets_no_gradient_from_the_bests_term() -> None:
    """Rewards 2, 2, 1 and p = −1, −2, −3. k = 0: gaps 0 and 1, log[e^−1 + e^0 + e^−3] + 1, with no p_1 in it. k = 1:
    gap 1, log[e^−2 + e^−3] + 2 = log(1 + e^−1), whose gradient in p_1 is σ(1) − 1 = −0.2689414214."""
    logps = tensor(-1, -2, -3, requires_grad=True)
    loss, metrics = pro(logps, tensor(1, 1, 1), tensor(2, 2, 1), sft_weight=0.0)
    loss.backward()
    expected = math.log(math.exp(-1) + 1 + math.exp(-3)) + 1 + math.log1p(math.exp(-1))
    assert loss.item() == pytest.approx(expected, abs=1e-9)
    assert logps.grad is not None
    assert logps.grad[1].item() == pytest.approx(-0.2689414213699951, abs=1e-8)
    assert metrics["rewards/accuracies"].item() == 1.0  # of the two pairs of unequal reward


def test_accuracy_counts_pairs_of_means_in_the_rewards_order() -> None:
    """Means −3, −1, −2 for rewards 3 > 2 > 1: the pair (1, 2) is in order, (0, 1) and (0, 2) are not."""
    _, metrics = pro(tensor(-3, -10, -2), tensor(1, 10, 1), tensor(3, 2, 1), sft_weight=0.0)
    assert metrics["rewards/accuracies"].item() == pytest.approx(1 / 3, rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_log_probs_give_finite_losses_and_gradients(dtype: torch.dtype) -> None:
    """Means of −1000 and −1 a hundred rewards apart: log[e^−100000 + e^−100 + 1e-10] + 100000 = 1e5 − 23.03."""
    logps = torch.tensor([-1000.0, -1.0], dtype=dtype, requires_grad=True)
    loss, _ = pro(logps, torch.ones(2, dtype=dtype), torch.tensor([100.0, 0.0], dtype=dtype), sft_weight=0.0)
    loss.backward()
    assert loss.dtype == dtype
    assert loss.item() == pytest.approx(1e5 - 10 * math.log(10), rel=1e-6)
    assert logps.grad is not None
    assert logps.grad.tolist() == pytest.approx([-100.0, 0.0], abs=1e-9)


@pytest.mark.parametrize("rewards", [(3, 1, 2), (1, 3, 0.5), (3, 2, math.nan)])
def test_pro_refuses_an_unranked_group(rewards: tuple[float, float, float]) -> None:
    """Each response against the next: the best first and the worst last is not enough."""
    with pytest.raises(AssertionError, match="not ranked best to worst"):
        pro(tensor(-1, -2, -3), tensor(1, 1, 1), tensor(*rewards), sft_weight=0.05)


def test_pro_refuses_a_group_of_one() -> None:
    with pytest.raises(AssertionError, match="two responses"):
        pro(tensor(-1), tensor(1), tensor(1), sft_weight=0.05)
