"""ROUGE-L of a text against every known one: exact, without comparing it with all of them."""

import re
import sys
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

_WORD = re.compile(r"[^\W_]+")


def words_of(text: str) -> list[str]:
    """The words that overlaps are counted in: runs of letters and digits, in one case. Of ASCII text they are those of
    the `rouge-score` package without stemming.

    Example:
        >>> words_of("Don't panic: it's 42!")
        ['don', 't', 'panic', 'it', 's', '42']
    """
    return _WORD.findall(text.casefold())


def lcs_length(a: Sequence[str], b: Sequence[str]) -> int:
    """The length of the longest common subsequence of two sequences of words.

    A row of the usual table is one integer, whose bit i is 0 where the row grows at i (Crochemore et al. 2001, in
    Hyyrö's form): a word of `b` costs three operations on it instead of one a word of `a`.

    Example:
        >>> lcs_length("a b c d".split(), "b x d".split())
        2
    """
    places: dict[str, int] = defaultdict(int)
    for place, word in enumerate(a):
        places[word] |= 1 << place
    whole = (1 << len(a)) - 1
    row = whole
    for word in b:
        met = row & places.get(word, 0)
        row = ((row + met) | (row - met)) & whole
    return len(a) - row.bit_count()


def rouge_l(a: Sequence[str], b: Sequence[str]) -> float:
    """The F-measure of ROUGE-L: 2·LCS / (|a| + |b|), and 0 of two texts without words.

    Example:
        >>> rouge_l("write a short poem".split(), "write a poem".split())
        0.8571428571428571
    """
    return 2 * lcs_length(a, b) / max(1, len(a) + len(b))


class RougeIndex:
    """Texts, and whether another one is similar to any of them.

    Two texts share at least as many words (with their repetitions) as their longest common subsequence has. Those that
    share too few to be above the threshold are passed over; the others are compared word for word.
    """

    def __init__(self, threshold: float):
        self.threshold = threshold
        self._texts: list[list[str]] = []
        self._lengths = array("I")
        self._having: dict[tuple[str, int], array] = defaultdict(lambda: array("I"))  # texts with a word's n-th copy

    def __len__(self) -> int:
        return len(self._texts)

    def add(self, words: Sequence[str]) -> None:
        for copy in _copies(words):
            self._having[copy].append(len(self._texts))
        self._texts.append([sys.intern(word) for word in words])
        self._lengths.append(len(words))

    def has_similar(self, words: Sequence[str]) -> bool:
        """Whether ROUGE-L of `words` and a text in here is above the threshold."""
        return any(rouge_l(words, self._texts[index]) > self.threshold for index in self._possible(words))

    def _possible(self, words: Sequence[str]) -> np.ndarray:
        """The texts that share enough words to be similar."""
        found = [np.frombuffer(self._having[copy], dtype=np.uint32) for copy in _copies(words) if copy in self._having]
        if not found:
            return np.zeros(0, dtype=np.int64)
        shared = np.bincount(np.concatenate(found), minlength=len(self._texts))
        lengths = np.frombuffer(self._lengths, dtype=np.uint32)
        return np.flatnonzero(2 * shared / (lengths + len(words)) > self.threshold)


def _copies(words: Iterable[str]) -> list[tuple[str, int]]:
    """Every word with how often it came before, so that no two are equal."""
    seen: Counter[str] = Counter()
    copies = []
    for word in words:
        copies.append((word, seen[word]))
        seen[word] += 1
    return copies
