"""From a forward pass to losses: what each objective of `recipes.losses` is computed from, and how it is averaged.

Owns no formula and no model. Shapes: E examples of a micro-batch, S their sequences, N response tokens.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor

from ..orchestrator.objective_config import (
    AttributeRegressionObjective,
    FunctionObjective,
    Objective,
    ObjectiveConfig,
    PairObjective,
    PolicyGradientObjective,
    PpoObjective,
    RewardModelObjective,
    SpaObjective,
)
from ..orchestrator.records import TokenSequence, TrainingExample
from ..orchestrator.user_functions import load_function
from ..recipes.losses import (
    listwise,
    multi_source,
    pairwise,
    reference_free,
    reward_models,
    self_labelled,
    supervised,
    unpaired,
)
from ..recipes.losses.batches import Loss, PairBatch, TokenBatch
from ..recipes.losses.weighting import pair_weights, wpo_weights
from .policy_losses import policy_denominator


@dataclass(frozen=True, kw_only=True, slots=True)
class MicroBatch:
    """Examples with what the models say of them.

    `tokens` are the policy's log-probs; `reference_N` the reference's (zeros without one); `extras` what else the
    forward pass gave (see `extras_of`); `step` what was computed over the whole optimizer step beforehand.
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


Family: TypeAlias = Callable[[Any, MicroBatch], Loss]


def losses(objective: ObjectiveConfig, batch: MicroBatch) -> Loss:
    """One loss an example, shape (E,), with its further terms added; and detached metrics of the same shape."""
    losses_E, metrics = _FAMILIES[objective.kind](objective, batch)
    for term in objective.plus if isinstance(objective, PairObjective) else ():
        added_E = _chosen_nll(batch) if term.loss.kind == "sft" else _FAMILIES[term.loss.kind](term.loss, batch)[0]
        losses_E = losses_E + term.weight * added_E
        metrics = {**metrics, f"{term.loss.kind}/loss": added_E.detach()}
    return losses_E, metrics


def denominator(objective: ObjectiveConfig, examples: Sequence[TrainingExample]) -> float:
    """What the sum of a step's losses is divided by: its trained tokens for SFT (TRL's mean), for policy gradients what
    `policy_denominator` says, else its examples."""
    if isinstance(objective, PolicyGradientObjective):
        return policy_denominator(objective, examples)
    if objective.kind != "sft":
        return float(len(examples))
    return sum(_weight(sequence) for example in examples for sequence in example.sequences)


def trained_sequences(objective: ObjectiveConfig, example: TrainingExample) -> tuple[TokenSequence, ...]:
    """The sequences of an example that its loss is computed from; KTO's second only measures the step's KL."""
    return example.sequences[:1] if objective.kind == "kto" else example.sequences


def extras_of(objective: ObjectiveConfig) -> tuple[str, ...]:
    """What the policy's forward pass must give beside log-probs."""
    wpo = any(isinstance(loss, PairObjective) and loss.weighting != "none" for loss in _all(objective))
    extrapolates = isinstance(objective, SpaObjective) and objective.extrapolation > 0
    return (
        (("log_collision",) if wpo else ())
        + (("hidden",) if extrapolates else ())
        + (("entropy",) if isinstance(objective, PolicyGradientObjective) else ())
        + (("values",) if isinstance(objective, PpoObjective) else ())
    )


def score_losses(
    objective: RewardModelObjective | AttributeRegressionObjective,
    examples: Sequence[TrainingExample],
    scores_SA: Tensor,
) -> Loss:
    """One loss an example, shape (E,), from the scores of its sequences."""
    like = partial(torch.tensor, dtype=scores_SA.dtype, device=scores_SA.device)
    if isinstance(objective, AttributeRegressionObjective):
        return reward_models.attribute_regression(scores_SA, like([example.scores for example in examples]))
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


def _hyper(objective: Objective, *without: str) -> dict[str, Any]:
    """An objective's own fields: the keyword arguments of its function."""
    shared = {"kind", "reference", "plus", "weighting", *without}
    return {field.name: getattr(objective, field.name) for field in fields(objective) if field.name not in shared}


def _all(objective: ObjectiveConfig) -> list[Objective]:
    return [objective, *(term.loss for term in objective.plus)] if isinstance(objective, PairObjective) else [objective]


def _weight(sequence: TokenSequence) -> float:
    return float(len(sequence.token_ids)) if sequence.weights is None else sum(sequence.weights)


def _column(batch: MicroBatch, values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32, device=batch.tokens.logps_N.device)


def _pairs(batch: MicroBatch, first: int = 0, size: int = 2) -> PairBatch:
    """The (chosen, rejected) of every example, from its sequences `first` and `first + 1`."""
    policy, reference, lengths = (values.view(-1, size) for values in batch.sums())
    chosen, rejected = first, first + 1
    return PairBatch(
        chosen_B=policy[:, chosen],
        rejected_B=policy[:, rejected],
        reference_chosen_B=reference[:, chosen],
        reference_rejected_B=reference[:, rejected],
        chosen_lengths_B=lengths[:, chosen],
        rejected_lengths_B=lengths[:, rejected],
    )


def _chosen_nll(batch: MicroBatch) -> Tensor:
    """SFT as a further term of a pair's loss: the chosen response's NLL, mean over its tokens, shape (E,)."""
    return -batch.tokens.means(batch.tokens.logps_N).view(-1, 2)[:, 0]


