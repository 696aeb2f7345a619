"""KL estimators, clipped losses and their aggregation against hand-derived values, and their gradients."""

import math
from itertools import chain

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from roundelay.recipes.losses.batches import TokenBatch
from roundelay.recipes.losses.policy_gradient import (
    aggregate,
    kl_k1,
    kl_k3,
    ppo_policy_loss,
    ppo_value_loss,
    sequence_policy_loss,
)

relaxed = settings(max_examples=50)


def tensor(*values: float, requires_grad: bool = False) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=requires_grad)


def gradient(loss: Tensor, *, of: Tensor) -> list[float]:
    (grad,) = torch.autograd.grad(loss.sum(), of)
    return grad.tolist()


def tokens_of(rows: list[int], weights: list[float]) -> TokenBatch:
    return TokenBatch(
        logps_N=torch.zeros(len(rows), dtype=torch.float64),
        rows_N=torch.tensor(rows),
        weights_N=tensor(*weights),
        num_responses=max(rows) + 1,
    )


# --- KL ---


def test_k1_is_the_log_ratio_of_policy_to_reference() -> None:
    """−1 − (−3) = 2; −2.5 − (−1) = −1.5. The slope in the policy is 1, and the reference is data."""
    logps, reference = tensor(-1, -2.5, requires_grad=True), tensor(-3, -1, requires_grad=True)
    kl = kl_k1(logps, reference)
    assert kl.tolist() == [2, -1.5]
    kl.sum().backward()
    assert logps.grad is not None and logps.grad.tolist() == [1, 1]
    assert reference.grad is None


def test_k3_gives_the_hand_derived_values_and_slopes() -> None:
    """d = log r − log π = −2, 3/2, 0. e^d − d − 1: e⁻² + 1 = 1.1353352832; e^1.5 − 2.5 = 1.9816890703; 0.
    In log π the slope is 1 − e^d: 0.8646647168 (π above r falls under descent), −3.4816890703 (it rises), 0."""
    logps, reference = tensor(-1, -2.5, -4, requires_grad=True), tensor(-3, -1, -4, requires_grad=True)
    kl = kl_k3(logps, reference)
    assert kl.tolist() == pytest.approx([1.1353352832366127, 1.9816890703380645, 0], rel=1e-12)
    kl.sum().backward()
    assert logps.grad is not None
    assert logps.grad.tolist() == pytest.approx([0.8646647167633873, -3.4816890703380645, 0], rel=1e-12)
    assert reference.grad is None


