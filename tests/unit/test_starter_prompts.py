"""The shipped prompts: what the starter set's README says of the rows with responses."""

import json
import re
from pathlib import Path
from statistics import fmean
from typing import Any

STARTER = Path(__file__).parents[2] / "configs" / "prompts" / "starter"


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (STARTER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def num_words(text: str) -> int:
    return len(text.split())


def runs_of_eight_words(*texts: str) -> set[tuple[str, ...]]:
    found = set()
    for text in texts:
        words = re.findall(r"\w+", text.lower())
        found |= {tuple(words[start : start + 8]) for start in range(len(words) - 7)}
    return found


def test_the_seed_rows_are_128_pairs_of_responses_of_15_to_60_words() -> None:
    seed = rows("seed")
    assert all(row.keys() == {"id", "prompt", "chosen", "rejected"} for row in seed)
    assert len(seed) == len({row["id"] for row in seed}) == len({row["prompt"] for row in seed}) == 128
    assert all(15 <= num_words(row[side]) <= 60 for row in seed for side in ("chosen", "rejected"))
    assert all(row["chosen"] != row["rejected"] for row in seed)


def test_every_sixteen_seed_rows_hold_each_category_of_the_training_rows_once() -> None:
    categories = [row["category"] for row in rows("train")[:16]]
    assert [row["id"].split("-")[1] for row in rows("seed")] == categories * 8


def test_the_length_of_a_seed_response_does_not_give_away_which_is_better() -> None:
    """Nor does the number of lines; the chosen one is the longer, in characters, in about half of the rows."""
    seed = rows("seed")
    for size in (num_words, len, str.splitlines):
        chosen, rejected = (fmean(_number(size(row[side])) for row in seed) for side in ("chosen", "rejected"))
        assert 0.75 <= chosen / rejected <= 1.25
    assert 0.4 <= fmean(len(row["chosen"]) > len(row["rejected"]) for row in seed) <= 0.6


def _number(size: Any) -> int:
    return size if isinstance(size, int) else len(size)


def test_no_seed_row_shares_eight_words_in_a_row_with_a_training_or_held_out_prompt() -> None:
    others = set()
    for row in (*rows("train"), *rows("heldout")):
        turns = [row["prompt"]] if isinstance(row["prompt"], str) else [turn["content"] for turn in row["prompt"]]
        others |= runs_of_eight_words(*turns)
    for row in rows("seed"):
        assert not runs_of_eight_words(row["prompt"], row["chosen"], row["rejected"]) & others, row["id"]
