"""Rewards of tokens, GAE, whitening and group advantages against hand-derived values, and their properties."""

import math
import statistics
from itertools import accumulate, chain

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from roundelay.recipes.losses.advantages import (
    gae,
    grpo_advantages,
    kl_penalty,
    rloo_advantages,
    scale_by,
    token_rewards,
    whiten,
)
from roundelay.recipes.losses.batches import TokenBatch

NAN = math.nan
relaxed = settings(max_examples=50)
numbers = st.floats(-100, 100)
groups = st.lists(numbers, min_size=2, max_size=8)
# Responses, each a list of (reward, value).
responses = st.lists(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=6), min_size=1, max_size=5)
Responses = list[list[tuple[float, float]]]


def tensor(*values: float, requires_grad: bool = False) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=requires_grad)


def gae_of(sampled: Responses, *, gamma: float, lam: float) -> tuple[list[list[float]], list[list[float]]]:
    """Advantages and returns, response by response."""
    tokens = [token for response in sampled for token in response]
    rows = torch.tensor([row for row, response in enumerate(sampled) for _ in response])
    rewards, values = (tensor(*column) for column in zip(*tokens, strict=True))
    lengths = [len(response) for response in sampled]
    advantages, returns = gae(rewards, values, rows, gamma=gamma, lam=lam)
    return [part.tolist() for part in advantages.split(lengths)], [part.tolist() for part in returns.split(lengths)]


# --- Rewards of tokens ---

LOGPS, REFERENCE = (-1.0, -2.5, -2.0), (-3.0, -1.0, -2.25)


@pytest.mark.parametrize(
    ("clamp_min", "expected"),
    [(None, [0.2, -0.15, 0.025]), (0.0, [0.2, 0, 0.025]), (-0.5, [0.2, -0.05, 0.025])],
)
def test_the_k1_penalty_is_clamped_and_then_scaled(clamp_min: float | None, expected: list[float]) -> None:
    """log π − log r = 2, −3/2, 1/4; clamped at 0 (RLCD) 2, 0, 1/4, at −1/2 2, −1/2, 1/4; times 0.1. It has no
    gradient."""
    logps = tensor(*LOGPS, requires_grad=True)
    penalty = kl_penalty(logps, tensor(*REFERENCE), coefficient=0.1, estimator="k1", clamp_min=clamp_min)
    assert penalty.tolist() == pytest.approx(expected, rel=1e-12)
    assert not penalty.requires_grad


def test_the_k3_penalty_is_never_a_bonus() -> None:
    """d = −2, 3/2, −1/4: e^d − d − 1 = 1.1353352832, 1.9816890703, 0.0288007831; times 0.1."""
    penalty = kl_penalty(tensor(*LOGPS), tensor(*REFERENCE), coefficient=0.1, estimator="k3", clamp_min=None)
    assert penalty.tolist() == pytest.approx([0.11353352832366128, 0.19816890703380646, 0.00288007830714049], rel=1e-11)


def test_a_policy_equal_to_its_reference_pays_nothing() -> None:
    for estimator in ("k1", "k3"):
        penalty = kl_penalty(tensor(-3, -0.5), tensor(-3, -0.5), coefficient=2, estimator=estimator, clamp_min=None)
        assert penalty.tolist() == [0, 0]


def test_an_unknown_estimator_is_refused() -> None:
    with pytest.raises(AssertionError, match="k2"):
        kl_penalty(tensor(-1), tensor(-1), coefficient=1, estimator="k2", clamp_min=None)  # type: ignore[arg-type]


def test_the_score_arrives_with_each_responses_last_token_and_kl_is_paid_at_every_one() -> None:
    """Responses of 2, 1 and 3 tokens with scores 10, 20, 30: −0.5, 10 + 0.25, 20 − 1, −2, 3, 30 − 4. That the last
    token of the third is not trained changes nothing."""
    tokens = TokenBatch(
        logps_N=torch.zeros(6, dtype=torch.float64),
        rows_N=torch.tensor([0, 0, 1, 2, 2, 2]),
        weights_N=tensor(1, 1, 1, 1, 1, 0),
        num_responses=3,
    )
    scores, kl = tensor(10, 20, 30, requires_grad=True), tensor(0.5, -0.25, 1, 2, -3, 4, requires_grad=True)
    rewards = token_rewards(scores, kl, tokens)
    assert rewards.tolist() == [-0.5, 10.25, 19, -2, 3, 26]
    assert not rewards.requires_grad


