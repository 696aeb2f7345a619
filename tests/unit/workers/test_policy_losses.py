"""A step's policy-gradient objective from the micro-batches it is computed in: the sums of losses, over what they are
divided by, are the papers' equations over the whole step.

Per token there are log π now, log π when it was sampled, log r, its advantage A, and for PPO the values V now and then
and the return G. All responses have different lengths, and some ratios are beyond the clip.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp

import pytest
import torch
from support.configs import GRPO, INITIAL, NO_REFERENCE, PPO, RLOO
from torch import Tensor

from roundelay.orchestrator.data.records import TokenSequence, TrainingExample
from roundelay.recipes.losses.batches import Loss, TokenBatch
from roundelay.recipes.objectives.grpo import GrpoObjective
from roundelay.recipes.objectives.policy_gradients import PolicyGradientObjective
from roundelay.recipes.objectives.ppo import PpoObjective
from roundelay.workers.losses import denominator
from roundelay.workers.policy_losses import policy_losses

MAX_TOKENS = 12
GRPO_KL = replace(GRPO, kl_coefficient=0.3, reference=INITIAL)
OBJECTIVES: dict[str, PolicyGradientObjective] = {
    "ppo": PPO,
    "grpo": replace(GRPO_KL, normaliser="grpo"),
    "dr_grpo": replace(GRPO_KL, normaliser="dr_grpo"),
    "dapo": GRPO_KL,
    "rloo": RLOO,
}


@dataclass(frozen=True, kw_only=True)
class Response:
    """One sampled response, a value a token. RLOO and GRPO have one advantage for all of its tokens."""

    score: float
    advantage: float
    logps: Sequence[float]
    old: Sequence[float]
    reference: Sequence[float]
    advantages: Sequence[float]  # PPO's
    values: Sequence[float]
    old_values: Sequence[float]
    returns: Sequence[float]
    entropies: Sequence[float]


# Log-ratios to the old policy: 0.5, −0.1; −0.5 | 0.1, 0.3, −0.3; 0.25, −0.05.
STEP = [
    [
        Response(
            score=2.0, advantage=1.0, logps=(-1.0, -2.0), old=(-1.5, -1.9), reference=(-1.2, -2.5),
            advantages=(1.5, -0.5), values=(0.5, 1.0), old_values=(0.1, 1.1), returns=(0.9, 0.6), entropies=(1.0, 2.0),
        ),
        Response(
            score=-1.0, advantage=-1.5, logps=(-3.0,), old=(-2.5,), reference=(-2.0,),
            advantages=(-2.0,), values=(-0.5,), old_values=(-0.1,), returns=(-1.0,), entropies=(0.6,),
        ),
    ],
    [
        Response(
            score=0.5, advantage=0.7, logps=(-0.4, -1.2, -1.3), old=(-0.5, -1.5, -1.0), reference=(-0.9, -1.0, -1.0),
            advantages=(0.8, -1.0, 0.6), values=(0.2, 0.3, 0.4), old_values=(0.3, 0.3, 0.9), returns=(0.1, -0.4, 0.2),
            entropies=(0.5, 1.5, 2.5),
        ),
        Response(
            score=1.5, advantage=-0.4, logps=(-0.75, -0.3), old=(-1.0, -0.25), reference=(-0.5, -0.35),
            advantages=(-0.3, 1.2), values=(1.0, 1.5), old_values=(0.7, 1.5), returns=(1.6, 1.4), entropies=(0.2, 0.4),
        ),
    ],
]  # fmt: skip
RESPONSES = [response for group in STEP for response in group]
AT_THE_START = [[replace(one, logps=one.old, values=one.old_values) for one in group] for group in STEP]


def example(name: str, group: Sequence[Response]) -> TrainingExample:
    return TrainingExample(
        id=name,
        sequences=tuple(TokenSequence(prompt_token_ids=(1,), token_ids=(5,) * len(one.logps)) for one in group),
        scores=tuple(one.score for one in group),
        progress=0.0,
    )


@dataclass(frozen=True, kw_only=True)
class Computed:
    """A micro-batch's losses, and what they were differentiated by."""

    loss: Loss
    logps_N: Tensor
    values_N: Tensor


def computed(objective: PolicyGradientObjective, groups: Sequence[Sequence[Response]]) -> Computed:
    responses = [one for group in groups for one in group]

    def column(name: str) -> Tensor:
        return torch.tensor([value for one in responses for value in getattr(one, name)])

    advantages = [a for one in responses for a in [one.advantage] * len(one.logps)]
    logps_N, values_N = column("logps").requires_grad_(), column("values").requires_grad_()
    prepared = {
        "old_logps": column("old"),
        "reference": column("reference"),
        "advantages": column("advantages") if isinstance(objective, PpoObjective) else torch.tensor(advantages),
    }
    if isinstance(objective, PpoObjective):
        prepared |= {"values": column("old_values"), "returns": column("returns")}
    tokens = TokenBatch(
        logps_N=logps_N,
        rows_N=torch.tensor([row for row, one in enumerate(responses) for _ in one.logps]),
        weights_N=torch.ones(len(logps_N)),
        num_responses=len(responses),
    )
    outputs = {"logps": logps_N, "entropy": column("entropies"), "values": values_N}
    examples = [example(str(index), group) for index, group in enumerate(groups)]
    loss = policy_losses(objective, examples, tokens, outputs, prepared, MAX_TOKENS)
    return Computed(loss=loss, logps_N=logps_N, values_N=values_N)


