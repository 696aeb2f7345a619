"""Ranked responses: which two make a pair, what a list of them holds, and why a prompt makes neither."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roundelay.orchestrator.data.records import FinishReason, Message, PairingOutcome, Prompt, Rollout
from roundelay.recipes.pairing.ranked import RankedChoice, pair_ranked

PROMPT = Prompt(id="p", messages=(Message(role="user", content="Hi"),))


def response(rank: int, text: str, *, finish: FinishReason = "stop") -> Rollout:
    return Rollout(
        prompt_id="p",
        sample=rank,
        variant="ranked",
        prompt_token_ids=(1,),
        sampler_token_ids=(1,),
        token_ids=(2,),
        logprobs=(),
        text=text,
        finish_reason=finish,
        policy_version=0,
        seed=0,
    )


def responses(*texts: str) -> list[Rollout]:
    """Responses of these texts, best first; one that ends in an ellipsis was cut by the token limit."""
    return [response(rank, text, finish="length" if text.endswith("…") else "stop") for rank, text in enumerate(texts)]


def ranked(
    rollouts: Sequence[Rollout], take: RankedChoice, *, drop_truncated: bool = True, seed: int = 0, name: str = "p"
) -> PairingOutcome:
    return pair_ranked(replace(PROMPT, id=name), rollouts, take=take, seed=seed, drop_truncated=drop_truncated)


def ranks(outcome: PairingOutcome) -> tuple[int, ...]:
    """Of a pair's two responses, or of a list's."""
    assert outcome.dropped is None
    if outcome.pair is not None:
        pair = outcome.pair
        assert (pair.margin, pair.label_probability, pair.provenance) == (None, 1.0, "ranked")
        return pair.chosen.sample, pair.rejected.sample
    assert outcome.group is not None
    return tuple(rollout.sample for rollout in outcome.group.responses)


def test_the_best_rank_is_paired_with_the_worst_whatever_order_they_come_in() -> None:
    four = responses("best", "good", "fair", "poor")
    assert ranks(ranked(four, "best_worst")) == (0, 3)
    assert ranks(ranked(four[::-1], "best_worst")) == (0, 3)
    assert ranks(ranked(four[:2], "best_worst")) == (0, 1)


def test_neighbours_are_drawn_by_seed_and_all_of_them_are() -> None:
    """Uniform over three neighbourhoods and 300 prompts: 100 ± 8 each, so 60–140 is five standard deviations."""
    four = responses("best", "good", "fair", "poor")
    counts = Counter(ranks(ranked(four, "adjacent", name=f"p{number}")) for number in range(300))
    assert set(counts) == {(0, 1), (1, 2), (2, 3)} and all(60 < count < 140 for count in counts.values()), counts
    assert ranks(ranked(four, "adjacent", name="p7")) == ranks(ranked(four[::-1], "adjacent", name="p7"))


def test_a_list_scores_every_response_by_minus_its_rank() -> None:
    """A rank that cannot be used leaves its gap in the scores: 0, −1 and −3 of four with the third cut."""
    outcome = ranked(responses("best", "good", "cut…", "poor"), "all")
    assert ranks(outcome) == (0, 1, 3)
    assert outcome.group is not None and outcome.group.scores == (0.0, -1.0, -3.0)
    assert ranks(ranked(responses("best", "good", "cut…", "poor"), "all", drop_truncated=False)) == (0, 1, 2, 3)


def test_of_identical_texts_in_a_list_the_best_rank_stays() -> None:
    outcome = ranked(responses("one", "two", " one\n", "three"), "all")
    assert ranks(outcome) == (0, 1, 3)
    assert outcome.group is not None and outcome.group.scores == (0.0, -1.0, -3.0)


def test_ranks_that_cannot_be_used_are_passed_over() -> None:
    """The next usable ones take their place."""
    five = responses("cut…", "good", "fair", " ", "cut too…")
    assert ranks(ranked(five, "best_worst")) == (1, 2)
    assert ranks(ranked(five, "adjacent")) == (1, 2)
    assert ranks(ranked(five, "best_worst", drop_truncated=False)) == (0, 4)


@pytest.mark.parametrize("take", ["best_worst", "adjacent", "all"])
@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        ((), "too_few"),
        (("one",), "too_few"),
        (("one", "cut…"), "truncated"),
        (("cut…", "cut too…", "more…"), "truncated"),
        (("one", " ", "\n"), "empty"),
        (("one", " ", "cut…"), "empty"),
        (("one", "one "), "identical"),
    ],
)
def test_a_prompt_without_two_usable_responses_says_why(
    texts: tuple[str, ...], reason: str, take: RankedChoice
) -> None:
    outcome = ranked(responses(*texts), take)
    assert (outcome.pair, outcome.group) == (None, None)
    assert outcome.dropped is not None and outcome.dropped.reason == reason


def test_best_and_worst_that_say_the_same_make_no_pair_though_others_lie_between() -> None:
    outcome = ranked(responses("same", "other", "same"), "best_worst")
    assert outcome.dropped is not None and outcome.dropped.reason == "identical"


def test_responses_that_have_no_rank_are_not_ranked() -> None:
    plain = [replace(rollout, variant="plain") for rollout in responses("one", "two")]
    outcome = ranked(plain, "best_worst")
    assert outcome.dropped is not None and outcome.dropped.reason == "too_few"


@given(
    texts=st.lists(st.sampled_from(["a", "b ", " b", "c", " ", "a…", "d…"]), max_size=6),
    take=st.sampled_from(["best_worst", "adjacent", "all"]),
    drop_truncated=st.booleans(),
    seed=st.integers(0, 9),
)
def test_a_better_rank_stands_before_a_worse_one_and_nothing_unusable_or_equal_enters(
    texts: list[str], take: RankedChoice, drop_truncated: bool, seed: int
) -> None:
    outcome = ranked(responses(*texts), take, drop_truncated=drop_truncated, seed=seed)
    assert (outcome.pair is None) + (outcome.group is None) + (outcome.dropped is None) == 2
    if outcome.dropped is not None:
        return
    taken = ranks(outcome)
    assert len(taken) >= 2 and list(taken) == sorted(set(taken))
    said = [texts[rank].strip() for rank in taken]
    assert all(said) and len(set(said)) == len(said)
    assert not (drop_truncated and any(text.endswith("…") for text in said))