def test_k3_keeps_a_small_difference_in_float32() -> None:
    """d = 10⁻⁴: e^d − d − 1 = d²/2 + d³/6 = 5.00017·10⁻⁹, a tenth of float32's spacing at 1."""
    kl = kl_k3(torch.tensor([0.0]), torch.tensor([1e-4]))
    assert kl.dtype == torch.float32
    assert kl.item() == pytest.approx(5.00017e-9, rel=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_k3_goes_on_as_its_tangent_above_60_so_that_it_stays_finite(dtype: torch.dtype) -> None:
    """d = 59: e^d, slope in log π −e^d. Above, the slope is −e⁶⁰: d = 60.5: e⁶⁰(1 + ½); 1000: e⁶⁰(1 + 940). And
    d = −1000: −d − 1, slope 1."""
    logps = torch.tensor([-59.0, -60.5, -1000.0, 0.0], dtype=dtype, requires_grad=True)
    kl = kl_k3(logps, torch.tensor([0.0, 0.0, 0.0, -1000.0], dtype=dtype))
    top = math.exp(60)
    assert kl.tolist() == pytest.approx([math.exp(59), top * 1.5, top * 941, 999], rel=1e-5)
    assert gradient(kl, of=logps) == pytest.approx([-math.exp(59), -top, -top, 1], rel=1e-5)


@relaxed
@given(st.lists(st.tuples(st.floats(-30, 0), st.floats(-30, 0)), min_size=1, max_size=10))
def test_k3_is_never_negative_and_is_k1s_on_average_over_the_policy(pairs: list[tuple[float, float]]) -> None:
    """Over a policy that holds both outcomes of a coin, Σ π·k1 = Σ π·k3 = KL (k3 − k1 = r/π − 1, of mean 0)."""
    logps, reference = tensor(*(pair[0] for pair in pairs)), tensor(*(pair[1] for pair in pairs))
    assert kl_k3(logps, reference).min() >= -1e-12
    policy, other = (torch.sigmoid(torch.stack([logit, -logit])) for logit in (logps[0], reference[0]))
    k1, k3 = (estimate(policy.log(), other.log()) for estimate in (kl_k1, kl_k3))
    assert (policy * k1).sum().item() == pytest.approx((policy * k3).sum().item(), rel=1e-6, abs=1e-9)


# --- Policy losses ---

RATIOS = [1.5, 1.5, 0.5, 0.5, 1.125, 1.0, 1.5]
ADVANTAGES = [2.0, -2.0, 3.0, -3.0, 4.0, 5.0, 0.0]
LOSSES = [-2.5, 3.0, -1.5, 2.25, -4.5, -5.0, 0.0]
CLIPPED = [1, 0, 0, 1, 0, 0, 0]
GRADIENTS = [0, 3.0, -1.5, 0, -4.5, -5.0, 0]


@pytest.mark.parametrize("name", ["token", "sequence"])
def test_clipped_policy_losses_give_the_hand_derived_values(name: str) -> None:
    """ε = 1/4, so ρ is clipped to [3/4, 5/4]; max(−Aρ, −A·clip ρ):
    ρ = 3/2, A = 2: max(−3, −2.5), clipped. A = −2: max(3, 2.5), not: a bad token that became likelier is pushed back.
    ρ = 1/2, A = 3: max(−1.5, −2.25), not clipped. A = −3: max(1.5, 2.25), clipped.
    ρ = 9/8, A = 4: −4.5. ρ = 1, A = 5: −5. A = 0: 0.
    The slope in log π is −Aρ where nothing is clipped, else 0; old log-probs and advantages are data."""
    objective = {"token": ppo_policy_loss, "sequence": sequence_policy_loss}[name]
    old = tensor(-1, -2, -3, -4, -5, -6, -7, requires_grad=True)
    advantages = tensor(*ADVANTAGES, requires_grad=True)
    logps = (old.detach() + tensor(*RATIOS).log()).requires_grad_()
    losses, metrics = objective(logps, old, advantages, clip=0.25)
    assert losses.tolist() == pytest.approx(LOSSES, rel=1e-12)
    losses.sum().backward()
    assert logps.grad is not None and logps.grad.tolist() == pytest.approx(GRADIENTS, rel=1e-12)
    assert old.grad is None and advantages.grad is None

    if name == "token":
        assert metrics["val/ratio"].tolist() == pytest.approx(RATIOS, rel=1e-12)
        assert metrics["policy/clipfrac_avg"].tolist() == CLIPPED
    else:
        assert metrics["clip_ratio/region_mean"].tolist() == CLIPPED
    assert len(metrics) == {"token": 2, "sequence": 1}[name]
    assert not any(values.requires_grad for values in metrics.values())


def test_at_the_old_policy_the_gradient_is_reinforces_even_if_old_and_new_are_one_tensor() -> None:
    """ρ = 1 and dρ/dlog π = 1: the slope is −A, though the ratio of a tensor with itself is constant."""
    logps = tensor(-1.5, -0.25, requires_grad=True)
    losses, _ = ppo_policy_loss(logps, logps, tensor(3, -7), clip=0.2)
    assert losses.tolist() == [-3, 7]
    assert gradient(losses, of=logps) == [-3, 7]


@relaxed
@given(st.lists(st.tuples(st.floats(-2, 2), st.floats(-3, 3), st.floats(-9, 0)), min_size=1, max_size=8))
def test_a_constant_on_policy_and_old_policy_changes_nothing(cases: list[tuple[float, float, float]]) -> None:
    log_ratios, advantages, old = (tensor(*column) for column in zip(*cases, strict=True))
    losses, _ = ppo_policy_loss(log_ratios, torch.zeros_like(old), advantages, clip=0.2)
    shifted, _ = ppo_policy_loss(log_ratios + old, old, advantages, clip=0.2)
    assert shifted.tolist() == pytest.approx(losses.tolist(), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_ratios_give_finite_policy_losses_and_gradients(dtype: torch.dtype) -> None:
    """ρ goes on above e⁶⁰ as its tangent: e⁶⁰(1 + ½) at 60.5, e⁶⁰·941 at 1000. Clipped (A > 0), its gradient is
    0, not 0·∞."""
    old = torch.tensor([0.0, 0.0, -1000.0, -1000.0, -1000.0, 0.0, 0.0], dtype=dtype)
    logps = torch.tensor([59.0, 60.5, 0.0, 0.0, 0.0, -1000.0, -1000.0], dtype=dtype, requires_grad=True)
    advantages = torch.tensor([-2.0, -2.0, -2.0, 3.0, 0.0, 4.0, -4.0], dtype=dtype)
    losses, metrics = ppo_policy_loss(logps, old, advantages, clip=0.25)
    top = math.exp(60)
    assert losses.dtype == metrics["val/ratio"].dtype == metrics["policy/clipfrac_avg"].dtype == dtype
    assert losses.tolist() == pytest.approx([2 * math.exp(59), 3 * top, 1882 * top, -3.75, 0, 0, 3], rel=1e-5)
    assert gradient(losses, of=logps) == pytest.approx([2 * math.exp(59), 2 * top, 2 * top, 0, 0, 0, 0], rel=1e-5)


# --- Value loss ---


def test_value_loss_gives_the_hand_derived_values() -> None:
    """ε = 1/2, V_old = 1. ½·max((V−G)², (V_clip−G)²):
    V = 2, G = 3: V_clip = 1.5, ½·max(1, 2.25) = 1.125, clipped: V ran ahead towards G, slope 0.
    V = 2, G = 1/4: ½·max(3.0625, 1.5625) = 1.53125, slope V − G = 1.75.
    V = 5/4, G = 2: inside, ½·0.5625 = 0.28125, slope −0.75.
    V = −1, G = −3: V_clip = 1/2, ½·max(4, 12.25) = 6.125, clipped, slope 0."""
    values, old, returns = tensor(2, 2, 1.25, -1), tensor(1, 1, 1, 1), tensor(3, 0.25, 2, -3)
    for each in (values, old, returns):
        each.requires_grad_()
    losses, metrics = ppo_value_loss(values, old, returns, clip=0.5)
    assert losses.tolist() == [1.125, 1.53125, 0.28125, 6.125]
    assert {name: entries.tolist() for name, entries in metrics.items()} == {"val/clipfrac_avg": [1, 0, 0, 1]}
    assert metrics["val/clipfrac_avg"].dtype == torch.float64
    assert not metrics["val/clipfrac_avg"].requires_grad
    losses.sum().backward()
    assert values.grad is not None and values.grad.tolist() == [0, 1.75, -0.75, 0]
    assert old.grad is None and returns.grad is None


def test_unmoved_values_have_the_plain_squared_loss_and_its_gradient() -> None:
    """V = V_old = 3, also as one tensor: ½(3 − G)², slope 3 − G; G = 3 is the minimum."""
    values = tensor(3, 3, 3, requires_grad=True)
    losses, _ = ppo_value_loss(values, values, tensor(1, 7, 3), clip=0.2)
    assert losses.tolist() == [2, 8, 0]
    assert gradient(losses, of=values) == [2, -4, 0]


# --- Aggregation ---

ROWS = [0, 0, 0, 1, 2, 2, 3, 3, 3]
WEIGHTS = [1.0, 1, 0, 1, 0, 0, 1, 1, 0.5]
TOKEN_LOSSES = [1.0, 2, 4, 8, 16, 32, 5, 7, 30]


@pytest.mark.parametrize(
    ("normaliser", "expected", "gradients"),
    [
        ("grpo", (1.5 + 8 + 0 + 10.8) / 5, [0.1, 0.1, 0, 0.2, 0, 0, 0.08, 0.08, 0.04]),
        ("bnpo", 38 / 5.5, [2 / 11, 2 / 11, 0, 2 / 11, 0, 0, 2 / 11, 2 / 11, 1 / 11]),
        ("dr_grpo", 38 / 50, [0.02, 0.02, 0, 0.02, 0, 0, 0.02, 0.02, 0.01]),
        ("dapo", 38 / 16, [0.0625, 0.0625, 0, 0.0625, 0, 0, 0.0625, 0.0625, 0.03125]),
    ],
)
def test_each_normaliser_gives_the_hand_derived_loss(normaliser, expected: float, gradients: list[float]) -> None:
    """Weighted sums of the four responses: 1 + 2 = 3, 8, 0, 5 + 7 + 15 = 27, total 38; weights 2, 1, 0, 2.5, total 5.5.
    In a step of 5 responses, at most 10 tokens each, 16 tokens in all:
    grpo: means 3/2, 8, 0 (nothing trained) and 27/2.5 = 10.8, over 5. bnpo: 38/5.5. dr_grpo: 38/(5·10). dapo: 38/16."""
    losses = tensor(*TOKEN_LOSSES, requires_grad=True)
    loss = aggregate(
        losses, tokens_of(ROWS, WEIGHTS), normaliser=normaliser, max_tokens=10, num_sequences=5, total_tokens=16
    )
    assert loss.item() == pytest.approx(expected, rel=1e-12)
    assert gradient(loss, of=losses) == pytest.approx(gradients, rel=1e-12)


def test_bnpo_is_a_mean_however_small_the_weights() -> None:
    """Weights 1/4 and 1/4, losses 3 and 5: their mean 4, though the weights sum to less than 1."""
    tokens = tokens_of([0, 1], [0.25, 0.25])
    assert aggregate(
        tensor(3, 5), tokens, normaliser="bnpo", max_tokens=None, num_sequences=2, total_tokens=2
    ).item() == pytest.approx(4, rel=1e-12)


@pytest.mark.parametrize("normaliser", ["grpo", "bnpo", "dr_grpo", "dapo"])
def test_a_batch_without_a_trained_token_has_loss_and_gradient_0(normaliser) -> None:
    losses = tensor(3, 5, requires_grad=True)
    loss = aggregate(
        losses, tokens_of([0, 0], [0, 0]), normaliser=normaliser, max_tokens=4, num_sequences=1, total_tokens=9
    )
    assert loss.item() == 0
    assert gradient(loss, of=losses) == [0, 0]


@pytest.mark.parametrize("normaliser", ["grpo", "dr_grpo", "dapo"])
@relaxed
@given(data=st.data())
def test_micro_batches_add_up_to_the_step(normaliser, data: st.DataObject) -> None:
    """With the step's counts, the losses of its responses taken one by one sum to the loss of all at once."""
    lengths = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=5))
    losses = [data.draw(st.lists(st.floats(-9, 9), min_size=n, max_size=n)) for n in lengths]
    counts = {"max_tokens": 7, "num_sequences": len(lengths), "total_tokens": sum(lengths)}
    rows = [row for row, length in enumerate(lengths) for _ in range(length)]
    whole = aggregate(tensor(*chain(*losses)), tokens_of(rows, [1.0] * len(rows)), normaliser=normaliser, **counts)
    parts = [
        aggregate(tensor(*part), tokens_of([0] * len(part), [1.0] * len(part)), normaliser=normaliser, **counts).item()
        for part in losses
    ]
    assert whole.item() == pytest.approx(sum(parts), rel=1e-9, abs=1e-9)