def test_the_score_of_an_empty_response_is_never_lost() -> None:
    tokens = TokenBatch(logps_N=tensor(-1, -1), rows_N=torch.tensor([0, 2]), weights_N=tensor(1, 1), num_responses=3)
    with pytest.raises(AssertionError, match="empty response"):
        token_rewards(tensor(1, 2, 3), tensor(0, 0), tokens)


# --- GAE ---


def test_gae_gives_the_hand_derived_advantages_and_returns() -> None:
    """γ = 1/2, λ = 4/5, so γλ = 2/5; the value after a last token is 0.
    Response 0, rewards 1, −2, 4, values 1/2, 3/2, −1: δ₂ = 4 + 0 + 1 = 5, δ₁ = −2 − 1/2 − 3/2 = −4,
    δ₀ = 1 + 3/4 − 1/2 = 5/4; A₂ = 5, A₁ = −4 + 2 = −2, A₀ = 5/4 − 4/5 = 9/20; G = A + V = 19/20, −1/2, 4.
    Response 1, reward 3, value 2: A = 1, G = 3.
    Response 2, rewards 7, 6, values −1, 4: δ₁ = 2, δ₀ = 7 + 2 + 1 = 10; A₁ = 2, A₀ = 10.8; G = 9.8, 6."""
    sampled = [[(1.0, 0.5), (-2.0, 1.5), (4.0, -1.0)], [(3.0, 2.0)], [(7.0, -1.0), (6.0, 4.0)]]
    advantages, returns = gae_of(sampled, gamma=0.5, lam=0.8)
    assert list(chain(*advantages)) == pytest.approx([0.45, -2, 5, 1, 10.8, 2], rel=1e-12)
    assert list(chain(*returns)) == pytest.approx([0.95, -0.5, 4, 3, 9.8, 6], rel=1e-12)


def test_gae_carries_no_gradient_and_keeps_the_dtype() -> None:
    """Returns are the value head's targets: a gradient through them would move the target to the value."""
    rewards, values = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    for output in gae(rewards, values, torch.tensor([0, 0]), gamma=0.9, lam=0.9):
        assert not output.requires_grad
        assert output.dtype == torch.float32


@relaxed
@given(responses)
def test_gae_without_values_or_discount_is_the_sum_of_the_rewards_to_come(sampled: Responses) -> None:
    """V = 0, γ = λ = 1: A_t = G_t = Σ_{k ≥ t} r_k, within the response."""
    unvalued = [[(reward, 0.0) for reward, _ in response] for response in sampled]
    advantages, returns = gae_of(unvalued, gamma=1, lam=1)
    assert advantages == returns
    for response, got in zip(unvalued, advantages, strict=True):
        suffix_sums = list(accumulate(reward for reward, _ in reversed(response)))[::-1]
        assert got == pytest.approx(suffix_sums, rel=1e-9, abs=1e-9)


@relaxed
@given(responses, st.floats(0, 1))
def test_gae_with_lambda_0_is_the_one_step_error(sampled: Responses, gamma: float) -> None:
    """A_t = r_t + γV_{t+1} − V_t, with V = 0 after the last token."""
    advantages, _ = gae_of(sampled, gamma=gamma, lam=0)
    for response, got in zip(sampled, advantages, strict=True):
        following = [value for _, value in response[1:]] + [0.0]
        errors = [r + gamma * after - v for (r, v), after in zip(response, following, strict=True)]
        assert got == pytest.approx(errors, rel=1e-9, abs=1e-9)


@relaxed
@given(responses, st.floats(0, 1))
def test_gae_with_lambda_1_makes_the_return_the_discounted_rewards_whatever_the_values(
    sampled: Responses, gamma: float
) -> None:
    """The values telescope: G_t = A_t + V_t = Σ_k γᵏ r_{t+k}."""
    _, returns = gae_of(sampled, gamma=gamma, lam=1)
    for response, got in zip(sampled, returns, strict=True):
        expected = [sum(gamma**k * r for k, (r, _) in enumerate(response[t:])) for t in range(len(response))]
        assert got == pytest.approx(expected, rel=1e-9, abs=1e-9)


