"""A round's shards, made one at a time from the prompt store: a round may be larger than memory."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from .config import Config, RunConfig
from .prompt_order import round_indices
from .prompts import PromptStore
from .records import Shard


@dataclass(frozen=True, kw_only=True, slots=True)
class RoundShards:
    """The shards over `indices` of `store`, in order."""

    round: int
    split: Literal["train", "heldout"]
    store: PromptStore
    indices: Sequence[int] | np.ndarray
    prompts_per_shard: int

    def __len__(self) -> int:
        return -(-len(self.indices) // self.prompts_per_shard)

    def __getitem__(self, index: int) -> Shard:
        start = index * self.prompts_per_shard
        chosen = self.indices[start : start + self.prompts_per_shard]
        if not len(chosen):
            raise IndexError(index)
        return Shard(round=self.round, index=index, prompts=self.store.take(chosen), split=self.split)

    def first(self, prompts: int) -> "RoundShards":
        """The shards over the first `prompts` prompts, or over all where there are fewer: as they are, but for the
        last one's end."""
        return replace(self, indices=self.indices[:prompts])

    def __iter__(self) -> Iterator[Shard]:
        return (self[index] for index in range(len(self)))


def train_shards(round: int, stores: Mapping[str, PromptStore], config: Config) -> RoundShards:
    """The round's slice of its prompts (see `Config.prompt_set`), in the run's seeded order."""
    name = config.at(round).prompt_set
    phases = [config.at(earlier) for earlier in range(1, round + 1)]
    sizes = [phase.run.prompts_per_round for phase in phases if phase.prompt_set == name]
    store = stores[name]
    indices = round_indices(num_prompts=len(store), round_sizes=sizes, seed=config.run.seed)
    return RoundShards(
        round=round, split="train", store=store, indices=indices, prompts_per_shard=config.run.prompts_per_shard
    )


def heldout_shards(round: int, store: PromptStore, run: RunConfig) -> RoundShards:
    """All held-out prompts, in their order."""
    return RoundShards(
        round=round, split="heldout", store=store, indices=range(len(store)), prompts_per_shard=run.prompts_per_shard
    )
