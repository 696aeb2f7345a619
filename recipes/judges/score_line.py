"""The grammar of a score line, and the one reader of it. Whoever reads a number in a judge's words reads it here.

    score line = qualifier* label ["(" scale ")"] ":" value      "Final score (out of 5): 4"
               | "[[" value "]]"                                 "Rating: [[7]]"
    value      = equation [unit] [scale] [remark]
    equation   = sum ("=" sum)*     all sides equal: "1 + 1 + 1 + 0 = 3" is 3; a sum without "=" is none
    scale      = "/" m | "out of" m | "of" m | "(" lowest "-" highest ")"
    remark     = a sentence or a bracket without any further number, or a bracket with a sum that comes to the value

- Only what was said is read, no thought (see `thought`). The last line in the judge's form decides, whatever it says:
  an earlier one never takes its place.
- What follows the number decides. A maximum that is not the form's, a further number (a digit or its word) on the line,
  a range ("3-4", "3 or 4"), a letter or one of "% + ? ~ ^" at the number, an equation that does not hold: the line
  names no score, and the answer is unparsable.
- A label that other words than a qualifier ("final", "total", …) go before is another thing's: "Confidence score: 0.9"
  is no score line. Nor are double brackets on a line that speaks of confidence.
- Of the judge's own labels each ends the line of the one before it: "helpfulness: 3, verbosity: 1" are two lines. Two
  values that only "or", "to", "and", a comma or a dash stands between are none.
- `*`, `_`, backticks, quotes and `$` around words and numbers mean nothing; a bracket that opens before a number has to
  close after it.
- Of an answer that was cut, a score line counts if it had ended before the cut. Else the answer is truncated.

Every pattern here is linear in the text.
"""

import re
from dataclasses import dataclass

from ...orchestrator.data.records import JudgmentStatus
from .thought import spoken

