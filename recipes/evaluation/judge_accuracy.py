"""How well a judge agrees with the labels of pairs that people (or constructions) have labelled."""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from .comparisons import Comparison, Verdict
from .intervals import Interval, mean_interval
from .win_rate import first_preference, swap_consistency

# What becomes of an answer that could not be read: it is left out, it is wrong, or it is a tie.
Unread: TypeAlias = Literal["left_out", "wrong", "tie"]


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgeAccuracy:
    """A judge against labels. All but the counts are shares, over the comparisons that could be read; the accuracies
    count what could not be read as `unread` says.

    `accuracy` asks for the label itself, ties included, of the verdict. `answer_accuracy` is over pairs whose label is
    no tie, where a judge's tie counts half: of both orders' answers (LLMBar's accuracy: contradicting orders score a
    half), or of the scores (as RewardBench's). The intervals are 95% (`mean_interval`). `swap_consistency` and
    `prefers_first` are None of a judge that scores, which is asked in no order. `kappa` is Cohen's, None where it is
    undefined.

    Example:
        JudgeAccuracy(pairs=10, unparsable=0, unread="wrong", accuracy=0.7, accuracy_interval=(0.4, 0.9),
                      answer_accuracy=0.75, answer_interval=(0.4, 0.9), swap_consistency=0.8, prefers_first=0.1,
                      tie_rate=0.2, label_tie_rate=0.1, kappa=0.5, by_subset={"natural": 0.7},
                      subset_intervals={"natural": (0.4, 0.9)})
    """

    pairs: int
    unparsable: int
    unread: Unread
    accuracy: float
    accuracy_interval: Interval
    answer_accuracy: float | None
    answer_interval: Interval | None
    swap_consistency: float | None
    prefers_first: float | None
    tie_rate: float
    label_tie_rate: float
    kappa: float | None
    by_subset: dict[str, float]
    subset_intervals: dict[str, Interval]

    @property
    def parse_rate(self) -> float:
        return 1.0 - self.unparsable / self.pairs


def judge_accuracy(
    comparisons: Sequence[Comparison],
    labels: Sequence[Verdict],
    subsets: Sequence[str],
    prompts: Sequence[Hashable] | None = None,
    *,
    unread: Unread = "left_out",
) -> JudgeAccuracy | None:
    """A judge's comparisons against their `labels`, with the accuracy of every subset. None if nothing could be read.

    The verdict on a pair is the response preferred in both orders (a tie where they disagree), or the one that scores
    higher. What could not be read is counted (`unparsable`). In the accuracies it is left out, with the pair's other
    answer; or wrong; or a tie, as the benchmark has it: see `unread`. No other figure knows of it. Pairs of one of
    `prompts` (each its own without them) share an answer's difficulty: the intervals count them as one cluster.
    """
    rows = list(zip(comparisons, labels, subsets, range(len(comparisons)) if prompts is None else prompts, strict=True))
    read = [(verdict, label) for one, label, *_ in rows if (verdict := one.verdict) is not None]
    if not read:
        return None
    counted = [row for row in rows if unread != "left_out" or row[0].verdict is not None]
    right = [_rightness(one, label, unread) for one, label, *_ in counted]
    clusters = [prompt for *_, prompt in counted]
    in_subset: dict[str, list[int]] = {}
    for place, (*_, subset, _) in enumerate(counted):
        in_subset.setdefault(subset, []).append(place)
    decided = [
        (_worth(answer, label, unread), prompt)
        for one, label, _, prompt in counted
        if label != "tie"
        for answer in one.each
    ]
    asked = [one.orders for one, *_ in rows if one.orders is not None and not one.identical]
    return JudgeAccuracy(
        pairs=len(comparisons),
        unparsable=len(comparisons) - len(read),
        unread=unread,
        accuracy=_mean(right),
        accuracy_interval=_interval(right, clusters),
        answer_accuracy=_mean([value for value, _ in decided]) if decided else None,
        answer_interval=mean_interval([value for value, _ in decided], [prompt for _, prompt in decided]),
        swap_consistency=swap_consistency(asked),
        prefers_first=first_preference(asked),
        tie_rate=_mean([verdict == "tie" for verdict, _ in read]),
        label_tie_rate=_mean([label == "tie" for _, label in read]),
        kappa=cohens_kappa([verdict for verdict, _ in read], [label for _, label in read]),
        by_subset={subset: _mean([right[i] for i in places]) for subset, places in sorted(in_subset.items())},
        subset_intervals={
            subset: _interval([right[i] for i in places], [clusters[i] for i in places])
            for subset, places in sorted(in_subset.items())
        },
    )


def cohens_kappa(left: Sequence[str], right: Sequence[str]) -> float | None:
    """Agreement beyond chance: (p_o − p_e)/(1 − p_e). None where chance alone agrees always (one class on both sides)
    and where there is nothing.

    Example:
        >>> cohens_kappa(["a", "a", "b", "b"], ["a", "a", "b", "a"])
        0.5
    """
    if not left:
        return None
    observed = sum(one == other for one, other in zip(left, right, strict=True)) / len(left)
    lefts, rights = Counter(left), Counter(right)
    chance = sum(lefts[name] * rights[name] for name in lefts) / len(left) ** 2
    return None if chance == 1.0 else (observed - chance) / (1.0 - chance)


def _rightness(one: Comparison, label: Verdict, unread: Unread) -> float:
    """1 where the verdict on a pair is its label, else 0."""
    if one.verdict is not None or unread != "tie":
        return float(one.verdict == label)
    said = {answer or "tie" for answer in one.each}
    return float((said.pop() if len(said) == 1 else "tie") == label)


def _worth(answer: Verdict | None, label: Verdict, unread: Unread) -> float:
    """What an answer is worth against a label that is no tie."""
    if answer is None:
        return 0.5 if unread == "tie" else 0.0
    return 0.5 if answer == "tie" else float(answer == label)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _interval(values: Sequence[float], clusters: Sequence[Hashable]) -> Interval:
    interval = mean_interval(values, clusters)
    assert interval is not None, "an accuracy is of something"
    return interval
