"""What a judge said, without what it thought: the one place that knows the marks of thought.

No parser of a judge's words reads a thought, neither its scores nor its verdicts. Thought is what stands between two
marks of one kind, with the kinds inside it: `<think>…</think>` and tags of the same meaning, `[THINK]…[/THINK]`
(Magistral), `◁think▷…◁/think▷` (Kimi), `<|START_THINKING|>…<|END_THINKING|>` (Command A),
`<|begin_of_thought|>…<|end_of_thought|>` (OpenThinker), `<|inner_prefix|>…<|inner_suffix|>` (Apertus), every channel of
gpt-oss but the final one (also as its text reads once special tokens are left out), `<|channel>thought…<channel|>`
(Gemma), and Granite's two sentences. A closing mark without an opening one ends a thought that the chat template has
opened: everything before it is thought. What follows an opening mark that is never closed is a thought that never
ended; nothing was said after it, so a reader makes it a status.
"""

import re
from dataclasses import dataclass

from ...orchestrator.data.records import Generation

_NAMES = "think|thinking|thought|thoughts|reasoning|reflection|analysis|scratchpad"
_TAG = rf"<(?P<tag_end>/?)(?:[a-z]{{1,12}}:)?(?P<tag>{_NAMES})(?:[ \t][^<>\n]{{0,80}})?>"
_BRACKET = r"\[(?P<bracket_end>/?)(?P<bracket>(?-i:THINK))\]"
_KIMI = r"◁(?P<kimi_end>/?)think▷"
_PIPE = r"<\|(?P<pipe>begin|start|end|/?)_?(?:of_)?(?:think|thinking|thought|thoughts|reasoning)\|>"
_INNER = r"<\|inner_(?P<inner>prefix|suffix)\|>"
_CHANNEL = r"<\|channel\|>(?P<channel>[a-z]{1,20})[^<\n]{0,80}(?:<\|message\|>)?"
_GEMMA = r"(?P<gemma><\|channel>thought)|(?P<gemma_end><channel\|>)"
# gpt-oss without its special tokens: the names of its channels run into what it says in them.
_PLAIN_CHANNEL = r"(?P<plain>(?-i:\Aanalysis(?=[A-Z\"'(])))|(?P<plain_end>(?-i:assistantfinal))"
_GRANITE = r"(?P<granite>\AHere(?: is|'s) my thought process:)|(?P<granite_end>^Here(?: is|'s) my response:)"
_MARK = re.compile(
    # No mark begins with another character: the look ahead makes the search quick.
    f"(?=[<[◁ah])(?:{'|'.join((_TAG, _BRACKET, _KIMI, _PIPE, _INNER, _CHANNEL, _GEMMA, _PLAIN_CHANNEL, _GRANITE))})",
    re.IGNORECASE | re.MULTILINE,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Spoken:
    """What was said aloud, in order, and whether the text ends inside a thought.

    Example:
        Spoken(text="Score: 4", in_thought=False)
    """

    text: str
    in_thought: bool


def spoken(text: str) -> Spoken:
    """`text` without its thoughts. The marks themselves are no part of it. Linear in the text.

    Example:
        >>> spoken("<think>Score: 2?</think>Score: 4")
        Spoken(text='Score: 4', in_thought=False)
        >>> spoken("First Score: 2. </think>Score: 4").text
        'Score: 4'
        >>> spoken("Score: 2 <think>or rather").in_thought
        True
    """
    said: list[str] = []
    kind, depth, reached = "", 0, 0
    for mark in _MARK.finditer(text):
        of_mark, opens = _meaning(mark)
        if depth == 0 and opens:
            said.append(text[reached : mark.start()])
            kind, depth = of_mark, 1
        elif depth == 0:
            # A thought that the template opened, unless it closes a channel that was never another one.
            said = []
        elif of_mark != kind:
            continue
        elif opens:
            # A model that opens a thought twice in a row means one.
            depth += bool(text[reached : mark.start()].strip()) and kind != "channel"
        else:
            depth -= 1
        reached = mark.end()
    if depth == 0:
        said.append(text[reached:])
    return Spoken(text="".join(said), in_thought=depth > 0)


def words_of(answer: Generation) -> str:
    """What a judge wrote, with every mark of thought: what its words are read from."""
    return answer.marked or answer.text


def opened_thought(prompt_end: str) -> str:
    """The mark of a thought that a prompt leaves open at its very end, as a reasoning model's template does; else none.

    Example:
        >>> opened_thought("<|assistant|>\\n<think>\\n")
        '<think>'
        >>> opened_thought("<think>\\n\\n</think>\\n\\n")
        ''
    """
    marks = list(_MARK.finditer(prompt_end))
    if not marks or prompt_end[marks[-1].end() :].strip() or not _meaning(marks[-1])[1]:
        return ""
    return marks[-1][0]


def marks_thought(token: str) -> bool:
    """Whether a token is a mark of thought, or part of one that tokens make up."""
    return token in ("<|channel|>", "<|message|>") or _MARK.fullmatch(token) is not None


def _meaning(mark: re.Match[str]) -> tuple[str, bool]:
    """The kind of a mark, and whether it opens a thought."""
    kind = mark.lastgroup or ""
    match kind:
        case "tag":
            return mark["tag"].lower(), not mark["tag_end"]
        case "bracket":
            return "bracket", not mark["bracket_end"]
        case "kimi_end":
            return "kimi", not mark["kimi_end"]
        case "pipe":
            return "pipe", mark["pipe"].lower() not in ("end", "/")
        case "inner":
            return "inner", mark["inner"].lower() == "prefix"
        case "channel":
            return "channel", mark["channel"].lower() != "final"
        case _:
            return kind.removesuffix("_end"), not kind.endswith("_end")
