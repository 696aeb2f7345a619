"""Which prompts a round sees: the next slice of a seeded order, none repeated before all are used."""

from functools import lru_cache

import numpy as np

from .seeds import derive_seed


def round_indices(*, num_prompts: int, prompts_per_round: int, round: int, seed: int) -> np.ndarray:
    """Indices into the prompt set for round `round` (from 1), shape (prompts_per_round,), without repeats.

    The rounds walk through one shuffled pass over all prompts after the other. A round that straddles two passes gets
    the rest of the first and the start of the second, in which the prompts it already has come later.

    Raises:
        ValueError: there are fewer prompts than a round needs.

    Example:
        >>> a = round_indices(num_prompts=4, prompts_per_round=2, round=1, seed=0)
        >>> b = round_indices(num_prompts=4, prompts_per_round=2, round=2, seed=0)
        >>> sorted([*a.tolist(), *b.tolist()])
        [0, 1, 2, 3]
    """
    if num_prompts < prompts_per_round:
        raise ValueError(f"{prompts_per_round} prompts a round, but only {num_prompts} in all")
    start = (round - 1) * prompts_per_round
    first, last = start // num_prompts, (start + prompts_per_round - 1) // num_prompts
    walk = np.concatenate(
        [_pass_order(num_prompts, prompts_per_round, index, seed) for index in range(first, last + 1)]
    )
    offset = start - first * num_prompts
    return walk[offset : offset + prompts_per_round]


@lru_cache(maxsize=4)
def _pass_order(num_prompts: int, prompts_per_round: int, index: int, seed: int) -> np.ndarray:
    """The order of pass `index`, arranged so that the round straddling its start repeats no prompt.

    That depends on the end of the pass before, and so on, back to a pass that starts with a round.
    """
    first = index
    while (first * num_prompts) % prompts_per_round:
        first -= 1
    order = _shuffled(num_prompts, first, seed)
    for later in range(first + 1, index + 1):
        from_before = (later * num_prompts) % prompts_per_round  # of the straddling round, taken from the pass before
        order = _arranged(_shuffled(num_prompts, later, seed), order[-from_before:], prompts_per_round - from_before)
    return order


def _shuffled(num_prompts: int, index: int, seed: int) -> np.ndarray:
    return np.random.default_rng(derive_seed(seed, "prompt-order", index)).permutation(num_prompts)


def _arranged(order: np.ndarray, taken: np.ndarray, needed: int) -> np.ndarray:
    """`order` with its first `needed` prompts that are not in `taken` put in front."""
    head = order[np.isin(order, taken, invert=True)][:needed]
    return np.concatenate([head, order[np.isin(order, head, invert=True)]])
