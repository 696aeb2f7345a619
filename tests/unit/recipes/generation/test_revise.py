"""Answers that the policy reviews and writes again: when it stops, why, and which two answers make a pair."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.scripted_engine import TOO_LONG, Engine, assistant, encode, prompts, said, user

from roundelay.orchestrator.data.records import Generation, GenerationRequest, Rollout, Shard
from roundelay.orchestrator.parts.sampling import SamplingConfig
from roundelay.recipes.generation.revise import (
    REVIEW_REQUEST,
    REVISION_REQUEST,
    ReviseGeneration,
    parse_verdict,
    sample_revise,
)

ANTS = prompts("ants")[0]
REVISE, FINE = "It is vague.\nNeeds revision: 1", "It is right.\nNeeds revision: 0"
CONFIG = ReviseGeneration(
    kind="revise",
    revisions=2,
    constrain_verdict=False,
    sampling=SamplingConfig(temperature=0.7, top_p=0.9, max_tokens=48, stop=("<end>",)),
    truncated="keep",
)


def sampled(*answers: str | Generation, config: ReviseGeneration = CONFIG) -> tuple[list[Rollout], Engine]:
    rest = iter(answers)
    engine = Engine(lambda request: next(rest))
    shard = Shard(round=1, index=0, prompts=(ANTS,), split="train")
    rollouts = asyncio.run(sample_revise(shard, 4, engine, config=config, seed_parts=(0, "train", 1)))
    assert next(rest, None) is None, "everything was asked for"
    return rollouts, engine


def told(rollouts: list[Rollout]) -> list[tuple[str, str, str]]:
    assert [rollout.sample for rollout in rollouts] == list(range(len(rollouts)))
    return [(rollout.text, rollout.variant, rollout.remark) for rollout in rollouts]


def test_the_last_answer_is_positive_and_the_first_negative_where_reviews_ask_for_more() -> None:
    rollouts, engine = sampled("first", REVISE, "second", REVISE, "third")
    assert told(rollouts) == [
        ("first", "negative", ""), (REVISE, "interim", ""), ("second", "interim", ""), (REVISE, "interim", ""),
        ("third", "positive", ""),
    ]  # fmt: skip
    asked = [request.messages for request in engine.requests]
    begun = ANTS.messages
    assert asked == [
        begun,
        (*begun, assistant("first"), user(REVIEW_REQUEST)),
        (*begun, assistant("first"), user(REVIEW_REQUEST), assistant(REVISE), user(REVISION_REQUEST)),
        (*begun, assistant("second"), user(REVIEW_REQUEST)),
        (*begun, assistant("second"), user(REVIEW_REQUEST), assistant(REVISE), user(REVISION_REQUEST)),
    ]
    assert len({rollout.seed for rollout in rollouts}) == 5


def test_all_answers_are_trained_under_the_plain_prompt() -> None:
    rollouts, engine = sampled("first", REVISE, "second", FINE)
    assert {rollout.prompt_token_ids for rollout in rollouts} == {encode(ANTS.messages)}
    assert [rollout.sampler_token_ids for rollout in rollouts] == [encode(r.messages) for r in engine.requests]


def test_a_review_that_finds_nothing_to_mend_ends_the_thread() -> None:
    """After a revision it stays a pair; an answer that needed none stands alone, and is worth learning."""
    assert told(sampled("first", REVISE, "second", FINE)[0]) == [
        ("first", "negative", ""), (REVISE, "interim", ""), ("second", "positive", ""),
        (FINE, "interim", "nothing_to_mend"),
    ]  # fmt: skip
    assert told(sampled("first", FINE)[0]) == [("first", "positive", ""), (FINE, "interim", "nothing_to_mend")]


@pytest.mark.parametrize(
    ("review", "remark"),
    [
        ("It is vague.", "review_unparsable"),
        ("Needs revision: maybe", "review_unparsable"),
        ("", "review_unparsable"),
        (said(REVISE, cut=True), "review_truncated"),
    ],
)
def test_a_review_that_cannot_be_read_ends_the_thread_and_says_so(review: str | Generation, remark: str) -> None:
    """An answer that nobody could judge is no demonstration; one that an earlier review made better is."""
    text = review if isinstance(review, str) else review.text
    assert told(sampled("first", review)[0]) == [("first", "interim", ""), (text, "interim", remark)]
    assert told(sampled("first", REVISE, "second", review)[0])[2:] == [
        ("second", "positive", ""), (text, "interim", remark),
    ]  # fmt: skip


def test_what_does_not_fit_the_model_ends_the_thread() -> None:
    assert told(sampled("first", TOO_LONG)[0]) == [("first", "interim", "too_long")]
    assert told(sampled("first", REVISE, TOO_LONG)[0]) == [("first", "interim", ""), (REVISE, "interim", "too_long")]
    assert told(sampled("first", REVISE, "second", TOO_LONG)[0]) == [
        ("first", "negative", ""), (REVISE, "interim", ""), ("second", "positive", "too_long"),
    ]  # fmt: skip


def test_threads_of_a_shard_end_each_for_itself() -> None:
    """Ants are revised once, bees need nothing, cats' review cannot be read."""
    rest = iter(["a", "b", "c", REVISE, FINE, "hm", "a2", FINE])
    shard = Shard(round=1, index=0, prompts=tuple(prompts("ants", "bees", "cats")), split="train")
    engine = Engine(lambda request: next(rest))
    rollouts = asyncio.run(sample_revise(shard, 4, engine, config=CONFIG, seed_parts=(0,)))
    made = [(r.prompt_id, r.text, r.variant) for r in rollouts if r.sample % 2 == 0]
    assert made == [
        ("ants", "a", "negative"), ("ants", "a2", "positive"), ("bees", "b", "positive"), ("cats", "c", "interim"),
    ]  # fmt: skip


