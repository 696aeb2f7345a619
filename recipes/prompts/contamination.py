"""Overlap of new prompts with those that a policy is measured on."""

from collections.abc import Iterable, Iterator, Sequence

from .similarity import RougeIndex, words_of


class HeldoutText:
    """What held-out prompts say. A prompt is contaminated that says one of them, has `n` words in a row of one, or has
    a ROUGE-L above `max_rouge_l` with one: most are shorter than `n` words, and one word changed makes another whole.
    """

    def __init__(self, texts: Iterable[str], n: int, max_rouge_l: float):
        self.n = n
        self._index = RougeIndex(max_rouge_l)
        self._wholes: set[str] = set()
        self._ngrams: set[str] = set()
        for text in texts:
            words = words_of(text)
            self._wholes.add(" ".join(words))
            self._ngrams.update(_ngrams(words, n))
            self._index.add(words)

    def contaminates(self, words: Sequence[str]) -> bool:
        """Whether a prompt of these words is too near a held-out one."""
        if " ".join(words) in self._wholes or any(ngram in self._ngrams for ngram in _ngrams(words, self.n)):
            return True
        return self._index.has_similar(words)


def _ngrams(words: Sequence[str], n: int) -> Iterator[str]:
    return (" ".join(words[start : start + n]) for start in range(len(words) - n + 1))
