"""Micro-batches without padding: sequences in one row, each group's common prefix once.

A group (a pair, a ranked list, the samples of one prompt) becomes a tree: the tokens that all its sequences begin
with, then one branch a sequence, each branch seeing the prefix and itself. Positions go on from the prefix in every
branch, so every token gets the hidden state that it has in its sequence alone.

Owns the layout and the attention over it; knows nothing of losses. Shapes: T tokens of the row, N response tokens, S
sequences.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface

from ..orchestrator.data.records import TokenSequence

ATTENTION = "roundelay_packed"


@dataclass(frozen=True, slots=True)
class Segment:
    """Tokens [start, end) of the row, which see the tokens [prefix_start, prefix_end) and, causally, each other.

    A prefix is a whole segment before. It, and a sequence of its own, has an empty prefix before it.
    """

    prefix_start: int
    prefix_end: int
    start: int
    end: int

    def mask(self, window: int | None, device: torch.device) -> Tensor | None:
        """Which keys (prefix, then own tokens) each own token sees; None where plain causal attention says it."""
        prefix, own = self.prefix_end - self.prefix_start, self.end - self.start
        if prefix == 0 and (window is None or own <= window):
            return None
        sees = torch.ones(own, prefix + own, dtype=torch.bool, device=device).tril(prefix)
        return sees if window is None else sees.triu(prefix - window + 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """The segments of a row, in order and without gaps. Masks are made once a forward pass, not once a layer."""

    segments: tuple[Segment, ...]
    masks: dict[int | None, list[Tensor | None]] = field(default_factory=dict)

    def masks_of(self, window: int | None, device: torch.device) -> list[Tensor | None]:
        if window not in self.masks:
            self.masks[window] = [segment.mask(window, device) for segment in self.segments]
        return self.masks[window]


@dataclass(frozen=True, kw_only=True, slots=True)
class PackedBatch:
    """A row of tokens, and where its response tokens are.

    `predictors_N` are the places in the row whose hidden state predicts `targets_N`; `own_N` the places of the response
    tokens themselves; `rows_N` their sequence; `lengths` response tokens per sequence; `last_S` the place of each
    sequence's last token.
    """

    input_ids_T: Tensor
    positions_T: Tensor
    layout: Layout
    predictors_N: Tensor
    own_N: Tensor
    targets_N: Tensor
    rows_N: Tensor
    last_S: Tensor
    lengths: tuple[int, ...]

    @classmethod
    def of(cls, groups: Sequence[Sequence[TokenSequence]], device: torch.device) -> "PackedBatch":
        """Lay out `groups`, one tree a group.

        Raises:
            ValueError: a sequence has an empty prompt or an empty response.
        """
        ids: list[int] = []
        positions: list[int] = []
        segments: list[Segment] = []
        predictors: list[int] = []
        own: list[int] = []
        targets: list[int] = []
        last: list[int] = []
        lengths: list[int] = []

        def add(tokens: Sequence[int], first_position: int, prefix: tuple[int, int]) -> int:
            start = len(ids)
            if tokens:
                ids.extend(tokens)
                positions.extend(range(first_position, first_position + len(tokens)))
                segments.append(Segment(*prefix, start, len(ids)))
            return start

        for group in groups:
            wholes = [_whole(sequence) for sequence in group]
            shared = shared_length(group)
            root = add(wholes[0][:shared], 0, (0, 0))
            for sequence, whole in zip(group, wholes, strict=True):
                branch = add(whole[shared:], shared, (root, root + shared))
                places = [root + i if i < shared else branch + i - shared for i in range(len(whole))]
                first = len(sequence.prompt_token_ids)
                predictors.extend(places[first - 1 : -1])
                own.extend(places[first:])
                targets.extend(sequence.token_ids)
                last.append(places[-1])
                lengths.append(len(sequence.token_ids))

        def tensor(values: Sequence[int]) -> Tensor:
            return torch.tensor(values, dtype=torch.long, device=device)

        return cls(
            input_ids_T=tensor(ids),
            positions_T=tensor(positions),
            layout=Layout(segments=tuple(segments)),
            predictors_N=tensor(predictors),
            own_N=tensor(own),
            targets_N=tensor(targets),
            rows_N=torch.repeat_interleave(tensor(range(len(lengths))), tensor(lengths)),
            last_S=tensor(last),
            lengths=tuple(lengths),
        )

    def split(self, values_N: Tensor) -> list[Tensor]:
        """One tensor a sequence."""
        return list(values_N.split(self.lengths))


def shared_length(group: Sequence[TokenSequence]) -> int:
    """Tokens that all sequences of a group begin with; 0 for a group of one, which is not a tree."""
    if len(group) < 2:
        return 0
    return len(os.path.commonprefix([_whole(sequence) for sequence in group]))


def packed_length(group: Sequence[TokenSequence]) -> int:
    """Tokens that a group takes in a row."""
    return sum(len(_whole(sequence)) for sequence in group) - shared_length(group) * max(0, len(group) - 1)


def micro_batches(costs: Sequence[int], *, tokens: int, examples: int | None) -> Iterator[range]:
    """Consecutive ranges of at most `tokens` in all and at most `examples`; one that is larger alone stays alone.

    Example:
        >>> list(micro_batches([3, 3, 9, 1], tokens=6, examples=None))
        [range(0, 2), range(2, 3), range(3, 4)]
    """
    start, total = 0, 0
    for index, cost in enumerate(costs):
        if index > start and (total + cost > tokens or index - start == examples):
            yield range(start, index)
            start, total = index, 0
        total += cost
    if start < len(costs):
        yield range(start, len(costs))


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    packing: Layout,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Attention over a packed row, segment by segment: no token of another sequence is even multiplied.

    Args:
        query, key, value: shape (1, heads, T, head size); key and value may have fewer heads.
        packing: the row's layout, handed through the model's forward.

    Returns:
        the attended values, shape (1, T, heads, head size).

    Raises:
        NotImplementedError: the architecture wants more of its attention (a soft cap, sinks, a position bias).
    """
    wanted = sorted(name for name in ("softcap", "s_aux", "position_bias") if others.get(name) is not None)
    if wanted or dropout:
        raise NotImplementedError(
            f"packed attention has no {', '.join(wanted) or 'dropout'}, which this model asks for"
        )
    repeats = query.shape[1] // key.shape[1]
    if repeats > 1:
        key, value = key.repeat_interleave(repeats, dim=1), value.repeat_interleave(repeats, dim=1)
    # Split once: the gradient of a split is one concatenation, that of every slice a whole row of zeros to add up.
    lengths = [segment.end - segment.start for segment in packing.segments]
    queries, keys, values = (tensor.split(lengths, dim=2) for tensor in (query, key, value))
    number_at = {segment.start: number for number, segment in enumerate(packing.segments)}
    masks = packing.masks_of(sliding_window, query.device)
    parts = []
    for number, (segment, mask) in enumerate(zip(packing.segments, masks, strict=True)):
        seen_keys, seen_values = keys[number], values[number]
        if segment.prefix_end > segment.prefix_start:
            prefix = number_at[segment.prefix_start]
            seen_keys = torch.cat([keys[prefix], seen_keys], 2)
            seen_values = torch.cat([values[prefix], seen_values], 2)
        parts.append(
            F.scaled_dot_product_attention(
                queries[number], seen_keys, seen_values, attn_mask=mask, is_causal=mask is None, scale=scaling
            )
        )
    return torch.cat(parts, dim=2).transpose(1, 2), None


def _no_mask(*_: Any, **__: Any) -> None:
    """Packed attention makes its own masks."""


def _whole(sequence: TokenSequence) -> tuple[int, ...]:
    if not sequence.prompt_token_ids or not sequence.token_ids:
        raise ValueError("a sequence has an empty prompt or an empty completion")
    return sequence.prompt_token_ids + sequence.token_ids


AttentionInterface.register(ATTENTION, packed_attention)
AttentionMaskInterface.register(ATTENTION, _no_mask)