def divisor(objective: PolicyGradientObjective) -> float:
    return denominator(objective, [example(str(index), group) for index, group in enumerate(STEP)])


# ------------------------------------------------------------------------------------------- the equations by hand


def surrogate(log_ratio: float, advantage: float) -> float:
    """max(−A·ρ, −A·clip(ρ, 0.8, 1.2))."""
    ratio = exp(log_ratio)
    return max(-advantage * ratio, -advantage * min(max(ratio, 0.8), 1.2))


def ppo_token(one: Response, t: int) -> float:
    """… plus 0.1 · ½ · max((V − G)², (V_old + clip(V − V_old, ±0.2) − G)²)."""
    value, old, target = one.values[t], one.old_values[t], one.returns[t]
    clipped = old + min(max(value - old, -0.2), 0.2)
    value_loss = 0.5 * max((value - target) ** 2, (clipped - target) ** 2)
    return surrogate(one.logps[t] - one.old[t], one.advantages[t]) + 0.1 * value_loss


def grpo_token(one: Response, t: int) -> float:
    """… plus 0.3 · (r/π − log r/π − 1)."""
    d = one.reference[t] - one.logps[t]
    return surrogate(one.logps[t] - one.old[t], one.advantage) + 0.3 * (exp(d) - d - 1)


def sums(token) -> list[float]:
    """Over each response's tokens."""
    return [sum(token(one, t) for t in range(len(one.logps))) for one in RESPONSES]