@relaxed
@given(responses, st.data(), st.floats(0, 1), st.floats(0, 1))
def test_gae_of_a_response_does_not_depend_on_the_others(
    sampled: Responses, data: st.DataObject, gamma: float, lam: float
) -> None:
    """Other responses, of other lengths, are only padding to it: the results are the same bits."""
    index = data.draw(st.integers(0, len(sampled) - 1))
    together = gae_of(sampled, gamma=gamma, lam=lam)
    alone = gae_of([sampled[index]], gamma=gamma, lam=lam)
    assert [part[index] for part in together] == [part[0] for part in alone]


# --- Whitening ---


def test_whitening_gives_the_hand_derived_values_over_trained_tokens_only() -> None:
    """1, 2, 6 of weights 1, 1, 1/2 (all count alike): mean 3, unbiased variance (4 + 1 + 9)/2 = 7. The 100 and the nan,
    of weight 0, become 0."""
    values, weights = tensor(1, 100, 2, 6, NAN), tensor(1, 0, 1, 0.5, 0)
    scale = math.sqrt(7 + 1e-8)
    assert whiten(values, weights).tolist() == pytest.approx([-2 / scale, 0, -1 / scale, 3 / scale, 0], rel=1e-12)
    kept_mean = whiten(values, weights, shift_mean=False).tolist()
    assert kept_mean == pytest.approx([3 - 2 / scale, 0, 3 - 1 / scale, 3 + 3 / scale, 0], rel=1e-12)


def test_whitening_adds_1e_8_to_the_variance() -> None:
    """0 and 2·10⁻⁴: mean 10⁻⁴, variance 2·10⁻⁸, so ∓10⁻⁴/√(3·10⁻⁸) = ∓1/√3. Equal values: 0, or their mean."""
    ones = tensor(1, 1)
    assert whiten(tensor(0, 2e-4), ones).tolist() == pytest.approx([-1 / math.sqrt(3), 1 / math.sqrt(3)], rel=1e-9)
    assert whiten(tensor(5, 5), ones).tolist() == [0, 0]
    assert whiten(tensor(5, 5), ones, shift_mean=False).tolist() == [5, 5]


def test_one_trained_token_cannot_be_whitened() -> None:
    with pytest.raises(ValueError, match="1 trained token"):
        whiten(tensor(3, 4), tensor(1, 0))
    assert whiten(tensor(3, 4), tensor(1, 1)).isfinite().all()


@relaxed
@given(st.lists(st.tuples(numbers, st.sampled_from([0.0, 1.0])), min_size=2, max_size=20))
def test_whitened_trained_tokens_have_mean_0_and_variance_1_and_ignore_the_rest(
    tokens: list[tuple[float, float]],
) -> None:
    trained = [value for value, weight in tokens if weight]
    assume(len(trained) > 1 and statistics.stdev(trained) > 0.1)
    values, weights = (tensor(*column) for column in zip(*tokens, strict=True))
    whitened = whiten(values.requires_grad_(), weights)
    kept = whitened[weights > 0].tolist()
    assert statistics.fmean(kept) == pytest.approx(0, abs=1e-9)
    assert statistics.variance(kept) == pytest.approx(1, rel=2e-6)
    assert not whitened.requires_grad
    assert torch.equal(whiten(values + 1000 * (weights == 0), weights), whitened)


# --- Group advantages ---


def test_grpo_gives_the_hand_derived_advantages() -> None:
    """1, 2, 6: mean 3, unbiased standard deviation √7, to which 1e-4 is added. "none" leaves the differences."""
    scale = math.sqrt(7) + 1e-4
    expected = [-2 / scale, -1 / scale, 3 / scale]
    assert grpo_advantages(tensor(1, 2, 6), scale="group").tolist() == pytest.approx(expected, rel=1e-12)
    assert grpo_advantages(tensor(1, 2, 6), scale="none").tolist() == [-2, -1, 3]
    from_list = grpo_advantages([1, 2, 6], scale="group")
    assert from_list.dtype == torch.float32
    assert from_list.tolist() == pytest.approx(expected, rel=1e-6)


def test_scaling_by_a_batchs_deviation_adds_1e_4_too() -> None:
    """Two groups, (1, 3) and (2, 8): differences ∓1, ∓3; the deviation of the four rewards, mean 7/2, is √(29/3)."""
    rewards = tensor(1, 3, 2, 8)
    differences = torch.cat([grpo_advantages(group, scale="none") for group in rewards.split(2)])
    scale = math.sqrt(29 / 3) + 1e-4
    expected = [-1 / scale, 1 / scale, -3 / scale, 3 / scale]
    assert scale_by(differences, rewards.std()).tolist() == pytest.approx(expected, rel=1e-12)
    assert scale_by(tensor(3), 0.0001).item() == pytest.approx(15000, rel=1e-12)


