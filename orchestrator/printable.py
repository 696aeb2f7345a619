"""Text of models, data sets and servers as a terminal may be given it: seen, never obeyed."""

import re

# Control characters but for the line's end and the tab, marks that turn the direction of writing, the line separators
# that are no line's end to a terminal, and halves of surrogate pairs, which no terminal's encoding has.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufff9-\ufffb]"
)


def printable(text: str) -> str:
    r"""`text` with what a terminal would act on in Python's escapes; twice is as once.

    Example:
        >>> printable("red: \x1b[31m\r")
        'red: \\x1b[31m\\r'
    """
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
