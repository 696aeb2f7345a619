"""Whether a judge can be trusted, by what it said: running sums over its judgments. Memory does not grow with them."""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..data.records import Judgment, Rollout
from ..protocols import Reading
from .running_stats import Correlation, Mean, PartialCorrelation


@dataclass
class JudgeHealth:
    """Parse rate, scores and how far they are one and the same, mass on scores, correlation with length (also beyond
    what the likelihood of a response says of both); of a judge that compares, how often it says the same both ways
    round (neither, both times, is the same), how often it prefers what it is shown first, and how often it prefers
    nothing; of a validator, how often it agrees with what was generated.

    Votes and comparisons are counted as they were given, scores as the judge means them (`reading`): the members of a
    panel may score on scales of their own. A bin of the histogram holds the scores from one point of the scale to
    below the next one; the last holds full marks alone.
    """

    reading: Reading = field(default_factory=Reading)
    votes: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    scores: Mean = field(default_factory=Mean)
    choice_mass: Mean = field(default_factory=Mean)
    histogram: Counter[int] = field(default_factory=Counter)
    length: Correlation = field(default_factory=Correlation)
    beyond_likelihood: PartialCorrelation = field(default_factory=PartialCorrelation)
    prefers_first: Mean = field(default_factory=Mean)
    consistent: Mean = field(default_factory=Mean)
    even: Mean = field(default_factory=Mean)
    agreement: Mean = field(default_factory=Mean)

    def add(self, rollouts: Sequence[Rollout], judgments: Sequence[Judgment]) -> None:
        judged = {(rollout.prompt_id, rollout.sample): rollout for rollout in rollouts}
        for judgment in judgments:
            self.votes += 1
            self.statuses[judgment.status] += 1
            if judgment.choice_mass is not None:
                self.choice_mass.add(judgment.choice_mass)
            if judgment.agrees is not None:
                self.agreement.add(float(judgment.agrees))
        for said in self.reading.conclude(judgments):
            if said.score is not None:
                self._add_score(said.score, judged[said.prompt_id, said.sample])
        self._add_comparisons(judgments)

    def _add_score(self, score: float, rollout: Rollout) -> None:
        length, logprobs = len(rollout.token_ids), rollout.logprobs
        self.scores.add(score)
        if points := self.reading.points:
            assert points[0] <= score <= points[-1], f"a score of {score} on a scale from {points[0]} to {points[-1]}"
            self.histogram[bisect_right(points, score) - 1] += 1
        self.length.add(score, length)
        if logprobs:  # a given response has none
            self.beyond_likelihood.add(score, length, sum(logprobs) / len(logprobs))

    def _add_comparisons(self, judgments: Sequence[Judgment]) -> None:
        """A comparison's even votes show `sample` first; the odd vote after each asks the other way round."""
        asked: dict[tuple[str, int, int | None, int], list[float]] = {}
        for judgment in judgments:
            if judgment.probability is not None:
                question = (judgment.prompt_id, judgment.sample, judgment.other, judgment.vote // 2)
                asked.setdefault(question, []).append(judgment.probability)
                self.prefers_first.add(judgment.probability if judgment.vote % 2 == 0 else 1 - judgment.probability)
                self.even.add(float(judgment.probability == 0.5))
        for both in asked.values():
            if len(both) == 2:
                one, other = both
                self.consistent.add(float(verdict(one) == verdict(other)))

    def summary(self) -> dict[str, Any]:
        if not self.votes:
            return {}
        points = self.reading.points
        histogram = [self.histogram[index] for index in range(len(points))] if points and self.scores.n else None
        return {
            "votes": self.votes,
            "parse_rate": self.statuses["parsed"] / self.votes,
            "truncated": self.statuses["truncated"],
            "unparsable": self.statuses["unparsable"],
            "score_mean": self.scores.value,
            "score_std": math.sqrt(self.length.xx / self.length.n) if self.length.n else None,
            "score_points": list(points) if histogram and points else None,
            "score_histogram": histogram,
            "score_concentration": max(histogram) / self.scores.n if histogram else None,
            "score_length_correlation": self.length.value,
            "score_length_partial": self.beyond_likelihood.value,
            "score_likelihood_correlation": self.beyond_likelihood.xz.value,
            "choice_mass": self.choice_mass.value,
            "swap_consistency": self.consistent.value,
            "prefers_first": self.prefers_first.value,
            "even_comparisons": self.even.value,
            "agreement_rate": self.agreement.value,
        }


def verdict(probability: float) -> int:
    """Which of two responses a probability prefers: 1 the first, −1 the second, 0 neither."""
    return (probability > 0.5) - (probability < 0.5)
