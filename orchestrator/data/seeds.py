"""Seeds are hashes of what they are for, never of when they were drawn: a retry or a resume draws the same numbers."""

import hashlib
from collections.abc import Iterable


def derive_seed(*parts: int | str) -> int:
    """A 31-bit seed from `parts`, equal on every machine and in every process.

    Example:
        >>> derive_seed(0, "rollout", 1, "prompt-7", 2)
        1713294926
    """
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 33


def sample_seeds(*parts: int | str, samples: Iterable[int]) -> list[int]:
    """A seed for each of a prompt's samples, no two alike: a seed that an earlier one of `samples` has is drawn again.

    Two samples of one seed would be one response twice: with 64 samples of 31 bits, in one prompt of a million.
    """
    seeds: dict[int, None] = {}
    for sample in samples:
        seed = derive_seed(*parts, sample)
        while seed in seeds:
            seed = derive_seed(*parts, sample, "again", seed)
        seeds[seed] = None
    return [*seeds]
