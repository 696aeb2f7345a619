"""From what a forward pass gave of a micro-batch to the formulas: the losses that objectives name, and what those on
pairs and on lists are called with. Owns no formula.

Shapes: E examples of a micro-batch, S their sequences, N response tokens.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ...orchestrator.data.records import TrainingExample
from ...orchestrator.parts.objective import ObjectivePart
from ..objectives.cream import CreamObjective
from ..objectives.cut import CutObjective
from ..objectives.kto import KtoObjective
from ..objectives.paired import PairObjective
from ..objectives.reward_model import RewardModelObjective
from ..objectives.spa import SpaObjective
from ..objectives.sppo import SppoObjective
from ..objectives.wrpo import WrpoObjective
from . import multi_source, pairwise, reward_models, self_labelled, supervised, unpaired
from .batches import Loss, PairBatch, TokenBatch
from .weighting import pair_weights, wpo_weights


@dataclass(frozen=True, kw_only=True, slots=True)
class MicroBatch:
    """Examples with what the models say of them.

    `tokens` are the policy's log-probs; `reference_N` the reference's (zeros without one); `extras` what else the
    forward pass gave (see `ObjectivePart.extras`); `step` what was computed over the whole optimizer step beforehand.
    """

    examples: Sequence[TrainingExample]
    tokens: TokenBatch
    reference_N: Tensor
    extras: Mapping[str, Tensor]
    step: Mapping[str, float]

    def sums(self) -> tuple[Tensor, Tensor, Tensor]:
        """Σ log-probs under policy and reference, and numbers of tokens, each of shape (S,)."""
        tokens = self.tokens
        return tokens.sums(tokens.logps_N), tokens.sums(self.reference_N), tokens.sums(torch.ones_like(tokens.logps_N))

    def column(self, values: Sequence[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=self.tokens.logps_N.device)

    def pairs(self, first: int = 0, size: int = 2) -> PairBatch:
        """The (chosen, rejected) of every example, from its sequences `first` and `first + 1`."""
        policy, reference, lengths = (values.view(-1, size) for values in self.sums())
        chosen, rejected = first, first + 1
        return PairBatch(
            chosen_B=policy[:, chosen],
            rejected_B=policy[:, rejected],
            reference_chosen_B=reference[:, chosen],
            reference_rejected_B=reference[:, rejected],
            chosen_lengths_B=lengths[:, chosen],
            rejected_lengths_B=lengths[:, rejected],
        )


# What a loss is called with, by `ObjectivePart.takes`.


def of_batch(objective: ObjectivePart, loss: Callable[..., Loss], batch: MicroBatch) -> Loss:
    return loss(objective, batch)


def of_pairs(objective: PairObjective, loss: Callable[..., Loss], batch: MicroBatch) -> Loss:
    on_pairs = partial(loss, **objective.hyperparameters())
    probability_B = batch.column([example.label_probability for example in batch.examples])
    pairs = batch.pairs()
    soft = bool((probability_B < 1).any())
    result, metrics = pairwise.soft_labels(on_pairs, pairs, probability_B) if soft else on_pairs(pairs)
    if objective.weighting == "none":
        return result, metrics
    clip = objective.weighting == "wpo"
    weights = wpo_weights(batch.tokens, batch.extras["log_collision"], clip=False).view(-1, 2)
    weights_B = pair_weights(weights[:, 0], weights[:, 1], clip)
    return weights_B * result, {**metrics, "wpo/weights": weights_B}


def of_group(objective: ObjectivePart, loss: Callable[..., Loss], batch: MicroBatch) -> Loss:
    policy, _, lengths = batch.sums()
    sizes = [len(example.sequences) for example in batch.examples]
    results = [
        loss(logps_K, lengths_K, batch.column(example.scores), **objective.hyperparameters())
        for example, logps_K, lengths_K in zip(batch.examples, policy.split(sizes), lengths.split(sizes), strict=True)
    ]
    names = results[0][1]
    return torch.stack([loss for loss, _ in results]), {
        name: torch.stack([metrics[name] for _, metrics in results]) for name in names
    }


# Losses of micro-batches.


def sppo(objective: SppoObjective, batch: MicroBatch) -> Loss:
    soft = objective.probabilities == "soft"
    chosen_B = batch.column([example.scores[0] if soft else 1.0 for example in batch.examples])
    rejected_B = batch.column([example.scores[1] if soft else 0.0 for example in batch.examples])
    return pairwise.sppo(batch.pairs(), chosen_B, rejected_B, beta=objective.beta)


def cream(objective: CreamObjective, batch: MicroBatch) -> Loss:
    consistency_B = batch.column([example.label_probability for example in batch.examples])
    return self_labelled.cream(batch.pairs(), consistency_B, beta=objective.beta)


def spa(objective: SpaObjective, batch: MicroBatch) -> Loss:
    active = batch.examples[0].progress >= objective.start
    margins_E = batch.extras["denoised_margins"]
    losses_E, metrics = self_labelled.spa(
        batch.pairs(),
        margins_E,
        batch.step["threshold"],
        beta=objective.beta,
        label_smoothing=objective.label_smoothing if active else 0.0,
    )
    return losses_E, {**metrics, "spa/margins": margins_E}


def wrpo(objective: WrpoObjective, batch: MicroBatch) -> Loss:
    policy, reference, _ = (values.view(-1, 3) for values in batch.sums())
    alpha = multi_source.wrpo_alpha(batch.examples[0].progress, final=objective.final_alpha)
    return multi_source.wrpo(batch.pairs(1, 3), policy[:, 0], reference[:, 0], beta=objective.beta, alpha=alpha)


def kto(objective: KtoObjective, batch: MicroBatch) -> Loss:
    policy, reference, _ = batch.sums()
    return unpaired.kto(
        policy - reference,
        torch.tensor([example.desirable for example in batch.examples], device=policy.device),
        batch.column([batch.step["kl"]])[0],
        beta=objective.beta,
        desirable_weight=objective.desirable_weight,
        undesirable_weight=objective.undesirable_weight,
    )


def sft(_: ObjectivePart, batch: MicroBatch) -> Loss:
    return supervised.nll(batch.tokens)


def chosen_nll(_: ObjectivePart, batch: MicroBatch) -> Loss:
    """SFT as a further term of a pair's loss: the chosen response's NLL, mean over its tokens, shape (E,)."""
    return -batch.tokens.means(batch.tokens.logps_N).view(-1, 2)[:, 0], {}


def cut(objective: CutObjective, batch: MicroBatch) -> Loss:
    """Each example's second sequence is its response after the judgment."""
    judged = batch.tokens.rows_N % 2 == 1
    plain = TokenBatch(
        logps_N=batch.tokens.logps_N[~judged],
        rows_N=batch.tokens.rows_N[~judged] // 2,
        weights_N=batch.tokens.weights_N[~judged],
        num_responses=len(batch.examples),
    )
    judged_N = batch.tokens.logps_N[judged]
    return supervised.cut(plain, judged_N, threshold=objective.threshold, weight=objective.weight)


# Losses of reward models.


def reward_model(objective: RewardModelObjective, examples: Sequence[TrainingExample], scores_SA: Tensor) -> Loss:
    like = partial(torch.tensor, dtype=scores_SA.dtype, device=scores_SA.device)
    scores = scores_SA.view(-1, 2)
    probability_B = like([example.label_probability for example in examples])
    soft = bool((probability_B < 1).any())
    margins_B = None
    if objective.margin == "score":
        margins_B = like([example.scores[0] - example.scores[1] for example in examples])
    return reward_models.bradley_terry(
        scores[:, 0],
        scores[:, 1],
        margins_B=margins_B,
        label_probability_B=probability_B if soft else None,
        centring=objective.centring,
    )


def attribute_regression(_: ObjectivePart, examples: Sequence[TrainingExample], scores_SA: Tensor) -> Loss:
    targets_SA = torch.tensor([example.scores for example in examples], dtype=scores_SA.dtype, device=scores_SA.device)
    return reward_models.attribute_regression(scores_SA, targets_SA)
