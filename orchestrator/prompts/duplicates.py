"""Responses that say the same to different prompts: what a policy collapses into when one text pleases its judge
everywhere, as null models do (arXiv 2410.07137)."""

import hashlib
from array import array
from collections.abc import Sequence

import numpy as np

from ..data.records import Rollout


class Duplicates:
    """The share of responses that are word for word another prompt's too, whitespace at the ends aside.

    Equal responses to one prompt count once. Eight bytes a response are kept.
    """

    def __init__(self) -> None:
        self._hashes = array("Q")

    def add(self, rollouts: Sequence[Rollout]) -> None:
        """Take all responses to some prompts. A prompt's responses come together."""
        different = {(rollout.prompt_id, rollout.text.strip()) for rollout in rollouts}
        self._hashes.extend(_hash(text) for _, text in different)

    @property
    def share(self) -> float | None:
        """None where there is no response."""
        if not self._hashes:
            return None
        _, counts = np.unique(np.frombuffer(self._hashes, dtype=np.uint64), return_counts=True)
        return float(counts[counts > 1].sum()) / len(self._hashes)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
