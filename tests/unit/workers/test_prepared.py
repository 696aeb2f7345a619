"""Advantages of a whole round: which tokens and responses they are made of, and which example gets which.

The formulas have tests of their own (`tests/unit/recipes/losses/test_advantages.py`).

The round of PPO and RLOO, by response: log π − log r of its tokens, values, score.
    a0: 0.5, −0.25       −0.1, 0.1         1
    a1: 0                0                −1
    b0: −1, 0.25, 0.5    −0.9, 0.7, 0.8    2
"""

from collections.abc import Sequence
from dataclasses import replace
from math import sqrt
from statistics import mean, stdev, variance

import pytest
import torch
from support.configs import GRPO, PPO, RLOO
from torch import Tensor

from roundelay.orchestrator.data.records import TokenSequence, TrainingExample
from roundelay.recipes.losses.policy_batches import Measured
from roundelay.recipes.objectives.policy_gradients import PolicyGradientObjective
from roundelay.workers.prepared import with_advantages

PLAIN_PPO = replace(PPO, kl_coefficient=0.4, kl_clamp_min=None, whiten_rewards=False)


def example(name: str, lengths: Sequence[int], scores: Sequence[float]) -> TrainingExample:
    sequences = tuple(TokenSequence(prompt_token_ids=(1,), token_ids=(5,) * length) for length in lengths)
    return TrainingExample(id=name, sequences=sequences, scores=tuple(scores), progress=0.0)


EXAMPLES = [example("a", (2, 1), (1.0, -1.0)), example("b", (3,), (2.0,))]
VALUES = {"a": [-0.1, 0.1, 0.0], "b": [-0.9, 0.7, 0.8]}
REFERENCE = {"a": [-2.0, -1.0, -3.0], "b": [-1.0, -2.0, -0.5]}
OLD = {"a": [-1.5, -1.25, -3.0], "b": [-2.0, -1.75, 0.0]}


def measured(*names: str) -> dict[str, Measured]:
    """As the learner has it; here even with gradients, which no advantage may pass on."""
    columns = {"old_logps": OLD, "reference": REFERENCE, "values": VALUES}
    return {
        name: {column: torch.tensor(by[name], requires_grad=True) for column, by in columns.items()} for name in names
    }


def prepared(
    objective: PolicyGradientObjective, examples: Sequence[TrainingExample] = EXAMPLES
) -> dict[str, dict[str, list[float]]]:
    found = with_advantages(objective, examples, measured(*(one.id for one in examples)))
    assert found.keys() == {one.id for one in examples}
    for name in ("advantages", "returns"):
        assert not any(columns[name].requires_grad for columns in found.values() if name in columns)
    return {name: {column: values.tolist() for column, values in columns.items()} for name, columns in found.items()}


def same(found: Sequence[float], expected: Sequence[float]) -> None:
    assert found == pytest.approx(list(expected), abs=2e-6)


def whitened(values: Sequence[float]) -> list[float]:
    return [(value - mean(values)) / stdev(values) for value in values]


# ----------------------------------------------------------------------------------------------------------------- PPO


def test_ppo_pays_the_kl_a_token_and_whitens_over_the_round() -> None:
    """γ = λ = 1, so returns are the sums of rewards to come. Rewards, with 0.4 of the KL taken from them: −0.2, 1.1;
    −1; 0.4, −0.1, 1.8. Returns 0.9, 1.1; −1; 2.1, 1.7, 1.8; less the values 1, 1; −1; 3, 1, 1: mean 1, variance 8/5."""
    found = prepared(PLAIN_PPO)
    same(found["a"]["returns"], [0.9, 1.1, -1.0])
    same(found["b"]["returns"], [2.1, 1.7, 1.8])
    same(found["a"]["advantages"], [0.0, 0.0, -2 / sqrt(1.6)])
    same(found["b"]["advantages"], [2 / sqrt(1.6), 0.0, 0.0])
    for name in ("a", "b"):
        for column, values in (("old_logps", OLD), ("reference", REFERENCE), ("values", VALUES)):
            same(found[name][column], values[name])


def test_a_kl_that_is_clamped_at_0_is_never_a_bonus() -> None:
    """Rewards −0.2, 1; −1; 0, −0.1, 1.8: returns 0.8, 1; −1; 1.7, 1.7, 1.8; less the values 0.9, 0.9; −1; 2.6, 1, 1,
    of mean 0.9 and variance 6.52/5."""
    found = prepared(replace(PLAIN_PPO, kl_clamp_min=0.0))
    same(found["a"]["returns"] + found["b"]["returns"], [0.8, 1.0, -1.0, 1.7, 1.7, 1.8])
    deviations = [0.0, 0.0, -1.9, 1.7, 0.1, 0.1]
    same(found["a"]["advantages"] + found["b"]["advantages"], [d / sqrt(6.52 / 5) for d in deviations])


