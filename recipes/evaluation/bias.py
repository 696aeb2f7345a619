"""What a judge looks at beside quality: length, lists, its own family's words."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from .comparisons import Comparison, points, verdicts

MIN_GAP_CHARS = 30
LIST_LINES = 2

_LIST_LINE = re.compile(r"^[ \t]*(?:[-*•+]|\(?(?:\d{1,3}|[A-Za-z])[.)])[ \t]+\S", re.MULTILINE)


def length_preference(comparisons: Sequence[Comparison], *, min_gap_chars: int = MIN_GAP_CHARS) -> float | None:
    """P(the longer response is preferred | the lengths differ by more than `min_gap_chars`), as AlpacaEval measures it
    (arXiv 2404.04475), over comparisons that are no tie. None without any."""
    longer = [
        (verdict == "a") == (one.chars_a > one.chars_b)
        for one, verdict in verdicts(comparisons)
        if verdict != "tie" and abs(one.chars_a - one.chars_b) > min_gap_chars
    ]
    return sum(longer) / len(longer) if longer else None


def list_preference(comparisons: Sequence[Comparison], texts: Mapping[str, tuple[str, str]]) -> float | None:
    """P(the response with a list is preferred | exactly one has a list), over comparisons that are no tie.

    `texts` has the two responses by prompt id. What counts as a list is ours: see `has_list`. None without any.
    """
    listed = []
    for one, verdict in verdicts(comparisons):
        a, b = (has_list(text) for text in texts[one.prompt_id])
        if verdict != "tie" and a != b:
            listed.append((verdict == "a") == a)
    return sum(listed) / len(listed) if listed else None


def has_list(text: str) -> bool:
    """Whether at least two lines begin with a bullet, a number or a letter of a list.

    Example:
        >>> has_list("Two:\\n1. one\\n2. two"), has_list("- a dash\\nand no more")
        (True, False)
    """
    return len(_LIST_LINE.findall(text)) >= LIST_LINES


def repeated_responses(texts: Sequence[str]) -> int:
    """How many of the responses to different prompts are no different from another one, whitespace at the ends aside.

    A constant response can win by deceiving the judge (null models, arXiv 2410.07137): such a win rate means nothing.

    Example:
        >>> repeated_responses(["yes", "yes ", "no"])
        2
    """
    counts = Counter(text.strip() for text in texts)
    return sum(count for count in counts.values() if count > 1)


def partial_correlation(x: Sequence[float], y: Sequence[float], given: Sequence[float]) -> float | None:
    """Pearson correlation of x and y with what `given` explains of both taken out:
    (r_xy − r_xz·r_yz)/√((1 − r_xz²)(1 − r_yz²)).

    With a judge's scores, lengths, and another judge's scores (or people's) it says how far length counts beyond
    quality. None where it is undefined.
    """
    columns = np.array([x, y, given], dtype=float)
    if columns.shape[1] < 3 or not (columns.std(axis=1) > 0).all():
        return None
    xy, xz, yz = (np.corrcoef(columns)[pair] for pair in ((0, 1), (0, 2), (1, 2)))
    left = (1.0 - xz**2) * (1.0 - yz**2)
    return float((xy - xz * yz) / np.sqrt(left)) if left > 1e-12 else None


def self_preference(own: Sequence[Comparison], third_party: Sequence[Comparison]) -> float | None:
    """The win rate of a by a judge of its own family, less that by a third party, over the prompts that both could
    read. The definition is not verified against a paper. None without any such prompt.

    Raises:
        ValueError: a judge compared two pairs under one prompt id.
    """
    by_own, by_third = _points(own), _points(third_party)
    both = by_own.keys() & by_third.keys()
    if not both:
        return None
    return sum(by_own[one] - by_third[one] for one in sorted(both)) / len(both)


def _points(comparisons: Sequence[Comparison]) -> dict[str, float]:
    found = {one.prompt_id: points(verdict) for one, verdict in verdicts(comparisons)}
    if len({one.prompt_id for one in comparisons}) < len(comparisons):
        raise ValueError("two comparisons have the same prompt id: compare one pair a prompt")
    return found
