"""Which rounds' pairs an update learns from, and in which order they come."""

from collections.abc import AsyncIterator, Mapping, Sequence

import numpy as np

from ..config.schema import Config
from ..prompts.shards import RoundShards
from .outcomes import OfShard, committed_outcomes
from .stages import Stages


def rounds_learnt(config: Config, round: int) -> list[int]:
    """The rounds whose pairs round `round` learns from, itself the last. `config` is the whole run's.

    Earlier ones are those of its own phase: other phases may pair for another objective.

    Example: with `data=with_previous`, round 3 learns from rounds 2 and 3, and a phase's first round from itself.
    """
    data = config.at(round).learner.data
    first = {"this_round": round, "with_previous": max(1, round - 1), "all_rounds": 1}[data]
    phase = config.phase_name(round)
    return [earlier for earlier in range(first, round + 1) if config.phase_name(earlier) == phase]


def riffle_order(lengths: Mapping[int, int], *, last: int, seed: int) -> list[int]:
    """Whose shard comes next, for rounds of so many shards: a riffle of the rounds, drawn by `seed`.

    The shards of one round stay in their order, so the learner still takes round `last`'s as they are sampled. The
    first is one of them: where learner and engines share devices, it comes when everything is sampled.

    Example:
        >>> riffle_order({1: 2, 2: 2}, last=2, seed=1)
        [2, 1, 1, 2]
    """
    others = [round for round, length in lengths.items() for _ in range(length - (round == last))]
    order = np.random.default_rng(seed).permutation(np.array(others, dtype=np.int64))
    return [last, *order.tolist()]


async def riffled(
    fresh: AsyncIterator[OfShard],
    earlier: Sequence[RoundShards],
    shards: RoundShards,
    *,
    stages: Stages,
    seed: int,
) -> AsyncIterator[OfShard]:
    """The shards of `fresh`, which are those of `shards`, among those of earlier rounds, read back as they come: what
    the phase's filter, which is theirs too, has left of them."""
    lengths = {each.round: len(each) for each in (*earlier, shards)}
    streams = {each.round: committed_outcomes(each, stages) for each in earlier} | {shards.round: fresh}
    for round in riffle_order(lengths, last=shards.round, seed=seed):
        yield await anext(streams[round])
