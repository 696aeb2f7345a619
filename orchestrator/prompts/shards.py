"""A round's shards, made one at a time from the prompt store: a round may be larger than memory."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ..config.schema import Config
from ..data.records import Prompt, Shard
from ..data.seeds import derive_seed
from .order import round_indices
from .store import PromptStore
from .subset import fresh_subset


@dataclass(frozen=True, kw_only=True, slots=True)
class WithNewPrompts:
    """The training prompts, and behind them a round's new ones."""

    file: PromptStore
    new: Sequence[Prompt]

    def take(self, indices: Sequence[int] | np.ndarray) -> tuple[Prompt, ...]:
        """The prompts at `indices`, in that order."""
        of_file = iter(self.file.take([index for index in indices if index < len(self.file)]))
        return tuple(next(of_file) if index < len(self.file) else self.new[index - len(self.file)] for index in indices)


@dataclass(frozen=True, kw_only=True, slots=True)
class RoundShards:
    """The shards over `indices` of `store`, in order."""

    round: int
    split: Literal["train", "heldout"]
    store: PromptStore | WithNewPrompts
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


def round_drawn(config: Config, round: int) -> int:
    """The round whose prompts round `round` has: its own, or where it takes up the one before it, that one's."""
    return round - config.at(round).generation.is_again()


def train_shards(
    round: int, stores: Mapping[str, PromptStore], config: Config, new: Sequence[Prompt] = ()
) -> RoundShards:
    """The round's slice of its prompts (see `Config.prompt_set`), in the run's seeded order; or its `new` prompts,
    shuffled by seed with what the training prompts give beside them. A round that takes up the one before it has the
    prompts of that one, new ones too."""
    drawn = round_drawn(config, round)
    name = config.at(drawn).prompt_set
    store, indices = stores[name], _of_file(drawn, name, stores[name], config)
    if new:
        both = np.concatenate([indices, np.arange(len(new)) + len(store)])
        indices = np.random.default_rng(derive_seed(config.run.seed, "new-prompts-order", drawn)).permutation(both)
    return RoundShards(
        round=round,
        split="train",
        store=WithNewPrompts(file=store, new=new) if new else store,
        indices=indices,
        prompts_per_shard=config.run.prompts_per_shard,
    )


def _of_file(round: int, name: str, store: PromptStore, config: Config) -> np.ndarray:
    """What the file of prompt set `name` gives to the round. New prompts leave its order as it is, for later rounds."""
    phases = [config.at(number) for number in range(1, round + 1)]
    drawing = [one for one in phases if one.prompt_set == name and not one.generation.is_again()]
    sizes = [one.run.prompts_per_round - one.new_prompts_per_round for one in drawing]
    if not sizes[-1]:
        return np.zeros(0, dtype=np.int64)
    return round_indices(num_prompts=len(store), round_sizes=[size for size in sizes if size], seed=config.run.seed)


def heldout_shards(round: int, store: PromptStore, config: Config) -> RoundShards:
    """The fixed held-out prompts, which are the file's first ones, in their order."""
    return _heldout(round, store, range(config.evaluation.num_prompts), config)


def fresh_shards(round: int, store: PromptStore, config: Config) -> RoundShards | None:
    """The round's own draw of those held-out prompts that are not fixed; None where `fresh_prompts` asks for none.

    It depends on the run's seed and the round alone. No prompt comes again until all have been drawn."""
    size = config.evaluation.fresh_prompts
    if size is None:
        return None
    others = [str(index) for index in range(config.evaluation.num_prompts, len(store))]
    drawn = fresh_subset(others, size=size, draw=round, seed=config.run.seed)
    return _heldout(round, store, [int(index) for index in drawn], config)


def _heldout(round: int, store: PromptStore, indices: Sequence[int], config: Config) -> RoundShards:
    return RoundShards(
        round=round, split="heldout", store=store, indices=indices, prompts_per_shard=config.run.prompts_per_shard
    )
