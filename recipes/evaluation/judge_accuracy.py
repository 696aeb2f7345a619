"""How well a judge agrees with the labels of pairs that people (or constructions) have labelled."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from .comparisons import Comparison, Verdict
from .win_rate import first_preference, swap_consistency


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgeAccuracy:
    """A judge against labels. All but the counts are shares, over the comparisons that could be read.

    `accuracy` asks for the label itself, ties included, of the verdict. `answer_accuracy` is over pairs whose label is
    no tie, where a judge's tie counts half: of both orders' answers (LLMBar's accuracy: contradicting orders score a
    half), or of the scores (as RewardBench's). `swap_consistency` and `prefers_first` are None of a judge that scores,
    which is asked in no order. `kappa` is Cohen's, None where it is undefined.

    Example:
        JudgeAccuracy(pairs=10, unparsable=0, accuracy=0.7, answer_accuracy=0.75, swap_consistency=0.8,
                      prefers_first=0.1, tie_rate=0.2, label_tie_rate=0.1, kappa=0.5, by_subset={"natural": 0.7})
    """

    pairs: int
    unparsable: int
    accuracy: float
    answer_accuracy: float | None
    swap_consistency: float | None
    prefers_first: float | None
    tie_rate: float
    label_tie_rate: float
    kappa: float | None
    by_subset: dict[str, float]

    @property
    def parse_rate(self) -> float:
        return 1.0 - self.unparsable / self.pairs


def judge_accuracy(
    comparisons: Sequence[Comparison], labels: Sequence[Verdict], subsets: Sequence[str]
) -> JudgeAccuracy | None:
    """A judge's comparisons against their `labels`, with the accuracy of every subset. None if nothing could be read.

    The verdict on a pair is the response preferred in both orders (a tie where they disagree), or the one that scores
    higher. What could not be read is left out and counted, and is never a tie.
    """
    rows = [
        (one, verdict, label, subset)
        for one, label, subset in zip(comparisons, labels, subsets, strict=True)
        if (verdict := one.verdict) is not None
    ]
    if not rows:
        return None
    right: dict[str, list[bool]] = {}
    for _, verdict, label, subset in rows:
        right.setdefault(subset, []).append(verdict == label)
    given = [(verdict, label) for _, verdict, label, _ in rows]
    decided = [
        float(answer == label) if answer != "tie" else 0.5
        for one, _, label, _ in rows
        if label != "tie"
        for answer in one.answers
    ]
    asked = [one.orders for one, *_ in rows if one.orders is not None and not one.identical]
    return JudgeAccuracy(
        pairs=len(comparisons),
        unparsable=len(comparisons) - len(rows),
        accuracy=_share([verdict == label for verdict, label in given]),
        answer_accuracy=sum(decided) / len(decided) if decided else None,
        swap_consistency=swap_consistency(asked),
        prefers_first=first_preference(asked),
        tie_rate=_share([verdict == "tie" for verdict, _ in given]),
        label_tie_rate=_share([label == "tie" for _, label in given]),
        kappa=cohens_kappa([verdict for verdict, _ in given], [label for _, label in given]),
        by_subset={subset: _share(answers) for subset, answers in sorted(right.items())},
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


def _share(answers: Sequence[bool]) -> float:
    return sum(answers) / len(answers)
