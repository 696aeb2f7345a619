"""Which prompts a round sees: the next slice of a seeded order, none repeated before all are used."""

from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate

import numpy as np

from ..data.seeds import derive_seed


def round_indices(*, num_prompts: int, round_sizes: Sequence[int], seed: int) -> np.ndarray:
    """Indices into the prompt set for the last of rounds of `round_sizes` prompts, without repeats.

    The rounds walk through one shuffled pass over all prompts after the other. A round that straddles two passes gets
    the rest of the first and the start of the second, in which the prompts it already has come later.

    Raises:
        ValueError: there are fewer prompts than a round needs.

    Example:
        >>> a = round_indices(num_prompts=4, round_sizes=[2], seed=0)
        >>> b = round_indices(num_prompts=4, round_sizes=[2, 2], seed=0)
        >>> sorted([*a.tolist(), *b.tolist()])
        [0, 1, 2, 3]
    """
    if num_prompts < max(round_sizes):
        raise ValueError(f"{max(round_sizes)} prompts a round, but only {num_prompts} in all")
    starts = tuple(accumulate(round_sizes, initial=0))
    start, end = starts[-2:]
    first, last = start // num_prompts, (end - 1) // num_prompts
    walk = np.concatenate([_pass_order(num_prompts, starts, index, seed) for index in range(first, last + 1)])
    offset = start - first * num_prompts
    return walk[offset : offset + end - start]


@lru_cache(maxsize=4)
def _pass_order(num_prompts: int, starts: tuple[int, ...], index: int, seed: int) -> np.ndarray:
    """The order of pass `index`, arranged so that the round straddling its start repeats no prompt.

    That depends on the end of the pass before, and so on, back to a pass that starts with a round.
    """
    first = index
    while _straddling(starts, first * num_prompts)[0]:
        first -= 1
    order = _shuffled(num_prompts, first, seed)
    for later in range(first + 1, index + 1):
        from_before, needed = _straddling(starts, later * num_prompts)
        order = _arranged(_shuffled(num_prompts, later, seed), order[-from_before:], needed)
    return order


def _straddling(starts: tuple[int, ...], boundary: int) -> tuple[int, int]:
    """Of the round that holds the prompt at `boundary`: how many it has before it, and how many from there on."""
    round = bisect_right(starts, boundary)
    return boundary - starts[round - 1], starts[round] - boundary


def _shuffled(num_prompts: int, index: int, seed: int) -> np.ndarray:
    return np.random.default_rng(derive_seed(seed, "prompt-order", index)).permutation(num_prompts)


def _arranged(order: np.ndarray, taken: np.ndarray, needed: int) -> np.ndarray:
    """`order` with its first `needed` prompts that are not in `taken` put in front."""
    head = order[np.isin(order, taken, invert=True)][:needed]
    return np.concatenate([head, order[np.isin(order, head, invert=True)]])