def _pairwise(objective: Any, batch: MicroBatch) -> Loss:
    loss = _pair_loss(objective)
    probability_B = _column(batch, [example.label_probability for example in batch.examples])
    pairs = _pairs(batch)
    result, metrics = pairwise.soft_labels(loss, pairs, probability_B) if (probability_B < 1).any() else loss(pairs)
    if objective.weighting == "none":
        return result, metrics
    clip = objective.weighting == "wpo"
    weights = wpo_weights(batch.tokens, batch.extras["log_collision"], clip=False).view(-1, 2)
    weights_B = pair_weights(weights[:, 0], weights[:, 1], clip)
    return weights_B * result, {**metrics, "wpo/weights": weights_B}


def _pair_loss(objective: Any) -> Callable[[PairBatch], Loss]:
    if isinstance(objective, FunctionObjective):
        return partial(load_function(objective.function, "objective.function"), **objective.parameters)
    return partial(_PAIRWISE[objective.kind], **_hyper(objective))


def _sppo(objective: Any, batch: MicroBatch) -> Loss:
    soft = objective.probabilities == "soft"
    chosen_B = _column(batch, [example.scores[0] if soft else 1.0 for example in batch.examples])
    rejected_B = _column(batch, [example.scores[1] if soft else 0.0 for example in batch.examples])
    return pairwise.sppo(_pairs(batch), chosen_B, rejected_B, beta=objective.beta)


def _cream(objective: Any, batch: MicroBatch) -> Loss:
    consistency_B = _column(batch, [example.label_probability for example in batch.examples])
    return self_labelled.cream(_pairs(batch), consistency_B, beta=objective.beta)


def _spa(objective: Any, batch: MicroBatch) -> Loss:
    active = batch.examples[0].progress >= objective.start
    margins_E = batch.extras["denoised_margins"]
    losses_E, metrics = self_labelled.spa(
        _pairs(batch),
        margins_E,
        batch.step["threshold"],
        beta=objective.beta,
        label_smoothing=objective.label_smoothing if active else 0.0,
    )
    return losses_E, {**metrics, "spa/margins": margins_E}


def _wrpo(objective: Any, batch: MicroBatch) -> Loss:
    policy, reference, _ = (values.view(-1, 3) for values in batch.sums())
    alpha = multi_source.wrpo_alpha(batch.examples[0].progress, final=objective.final_alpha)
    return multi_source.wrpo(_pairs(batch, 1, 3), policy[:, 0], reference[:, 0], beta=objective.beta, alpha=alpha)


def _kto(objective: Any, batch: MicroBatch) -> Loss:
    policy, reference, _ = batch.sums()
    return unpaired.kto(
        policy - reference,
        torch.tensor([example.desirable for example in batch.examples], device=policy.device),
        _column(batch, [batch.step["kl"]])[0],
        **_hyper(objective),
    )


def _listwise(objective: Any, batch: MicroBatch) -> Loss:
    policy, _, lengths = batch.sums()
    sizes = [len(example.sequences) for example in batch.examples]
    results = [
        _LISTWISE[objective.kind](logps_K, lengths_K, _column(batch, example.scores), **_hyper(objective))
        for example, logps_K, lengths_K in zip(batch.examples, policy.split(sizes), lengths.split(sizes), strict=True)
    ]
    return _stacked(results)


def _sft(objective: Any, batch: MicroBatch) -> Loss:
    return supervised.nll(batch.tokens)


def _cut(objective: Any, batch: MicroBatch) -> Loss:
    """Each example's second sequence is its response after the judgment."""
    judged = batch.tokens.rows_N % 2 == 1
    plain = TokenBatch(
        logps_N=batch.tokens.logps_N[~judged],
        rows_N=batch.tokens.rows_N[~judged] // 2,
        weights_N=batch.tokens.weights_N[~judged],
        num_responses=len(batch.examples),
    )
    return supervised.cut(plain, batch.tokens.logps_N[judged], **_hyper(objective))


def _stacked(results: Sequence[Loss]) -> Loss:
    names = results[0][1]
    return torch.stack([loss for loss, _ in results]), {
        name: torch.stack([metrics[name] for _, metrics in results]) for name in names
    }


_PAIRWISE: dict[str, Callable[..., Loss]] = {
    "dpo": pairwise.dpo,
    "cdpo": pairwise.cdpo,
    "rdpo": pairwise.rdpo,
    "ipo": pairwise.ipo,
    "hinge": pairwise.hinge,
    "dpop": pairwise.dpop,
    "r_dpo": pairwise.r_dpo,
    "mipo": pairwise.mipo,
    "simpo": reference_free.simpo,
    "orpo": reference_free.orpo,
    "slic": reference_free.slic,
}
_LISTWISE: dict[str, Callable[..., Loss]] = {"rrhf": listwise.rrhf, "pro": listwise.pro}
_FAMILIES: dict[str, Family] = {
    **dict.fromkeys([*_PAIRWISE, "function"], _pairwise),
    **dict.fromkeys(_LISTWISE, _listwise),
    "sppo": _sppo,
    "cream": _cream,
    "spa": _spa,
    "wrpo": _wrpo,
    "kto": _kto,
    "sft": _sft,
    "cut": _cut,
}
