"""What drops a new prompt: each rule by its own reason, at its very edge."""

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.configs import PROMPT_RULES

from roundelay.recipes.prompts.contamination import HeldoutText
from roundelay.recipes.prompts.filters import KnownPrompts, overlap_reason, text_reason
from roundelay.recipes.prompts.similarity import words_of

FIVE = HeldoutText(["one two three four five six seven", "Name a river."], 5, 1.0)  # no ROUGE-L is above 1
NONE_HELD_OUT = HeldoutText([], 13, 0.7)
STARTER = Path(__file__).parents[4] / "configs" / "prompts" / "starter"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Name three big rivers", None),
        ("Name three rivers", "too_short"),
        ("Name three rivers of Spain", None),
        (" ".join(["word"] * 150), None),
        (" ".join(["word"] * 151), "too_long"),
        ("Show the MAP of Spain", "banned"),
        ("Where would you Go To eat?", "banned"),
        ("Which mapping tools are free?", None),
        ("Is it a good tomorrow?", None),
        ("Write a program that counts words", "program"),
        ("write a program that counts words", None),
        ("- Name three big rivers", "bad_start"),
        ('"Name three big rivers"', "bad_start"),
        ("Éclairs: how are they made?", "bad_start"),
        ("\x08Name three big rivers", "bad_start"),
        ("_Name_ three big rivers", "bad_start"),
        ("3 rivers in Spain, please", None),
    ],
)
def test_a_text_is_dropped_for_the_first_reason_that_holds(text: str, reason: str | None) -> None:
    """Self-Instruct keeps 4 to 150 words, bans whole words in any case, and one beginning in exactly its case."""
    assert text_reason(text, PROMPT_RULES) == reason


def test_no_banned_words_ban_nothing() -> None:
    assert text_reason("Draw a map and go to Spain", dataclasses.replace(PROMPT_RULES, banned=())) is None


@given(st.text())
def test_no_text_breaks_the_rules(text: str) -> None:
    reasons = {None, "too_short", "too_long", "banned", "program", "bad_start"}
    assert text_reason(text, PROMPT_RULES) in reasons


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Plan a picnic for ten people", "duplicate"),
        ("plan a picnic, for TEN people!", "duplicate"),
        ("Plan a quick picnic for ten people", "similar"),  # LCS 6 of 6 and 7: 12/13
        ("Explain how tides come about", None),
    ],
)
def test_known_prompts_are_found_word_for_word_or_nearly(text: str, reason: str | None) -> None:
    assert KnownPrompts(0.7, ["Plan a picnic for ten people"]).reason(text) == reason


def test_word_for_word_repeats_are_found_where_similarity_is_allowed() -> None:
    """No F-measure is above 1."""
    known = KnownPrompts(1.0, ["Plan a picnic for ten people"])
    assert known.reason("Plan a picnic for ten people") == "duplicate"
    assert known.reason("Plan a quick picnic for ten people") is None


@pytest.mark.parametrize(
    ("text", "contaminated"),
    [
        ("Say: one two three four five!", True),
        ("one two three four, six", False),
        ("two three four five SIX and more", True),
        ("Name a river", True),  # all of a short one
        ("Name a river in Spain", False),
        ("one two three four five six seven", True),
    ],
)
def test_five_words_in_a_row_or_a_whole_heldout_prompt_contaminate(text: str, contaminated: bool) -> None:
    assert FIVE.contaminates(text.lower().replace("!", "").replace(":", "").replace(",", "").split()) is contaminated


def test_contamination_is_the_reason_before_all_others() -> None:
    """What is known already may be held out too: that must be seen."""
    known = KnownPrompts(0.7, ["name a river"])
    assert overlap_reason("Name a river", (known,), FIVE) == "contaminated"
    assert overlap_reason("Name a river", (known,), NONE_HELD_OUT) == "duplicate"
    assert overlap_reason("Name a city", (KnownPrompts(0.7), known), NONE_HELD_OUT) is None


@pytest.mark.parametrize(
    ("text", "contaminated"),
    [
        ("Name a quick river", True),  # LCS 3 of 3 and 4: 6/7
        ("Name a river in Spain", True),  # 3 of 3 and 5: 6/8
        ("Name a river in Spain please", False),  # 3 of 3 and 6: 6/9
        ("one two three four SIX five seven", True),  # 6 of 7 and 7
        ("one two three four four three two one", False),  # 4 of 7 and 8: 8/15
    ],
)
def test_what_is_similar_to_a_held_out_prompt_is_contaminated(text: str, contaminated: bool) -> None:
    """ROUGE-L above 0.7; no five words in a row are needed."""
    heldout = HeldoutText(["one two three four five six seven", "Name a river."], 99, 0.7)
    assert (overlap_reason(text, (), heldout) == "contaminated") is contaminated


def test_one_changed_word_hides_no_held_out_prompt_of_ours() -> None:
    """n − 1 of n words in order: ROUGE-L is (n − 1)/n, above 0.7 from four words on. Thirteen words in a row alone
    would miss most of them."""
    lines = (STARTER / "heldout.jsonl").read_text(encoding="utf-8").splitlines()
    asked = [json.loads(line)["prompt"] for line in lines]
    texts = [one if isinstance(one, str) else "\n".join(turn["content"] for turn in one) for one in asked]
    changed = []
    for words in map(words_of, texts):
        assert len(words) >= 4
        changed.append([*words[: len(words) // 2], "changed", *words[len(words) // 2 + 1 :]])
    assert all(HeldoutText(texts, 13, 0.7).contaminates(words) for words in changed)
    assert sum(HeldoutText(texts, 13, 1.0).contaminates(words) for words in changed) < len(texts) / 2
