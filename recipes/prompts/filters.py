"""What drops a new prompt, and why: one reason each, the first that holds.

The rules are those of Self-Instruct's code (arXiv 2212.10560, `bootstrap_instructions.py`), with two reasons more:
`duplicate` (the same words as a known prompt, which ROUGE-L finds too where it is asked for less than 1) and
`contaminated` (too near a held-out prompt: see `contamination`). The length limit of an answer is `maker`'s.
"""

import re
from collections.abc import Iterable
from functools import cache

from pydantic.dataclasses import dataclass

from ...orchestrator.fields import STRICT, Fraction, PositiveInt
from .contamination import HeldoutText
from .similarity import RougeIndex, words_of


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class PromptRules:
    """What drops a new prompt: Self-Instruct's filters (arXiv 2212.10560), and overlap with held-out prompts."""

    min_words: PositiveInt
    max_words: PositiveInt
    banned: tuple[str, ...]  # whole words or phrases, in any case: what a language model cannot do
    max_rouge_l: Fraction  # F-measure, against every prompt there is, held-out ones too; above it one is too similar
    contamination_words: PositiveInt  # an n-gram this long that a held-out prompt has too


class KnownPrompts:
    """Prompts that a new one may not repeat."""

    def __init__(self, max_rouge_l: float, texts: Iterable[str] = ()):
        self._wholes: set[str] = set()
        self._index = RougeIndex(max_rouge_l)
        for text in texts:
            self.add(text)

    def __len__(self) -> int:
        return len(self._index)

    def add(self, text: str) -> None:
        words = words_of(text)
        self._wholes.add(" ".join(words))
        self._index.add(words)

    def reason(self, text: str) -> str | None:
        """`duplicate`, `similar`, or None of a text that is new."""
        words = words_of(text)
        if " ".join(words) in self._wholes:
            return "duplicate"
        return "similar" if self._index.has_similar(words) else None


def text_reason(text: str, rules: PromptRules) -> str | None:
    """Why the text alone drops a prompt, or None.

    Words are what white space parts. `bad_start` is a first character that is punctuation, a control character or not
    ASCII: prompts in most scripts but the Latin one have it.

    Example:
        >>> rules = PromptRules(min_words=4, max_words=9, banned=("map",), max_rouge_l=0.7, contamination_words=13)
        >>> text_reason("Draw me a map of Spain", rules), text_reason("Name three mapping tools", rules)
        ('banned', None)
    """
    words = text.split()
    if len(words) < rules.min_words:
        return "too_short"
    if len(words) > rules.max_words:
        return "too_long"
    if rules.banned and _any_of(rules.banned).search(text):
        return "banned"
    if text.startswith("Write a program"):
        return "program"
    if not (text[0].isascii() and text[0].isalnum()):
        return "bad_start"
    return None


def overlap_reason(text: str, known: Iterable[KnownPrompts], heldout: HeldoutText) -> str | None:
    """Why other prompts drop this one, or None."""
    if heldout.contaminates(words_of(text)):
        return "contaminated"
    return next((reason for prompts in known if (reason := prompts.reason(text))), None)


@cache
def _any_of(banned: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, banned))})\b", re.IGNORECASE)
