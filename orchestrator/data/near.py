"""Prompts that say nearly the same.

The rule: two prompts are near where both what is asked last and what is said before it are alike; system messages are
not looked at. Two texts are alike

- that have the same words in the same order, case, spaces and punctuation aside; or
- whose sets of three words in a row have a Jaccard similarity of at least 0.8, which have the same numbers in the same
  order (`Add 12 and 30` and `Add 12 and 31` are two questions), and of whose words few are in one of them only: at most
  a twentieth of them, but 2 always and 10 at most (one long instruction with two short inputs is two questions).

Candidates are found by MinHash (Broder 1997) in bands (Leskovec et al., Mining of Massive Datasets, chapter 3): 20
bands of 6 hashes find a pair of similarity 0.8 with probability 0.998, and one of 0.85 with 0.9999. Each is then
compared exactly. A band's bucket compares its members with its first 8 only, so that a file of one template does not
cost the square of its rows; prompts of the very same words are always found. 88 bytes a prompt are kept.
"""

import re
import unicodedata
import zlib
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from operator import itemgetter
from typing import TypeAlias

import numpy as np

from .records import Message, Prompt

SIMILARITY = 0.8
SHINGLE = 3
BANDS, ROWS = 20, 6
SHARE, FEWEST, MOST = 0.05, 2, 10  # of the words of two texts, how many may be in one of them only
FIRST = 8  # members of a bucket that the others are compared with
TOGETHER = 256  # prompts whose hashes are made at once
_WORD = re.compile(r"[^\W_]+")
_RANDOM = np.random.default_rng(0)  # of the hash functions: the same in every run
_FACTORS = _RANDOM.integers(1, 2**63, BANDS * ROWS, dtype=np.uint64) | np.uint64(1)
_SHIFTS = _RANDOM.integers(0, 2**63, BANDS * ROWS, dtype=np.uint64)
_PLACES = _RANDOM.integers(1, 2**63, max(SHINGLE, ROWS), dtype=np.uint64) | np.uint64(1)  # what is hashed in order

Prompts: TypeAlias = Callable[[], Iterable[Prompt]]  # the same prompts at every call


@dataclass(frozen=True, kw_only=True, slots=True)
class Words:
    """What prompts are compared by: the words of what is asked last, and of what is said before it.

    Example:
        Words(asked=("name", "a", "prime"), before=())
    """

    asked: tuple[str, ...]
    before: tuple[str, ...]

    @property
    def kinds(self) -> frozenset[str]:
        """The different words of both."""
        return frozenset(self.asked + self.before)


def words_of(messages: Iterable[Message]) -> Words:
    """The words of a conversation: runs of letters and digits in one case. A text without any is its own word.

    Example:
        >>> words_of([Message(role="user", content="What's the  ＣＡＰＩＴＡＬ, please?")]).asked
        ('what', 's', 'the', 'capital', 'please')
    """
    turns = [_words(message.content) for message in messages if message.role != "system"]
    return Words(asked=turns[-1], before=tuple(word for turn in turns[:-1] for word in turn))


def is_near(one: Words, other: Words) -> bool:
    """Whether two prompts are near, by the rule of this module."""
    return _alike(one.before, other.before) and _alike(one.asked, other.asked)


def near_earlier(prompts: Prompts) -> dict[int, int]:
    """The places of prompts that are near an earlier one, each with the first such one's (of those it was compared
    with). The prompts are read once, and a second time where there are candidates."""
    candidates = _candidates(prompts)
    if not len(candidates):
        return {}
    wanted = set(np.unique(candidates).tolist())
    words = {place: words_of(prompt.messages) for place, prompt in enumerate(prompts()) if place in wanted}
    kinds = {place: one.kinds for place, one in words.items()}
    found: dict[int, int] = {}
    for later, pairs in groupby(candidates.tolist(), key=itemgetter(0)):
        for _, earlier in pairs:
            # Most candidates of a template differ in too many words: seen at once.
            if len(kinds[earlier] ^ kinds[later]) <= 2 * MOST and is_near(words[earlier], words[later]):
                found[later] = earlier
                break
    return found


