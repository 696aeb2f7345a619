"""A fresh part of a large evaluation set each time, as CLEVA draws its own (arXiv 2308.04813)."""

from collections.abc import Sequence

from ..data.seeds import derive_seed


def fresh_subset(ids: Sequence[str], *, size: int, draw: int, seed: int) -> list[str]:
    """The ids of draw number `draw` (from 0): `size` of them, in the order of `ids`.

    Draws do not overlap until all ids are used; then they are shuffled anew. Every draw can be made again by its number
    alone. A draw that goes over that edge holds no id twice. That CLEVA draws in just this way is not verified.

    Raises:
        ValueError: `size` is not between 1 and the number of ids.

    Example:
        >>> sorted(fresh_subset("abcd", size=2, draw=0, seed=1) + fresh_subset("abcd", size=2, draw=1, seed=1))
        ['a', 'b', 'c', 'd']
    """
    if not 1 <= size <= len(ids):
        raise ValueError(f"a subset of {size} of {len(ids)} prompts cannot be drawn")
    chosen: list[str] = []
    queue: list[str] = []
    shuffles = 0
    for _ in range(draw + 1):
        chosen, queue = queue[:size], queue[size:]
        if len(chosen) < size:
            shuffled = sorted(ids, key=lambda one: derive_seed(seed, "subset", shuffles, one))
            shuffles += 1
            # Those of this draw stand last: they come again only when all others have.
            fresh = [one for one in shuffled if one not in chosen] + [one for one in shuffled if one in chosen]
            missing = size - len(chosen)
            chosen, queue = chosen + fresh[:missing], fresh[missing:]
    place = {one: i for i, one in enumerate(ids)}
    return sorted(chosen, key=place.__getitem__)
