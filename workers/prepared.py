"""What a policy gradient knows of a round's responses before its first step: log-probs under the policy that sampled
and under the reference, the critic's values, and the advantages that come of them and of the scores.

Pure functions over the whole round; the formulas are `recipes.losses.advantages`'. Shapes: N response tokens of all
examples, S responses, n tokens of one example.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from ..orchestrator.objective_config import GrpoObjective, PolicyGradientObjective, PpoObjective, RlooObjective
from ..orchestrator.records import TrainingExample
from ..recipes.losses import advantages
from ..recipes.losses.batches import TokenBatch
from ..recipes.losses.policy_gradient import kl_k1

# By name, of one example's response tokens, shape (n,): `old_logps`, `reference` (equal to it where there is none),
# `values` (PPO), and after `with_advantages` also `advantages` and `returns` (PPO).
Measured: TypeAlias = dict[str, Tensor]


def with_advantages(
    objective: PolicyGradientObjective, examples: Sequence[TrainingExample], measured: Mapping[str, Measured]
) -> dict[str, Measured]:
    """`measured` with the advantages of all the round's `examples`, by example."""
    lengths = [len(sequence.token_ids) for example in examples for sequence in example.sequences]
    whole = {name: torch.cat([measured[example.id][name] for example in examples]) for name in _names(measured)}
    device = whole["old_logps"].device
    tokens = TokenBatch(
        logps_N=whole["old_logps"],
        rows_N=torch.repeat_interleave(torch.tensor(lengths, device=device)),
        weights_N=torch.ones(sum(lengths), device=device),
        num_responses=len(lengths),
    )
    scores_S = torch.tensor([score for example in examples for score in example.scores], device=device)
    match objective:
        case PpoObjective():
            whole |= _ppo(objective, scores_S, tokens, whole)
        case GrpoObjective():
            sizes = [len(example.sequences) for example in examples]
            whole["advantages"] = _grpo(objective, scores_S, sizes)[tokens.rows_N]
        case RlooObjective():
            sizes = [len(example.sequences) for example in examples]
            kl_S = tokens.sums(kl_k1(whole["old_logps"], whole["reference"]))
            rewards_S = scores_S - objective.kl_coefficient * kl_S
            parts = [advantages.rloo_advantages(rewards_K) for rewards_K in rewards_S.split(sizes)]
            whole["advantages"] = torch.cat(parts)[tokens.rows_N]
    ends = torch.tensor([sum(len(s.token_ids) for s in example.sequences) for example in examples]).tolist()
    split = {name: values_N.split(ends) for name, values_N in whole.items()}
    return {
        example.id: {name: parts[index].clone() for name, parts in split.items()}
        for index, example in enumerate(examples)
    }


def ppo_kl_penalty(objective: PpoObjective, measured: Measured) -> Tensor:
    """What is taken from each token's reward, shape (N,)."""
    return advantages.kl_penalty(
        measured["old_logps"],
        measured["reference"],
        coefficient=objective.kl_coefficient,
        estimator=objective.kl_estimator,
        clamp_min=objective.kl_clamp_min,
    )


def _ppo(objective: PpoObjective, scores_S: Tensor, tokens: TokenBatch, whole: Measured) -> Measured:
    rewards_N = advantages.token_rewards(scores_S, ppo_kl_penalty(objective, whole), tokens)
    if objective.whiten_rewards:
        rewards_N = advantages.whiten(rewards_N, tokens.weights_N, shift_mean=False)
    advantages_N, returns_N = advantages.gae(
        rewards_N, whole["values"], tokens.rows_N, gamma=objective.gamma, lam=objective.lam
    )
    return {"advantages": advantages.whiten(advantages_N, tokens.weights_N), "returns": returns_N}


def _grpo(objective: GrpoObjective, scores_S: Tensor, sizes: list[int]) -> Tensor:
    if objective.scale == "batch":
        centred = [advantages.grpo_advantages(scores_K, scale="none") for scores_K in scores_S.split(sizes)]
        return advantages.scale_by(torch.cat(centred), scores_S.std())
    return torch.cat(
        [advantages.grpo_advantages(scores_K, scale=objective.scale) for scores_K in scores_S.split(sizes)]
    )


def _names(measured: Mapping[str, Measured]) -> list[str]:
    return list(next(iter(measured.values())))
