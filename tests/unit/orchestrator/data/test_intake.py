"""Which rows a run takes: near duplicates, held-out prompts that are trained on, one file split in two, a source's own
columns."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roundelay.orchestrator.data.intake import Taking, take
from roundelay.orchestrator.data.near import is_near, near_earlier, words_of
from roundelay.orchestrator.data.records import Message, Prompt
from roundelay.orchestrator.data.rows import read_prompts
from roundelay.orchestrator.data.sources import PromptsConfig, PromptSource, SeedSource
from roundelay.orchestrator.errors import ConfigError

LONG = (
    "Explain to a class of ten year olds why the moon changes its shape over a month, using a lamp and an orange, "
    "and tell them what they should see at every step of the demonstration"
)


def prompt(text: str) -> Prompt:
    return Prompt(id=text, messages=(Message(role="user", content=text),))


def near(one: str, other: str) -> bool:
    return is_near(words_of(prompt(one).messages), words_of(prompt(other).messages))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is the capital of France?", "what is the capital of france"),
        ("What is the capital of France?", "  What is the\n capital — of France!! "),
        ("What is the capital of France?", "Ｗｈａｔ is the capital of Ｆrance?"),
        ("?!", " ?! "),
        (LONG, f"{LONG}, please"),
        (LONG, LONG.replace("orange", "apple")),
    ],
)
def test_the_same_words_and_a_few_changed_ones_in_a_long_text_are_near(one: str, other: str) -> None:
    assert near(one, other) and near(other, one)
    assert near_earlier(lambda: [prompt(one), prompt("Another."), prompt(other)]) == {2: 0}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is the capital of France?", "What is the capital of Spain?"),
        ("Name a river.", "Name a river in Asia."),
        ("?!", "!?"),
        (f"{LONG} for 10 minutes", f"{LONG} for 20 minutes"),
        (f"{LONG}. Input: a red lamp on the desk", f"{LONG}. Input: two ripe melons in our cellar"),
        ("the dog bites the man", "the man bites the dog"),
    ],
)
def test_other_questions_are_not_near(one: str, other: str) -> None:
    """Other numbers, another input to one instruction, other words of a short text, another order."""
    assert not near(one, other)


def test_conversations_are_near_where_history_and_question_are() -> None:
    def words(*texts: str) -> Any:
        roles = ("user", "assistant", "user")
        return words_of([Message(role=role, content=text) for role, text in zip(roles, texts, strict=False)])  # type: ignore[arg-type]

    assert is_near(words("Hi", "Ho", "Why?"), words("hi", "ho!", "why"))
    assert not is_near(words(LONG, LONG, "Why?"), words(LONG, LONG, "How?"))
    assert not is_near(words("Hi", "Ho", LONG), words("No", "Ha", LONG))


@given(st.lists(st.text(), min_size=1, max_size=6))
def test_every_repeated_prompt_is_found_and_its_first_one_named(texts: Sequence[str]) -> None:
    prompts = [prompt(text) for text in texts]
    doubled = [*prompts, *(prompt(f" {text.upper()} ") for text in texts if text.upper().casefold() == text.casefold())]
    found = near_earlier(lambda: doubled)
    assert {*range(len(prompts), len(doubled))} <= found.keys()
    assert all(earlier < later for later, earlier in found.items())


def test_a_large_file_of_one_template_is_no_square_of_its_rows() -> None:
    """1,500 prompts share all but three of their words: each is compared with a few, and one that comes again found."""
    codes = ["".join(chr(97 + n // 26**place % 26) for place in range(3)) for n in range(1500)]
    prompts = [prompt(f"{LONG} x{code} y{code} z{code}") for code in codes]
    assert near_earlier(lambda: [*prompts, prompts[1000]]) == {1500: 1000}


# -------------------------------------------------------------------------------------------------------- what is taken


def file(folder: Path, name: str, *values: Any) -> str:
    path = folder / f"{name}.jsonl"
    rows = [{"prompt": value} if isinstance(value, str) else value for value in values]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return str(path)


def settings(train: str, heldout: str | None, seed: str | None = None, **values: Any) -> PromptsConfig:
    return PromptsConfig(
        train=PromptSource(path=train),
        heldout=PromptSource(path=heldout),
        seed=SeedSource(path=seed, split="train", responses=("completion",)),
        **{"prompt_column": "prompt", "id_column": None, "system": None, **values},
    )


def taken(
    config: PromptsConfig, used: Sequence[str] = ("train",), heldout: int = 2, seed: int = 0
) -> dict[str, Taking]:
    return take(config, used=used, heldout=heldout, seed=seed)


def texts(config: PromptsConfig, taking: Taking) -> list[str]:
    prompts = enumerate(read_prompts(taking.source, config, taking.field))
    return [prompt.messages[-1].content for place, prompt in prompts if place not in taking.without]


FRANCE = "What is the capital of France?"


def test_near_duplicates_are_refused_dropped_or_kept(tmp_path: Path) -> None:
    path = file(tmp_path, "train", "Name a tree.", FRANCE, "what is the capital of france", LONG, f"Please: {LONG}")
    held = file(tmp_path, "heldout", "Name a bird.")
    with pytest.raises(ConfigError) as caught:
        taken(settings(path, held))
    assert "prompts.train has 2 prompts that say nearly the same as an earlier one" in caught.value.what
    assert FRANCE in caught.value.what and "prompts.near_duplicates=drop" in caught.value.remedy
    dropped = settings(path, held, near_duplicates="drop")
    assert texts(dropped, taken(dropped)["train"]) == ["Name a tree.", FRANCE, LONG]
    assert taken(dropped)["train"].counts == {"near_duplicates": 2}
    kept = settings(path, held, near_duplicates="keep")
    assert (taken(kept)["train"].without, taken(kept)["train"].counts) == (frozenset(), {})


@pytest.mark.parametrize("name", ["train", "seed"])
def test_heldout_prompts_that_are_learnt_from_are_refused_or_dropped_but_never_kept(tmp_path: Path, name: str) -> None:
    rows = [{"prompt": text, "completion": "A."} for text in ("Name a tree.", "what is  the capital of FRANCE")]
    other = file(tmp_path, "other", "Name a fish.")
    path = file(tmp_path, "shared", *rows)
    sources = {"train": path} if name == "train" else {"train": other, "seed": path}
    held = file(tmp_path, "heldout", "Name a bird.", FRANCE)
    for near_duplicates in ("refuse", "keep"):
        with pytest.raises(ConfigError, match=rf"prompts\.heldout has a prompt of prompts\.{name}") as caught:
            taken(settings(**sources, heldout=held, near_duplicates=near_duplicates), used=[name])
        assert f"prompts.{name} has 1 such" in caught.value.what and FRANCE in caught.value.what
    config = settings(**sources, heldout=held, near_duplicates="drop")
    takings = taken(config, used=[name])
    assert (takings[name].without, takings[name].counts) == ({1}, {"near_heldout": 1})
    assert texts(config, takings["heldout"]) == ["Name a bird.", FRANCE]


def test_a_set_that_no_phase_uses_is_not_compared(tmp_path: Path) -> None:
    path = file(tmp_path, "train", FRANCE, FRANCE.upper())
    assert taken(settings(path, file(tmp_path, "heldout", FRANCE)), used=[])["train"].without == frozenset()


TREES = [f"Name a tree of {place}." for place in ("Asia", "Peru", "Cuba", "Mali", "Iran", "Oman", "Chad", "Fiji")]


def test_one_file_is_split_by_what_its_prompts_say_and_the_seed(tmp_path: Path) -> None:
    """Every prompt is on one side; neither order nor case matters; another seed, another split; more held-out prompts
    hold the fewer ones."""
    config = settings(file(tmp_path, "one", *TREES), None)
    takings = taken(config)
    held, left = texts(config, takings["heldout"]), texts(config, takings["train"])
    assert len(held) == 2 and sorted(held + left) == sorted(TREES)
    assert takings["heldout"].counts == {"split_of": "prompts.train"}
    other = settings(file(tmp_path, "other", *(text.upper() for text in reversed(TREES))), None)
    assert {*texts(other, taken(other)["heldout"])} == {text.upper() for text in held}
    assert len({tuple(texts(config, taken(config, seed=seed)["heldout"])) for seed in range(10)}) > 3
    assert {*held} < {*texts(config, taken(config, heldout=5)["heldout"])}


def test_a_split_tells_near_duplicates_apart_from_held_out_prompts(tmp_path: Path) -> None:
    """Also where they are kept: a held-out prompt has no near one among those that are trained on."""
    pairs = [text for tree in TREES[:3] for text in (tree, tree.upper())]
    config = settings(file(tmp_path, "one", *pairs, *TREES[3:]), None, near_duplicates="keep")
    for seed in range(5):
        assert {*texts(config, taken(config, seed=seed, heldout=4)["heldout"])} < {*TREES[3:]}


def test_a_split_that_would_leave_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"of the 8 prompts of .* 8 cannot be held out"):
        taken(settings(file(tmp_path, "one", *TREES), None), heldout=8)


def test_seeds_are_compared_with_the_prompts_that_a_split_holds_out(tmp_path: Path) -> None:
    path = file(tmp_path, "one", *TREES)
    seeds = file(tmp_path, "seeds", *({"prompt": text.upper(), "completion": "Oak."} for text in TREES))
    config = settings(path, None, seeds, near_duplicates="drop")
    takings = taken(config, used=["train", "seed"])
    held = texts(config, takings["heldout"])
    assert {TREES.index(text) for text in held} == takings["seed"].without


def test_every_source_has_columns_of_its_own(tmp_path: Path) -> None:
    train = file(tmp_path, "train", {"question": "Q", "key": 7}, {"question": "R", "key": 8})
    config = settings(train, file(tmp_path, "heldout", "Name a bird."))
    source = replace(config.train, prompt_column="question", id_column="key")
    config = replace(config, train=source)
    assert [p.id for p in read_prompts(source, config, "prompts.train.path")] == ["7", "8"]
    assert texts(config, taken(config)["heldout"]) == ["Name a bird."]
    wrong = replace(source, prompt_column="query")
    with pytest.raises(ConfigError, match=r"no column 'query' \(prompts\.train\.prompt_column\)"):
        list(read_prompts(wrong, config, "prompts.train.path"))


def test_malformed_rows_are_dropped_and_counted_on_demand_but_not_all(tmp_path: Path) -> None:
    path = file(tmp_path, "train", "Name a tree.", {"prompt": ""}, {"prompt": None}, "Name a fish.")
    held = file(tmp_path, "heldout", "Name a bird.")
    with pytest.raises(ConfigError, match="line 2: the prompt is empty"):
        taken(settings(path, held))
    config = settings(path, held, malformed="drop")
    counts = taken(config)["train"].counts
    assert counts["malformed"] == 2 and "line 2: the prompt is empty" in counts["first_malformed"]
    assert texts(config, taken(config)["train"]) == ["Name a tree.", "Name a fish."]
    with pytest.raises(ConfigError, match="line 1: the prompt is empty"):
        taken(settings(file(tmp_path, "all", {"prompt": ""}), held, malformed="drop"))
