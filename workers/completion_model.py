"""Log-probs of completion tokens from a causal language model, without materialising prompt logits.

Shapes: B sequences, T positions, N completion tokens in all, H hidden, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..orchestrator.records import TokenSequence


@dataclass(frozen=True, kw_only=True, slots=True)
class CompletionBatch:
    """Right-padded sequences, and where their completion tokens are.

    `rows_N` and `columns_N` are the positions that predict `targets_N`. Padding lies after every completion, where a
    causal model cannot see it, so no attention mask is needed.
    """

    input_ids_BT: Tensor
    rows_N: Tensor
    columns_N: Tensor
    targets_N: Tensor
    lengths: tuple[int, ...]  # completion tokens per sequence

    @classmethod
    def of(cls, sequences: Sequence[TokenSequence], device: torch.device) -> "CompletionBatch":
        """Pad and index `sequences`.

        Raises:
            ValueError: a sequence has an empty prompt or completion.
        """
        if any(not sequence.prompt_token_ids or not sequence.token_ids for sequence in sequences):
            raise ValueError("a sequence has an empty prompt or an empty completion")
        lengths = tuple(len(sequence.token_ids) for sequence in sequences)
        width = max(
            len(sequence.prompt_token_ids) + length for sequence, length in zip(sequences, lengths, strict=True)
        )
        input_ids_BT = torch.zeros(len(sequences), width, dtype=torch.long)
        rows, columns, targets = [], [], []
        for row, sequence in enumerate(sequences):
            tokens = torch.tensor(sequence.prompt_token_ids + sequence.token_ids)
            input_ids_BT[row, : len(tokens)] = tokens
            first = len(sequence.prompt_token_ids) - 1
            rows.append(torch.full((lengths[row],), row))
            columns.append(torch.arange(first, first + lengths[row]))
            targets.append(torch.tensor(sequence.token_ids))
        return cls(
            input_ids_BT=input_ids_BT.to(device),
            rows_N=torch.cat(rows).to(device),
            columns_N=torch.cat(columns).to(device),
            targets_N=torch.cat(targets).to(device),
            lengths=lengths,
        )

    def split(self, values_N: Tensor) -> list[Tensor]:
        """One tensor a sequence."""
        return list(values_N.split(self.lengths))

    def sums(self, values_N: Tensor) -> Tensor:
        """Σ over each sequence's completion tokens, shape (B,)."""
        return torch.stack([values.sum() for values in self.split(values_N)])


class CompletionModel(nn.Module):
    """A causal language model that returns log-probs of given completion tokens.

    Only hidden states at completion positions pass through the output head: the (N, V) logits are all that is ever
    materialised. Models that post-process logits outside their head would give other log-probs than vLLM: the probe
    check after start stops such a run.
    """

    def __init__(self, language_model: Any):
        super().__init__()
        self.language_model = language_model

    def forward(self, input_ids_BT: Tensor, rows_N: Tensor, columns_N: Tensor, targets_N: Tensor) -> Tensor:
        """Log-probs of `targets_N` in float32, shape (N,)."""
        base: Any = self.language_model.base_model
        head: Any = self.language_model.get_output_embeddings()
        hidden_BTH = base(input_ids=input_ids_BT, use_cache=False).last_hidden_state
        logits_NV = head(hidden_BTH[rows_N, columns_N])
        return -F.cross_entropy(logits_NV.float(), targets_N, reduction="none")


def completion_logps(model: nn.Module, batch: CompletionBatch) -> Tensor:
    """`model`'s log-probs of a batch's completion tokens, shape (N,). `model` may be wrapped by DeepSpeed."""
    return model(batch.input_ids_BT, batch.rows_N, batch.columns_N, batch.targets_N)