def _candidates(prompts: Prompts) -> np.ndarray:
    """(later, earlier) of all pairs that share a band or all words, sorted; shape (pairs, 2)."""
    wholes, bands = array("Q"), array("I")
    conversations = (words_of(prompt.messages) for prompt in prompts())
    while some := list(islice(conversations, TOGETHER)):
        wholes.extend(_whole(words) for words in some)
        bands.frombytes(_bands([_shingles((*words.before, *words.asked)) for words in some]).tobytes())
    table = np.frombuffer(bands, dtype=np.uint32).reshape(-1, BANDS)
    found = [_in_buckets(np.frombuffer(wholes, dtype=np.uint64), first=1)]
    found += [_in_buckets(table[:, band], first=FIRST) for band in range(BANDS)]
    return np.unique(np.concatenate(found), axis=0)


def _in_buckets(hashes: np.ndarray, first: int) -> np.ndarray:
    """(later, earlier) of every prompt with the first ones of its hash; shape (pairs, 2)."""
    order = np.argsort(hashes, kind="stable")
    ranked = hashes[order]
    starts = np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1])) if len(ranked) else np.zeros(0, dtype=np.int64)
    sizes = np.diff(np.append(starts, len(ranked)))
    pairs = [np.zeros((0, 2), dtype=np.int64)]
    for start, size in zip(starts[sizes > 1].tolist(), sizes[sizes > 1].tolist(), strict=True):
        members = order[start : start + size]
        for place in range(min(first, size - 1)):
            later = members[place + 1 :]
            pairs.append(np.stack([later, np.full_like(later, members[place])], axis=1))
    return np.concatenate(pairs)


def _bands(sets: Sequence[np.ndarray]) -> np.ndarray:
    """The MinHash signatures of sets of hashes, the hashes of a band in one; shape (sets, BANDS)."""
    starts = np.cumsum([0, *(len(one) for one in sets[:-1])])
    hashed = np.concatenate(sets)[None, :] * _FACTORS[:, None] + _SHIFTS[:, None]
    least = np.minimum.reduceat(hashed >> np.uint64(32), starts, axis=1)  # (BANDS · ROWS, sets)
    joined = (least.reshape(BANDS, ROWS, -1) * _PLACES[None, :ROWS, None]).sum(axis=1, dtype=np.uint64)
    return (joined >> np.uint64(32)).astype(np.uint32).T


def _shingles(words: Sequence[str]) -> np.ndarray:
    """Every three words in a row, hashed; of fewer words, all of them."""
    hashes = np.array([zlib.crc32(word.encode()) for word in words], dtype=np.uint64)
    width = min(SHINGLE, len(hashes))
    size = len(hashes) - width + 1
    shingles = np.zeros(size, dtype=np.uint64)
    for place in range(width):
        shingles += hashes[place : place + size] * _PLACES[place]
    return shingles


def _alike(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    if one == other:
        return True
    allowed = min(MOST, max(FEWEST, SHARE * (len(one) + len(other))))
    differing = Counter(one)
    differing.subtract(other)
    if sum(map(abs, differing.values())) > allowed or _numbers(one) != _numbers(other):
        return False
    a, b = ({*zip(*(words[start:] for start in range(SHINGLE)), strict=False)} for words in (one, other))
    return bool(a and b) and len(a & b) >= SIMILARITY * len(a | b)


def _numbers(words: Sequence[str]) -> list[str]:
    return [word for word in words if any(character.isdigit() for character in word)]


def _words(text: str) -> tuple[str, ...]:
    plain = (text if text.isascii() else unicodedata.normalize("NFKC", text)).casefold()
    return tuple(_WORD.findall(plain)) or (plain.strip(),)


def _whole(words: Words) -> int:
    data = f"{' '.join(words.before)}\n{' '.join(words.asked)}".encode()
    return zlib.crc32(data) << 32 | zlib.crc32(data, 0x9E3779B9)