def test_ppo_estimates_advantages_with_its_gamma_and_lambda() -> None:
    """γ = λ = 1/2. a0: δ = −0.2 + 0.05 + 0.1 = −0.05 and 1, so A = −0.05 + 1/4 = 0.2 and 1. a1: A = −1.
    b0: δ = 0.4 + 0.35 + 0.9 = 1.65, −0.1 + 0.4 − 0.7 = −0.4, 1; A = 1.65 − 0.0375, −0.4 + 1/4, 1. G = A + V."""
    found = prepared(replace(PLAIN_PPO, gamma=0.5, lam=0.5))
    advantages = [0.2, 1.0, -1.0, 1.6125, -0.15, 1.0]
    same(found["a"]["advantages"] + found["b"]["advantages"], whitened(advantages))
    returns = [a + v for a, v in zip(advantages, VALUES["a"] + VALUES["b"], strict=True)]
    same(found["a"]["returns"] + found["b"]["returns"], returns)


def test_whitened_rewards_keep_their_mean_and_have_unit_variance_over_the_round() -> None:
    """The rewards of the first test, each r → (r − m)/s + m with mean and standard deviation of all six."""
    rewards = [-0.2, 1.1, -1.0, 0.4, -0.1, 1.8]
    scaled = [value + mean(rewards) for value in whitened(rewards)]
    assert (mean(scaled), variance(scaled)) == pytest.approx((mean(rewards), 1.0))
    returns = [scaled[0] + scaled[1], *scaled[1:3], sum(scaled[3:]), scaled[4] + scaled[5], scaled[5]]
    found = prepared(replace(PLAIN_PPO, whiten_rewards=True))
    same(found["a"]["returns"] + found["b"]["returns"], returns)
    advantages = [g - v for g, v in zip(returns, VALUES["a"] + VALUES["b"], strict=True)]
    same(found["a"]["advantages"] + found["b"]["advantages"], whitened(advantages))


def test_an_example_is_whitened_with_its_round_and_not_by_itself() -> None:
    """b alone: 3, 1, 1 of mean 5/3 and variance 4/3. Its returns are the same in any company, and so is everything
    whatever the order of the examples."""
    alone, together = prepared(PLAIN_PPO, EXAMPLES[1:]), prepared(PLAIN_PPO)
    same(alone["b"]["advantages"], [4 / 3 / sqrt(4 / 3), -2 / 3 / sqrt(4 / 3), -2 / 3 / sqrt(4 / 3)])
    assert alone["b"]["advantages"] != pytest.approx(together["b"]["advantages"], abs=0.1)
    same(alone["b"]["returns"], together["b"]["returns"])
    turned = prepared(PLAIN_PPO, EXAMPLES[::-1])
    for name in ("a", "b"):
        same(turned[name]["advantages"], together[name]["advantages"])


# ---------------------------------------------------------------------------------------------------- GRPO and RLOO

GROUPS = [example("a", (2, 1, 2), (1.0, 2.0, 3.0)), example("b", (1, 2), (4.0, 4.0))]


def of_responses(objective: PolicyGradientObjective, examples: Sequence[TrainingExample], log_ratios: Tensor):
    """The advantage of each response, by example; its tokens must all have it."""
    sizes = [sum(len(one.token_ids) for one in e.sequences) for e in examples]
    found = with_advantages(
        objective,
        examples,
        {
            e.id: {"old_logps": ratios - 2.0, "reference": torch.full_like(ratios, -2.0)}
            for e, ratios in zip(examples, log_ratios.split(sizes), strict=True)
        },
    )
    result = {}
    for one in examples:
        parts = found[one.id]["advantages"].split([len(sequence.token_ids) for sequence in one.sequences])
        assert all(len(set(part.tolist())) == 1 for part in parts)
        result[one.id] = [part[0].item() for part in parts]
    return result


@pytest.mark.parametrize(("scale", "divisor"), [("group", 1.0 + 1e-4), ("batch", sqrt(6.8 / 4) + 1e-4), ("none", 1.0)])
def test_grpo_compares_within_a_group_and_scales_by_group_batch_or_nothing(scale, divisor: float) -> None:
    """Scores 1, 2, 3 of standard deviation 1 and 4, 4; all five have mean 2.8 and squared deviations of 6.8. Equal
    scores teach nothing, at any scale. The KL is no part of it."""
    found = of_responses(replace(GRPO, scale=scale), GROUPS, torch.linspace(-1, 1, 8))
    same(found["a"], [-1 / divisor, 0.0, 1 / divisor])
    assert found["b"] == [0.0, 0.0]


def test_rloo_takes_the_kl_of_the_whole_response_from_its_score() -> None:
    """Σ log(π/r) of 0.25, 0 and −0.5, twice of it taken from 1, 2 and 4: rewards 0.5, 2, 5, less the mean of the other
    two 3.5, 2.75, 1.25. Of 4 − 0.5 and 4 + 1.5 in the other group ∓2."""
    scores = [replace(GROUPS[0], scores=(1.0, 2.0, 4.0)), GROUPS[1]]
    log_ratios = torch.tensor([*(0.5, -0.25), 0.0, *(-0.75, 0.25), 0.25, *(-1.0, 0.25)])
    found = of_responses(replace(RLOO, kl_coefficient=2.0), scores, log_ratios)
    same(found["a"], [-3.0, -0.75, 3.75])
    same(found["b"], [-2.0, 2.0])