@pytest.mark.parametrize("scale", ["group", "none"])
@relaxed
@given(reward=numbers, size=st.integers(1, 8))
def test_a_group_of_equal_rewards_has_no_grpo_advantage(scale, reward: float, size: int) -> None:
    """Exactly 0, in float32 as well, though the rounded mean of n copies of 0.1 is not 0.1."""
    for dtype in (torch.float32, torch.float64):
        assert grpo_advantages(torch.full((size,), reward, dtype=dtype), scale=scale).tolist() == [0] * size


def test_rewards_that_differ_in_their_last_bits_are_not_blown_up() -> None:
    """1 and 1 + 2⁻²³: the 1e-4 keeps the advantages at about 10⁻³ where the deviation alone would make them 0.7."""
    advantages = grpo_advantages(torch.tensor([1.0, 1.0 + 2**-23]), scale="group")
    assert 0 < advantages[1].item() < 2e-3


@pytest.mark.parametrize("advantages_of", [lambda r: grpo_advantages(r, scale="group"), rloo_advantages])
def test_unscored_responses_count_for_nothing_and_have_no_advantage(advantages_of) -> None:
    """A nan beside 1, 2, 6 changes nothing for these; with one score or none there is nothing to compare."""
    alone = advantages_of(tensor(1, 2, 6)).tolist()
    assert advantages_of(tensor(1, NAN, 2, 6)).tolist() == pytest.approx([alone[0], 0, *alone[1:]], rel=1e-12)
    assert advantages_of(tensor(NAN, 3)).tolist() == [0, 0]
    assert advantages_of(tensor(NAN, NAN)).tolist() == [0, 0]


@pytest.mark.parametrize(
    "advantages_of", [lambda r: grpo_advantages(r, scale="group"), lambda r: grpo_advantages(r, scale="none")]
)
@relaxed
@given(rewards=groups, shift=numbers)
def test_grpo_advantages_sum_to_0_and_forget_a_constant(advantages_of, rewards: list[float], shift: float) -> None:
    assume(statistics.stdev(rewards) > 0.1 or len(set(rewards)) == 1)
    advantages = advantages_of(tensor(*rewards))
    assert advantages.sum().item() == pytest.approx(0, abs=1e-9)
    assert advantages_of(tensor(*rewards) + shift).tolist() == pytest.approx(advantages.tolist(), rel=1e-6, abs=1e-9)


def test_an_unknown_scale_is_refused() -> None:
    with pytest.raises(AssertionError, match="batch"):
        grpo_advantages(tensor(1, 2), scale="batch")  # type: ignore[arg-type]


def test_rloo_gives_the_hand_derived_advantages() -> None:
    """1, 2, 6: the others' means are 4, 7/2 and 3/2, so −3, −3/2 and 9/2."""
    assert rloo_advantages(tensor(1, 2, 6)).tolist() == pytest.approx([-3, -1.5, 4.5], rel=1e-12)
    assert rloo_advantages(tensor(5, 2)).tolist() == [3, -3]


@relaxed
@given(groups)
def test_rloo_advantages_sum_to_0_and_compare_with_the_mean_of_the_others(rewards: list[float]) -> None:
    advantages = rloo_advantages(tensor(*rewards)).tolist()
    assert sum(advantages) == pytest.approx(0, abs=1e-9)
    others = [statistics.fmean(rewards[:i] + rewards[i + 1 :]) for i in range(len(rewards))]
    expected = [reward - other for reward, other in zip(rewards, others, strict=True)]
    assert advantages == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_rloo_needs_two_responses_and_equal_ones_have_no_advantage() -> None:
    with pytest.raises(ValueError, match="group of 1"):
        rloo_advantages(tensor(1))
    assert rloo_advantages(torch.full((3,), 0.1)).tolist() == [0, 0, 0]


def test_group_advantages_carry_no_gradient() -> None:
    rewards = tensor(1, 2, 6, requires_grad=True)
    for advantages in (
        grpo_advantages(rewards, scale="group"),
        grpo_advantages(rewards, scale="none"),
        rloo_advantages(rewards),
    ):
        assert not advantages.requires_grad
