"""WPO's weights against hand-derived values, and where they are clipped.

A token drawn with 1/2 among (1/2, 1/4, 1/4) has Σ_v π(v)² = 1/4 + 1/16 + 1/16 = 3/8, so its
ratio is (1/2)/(3/8) = 4/3, and a token drawn with 1/4 has (1/4)/(3/8) = 2/3.
"""

import math

import pytest
import torch
from torch import Tensor

from roundelay.recipes.losses.batches import TokenBatch
from roundelay.recipes.losses.weighting import pair_weights, wpo_weights


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def batch(probabilities: list[float], rows: list[int], weights: list[float] | None = None) -> TokenBatch:
    return TokenBatch(
        logps_N=tensor(*probabilities).log().requires_grad_(),
        rows_N=torch.tensor(rows),
        weights_N=tensor(*(weights or [1.0] * len(rows))),
        num_responses=rows[-1] + 1,
    )


def collisions(*probabilities: float) -> Tensor:
    return tensor(*probabilities).log()


def approx(*expected: float) -> object:
    return pytest.approx(list(expected), rel=1e-9, abs=1e-9)


def test_a_weight_is_the_geometric_mean_of_the_token_ratios() -> None:
    """Response 0: (1/2)/(3/8) = 4/3 and (1/4)/(3/8) = 2/3, √(8/9) = .9428090. Response 1: (1/8)/(1/2) = 1/4,
    (1/2)/(1/8) = 4 and (3/4)/(1/4) = 3: ∛3 = 1.4422496, above 1 and left so. The mean is of logs, over a response's own
    tokens."""
    tokens = batch([1 / 2, 1 / 4, 1 / 8, 1 / 2, 3 / 4], [0, 0, 1, 1, 1])
    weights = wpo_weights(tokens, collisions(3 / 8, 3 / 8, 1 / 2, 1 / 8, 1 / 4), clip=False)
    assert weights.tolist() == approx(math.sqrt(8 / 9), 3 ** (1 / 3))
    assert weights.tolist() == pytest.approx([0.9428090, 1.4422496], abs=1e-6)


def test_tokens_that_are_only_context_have_no_say() -> None:
    """Response 0: 4/3 alone; response 1, all context, has the neutral weight 1; response 2, weights 3 and 1: the
    log-mean (3·ln(1/2) + ln 4)/4 = −ln(2)/4, so 2^(−1/4)."""
    tokens = batch([1 / 2, 1 / 4, 1 / 8, 1 / 4, 1 / 2], [0, 0, 1, 2, 2], [1, 0, 0, 3, 1])
    weights = wpo_weights(tokens, collisions(3 / 8, 3 / 8, 1 / 2, 1 / 2, 1 / 8), clip=False)
    assert weights.tolist() == approx(4 / 3, 1, 2**-0.25)


def test_a_uniform_policy_weighs_every_response_1() -> None:
    """π = 1/V and Σ π² = 1/V: the ratio is 1, whatever the length."""
    tokens = batch([1 / 50] * 7, [0, 0, 0, 0, 0, 1, 1])
    assert wpo_weights(tokens, collisions(*[1 / 50] * 7), clip=False).tolist() == approx(1, 1)


def test_a_clipped_weight_is_at_most_1() -> None:
    """4/3 becomes 1; 2/3 and 1 stay."""
    tokens = batch([1 / 2, 1 / 4, 1 / 4], [0, 1, 2])
    weights = wpo_weights(tokens, collisions(3 / 8, 3 / 8, 1 / 4), clip=True)
    assert weights.tolist() == approx(1, 2 / 3, 1)


def test_weights_are_detached() -> None:
    """A weight that learns would be made small where the loss is large."""
    tokens = batch([1 / 2, 1 / 4], [0, 1])
    for clip in (True, False):
        assert not wpo_weights(tokens, collisions(3 / 8, 3 / 8), clip=clip).requires_grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_log_probs_give_finite_weights_in_the_inputs_precision(dtype: torch.dtype) -> None:
    """A token of log-prob −1e5 beside a certain alternative weighs 0; a flat policy over e^12 words, drawing its one
    likely word, weighs e^12."""
    tokens = TokenBatch(
        logps_N=tensor(-1e5, 0).to(dtype),
        rows_N=torch.tensor([0, 1]),
        weights_N=tensor(1, 1).to(dtype),
        num_responses=2,
    )
    weights = wpo_weights(tokens, tensor(0, -12).to(dtype), clip=False)
    assert weights.dtype == dtype
    assert weights.tolist() == pytest.approx([0, math.exp(12)], rel=1e-5)


def test_a_pair_is_clipped_as_a_product_and_not_response_by_response() -> None:
    """2 · .3 = .6 (clipped first, it would be .3); .5 · .75 = .375; 2 · 1.5 = 3, which is 1 when clipped."""
    chosen, rejected = tensor(2, 0.5, 2), tensor(0.3, 0.75, 1.5)
    assert pair_weights(chosen, rejected, True).tolist() == approx(0.6, 0.375, 1)
    assert pair_weights(chosen, rejected, False).tolist() == approx(0.6, 0.375, 3)


def test_wpos_weight_of_a_pair_from_tokens_to_the_clip() -> None:
    """Chosen 4/3, rejected 2/3: .8888889. Chosen and rejected 4/3: 16/9, so 1."""
    tokens = batch([1 / 2, 1 / 4, 1 / 2, 1 / 2], [0, 1, 2, 3])
    weights = wpo_weights(tokens, collisions(*[3 / 8] * 4), clip=False)
    assert pair_weights(weights[0::2], weights[1::2], clip=True).tolist() == approx(8 / 9, 1)
