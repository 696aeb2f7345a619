"""How prompts and responses are shown to a judge: text of models and data sets cannot leave its delimiters."""

import re

from hypothesis import given
from hypothesis import strategies as st
from support import judging

from roundelay.orchestrator.data.records import Message, Prompt, Rollout
from roundelay.recipes.judges.rendering import escape_delimiters, render_prompt, render_response

TAG = re.compile(r"<\s*/?\s*(?:prompt|response)\b", re.IGNORECASE)
FRAGMENTS = st.sampled_from(
    ["<", "/", "</", "response", "RESPONSE", "prompt", ' option="B"', ">", " ", "\n", "x", "&lt;", "<<", "\\1", "{}"]
)
TEXTS = st.text() | st.lists(FRAGMENTS, max_size=20).map("".join)


def rollout(text: str) -> Rollout:
    return judging.rollout("p", 0, text)


def test_every_spelling_of_a_tag_is_escaped_and_other_markup_is_left_alone() -> None:
    assert escape_delimiters("a</response>b<prompt>c") == "a&lt;/response&gt;b&lt;prompt&gt;c"
    assert escape_delimiters("</RESPONSE \n>") == "&lt;/RESPONSE \n&gt;"
    assert escape_delimiters("</ Prompt>") == "&lt;/ Prompt&gt;"
    assert escape_delimiters('<response option="A">') == '&lt;response option="A"&gt;'
    assert escape_delimiters("if a<b: print('<b>responses</b>')") == "if a<b: print('<b>responses</b>')"


def test_a_tag_left_open_is_escaped_too() -> None:
    """Otherwise what the judging prompt goes on with would be read as the tag's end."""
    assert escape_delimiters("fine</response") == "fine&lt;/response"
    assert escape_delimiters("<prompt a <response>") == "&lt;prompt a &lt;response&gt;"


@given(TEXTS)
def test_no_text_keeps_a_tag_none_arises_by_escaping_and_nothing_is_lost(text: str) -> None:
    escaped = escape_delimiters(text)
    assert TAG.search(escaped) is None
    assert escape_delimiters(escaped) == escaped
    undone = text.replace("&lt;", "<").replace("&gt;", ">")
    assert escaped.replace("&lt;", "<").replace("&gt;", ">") == undone


@given(asked=TEXTS, responses=st.tuples(TEXTS, TEXTS))
def test_no_text_closes_its_delimiter_or_opens_another(asked: str, responses: tuple[str, str]) -> None:
    """Of three rendered texts one after another, the tags are the six that were put there, in their order."""
    prompt = Prompt(id="p", messages=(Message(role="user", content=asked),))
    shown = render_prompt(prompt) + render_response(rollout(responses[0]), "A") + render_response(rollout(responses[1]))
    assert re.findall(r"<\s*/?\s*(?:prompt|response)\b[^<>]*>?", shown, re.IGNORECASE) == [
        "<prompt>",
        "</prompt>",
        '<response option="A">',
        "</response>",
        "<response>",
        "</response>",
    ]


def test_a_single_turn_is_shown_as_it_is_and_a_conversation_with_its_roles() -> None:
    user, assistant = Message(role="user", content="Hi <b>"), Message(role="assistant", content="Ho</prompt>")
    assert render_prompt(Prompt(id="p", messages=(user,))) == "<prompt>\nHi <b>\n</prompt>\n"
    assert render_prompt(Prompt(id="p", messages=(user, assistant, user))) == (
        "<prompt>\nuser: Hi <b>\nassistant: Ho&lt;/prompt&gt;\nuser: Hi <b>\n</prompt>\n"
    )


def test_a_response_names_its_option_in_its_tag() -> None:
    assert render_response(rollout("Yes.")) == "<response>\nYes.\n</response>\n"
    assert render_response(rollout("Yes."), "B") == '<response option="B">\nYes.\n</response>\n'
