"""Overlap of new prompts with those that a policy is measured on."""

from collections.abc import Iterable, Iterator, Sequence

from .similarity import words_of


class HeldoutText:
    """What held-out prompts say: a prompt that says one of them, or has `n` words in a row of one, is contaminated.

    Of a held-out prompt with fewer than `n` words only the whole of it counts.
    """

    def __init__(self, texts: Iterable[str], n: int):
        self.n = n
        self._wholes: set[str] = set()
        self._ngrams: set[str] = set()
        for text in texts:
            words = words_of(text)
            self._wholes.add(" ".join(words))
            self._ngrams.update(_ngrams(words, n))

    def contaminates(self, words: Sequence[str]) -> bool:
        return " ".join(words) in self._wholes or any(ngram in self._ngrams for ngram in _ngrams(words, self.n))


def _ngrams(words: Sequence[str], n: int) -> Iterator[str]:
    return (" ".join(words[start : start + n]) for start in range(len(words) - n + 1))