def test_grpo_weighs_responses_alike_and_the_others_tokens_alike() -> None:
    """A response of 1 token with loss 6 and one of 3 tokens with loss 2: mean of means 4; mean over tokens 3."""
    losses, tokens = tensor(6, 2, 2, 2), tokens_of([0, 1, 1, 1], [1, 1, 1, 1])
    by_response = aggregate(losses, tokens, normaliser="grpo", max_tokens=None, num_sequences=2, total_tokens=4)
    by_token = aggregate(losses, tokens, normaliser="dapo", max_tokens=None, num_sequences=2, total_tokens=4)
    by_length = aggregate(losses, tokens, normaliser="dr_grpo", max_tokens=3, num_sequences=2, total_tokens=4)
    assert (by_response.item(), by_token.item(), by_length.item()) == (4, 3, 2)


def test_dr_grpo_needs_the_token_limit_and_other_names_are_refused() -> None:
    losses, tokens = tensor(1), tokens_of([0], [1])
    with pytest.raises(ValueError, match="max_tokens"):
        aggregate(losses, tokens, normaliser="dr_grpo", max_tokens=None, num_sequences=1, total_tokens=1)
    with pytest.raises(AssertionError, match="luspo"):
        aggregate(losses, tokens, normaliser="luspo", max_tokens=1, num_sequences=1, total_tokens=1)  # type: ignore[arg-type]
