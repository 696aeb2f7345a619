"""What filters of judgments share: rows of judging prompts that belong together, and an order drawn by seed."""

from collections.abc import Sequence

import numpy as np

from ...orchestrator.data.seeds import derive_seed


def grouped(*columns: np.ndarray) -> list[list[int]]:
    """The places of rows that are equal in all of `columns`, in order."""
    groups: dict[tuple[float, ...], list[int]] = {}
    for index, key in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
        groups.setdefault(key, []).append(index)
    return list(groups.values())


def drawn(indices: Sequence[int], rows: np.ndarray, seed: int) -> list[int]:
    """The places in an order drawn by seed, which depends on what the rows are of alone."""
    return sorted(
        indices,
        key=lambda index: derive_seed(
            seed, "judgments", *(str(rows[name][index]) for name in ("source", "rank", "other_rank", "sample"))
        ),
    )
