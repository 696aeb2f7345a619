"""What is computed from a model over a packed batch: log-probs of response tokens, values of them, scores.

Owns the heads; the layout of a batch is `packing`'s. Shapes: T tokens of the row, N response tokens, S sequences, H
hidden, V vocabulary.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .packing import PackedBatch

CHUNK = 1024  # response tokens whose logits exist at a time


class CompletionModel(nn.Module):
    """A causal language model that returns log-probs of given response tokens.

    Only hidden states at response positions pass through the output head, a chunk at a time, and a chunk's logits are
    computed again in the backward pass rather than kept. Models that post-process logits outside their head would give
    other log-probs than vLLM: the probe check after start stops such a run.
    """

    def __init__(self, language_model: Any, critic: nn.Module | None = None):
        """`critic`: a model with a head `score`, a linear head on this model's own hidden states, or none."""
        super().__init__()
        self.language_model = language_model
        self.critic = critic

    def forward(self, batch: PackedBatch, extras: tuple[str, ...] = ()) -> dict[str, Tensor]:
        """`logps` of the batch's response tokens in float32, shape (N,), and what `extras` name. Without gradient:

        `entropy`: of the next-token distribution, shape (N,); `log_collision`: log Σ_v π(v)², shape (N,); `hidden`:
        what the head is given, shape (N, H).

        With gradient: `values`, the critic's of the state before each response token, shape (N,).
        """
        head = self.language_model.get_output_embeddings()
        hidden_NH = hidden_states(self.language_model, batch)[batch.predictors_N]
        parts: list[dict[str, Tensor]] = []
        for hidden, targets in zip(hidden_NH.split(CHUNK), batch.targets_N.split(CHUNK), strict=True):
            if torch.is_grad_enabled() and len(hidden_NH) > CHUNK:
                parts.append(checkpoint(_token_outputs, head, hidden, targets, extras, use_reentrant=False))
            else:
                parts.append(_token_outputs(head, hidden, targets, extras))
        outputs = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        if "values" in extras:
            outputs["values"] = self._values(batch, hidden_NH)
        return {**outputs, "hidden": hidden_NH.detach()} if "hidden" in extras else outputs

    def _values(self, batch: PackedBatch, hidden_NH: Tensor) -> Tensor:
        assert self.critic is not None, "values are asked of a model that has a critic"
        if isinstance(self.critic, nn.Linear):
            return self.critic(hidden_NH).float().squeeze(-1)
        own_NH = hidden_states(self.critic, batch)[batch.predictors_N]
        score: Any = self.critic.score
        return score(own_NH).float().squeeze(-1)


class ScoreModel(nn.Module):
    """A reward model: a backbone whose linear head reads each sequence's last token."""

    def __init__(self, scorer: Any):
        super().__init__()
        self.scorer = scorer

    def forward(self, batch: PackedBatch, extras: tuple[str, ...] = ()) -> dict[str, Tensor]:
        """`scores` in float32, shape (S, outputs of the head)."""
        return {"scores": self.scorer.score(hidden_states(self.scorer, batch)[batch.last_S]).float()}


def extrapolated_logps(
    policy: Any, policy_NH: Tensor, reference: Any, reference_NH: Tensor, batch: PackedBatch, extrapolation: float
) -> Tensor:
    """Log-probs, shape (N,), from the logits (1 + λ)·h_policy − λ·h_reference, renormalised: SPA's de-coupled noise
    detection (arXiv 2406.04412). The models may be wrapped by DeepSpeed; `*_NH` are their `hidden` outputs."""
    heads = [getattr(model, "module", model).language_model.get_output_embeddings() for model in (policy, reference)]
    parts = [
        -F.cross_entropy(
            (1 + extrapolation) * heads[0](own) - extrapolation * heads[1](frozen), targets, reduction="none"
        )
        for own, frozen, targets in zip(
            policy_NH.split(CHUNK), reference_NH.split(CHUNK), batch.targets_N.split(CHUNK), strict=True
        )
    ]
    return torch.cat(parts)


def hidden_states(language_model: Any, batch: PackedBatch) -> Tensor:
    """The last layer's output over a packed row, shape (T, H)."""
    return language_model.base_model(
        input_ids=batch.input_ids_T[None],
        position_ids=batch.positions_T[None],
        use_cache=False,
        packing=batch.layout,
    ).last_hidden_state[0]


def _token_outputs(head: nn.Module, hidden_NH: Tensor, targets_N: Tensor, extras: tuple[str, ...]) -> dict[str, Tensor]:
    logits_NV = head(hidden_NH).float()
    outputs = {"logps": -F.cross_entropy(logits_NV, targets_N, reduction="none")}
    if extras:
        with torch.no_grad():
            logprobs_NV = logits_NV.detach().log_softmax(-1)
            if "entropy" in extras:
                outputs["entropy"] = -(logprobs_NV.exp() * logprobs_NV).sum(-1)
            if "log_collision" in extras:
                outputs["log_collision"] = (2 * logprobs_NV).logsumexp(-1)
    return outputs
