"""What the objectives' inputs derive: log-ratio margins, the opposite label, sums and means over responses."""

import dataclasses

import pytest
import torch
from torch import Tensor

from roundelay.recipes.losses.batches import PairBatch, TokenBatch


def tensor(*values: float, requires_grad: bool = False) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=requires_grad)


PAIRS = PairBatch(
    chosen_B=tensor(-2, -6),
    rejected_B=tensor(-5, -1),
    reference_chosen_B=tensor(-3.5, -4),
    reference_rejected_B=tensor(-4.25, -9),
    chosen_lengths_B=tensor(3, 7),
    rejected_lengths_B=tensor(2, 11),
)


def token_batch(logps: Tensor, weights: Tensor) -> TokenBatch:
    return TokenBatch(logps_N=logps, rows_N=torch.tensor([0, 0, 0, 2, 2]), weights_N=weights, num_responses=4)


def test_a_margin_is_the_policys_log_ratio_less_the_references() -> None:
    """(−2 + 5) − (−3.5 + 4.25) = 3 − 0.75 = 2.25 and (−6 + 1) − (−4 + 9) = −10."""
    assert PAIRS.margins_B.tolist() == [2.25, -10.0]


def test_the_margin_has_gradients_of_plus_and_minus_one_in_the_policy() -> None:
    chosen, rejected = tensor(-2, requires_grad=True), tensor(-5, requires_grad=True)
    pair = PairBatch(
        chosen_B=chosen,
        rejected_B=rejected,
        reference_chosen_B=tensor(-3),
        reference_rejected_B=tensor(-4),
        chosen_lengths_B=tensor(1),
        rejected_lengths_B=tensor(1),
    )
    pair.margins_B.sum().backward()
    assert chosen.grad is not None and rejected.grad is not None
    assert (chosen.grad.item(), rejected.grad.item()) == (1.0, -1.0)


def test_swapping_exchanges_every_chosen_with_its_rejected() -> None:
    swapped = PAIRS.swapped()
    values = {field.name: getattr(swapped, field.name).tolist() for field in dataclasses.fields(swapped)}
    assert values == {
        "chosen_B": [-5.0, -1.0],
        "rejected_B": [-2.0, -6.0],
        "reference_chosen_B": [-4.25, -9.0],
        "reference_rejected_B": [-3.5, -4.0],
        "chosen_lengths_B": [2.0, 11.0],
        "rejected_lengths_B": [3.0, 7.0],
    }


def test_swapping_negates_the_margin_and_twice_is_nothing() -> None:
    assert PAIRS.swapped().margins_B.tolist() == [-2.25, 10.0]
    twice = PAIRS.swapped().swapped()
    for field in dataclasses.fields(PAIRS):
        assert torch.equal(getattr(twice, field.name), getattr(PAIRS, field.name))


def test_swapping_leaves_the_pairs_as_they_were() -> None:
    before = PAIRS.chosen_B.tolist()
    PAIRS.swapped()
    assert PAIRS.chosen_B.tolist() == before
    with pytest.raises(dataclasses.FrozenInstanceError):
        PAIRS.chosen_B = tensor(0)  # pyright: ignore[reportAttributeAccessIssue]


def test_sums_are_per_response_and_do_not_weigh() -> None:
    """Tokens 1 + 2 + 4 of response 0 and 8 + 16 of response 2; responses 1 and 3 have no token."""
    tokens = token_batch(tensor(0, 0, 0, 0, 0), weights=tensor(3, 0, 1, 1, 1))
    assert tokens.sums(tensor(1, 2, 4, 8, 16)).tolist() == [7.0, 0.0, 24.0, 0.0]


def test_means_weigh_tokens_and_a_response_without_weight_has_mean_zero() -> None:
    """Response 0: (3·1 + 0·2 + 1·4)/(3 + 0 + 1) = 1.75. Response 2: no weight; responses 1 and 3: no token."""
    tokens = token_batch(tensor(0, 0, 0, 0, 0), weights=tensor(3, 0, 1, 0, 0))
    assert tokens.means(tensor(1, 2, 4, 8, 16)).tolist() == [1.75, 0.0, 0.0, 0.0]
    tokens = token_batch(tensor(0, 0, 0, 0, 0), weights=tensor(1, 1, 1, 0.25, 0.75))
    assert tokens.means(tensor(1, 2, 4, 8, 16)).tolist() == pytest.approx([7 / 3, 0, 14, 0], rel=1e-12)


def test_small_weights_make_the_mean_they_should() -> None:
    """The guard against dividing by nothing is not a floor: weights of 1e-6 scale out of the mean."""
    tokens = token_batch(tensor(0, 0, 0, 0, 0), weights=1e-6 * tensor(3, 0, 1, 1, 1))
    assert tokens.means(tensor(1, 2, 4, 8, 16)).tolist() == pytest.approx([1.75, 0, 12, 0], rel=1e-12)


def test_gradients_flow_through_sums_and_means_to_weighed_tokens_only() -> None:
    """Of sums 1 each. Of means w/Σw: 3/4, 0, 1/4, and 0 in the response without weight, never NaN."""
    values = tensor(1, 2, 4, 8, 16, requires_grad=True)
    tokens = token_batch(tensor(0, 0, 0, 0, 0), weights=tensor(3, 0, 1, 0, 0))
    tokens.sums(values).sum().backward()
    assert values.grad is not None and values.grad.tolist() == [1.0] * 5
    values.grad = None
    tokens.means(values).sum().backward()
    assert values.grad is not None and values.grad.tolist() == [0.75, 0.0, 0.25, 0.0, 0.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sums_and_means_keep_the_dtype(dtype: torch.dtype) -> None:
    tokens = token_batch(torch.zeros(5, dtype=dtype), torch.tensor([1, 1, 2, 0, 0], dtype=dtype))
    values = torch.tensor([1, 2, 4, 8, 16], dtype=dtype)
    assert tokens.sums(values).dtype == tokens.means(values).dtype == dtype
    assert tokens.means(values).tolist() == [2.75, 0.0, 0.0, 0.0]
