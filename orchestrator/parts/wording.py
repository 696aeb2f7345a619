"""Numbers and lists as the sentences about parts have them."""

from collections.abc import Iterable


def counted(number: int, what: str) -> str:
    """Example:
    >>> counted(1, "vote"), counted(3, "vote")
    ('1 vote', '3 votes')
    """
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def listed(words: Iterable[str]) -> str:
    """Example:
    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