_BLANK = r"[ \t\u00a0*_`\"'$]*+"
_DIGITS = r"[0-9]{1,6}(?:\.[0-9]{1,6})?"
_NUMBER = re.compile(rf"{_BLANK}(?P<number>[-−]?{_DIGITS})(?![0-9])")
_MINUS = "-−–"
_SIGN = re.compile(
    rf"{_BLANK}(?:points?\b|pts?\b)?{_BLANK}(?:\([^()\n]{{0,80}}\))?{_BLANK}(?P<sign>[-+−–=])(?={_BLANK}-?[0-9])",
    re.IGNORECASE,
)
_UNIT = r"(?:points?\b|pts?\b|stars?\b)?"
_SCALE = re.compile(
    rf"{_BLANK}{_UNIT}{_BLANK}[(\[]?{_BLANK}"
    rf"(?:/|(?:out[ \t]{{1,4}}of|of)\b[ \t]{{0,4}}(?:an?[ \t])?(?:possible[ \t]|maximum[ \t]|total[ \t])?(?:of[ \t])?)"
    rf"{_BLANK}(?P<of>{_DIGITS})(?!\.?[0-9])",
    re.IGNORECASE,
)
_RANGE = re.compile(
    rf"{_BLANK}{_UNIT}{_BLANK}[(\[]{_BLANK}(?:on[ \t]a[ \t])?(?:scale[ \t]?(?:of|from)?:?[ \t]?)?"
    rf"(?P<low>[0-9]{{1,6}})[ \t]?(?:-|–|to)[ \t]?(?P<high>[0-9]{{1,6}}){_BLANK}(?:scale|points?)?{_BLANK}(?=[)\]])",
    re.IGNORECASE,
)
_REMARK = re.compile(rf"{_BLANK}\((?P<sum>[^()\n]{{1,80}})\)")
_OPENED = re.compile(rf"{_BLANK}(?P<brackets>[<\[({{]{{0,2}})")
_COLON = re.compile(rf"{_BLANK}[:：=]")
_BRACKETS = re.compile(r"\[\[")
_CLOSING = {"<": ">", "[": "]", "(": ")", "{": "}"}
_DECORATION = " \t\u00a0*_`\"'$"
_NUMBER_WORD = re.compile(
    r"\b(?:zero|two|three|four|five|six|seven|eight|nine|ten|half|plus|minus|percent)\b", re.IGNORECASE
)
_FIRST_WORD = re.compile(r"(?:or|to|at|per|times)\b|and[ \t]{1,4}(?:up|above|below|more)\b", re.IGNORECASE)
_AT_NUMBER = "%+?~^=/\\&°"  # what makes another thing of a number that it follows
_CONNECTOR = re.compile(r"(?:\b(?:or|to|and)|[-–/&,|~]|\]\])[ \t*_]*\Z", re.IGNORECASE)
_BOUNDARY = re.compile(r"[^\w\-*_`\"' \t]")
_QUALIFIERS = {
    "final", "total", "overall", "additive", "response", "evaluation", "judgment", "my", "the", "our", "its",
    "new", "actual", "revised", "corrected", "updated", "adjusted", "so", "thus", "hence", "therefore", "and",
}  # fmt: skip
_DOUBT = re.compile(r"\b(?:confidence|certainty)\b", re.IGNORECASE)
_BEFORE_CHARS = 80  # how far a label's qualifiers are looked for


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreForm:
    """How a judge is asked for a score: on a line of `label`, or in double brackets (`label` None), `lowest` to
    `highest`. `others` are the labels of further scores that the same judge gives.

    Example:
        ScoreForm(label="Score", lowest=0, highest=5)
    """

    label: str | None
    lowest: int
    highest: int
    others: tuple[str, ...] = ()

    @property
    def opening(self) -> str:
        """What stands before a score that is decoded as a single digit."""
        return "Rating: [[" if self.label is None else f"{self.label}: "

    @property
    def closing(self) -> str:
        """What stands after it."""
        return "]]" if self.label is None else ""

    @property
    def digits(self) -> tuple[str, ...]:
        """The scores that are a single digit: of 1 to 10 all but 10."""
        return tuple(str(score) for score in range(self.lowest, min(self.highest, 9) + 1))


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What came of a judge's words: a status, the score where it is "parsed", and the words said before the score line
    and after it.

    Example:
        Reading(status="parsed", score=4.0, before="Good.\\n", after="")
    """

    status: JudgmentStatus
    score: float | None
    before: str = ""
    after: str = ""


def score_line(lowest: int, highest: int) -> ScoreForm:
    """ "Score: n", with or without "/maximum" or "out of maximum"."""
    return ScoreForm(label="Score", lowest=lowest, highest=highest)


def bracketed_rating(lowest: int, highest: int) -> ScoreForm:
    """ "[[n]]", with or without "/maximum"."""
    return ScoreForm(label=None, lowest=lowest, highest=highest)


def read_score(text: str, form: ScoreForm, *, complete: bool) -> tuple[JudgmentStatus, float | None]:
    """The score that a judge said: the last score line of its form decides, by the grammar of this module.

    Example:
        >>> read_score("Good. Score: 2\\nNo, better. Score: 4", score_line(0, 5), complete=True)
        ('parsed', 4.0)
        >>> read_score("Score: 1 + 1 + 1 + 0 = 3", score_line(0, 5), complete=True)
        ('parsed', 3.0)
        >>> read_score("Rating: [[11]]", bracketed_rating(1, 10), complete=True)
        ('unparsable', None)
    """
    reading = read_score_line(text, form, complete=complete)
    return reading.status, reading.score


def read_score_line(text: str, form: ScoreForm, *, complete: bool) -> Reading:
    """As `read_score`, with the words beside the score line."""
    said = spoken(text)
    unread: JudgmentStatus = "unparsable" if complete else "truncated"
    lines = [] if said.in_thought else _score_lines(said.text, form)
    if not lines:
        return Reading(status=unread, score=None)
    start, opened, end = lines[-1]
    line_end = said.text.find("\n", opened)
    if line_end < 0 and not complete:
        return Reading(status="truncated", score=None)
    line_end = len(said.text) if line_end < 0 else line_end
    value = None if _joined(said.text, lines) else _value(said.text[opened : min(end, line_end)], form)
    if value is None or not form.lowest <= value <= form.highest:
        return Reading(status="unparsable", score=None)
    return Reading(status="parsed", score=value, before=said.text[:start], after=said.text[line_end + 1 :])


def ends_in_connector(text: str) -> bool:
    """Whether what stands before a value joins it to one on the same line: "[[7]] or ", "[[A]], "."""
    return _CONNECTOR.search(text[-20:]) is not None


def _score_lines(text: str, form: ScoreForm) -> list[tuple[int, int, int]]:
    """(where it starts, where its value starts, where the next of the judge's labels starts) of every score line."""
    if form.label is None:
        found = [mark for mark in _BRACKETS.finditer(text) if not _DOUBT.search(_before(text, mark.start()))]
        return [(mark.start(), mark.start(), len(text)) for mark in found]
    labels = "|".join(map(re.escape, sorted((form.label, *form.others), key=len, reverse=True)))
    marks = re.finditer(
        rf"(?<![^\W_])(?P<label>{labels}){_BLANK}(?:\([^()\n]{{0,60}}\))?{_BLANK}[:：=]", text, re.IGNORECASE
    )
    lines, starts, reached = [], [], -1
    for mark in marks:
        starts.append(mark.start())
        qualifiers = _qualifiers(
            _before(text, mark.start()), second=reached >= 0 and "\n" not in text[reached : mark.start()]
        )
        reached = mark.end()
        if qualifiers is not None and mark["label"].lower() == form.label.lower():
            noted = mark[0].find("(")
            opened = mark.end() if noted < 0 else mark.start() + noted
            lines.append((mark.start() - qualifiers, opened, len(starts)))
    starts.append(len(text))
    return [(start, opened, starts[following]) for start, opened, following in lines]


def _before(text: str, position: int) -> str:
    """What stands before a place on its line, as far as it is looked at."""
    return text[max(0, position - _BEFORE_CHARS) : position].rpartition("\n")[2]


def _qualifiers(before: str, *, second: bool) -> int | None:
    """How many characters before a label belong to it; None where they make it another thing's. Of a second label on a
    line the value of the first is no word."""
    start = max((boundary.end() for boundary in _BOUNDARY.finditer(before)), default=0)
    clause = before[start:]
    if before.endswith(("-", "_")) and before[-2:-1].isalnum():
        clause = clause[:-1] + "x"  # one word with the label, and no qualifier: "sub-score", "z_score"
    words = re.findall(r"\w+", clause.replace("_", " "))
    if any(word.lower() not in _QUALIFIERS and not (second and word.isdecimal()) for word in words):
        return None
    return len(clause.lstrip()) if words else 0


def _joined(text: str, lines: list[tuple[int, int, int]]) -> bool:
    """Whether the last value is one of several: "Score: 3 or Score: 4"."""
    if len(lines) < 2:
        return False
    between = text[lines[-2][1] : lines[-1][0]]
    return "\n" not in between and ends_in_connector(between)


def _value(line: str, form: ScoreForm) -> float | None:
    """The value that a line names after its opening, and None unless it names one value and nothing else."""
    place = 0
    if form.label is not None and line.startswith("("):
        noted = line.partition(")")[0]
        colon = _COLON.match(line, len(noted) + 1)
        if colon is None or not _same_scale(noted[1:], form):
            return None
        place = colon.end()
    opened = _OPENED.match(line, place)
    assert opened is not None, "it matches nothing too"
    solved = _equation(line, opened.end())
    if solved is None:
        return None
    value, place = solved
    closing = "".join(_CLOSING[bracket] for bracket in reversed(opened["brackets"]))
    place, closed = _closed(line, place, closing)
    for scale in (_SCALE.match(line, place), _RANGE.match(line, place)):
        if scale is not None:
            if not _is_scale(scale, form):
                return None
            place = scale.end()
            break
    if not closed:
        place, closed = _closed(line, place, closing)
    remark = _REMARK.match(line, place)
    if remark is not None and _comes_to(remark["sum"], value):
        place = remark.end()
    return value if closed and not _is_odd(line[place:]) else None


def _comes_to(remark: str, value: float) -> bool:
    """Whether a remark is a sum of the value: "3 (1 + 1 + 1 + 0)"."""
    told = f"{remark} = {value:g}"
    solved = _equation(told, 0)
    return solved is not None and solved[1] == len(told)


def _closed(line: str, place: int, closing: str) -> tuple[int, bool]:
    if not closing:
        return place, True
    match = re.compile(rf"{_BLANK}{re.escape(closing)}").match(line, place)
    return (place, False) if match is None else (match.end(), True)


def _same_scale(noted: str, form: ScoreForm) -> bool:
    """Whether a note at the label, without its brackets, is the form's scale: "out of 5", "/5", "0-5"."""
    scale = _SCALE.match(noted) or _RANGE.match(f"({noted})")
    return scale is not None and _is_scale(scale, form) and not noted[scale.end() :].strip(_DECORATION)


def _is_scale(scale: re.Match[str], form: ScoreForm) -> bool:
    if "of" in scale.re.groupindex:
        return float(scale["of"]) == form.highest
    return (int(scale["low"]), int(scale["high"])) == (form.lowest, form.highest)


def _equation(line: str, place: int) -> tuple[float, int] | None:
    """(its value, where it ends) of the equation at a place; a number alone is one. None where there is none, where its
    sides differ, and of a sum whose value is not told."""
    sides, terms, sign = [0.0], 0, 1
    while (term := _NUMBER.match(line, place)) is not None:
        sides[-1] += sign * float(term["number"].replace("−", "-"))
        terms, place = terms + 1, term.end()
        joint = _SIGN.match(line, place)
        if joint is None:
            equal = all(abs(side - sides[0]) < 1e-9 for side in sides)
            return (sides[-1], place) if equal and (terms == 1 or len(sides) > 1) else None
        place = joint.end()
        sign = -1 if joint["sign"] in _MINUS else 1
        if joint["sign"] == "=":
            sides.append(0.0)
    return None


def _is_odd(rest: str) -> bool:
    """Whether what follows a value on its line makes another thing of it."""
    bare = rest.lstrip(_DECORATION)
    if rest[:1].isalpha() or bare[:1] in tuple(_AT_NUMBER):
        return True
    if rest[:1] in tuple(_MINUS) and not rest[1:2].isspace():
        return True
    if _FIRST_WORD.match(bare) or _NUMBER_WORD.search(rest):
        return True
    return any(character.isnumeric() for character in rest)
