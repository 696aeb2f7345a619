"""A round's summary: counts, lengths, learning, time. Running sums only: memory does not grow with prompts."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ..data.records import Judgment, PairingOutcome, PreferencePair, Rollout, Shard
from ..errors import located
from ..prompts.duplicates import Duplicates
from .judge_health import JudgeHealth
from .running_stats import Mean

LENGTH_DIFFERENCE = 30  # characters; a smaller one does not count as a longer response (AlpacaEval's code)


@dataclass
class RoundStats:
    """A round's accounting. Every prompt that entered ends in `pairs`, in `groups` or in one reason of `dropped`."""

    prompts: int = 0
    rollouts: int = 0
    rollout_tokens: int = 0
    truncated: int = 0
    empty: int = 0  # responses of no text, or of white space alone
    pairs: int = 0
    groups: int = 0
    equal_groups: int = 0  # of several responses, all scored alike: they teach a policy gradient nothing
    dropped: Counter[str] = field(default_factory=Counter)
    margins: Mean = field(default_factory=Mean)
    length_gap: Mean = field(default_factory=Mean)
    prefers_longer: Mean = field(default_factory=Mean)  # over pairs whose responses differ enough in length
    duplicates: Duplicates = field(default_factory=Duplicates)
    judge: JudgeHealth = field(default_factory=JudgeHealth)
    limits: dict[str, float] = field(default_factory=dict)  # of the round, by which a filter decided
    remarks: Counter[str] = field(default_factory=Counter)  # why generation went no further with a text

    def add(self, shard: Shard, rollouts: Sequence[Rollout], judgments: Sequence[Judgment]) -> None:
        """Count what was sampled and judged of one shard."""
        self.prompts += len(shard.prompts)
        self.rollouts += len(rollouts)
        self.rollout_tokens += sum(len(rollout.token_ids) for rollout in rollouts)
        self.truncated += sum(rollout.truncated for rollout in rollouts)
        self.empty += sum(not rollout.text.strip() for rollout in rollouts if not rollout.interim)
        self.duplicates.add([rollout for rollout in rollouts if not rollout.interim])
        self.remarks.update(rollout.remark for rollout in rollouts if rollout.remark)
        self.judge.add(rollouts, judgments)

    def count(self, outcomes: Sequence[PairingOutcome]) -> None:
        """Count what is learnt from of one shard's prompts, and what is not."""
        for outcome in outcomes:
            if outcome.dropped is not None:
                self.dropped[outcome.dropped.reason] += 1
                continue
            if outcome.group is not None:
                self.groups += 1
                self.equal_groups += len(outcome.group.scores) > 1 and len(set(outcome.group.scores)) == 1
                continue
            assert outcome.pair is not None
            self._add_pair(outcome.pair)

    def _add_pair(self, pair: PreferencePair) -> None:
        self.pairs += 1
        self.length_gap.add(len(pair.chosen.token_ids) - len(pair.rejected.token_ids))
        longer = len(pair.chosen.text) - len(pair.rejected.text)
        if abs(longer) > LENGTH_DIFFERENCE:
            self.prefers_longer.add(float(longer > 0))
        if pair.margin is not None:
            self.margins.add(pair.margin)

    def summary(self) -> dict[str, Any]:
        assert self.prompts == self.pairs + self.groups + self.dropped.total(), "a prompt is unaccounted for"
        health = self.judge.summary()
        if health:
            health["tie_rate"] = (self.dropped["tie"] + self.equal_groups) / self.prompts
        return {
            "prompts": self.prompts,
            "rollouts": self.rollouts,
            "rollout_tokens": self.rollout_tokens,
            "truncated": self.truncated,
            "empty": self.empty,
            "pairs": self.pairs,
            "groups": self.groups,
            "equal_groups": self.equal_groups,
            "dropped": dict(sorted(self.dropped.items())),
            "score_margin": self.margins.value,
            "length_gap_tokens": self.length_gap.value,
            "prefers_longer": self.prefers_longer.value,
            "duplicates": self.duplicates.share,
            "limits": self.limits,
            "remarks": dict(sorted(self.remarks.items())),
            "judge": health,
        }


class DistinctN:
    """distinct-n: the share of different n-grams among all n-grams of all responses (token ids)."""

    def __init__(self, n: int):
        self.n, self.total, self.seen = n, 0, set[tuple[int, ...]]()

    def add(self, token_ids: Sequence[int]) -> None:
        for start in range(len(token_ids) - self.n + 1):
            self.total += 1
            self.seen.add(tuple(token_ids[start : start + self.n]))

    @property
    def value(self) -> float | None:
        return len(self.seen) / self.total if self.total else None


class StageClock:
    """Seconds in which at least one shard was in a stage. Stages overlap, so they do not add up to the round."""

    def __init__(self):
        self._active: Counter[str] = Counter()
        self._since: dict[str, float] = {}
        self.seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def active(self, stage: str) -> Iterator[None]:
        """The time in the block counts for `stage`, and an error in it names the stage."""
        if self._active[stage] == 0:
            self._since[stage] = time.monotonic()
        self._active[stage] += 1
        try:
            with located(f"stage {stage}"):
                yield
        finally:
            self._active[stage] -= 1
            if self._active[stage] == 0:
                self.seconds[stage] += time.monotonic() - self._since[stage]


@dataclass
class LearningStats:
    """A round's learning metrics: every metric's mean over optimizer steps, weighted by the examples of each.

    A step that lacks a metric (none of its examples has it) counts for nothing in it.
    """

    steps: int = 0
    pairs: float = 0.0
    totals: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    weights: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    @classmethod
    def of(cls, steps: Sequence[dict[str, float]]) -> "LearningStats":
        stats = cls()
        for step in steps:
            stats.add(step)
        return stats

    def add(self, step: dict[str, float]) -> None:
        self.steps += 1
        self.pairs += step["pairs"]
        for name, value in step.items():
            if name not in ("step", "pairs"):
                self.totals[name] += value * step["pairs"]
                self.weights[name] += step["pairs"]

    def summary(self) -> dict[str, float]:
        means = {name: total / self.weights[name] for name, total in self.totals.items()}
        return {**means, "steps": self.steps, "pairs_trained": int(self.pairs)}
