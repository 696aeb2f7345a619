"""A round's summary: counts, lengths, judge health. Running sums only: memory does not grow with prompts."""

import math
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from .records import Judgment, PairingOutcome, Rollout, Shard

SCORE_BINS = 6  # of the score histogram: [0,1), [1,2), …, [5,∞)


@dataclass
class Correlation:
    """Pearson correlation from running sums (Welford's update)."""

    n: int = 0
    mean_x: float = 0.0
    mean_y: float = 0.0
    xx: float = 0.0
    yy: float = 0.0
    xy: float = 0.0

    def add(self, x: float, y: float) -> None:
        self.n += 1
        dx, dy = x - self.mean_x, y - self.mean_y
        self.mean_x += dx / self.n
        self.mean_y += dy / self.n
        self.xx += dx * (x - self.mean_x)
        self.yy += dy * (y - self.mean_y)
        self.xy += dx * (y - self.mean_y)

    @property
    def value(self) -> float | None:
        """None where it is undefined: fewer than two points, or one side constant."""
        scale = math.sqrt(self.xx * self.yy)
        return self.xy / scale if self.n > 1 and scale > 1e-12 else None


@dataclass
class Mean:
    n: int = 0
    total: float = 0.0

    def add(self, value: float) -> None:
        self.n += 1
        self.total += value

    @property
    def value(self) -> float | None:
        return self.total / self.n if self.n else None


@dataclass
class JudgeHealth:
    """Whether a judge can be trusted: parse rate, scores, mass on scores, correlation with length; of a judge that
    compares, how often it says the same both ways round, and how often it prefers what it is shown first; of a
    validator, how often it agrees with what was generated."""

    votes: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    scores: Mean = field(default_factory=Mean)
    choice_mass: Mean = field(default_factory=Mean)
    histogram: Counter[int] = field(default_factory=Counter)
    length: Correlation = field(default_factory=Correlation)
    on_scale: bool = True  # whether every score fits the histogram
    prefers_first: Mean = field(default_factory=Mean)
    consistent: Mean = field(default_factory=Mean)
    agreement: Mean = field(default_factory=Mean)

    def add(self, rollouts: Sequence[Rollout], judgments: Sequence[Judgment]) -> None:
        lengths = {(rollout.prompt_id, rollout.sample): len(rollout.token_ids) for rollout in rollouts}
        for judgment in judgments:
            self.votes += 1
            self.statuses[judgment.status] += 1
            if judgment.choice_mass is not None:
                self.choice_mass.add(judgment.choice_mass)
            if judgment.agrees is not None:
                self.agreement.add(float(judgment.agrees))
            if judgment.score is not None:
                self.scores.add(judgment.score)
                self.on_scale &= 0 <= judgment.score < SCORE_BINS
                self.histogram[int(judgment.score)] += 1
                self.length.add(judgment.score, lengths[judgment.prompt_id, judgment.sample])
        self._add_comparisons(judgments)

    def _add_comparisons(self, judgments: Sequence[Judgment]) -> None:
        """A comparison's even votes show `sample` first; the odd vote after each asks the other way round."""
        asked: dict[tuple[str, int], list[float]] = {}
        for judgment in judgments:
            if judgment.probability is not None:
                asked.setdefault((judgment.prompt_id, judgment.vote // 2), []).append(judgment.probability)
                first = judgment.probability if judgment.vote % 2 == 0 else 1 - judgment.probability
                self.prefers_first.add(first)
        for both in asked.values():
            if len(both) == 2:
                one, other = both
                self.consistent.add(float((one - 0.5) * (other - 0.5) > 0))

    def summary(self) -> dict[str, Any]:
        if not self.votes:
            return {}
        return {
            "votes": self.votes,
            "parse_rate": self.statuses["parsed"] / self.votes,
            "truncated": self.statuses["truncated"],
            "unparsable": self.statuses["unparsable"],
            "score_mean": self.scores.value,
            "score_std": math.sqrt(self.length.xx / self.length.n) if self.length.n else None,
            "score_histogram": [self.histogram[index] for index in range(SCORE_BINS)] if self.on_scale else None,
            "score_length_correlation": self.length.value,
            "choice_mass": self.choice_mass.value,
            "swap_consistency": self.consistent.value,
            "prefers_first": self.prefers_first.value,
            "agreement_rate": self.agreement.value,
        }


@dataclass
class RoundStats:
    """A round's accounting. Every prompt that entered ends in `pairs`, in `groups` or in one reason of `dropped`."""

    prompts: int = 0
    rollouts: int = 0
    rollout_tokens: int = 0
    truncated: int = 0
    pairs: int = 0
    groups: int = 0
    equal_groups: int = 0  # of several responses, all scored alike: they teach a policy gradient nothing
    dropped: Counter[str] = field(default_factory=Counter)
    remarks: Counter[str] = field(default_factory=Counter)  # why generation went no further with a text
    margins: Mean = field(default_factory=Mean)
    length_gap: Mean = field(default_factory=Mean)
    judge: JudgeHealth = field(default_factory=JudgeHealth)
    limits: dict[str, float] = field(default_factory=dict)  # of the round, by which a filter decided

    def add(self, shard: Shard, rollouts: Sequence[Rollout], judgments: Sequence[Judgment]) -> None:
        """Count what was sampled and judged of one shard."""
        self.prompts += len(shard.prompts)
        self.rollouts += len(rollouts)
        self.rollout_tokens += sum(len(rollout.token_ids) for rollout in rollouts)
        self.truncated += sum(rollout.truncated for rollout in rollouts)
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
            self.pairs += 1
            self.length_gap.add(len(outcome.pair.chosen.token_ids) - len(outcome.pair.rejected.token_ids))
            if outcome.pair.margin is not None:
                self.margins.add(outcome.pair.margin)

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
            "pairs": self.pairs,
            "groups": self.groups,
            "equal_groups": self.equal_groups,
            "dropped": dict(sorted(self.dropped.items())),
            "limits": self.limits,
            "remarks": dict(sorted(self.remarks.items())),
            "score_margin": self.margins.value,
            "length_gap_tokens": self.length_gap.value,
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
        if self._active[stage] == 0:
            self._since[stage] = time.monotonic()
        self._active[stage] += 1
        try:
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