def test_a_constrained_verdict_is_decoded_after_the_review_and_stands_there_once() -> None:
    """The review may begin the line itself (it stops there) or not; a cut one can be read then."""
    config = replace(CONFIG, revisions=1, constrain_verdict=True)

    def verdict(request: GenerationRequest) -> bool:
        return request.constrain_to_choices

    for review in (said("It is vague.\nNeeds revision:"), said("It is vague.", cut=True)):
        rollouts, engine = sampled("first", review, "1", "second", config=config)
        assert [verdict(request) for request in engine.requests] == [False, False, True, False]
        assert engine.requests[1].stop == ("<end>", "Needs revision:")
        deciding = engine.requests[2]
        assert (deciding.assistant_prefix, deciding.choices) == ("It is vague.\nNeeds revision: ", ("0", "1"))
        assert told(rollouts)[1:] == [(REVISE, "interim", ""), ("second", "positive", "")]


# --------------------------------------------------------------------------------------------------------- the verdict


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("Needs revision: 1", True),
        ("Needs revision: 0", False),
        ("Vague.\n\n**Needs revision: 1**\n \n", True),
        ("needs revision:0.", False),
        ("Needs revision: 1\nNo: it is fine.\nNeeds revision: 0", False),
    ],
)
def test_the_last_line_decides(text: str, verdict: bool) -> None:
    assert parse_verdict(text, complete=True) == ("parsed", verdict)
    assert parse_verdict(text, complete=False) == ("truncated", None)


@pytest.mark.parametrize(
    "text",
    [
        "", "\n", "1", "Needs revision:", "Needs revision: 2", "Needs revision: 10", "Needs revision: yes",
        "Needs revision: 1, I think", "I say Needs revision: 1", "Needs revision: 1\nThat is all.",
        "Needs revision:\n1", "Needs revision: 1 or 0", "Needs revision: -1", "Needs revision: ١",
    ],
)  # fmt: skip
def test_anything_else_is_unparsable(text: str) -> None:
    assert parse_verdict(text, complete=True) == ("unparsable", None)


@given(
    text=st.text()
    | st.lists(st.sampled_from(["Needs revision", ":", " ", "0", "1", "*", "\n", "x", "."]), max_size=8).map("".join),
    complete=st.booleans(),
)
def test_no_text_breaks_the_parser_and_only_a_parsed_one_has_a_verdict(text: str, complete: bool) -> None:
    status, verdict = parse_verdict(text, complete=complete)
    assert (status == "parsed") == (verdict is not None)
    if verdict is not None:
        assert complete and text.strip().splitlines()[-1].strip(" \t*_.").endswith(str(int(verdict)))


@given(answer=st.text(max_size=30), verdict=st.sampled_from(["0", "1"]))
def test_a_verdict_in_the_reviewed_answer_is_never_read(answer: str, verdict: str) -> None:
    rollouts, _ = sampled(f"{answer}\nNeeds revision: {verdict}", "Well.")
    assert [rollout.remark for rollout in rollouts] == ["", "review_unparsable"]