EQUATIONS = {
    "ppo": lambda: sum(sums(ppo_token)) / 8,  # eight tokens
    "grpo": lambda: sum(s / n for s, n in zip(sums(grpo_token), (2, 1, 3, 2), strict=True)) / 4,  # four responses
    "dr_grpo": lambda: sum(sums(grpo_token)) / (4 * MAX_TOKENS),
    "dapo": lambda: sum(sums(grpo_token)) / 8,
    "rloo": lambda: sum(surrogate(sum(one.logps) - sum(one.old), one.advantage) for one in RESPONSES) / 4,
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_steps_losses_over_its_denominator_are_the_papers_objective(name: str) -> None:
    """PPO 1707.06347 with TRL's value loss; GRPO 2402.03300, Dr. GRPO 2503.20783, DAPO 2503.14476; RLOO 2402.14740."""
    losses_E, metrics = computed(OBJECTIVES[name], STEP).loss
    assert losses_E.shape == (2,)
    assert float(losses_E.detach().sum()) / divisor(OBJECTIVES[name]) == pytest.approx(EQUATIONS[name](), abs=1e-6)
    assert all(values.shape == (2,) and not values.requires_grad for values in metrics.values())


@pytest.mark.parametrize("name", OBJECTIVES)
def test_an_example_in_a_micro_batch_of_its_own_has_the_loss_gradient_and_metrics_that_it_has_in_the_step(
    name: str,
) -> None:
    objective = OBJECTIVES[name]
    whole, parts = computed(objective, STEP), [computed(objective, [group]) for group in STEP]
    torch.testing.assert_close(torch.cat([part.loss[0] for part in parts]), whole.loss[0], atol=1e-6, rtol=0)
    for metric, values in whole.loss[1].items():
        found = torch.cat([part.loss[1][metric] for part in parts])
        torch.testing.assert_close(found, values, atol=1e-6, rtol=0, msg=metric)
    gradients = []
    for one in (whole, *parts):
        one.loss[0].sum().backward()
        assert one.logps_N.grad is not None
        gradients.append(one.logps_N.grad)
    torch.testing.assert_close(torch.cat(gradients[1:]), gradients[0], atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("name", "shares"),  # of the step's loss that a token of each response has
    [
        ("ppo", [1 / 8] * 4),
        ("grpo", [1 / 8, 1 / 4, 1 / 12, 1 / 8]),
        ("dr_grpo", [1 / 48] * 4),
        ("dapo", [1 / 8] * 4),
        ("rloo", [1 / 4] * 4),
    ],
)
def test_the_first_step_is_the_plain_policy_gradient(name: str, shares: list[float]) -> None:
    """Where the policy is the one that sampled, every ratio is 1 and the gradient in a token's log-prob is −A, times
    the token's share of the loss; the KL is not in this one. PPO's in a value is 0.1·(V − G)/8."""
    objective = OBJECTIVES[name]
    if isinstance(objective, GrpoObjective):
        objective = replace(objective, kl_coefficient=0.0)
    found = computed(objective, AT_THE_START)
    (found.loss[0].sum() / divisor(objective)).backward()
    assert found.logps_N.grad is not None
    expected = [
        -(one.advantages[t] if name == "ppo" else one.advantage) * share
        for one, share in zip(RESPONSES, shares, strict=True)
        for t in range(len(one.old))
    ]
    assert found.logps_N.grad.tolist() == pytest.approx(expected, abs=1e-6)
    if name == "ppo":
        assert found.values_N.grad is not None
        errors = [v - g for one in RESPONSES for v, g in zip(one.old_values, one.returns, strict=True)]
        assert found.values_N.grad.tolist() == pytest.approx([0.1 * error / 8 for error in errors], abs=1e-6)


# ------------------------------------------------------------------------------------------------------------- metrics


def test_ppos_metrics_are_trls_a_mean_over_each_example() -> None:
    """First example, three tokens of log-ratio 0.5, −0.1 and −0.5, advantages 1.5, −0.5 and −2: the first is clipped
    above and the last below (at A < 0, where clipping raises the loss). Its values moved by 0.4, −0.1 and −0.4: the
    first and the last are clipped, both towards their returns, which raises both losses.

    Second, log-ratios 0.1, 0.3, −0.3, 0.25, −0.05 with advantages 0.8, −1, 0.6, −0.3, 1.2: a ratio above the clip with
    A < 0, and one below it with A > 0, lose more without it: none is clipped. Values moved by −0.1, 0, −0.5, 0.3, 0:
    the third and the fourth towards their returns.

    KL: Σ log(old/r) is −0.3 + 0.6 and −0.5, on average −0.1; 0.4 − 0.5 + 0 and −0.5 + 0.1, on average −0.25.
    The penalty clamps each token's at 0: 0.6 and 0, on average 0.3; 0.4 and 0.1, on average 0.25.
    """
    metrics = {name: values.tolist() for name, values in computed(PPO, STEP).loss[1].items()}
    expected = {
        "policy/clipfrac_avg": [2 / 3, 0.0],
        "policy/approxkl_avg": [(0.25 + 0.01 + 0.25) / 6, (0.01 + 0.09 + 0.09 + 0.0625 + 0.0025) / 10],
        "policy/entropy_avg": [3.6 / 3, 5.1 / 5],
        "val/clipfrac_avg": [2 / 3, 2 / 5],
        "loss/value_avg": [
            0.5 * (0.6**2 + 0.4**2 + 0.7**2) / 3,
            0.5 * (0.1**2 + 0.7**2 + 0.5**2 + 0.7**2 + 0.1**2) / 5,
        ],
        "loss/policy_avg": [
            (-1.5 * 1.2 + 0.5 * exp(-0.1) + 2 * 0.8) / 3,
            (-0.8 * exp(0.1) + exp(0.3) - 0.6 * exp(-0.3) + 0.3 * exp(0.25) - 1.2 * exp(-0.05)) / 5,
        ],
        "val/ratio": [
            (exp(0.5) + exp(-0.1) + exp(-0.5)) / 3,
            (exp(0.1) + exp(0.3) + exp(-0.3) + exp(0.25) + exp(-0.05)) / 5,
        ],
        "objective/scores": [0.5, 1.0],
        "objective/kl": [-0.1, -0.25],
        "objective/rlhf_reward": [0.5 - 0.0067 * 0.3, 1.0 - 0.0067 * 0.25],
    }
    assert metrics.keys() == expected.keys()
    for name, values in expected.items():
        assert metrics[name] == pytest.approx(values, abs=1e-6), name


def test_without_a_reference_there_is_no_kl_to_report() -> None:
    metrics = computed(replace(GRPO, reference=NO_REFERENCE), STEP).loss[1]
    assert not {"objective/kl", "objective/rlhf_reward"} & metrics.keys()
    assert metrics["objective/scores"].tolist() == [0.5, 1.0]


def test_grpo_and_rloo_report_how_much_was_clipped() -> None:
    """GRPO, a token at a time: of the first example the first and the last (A > 0 above, A < 0 below); of the second
    only the second token. RLOO, a response at a time: log-ratios 0.4 at A = 1 and −0.5 at A = −1.5 are clipped, 0.1 and
    0.2 (at A < 0) are not. GRPO's loss is reported without its KL."""
    of_tokens, of_responses = computed(GRPO_KL, STEP).loss[1], computed(RLOO, STEP).loss[1]
    assert of_tokens["policy/clipfrac_avg"].tolist() == pytest.approx([2 / 3, 1 / 5])
    assert of_responses["clip_ratio/region_mean"].tolist() == pytest.approx([1.0, 0.0])
    expected = [
        [surrogate(now - then, one.advantage) for one in group for now, then in zip(one.logps, one.old, strict=True)]
        for group in STEP
    ]
    assert of_tokens["loss/policy_avg"].tolist() == pytest.approx([sum(e) / len(e) for e in expected], abs=1e-6)
