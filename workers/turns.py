"""What a chat template writes around the messages: the marks that turns begin and end with, found by rendering.

Nothing is known of any template here. Conversations of stand-ins are rendered, and what stands between the stand-ins is
the template's own text. Its tokens, and of its plain text the tags (`<|user|>`, `[INST]`), headings (`### Response:`)
and labels (`Human:`), are marks.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

ZERO_WIDTH_SPACE = "\u200b"
STAND_IN = re.compile(r"(?:q\dmessage\dq)")
CONVERSATIONS = ("u", "su", "ua", "sua", "uau", "suau", "uauau")  # a letter a turn: system, user, assistant
_LINE_ENDS = r"\n\r\v\f\x85\u2028\u2029"
ROLES = {"s": "system", "u": "user", "a": "assistant"}

_TAG = re.compile(
    r"<\|[^<>\n]+\|>|<<[^<>\s]+>>|<[^<>\s]+>|\[\[?[^\[\]\s]+\]\]?|\{\{?[^{}\s]+\}\}?|【[^【】\s]+】|\|[^|\s]+\|"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class TextMark:
    """Plain text that a template writes as a mark.

    `line`: it counts at the beginning of a line only, since the template writes it there and it reads like a word;
    `whole`: and only where the line holds nothing else.

    Example:
        TextMark(text="Human:", line=True)
    """

    text: str
    line: bool = False
    whole: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendered:
    """A conversation of stand-ins as the template writes it: what stands before the first message, what between each
    two, and what after the last."""

    roles: str
    opened: bool  # with the assistant's turn opened at the end
    before: str
    between: tuple[str, ...]
    after: str


def rendered(tokenizer: Any) -> list[Rendered]:
    """Every conversation of `CONVERSATIONS` that the template renders, with and without an opened turn at its end. A
    template that writes the date writes none here: marks are the same on every day."""
    found = []
    for roles in CONVERSATIONS:
        turns = [{"role": ROLES[role], "content": f"q{place}message{place}q"} for place, role in enumerate(roles)]
        for opened in (False, True):
            try:
                text = tokenizer.apply_chat_template(
                    turns, add_generation_prompt=opened, tokenize=False, strftime_now=lambda format: ""
                )
            except Exception:  # a template may refuse a system message, or an order of turns, by any error it likes
                continue
            before, *between = STAND_IN.split(text)
            if len(between) == len(roles):
                found.append(
                    Rendered(roles=roles, opened=opened, before=before, between=tuple(between[:-1]), after=between[-1])
                )
    return found


def token_marks(conversations: Iterable[Rendered], added: Iterable[str]) -> set[str]:
    """Which tokens of the tokenizer's own list the template writes. Words among them ("assistant") are none: what they
    say is said in other tokens."""
    text = "\n".join(part for one in conversations for part in (one.before, *one.between, one.after))
    return {token for token in added if token in text and re.search(r"[^\w\s]", token)}


def text_marks(conversations: Sequence[Rendered], added: Sequence[str], bos: str) -> set[TextMark]:
    """The marks that the template writes as plain text.

    Of what stands before the first message only the end counts, and tags at a line's beginning: the rest is what the
    template says by itself (a system prompt, a date). Where that message's role is written as tokens, no text there is
    a mark but tags.
    """
    marks: set[TextMark] = set()
    for one in conversations:
        pieces = _plain(one.before, added)
        headed = any(token in one.before for token in added if token != bos)
        opening = [tag[0] for piece in pieces for line in _lines(piece) for tag in _TAG.finditer(_leading_tags(line))]
        marks |= {TextMark(text=tag) for tag in opening}
        marks |= {mark for mark in _marks(_last_line(pieces[-1])) if not headed or _TAG.fullmatch(mark.text)}
        for text in (*one.between, one.after):
            lines = [line for piece in _plain(text, added) for line in _lines(piece)]
            found = {mark for line in lines for mark in _marks(line)}
            if not found and text in one.between and not any(token in text for token in added):
                found = {TextMark(text=line.strip(), line=True, whole=True) for line in lines if line.strip()}
            marks |= found
    loose = {mark.text for mark in marks if not mark.line}
    return {mark for mark in marks if not (mark.line and mark.text in loose)}


class Marks:
    """What text that is put into a template must not hold.

    Args:
        tokens: marks that are tokens.
        texts: marks that are plain text.
        normalise: what the tokenizer makes of a text before it looks for tokens; None where it leaves it as it is.
    """

    def __init__(self, tokens: Iterable[str], texts: Iterable[TextMark], normalise: Callable[[str], str] | None = None):
        self.tokens, self.texts, self.normalise = {*tokens}, {*texts}, normalise
        self._found = _first_characters(self.tokens, self.texts)
        normal = {token: normalise(token).strip(" \u2581") if normalise else token for token in self.tokens}
        shown = {mark: normalise(mark.text).strip(" \u2581") if normalise else mark.text for mark in self.texts}
        self._found_normal = _first_characters(
            self.tokens | {text for text in normal.values() if re.search(r"[^\w\s]", text)},
            self.texts | {replace(mark, text=text) for mark, text in shown.items() if text},
        )

    def broken(self, text: str) -> str:
        """`text` with every mark broken up by a zero-width space after its first character.

        Where the tokenizer's normalisation would mend a mark (or make one of other characters), the normalised text is
        broken up by plain spaces.
        """
        text = self._found.sub(partial(_break, by=ZERO_WIDTH_SPACE), text)
        if self.normalise is not None and self._found_normal.search(seen := self.normalise(text)):
            return self._found_normal.sub(partial(_break, by=" "), seen)
        return text


def _break(found: re.Match[str], by: str) -> str:
    return by if found.lastgroup == "lone" else found[0] + by


def _first_characters(tokens: set[str], texts: set[TextMark]) -> re.Pattern[str]:
    """Finds the first character of every mark, overlapping ones too. Where tokenizers write a space as ▁, a mark may be
    spelt so. A token of one character cannot be broken up: it is found as `lone`."""
    tails = [f"{re.escape(token[0])}(?={re.escape(token[1:])})" for token in sorted(tokens) if len(token) > 1]
    for mark in sorted(texts, key=lambda mark: mark.text):
        head, tail = re.escape(mark.text[0]), re.escape(mark.text[1:]).replace(r"\ ", r"[ \u2581]")
        begins = rf"(?:\A[\s\u2581]*|(?<=[{_LINE_ENDS}])[^\S{_LINE_ENDS}]*)" if mark.line else ""
        ends = r"[^\S\n]*(?:\Z|[\n\r])" if mark.whole else ""
        tails.append(f"{begins}{head}(?={tail}{ends})")
    lone = "".join(re.escape(token) for token in sorted(tokens) if len(token) == 1)
    return re.compile("|".join([*tails, f"(?P<lone>[{lone}])" if lone else r"(?!)"]))


def end_of_turn(conversations: Sequence[Rendered], added: Sequence[str], stops: Sequence[str]) -> str | None:
    """What the template ends an assistant's turn with, up to and with the first token of `stops` (what an engine stops
    at); the tokens next to each other where none of them is. None where it writes no end.

    A template may close a turn only when it goes on to the next one. Where that begins with a token that also opens
    a conversation (GLM's `<|user|>`), this ends a turn only if an engine stops at it.
    """
    last = next((one.after for one in conversations if one.roles[-1] == "a" and not one.opened), "").lstrip()
    if last:
        return _up_to_stop(last, added, stops)
    before = next((one.before for one in conversations if one.roles == "u"), "")
    following = next((one.between[1] for one in conversations if one.roles == "uau"), "").lstrip()
    ends = [token for token in added if following.startswith(token) and (token in stops or token not in before)]
    return max(ends, key=len, default=None)


def _up_to_stop(text: str, added: Sequence[str], stops: Sequence[str]) -> str:
    """`text` is returned whole if no token is in it."""
    found = re.search(f"(?:{_any_of(added)})+", text)
    if found is None:
        return text.strip()
    run = text[: found.end()]
    ends = [place + len(stop) for stop in stops if (place := run.find(stop, found.start())) >= 0]
    return run[: min(ends)] if ends else run


def _any_of(tokens: Iterable[str]) -> str:
    """A pattern of which the longest token matches first; one that matches nothing where there are none."""
    return "|".join(re.escape(token) for token in sorted(tokens, key=len, reverse=True)) or r"(?!)"


def _plain(text: str, added: Sequence[str]) -> list[str]:
    """The text between tokens."""
    return re.split(_any_of(added), text)


def _lines(piece: str) -> list[str]:
    """Lines of plain text, each with the line feed that it begins after."""
    return [line for line in re.split(r"(?=\n)", piece) if line.strip()]


def _leading_tags(line: str) -> str:
    found = re.match(rf"\s*(?:{_TAG.pattern})*", line)
    assert found is not None, "nothing is there to begin with, if need be"
    return found[0]


def _last_line(piece: str) -> str:
    lines = _lines(piece)
    return (lines[-1] if lines[-1].startswith("\n") else f"\n{lines[-1]}") if lines else ""


def _marks(line: str) -> Iterator[TextMark]:
    """The tags of a line, and of the rest what begins or ends in a sign."""
    yield from (TextMark(text=tag[0]) for tag in _TAG.finditer(line))
    for part in _TAG.split(line):
        text = part.strip()
        if len(text) > 1 and re.search(r"^[^\w\s]|[^\w\s]$", text):
            word = re.match(r"\w", text) is not None
            yield TextMark(text=text, line=word and part.startswith("\n"))
