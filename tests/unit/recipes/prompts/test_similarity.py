"""ROUGE-L: the known figures, and an index that never passes over a text that is similar."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roundelay.recipes.prompts.similarity import RougeIndex, lcs_length, rouge_l, words_of

WORDS = st.lists(st.sampled_from("abcde"), max_size=14)


def table_lcs(a: list[str], b: list[str]) -> int:
    """The textbook's table: L[i][j] = L[i-1][j-1] + 1 where the words are equal, else the larger neighbour."""
    rows = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            rows[i + 1][j + 1] = rows[i][j] + 1 if x == y else max(rows[i][j + 1], rows[i + 1][j])
    return rows[-1][-1]


@given(WORDS, WORDS)
def test_the_longest_common_subsequence_is_that_of_the_table(a: list[str], b: list[str]) -> None:
    assert lcs_length(a, b) == table_lcs(a, b)


def test_texts_longer_than_a_machine_word_are_compared_whole() -> None:
    """150 words against the same with every third left out: all 100 that are left, in order."""
    words = [f"w{number}" for number in range(150)]
    assert lcs_length(words, [word for number, word in enumerate(words) if number % 3]) == 100


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        # LCS "write a poem", 3 of 4 and 3 of 3 words: P = 3/4, R = 1, F = 2·(3/4)/(7/4) = 6/7.
        ("Write a short poem.", "Write a poem", 6 / 7),
        # No word in the same order but one: LCS 1 of 2 and 2.
        ("poem short", "short poem", 1 / 2),
        ("Name a river", "name A river!", 1.0),
        ("entirely different", "words here", 0.0),
        ("", "", 0.0),
        ("!!!", "...", 0.0),
    ],
)
def test_rouge_l_is_the_harmonic_mean_of_the_two_shares(a: str, b: str, expected: float) -> None:
    assert rouge_l(words_of(a), words_of(b)) == pytest.approx(expected)


def test_ascii_text_falls_into_the_words_of_the_rouge_package() -> None:
    """It lowers the text, makes all but letters and digits spaces, and parts at spaces."""
    assert words_of("It's snake_case: 3.5 x-RAYS") == ["it", "s", "snake", "case", "3", "5", "x", "rays"]


def test_words_of_other_scripts_are_words_too() -> None:
    """The package drops them, and two different prompts in Greek would be equal."""
    assert words_of("Γράψε ΈΝΑ ποίημα") == ["γράψε", "ένα", "ποίημα"]


@given(st.lists(WORDS, max_size=12), WORDS, st.sampled_from([0.0, 0.3, 0.5, 2 / 3, 0.7, 0.9, 1.0]))
def test_the_index_passes_over_nothing_that_is_similar(
    texts: list[list[str]], words: list[str], threshold: float
) -> None:
    """It answers as a comparison with every text does, whatever it skipped."""
    index = RougeIndex(threshold)
    for text in texts:
        index.add(text)
    assert index.has_similar(words) == any(
        2 * table_lcs(words, text) > threshold * (len(words) + len(text)) + 1e-9 for text in texts
    )


def test_exactly_the_threshold_is_not_above_it() -> None:
    """LCS 7 of 10 and 10 words is F = 0.7; 8 of 10 is 0.8."""
    index = RougeIndex(0.7)
    index.add([*"abcdefg", "x", "y", "z"])
    assert not index.has_similar([*"abcdefg", "1", "2", "3"])
    assert index.has_similar([*"abcdefg", "x", "2", "3"])


def test_repeated_words_count_as_often_as_both_texts_have_them() -> None:
    """ "a a a a" and "a b c d" share one word, not four."""
    index = RougeIndex(0.25)
    index.add(["a", "a", "a", "a"])
    assert not index.has_similar(["a", "b", "c", "d"])
    assert index.has_similar(["a", "a", "c", "d"])
