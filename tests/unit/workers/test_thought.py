"""The marks of thought that an engine's text leaves out: without them a draft would pass for what was said."""

from dataclasses import replace

import pytest
from support.judging import said
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from roundelay.recipes.judges.score_line import read_score, score_line
from roundelay.recipes.judges.thought import words_of
from roundelay.workers.thought import marked_text

WORDS = ["[UNK]", "<user>", "<assistant>", "<think>", "</think>", "[THINK]", "[/THINK]", "Score:", "2", "4", "<end>"]
SPECIAL = ["<user>", "<assistant>", "[THINK]", "[/THINK]", "<end>"]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    """Of these words; `[THINK]` is a special token, as Magistral's is, and `<think>` is none, as Qwen's."""
    backend = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # pyright: ignore[reportAttributeAccessIssue]
    return PreTrainedTokenizerFast(tokenizer_object=backend, additional_special_tokens=SPECIAL)


def ids(*words: str) -> list[int]:
    return [WORDS.index(word) for word in words]


@pytest.mark.parametrize(
    ("prompt", "answer", "text", "marked"),
    [
        ("<user> 2 <assistant>", "Score: 4 <end>", "Score: 4", ""),
        ("<user> 2 <assistant> <think>", "Score: 2 </think> Score: 4", "Score: 2 </think> Score: 4", "open"),
        ("<user> 2 <assistant> <think> </think>", "Score: 4", "Score: 4", ""),
        ("<user> <think> 2 <assistant>", "Score: 4", "Score: 4", ""),  # what the user says opens nothing
        ("<user> 2 <assistant>", "<think> Score: 2 </think> Score: 4", "<think> Score: 2 </think> Score: 4", ""),
        ("<user> 2 <assistant>", "[THINK] Score: 2 [/THINK] Score: 4", "Score: 2 Score: 4", "special"),
    ],
)
def test_a_text_gets_the_marks_that_it_lacks(
    prompt: str, answer: str, text: str, marked: str, tokenizer: PreTrainedTokenizerFast
) -> None:
    expected = {"": "", "open": f"<think>{text}", "special": answer}[marked]
    assert marked_text(tokenizer, ids(*prompt.split()), ids(*answer.split()), text) == expected


@pytest.mark.parametrize(
    ("prompt", "draft"),
    [("<user> 2 <assistant> <think>", "Score: 2"), ("<user> 2 <assistant>", "[THINK] Score: 2")],
)
def test_a_cut_draft_whose_marks_no_text_has_is_truncated(
    prompt: str, draft: str, tokenizer: PreTrainedTokenizerFast
) -> None:
    """Without the marks it reads "Score: 2", a line that has ended."""
    text = "Score: 2\nBut"
    answer = said(text, "length")
    assert read_score(words_of(answer), score_line(0, 5), complete=False) == ("parsed", 2.0)
    marked = marked_text(tokenizer, ids(*prompt.split()), ids(*draft.split()), text)
    assert read_score(words_of(replace(answer, marked=marked)), score_line(0, 5), complete=False) == ("truncated", None)
