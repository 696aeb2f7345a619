"""What the sandbox claims, tested pairwise: the same held-out tasks of the same seeds, under two policies.

McNemar's test, clustered by task (the five judgments on a task are no independent ones; Durkalski et al. 2003): of the
differences d_k of a task's right answers, z = Σ d_k / √Σ d_k². With one answer a task it is McNemar's own, whose exact
form (a binomial test of the tasks that only one of the two got right) is used. Every interval is of these tasks and
starts: it says nothing of other seeds, for which `rises` counts on how many the difference is above 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, erfc, sqrt

import numpy as np
from rich.table import Table
from sandbox_figures import STAGES, Figures

Z = 1.959963984540054


@dataclass(frozen=True, kw_only=True, slots=True)
class Paired:
    """A later policy against an earlier one (or one contestant against another). Shares are of 1."""

    claim: str
    measure: str
    seeds: int
    tasks: int
    difference: float
    low: float
    high: float
    p: float
    rises: int  # on so many seeds


def paired(claim: str, measure: str, by_seed: Sequence[tuple[Sequence[int], Sequence[int]]], of: int) -> Paired:
    """Test `by_seed`, each seed's tasks' right ones (before, after), of `of` a task."""
    gaps = [np.subtract(after, before) for before, after in by_seed]
    every = np.concatenate(gaps)
    mean = every.mean() / of
    reach = Z * sqrt(((every / of - mean) ** 2).sum()) / len(every)
    return Paired(
        claim=claim,
        measure=measure,
        seeds=len(gaps),
        tasks=len(every),
        difference=float(mean),
        low=float(mean - reach),
        high=float(mean + reach),
        p=mcnemar(every),
        rises=sum(int(gap.sum() > 0) for gap in gaps),
    )


def mcnemar(gaps: np.ndarray) -> float:
    """The two-sided p of these differences, one a cluster. 1 where there is none.

    Example:
        >>> mcnemar(np.array([1, 1, 1, 1, 1, 0, 0])), mcnemar(np.array([0, 0]))
        (0.0625, 1.0)
    """
    if not gaps.any():
        return 1.0
    if np.abs(gaps).max() <= 1:
        n, least = int(np.abs(gaps).sum()), int(min((gaps > 0).sum(), (gaps < 0).sum()))
        return min(1.0, 2 * sum(comb(n, k) for k in range(least + 1)) / 2**n)
    return erfc(abs(gaps.sum()) / sqrt(float((gaps**2).sum())) / sqrt(2))


def compared(figures: Sequence[Figures], judged: int) -> list[Paired]:
    """Of every contestant: its last policy against its start, before its last rounds, and against the controls."""
    found = []
    names = list(dict.fromkeys(one.name for one in figures))
    for name in names:
        rivals = [(name, "start"), (name, "1"), *((other, STAGES[-1]) for other in _CONTROLS if other != name)]
        for rival, stage in rivals:
            for measure, of in (("answers", 1), ("judgments", judged)):
                by_seed = [
                    (getattr(before, measure), getattr(after, measure))
                    for after in figures
                    if (after.name, after.stage) == (name, STAGES[-1])
                    for before in figures
                    if (before.name, before.stage, before.seed) == (rival, stage, after.seed)
                ]
                if by_seed:
                    against = f"its {stage}" if stage == "start" else f"its round {stage}" if rival == name else rival
                    found.append(paired(f"{name} against {against}", measure, by_seed, of))
    return found


_CONTROLS = ("random judge", "true judge")


def pairs_table(rows: Sequence[Paired]) -> Table:
    """A row a test; p is not corrected for how many tests there are."""
    shown = Table(title="round 3, paired by seed and task (McNemar, clustered by task)")
    for heading in ("claim", "right", "seeds", "tasks", "points", "95% interval", "p", "rises on"):
        shown.add_column(heading)
    for one in rows:
        shown.add_row(
            one.claim,
            one.measure,
            str(one.seeds),
            str(one.tasks),
            f"{100 * one.difference:+.1f}",
            f"{100 * one.low:+.1f} to {100 * one.high:+.1f}",
            f"{one.p:.2g}",
            f"{one.rises} of {one.seeds}",
        )
    return shown
