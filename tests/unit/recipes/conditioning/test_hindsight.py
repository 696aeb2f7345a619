"""Chains of hindsight: what is in them, in which order, and which of their tokens are learnt."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import pairing
from support.conditioning import Encoder
from support.configs import HINDSIGHT, changed

from roundelay.orchestrator.data.records import Dropped, Message, PairingOutcome, PreferencePair, Prompt, TokenSequence
from roundelay.recipes.conditioning.hindsight import condition_hindsight

HELPFUL, UNHELPFUL = tuple(b"Good:\n"), tuple(b"Bad:\n")
EOS = 0
BETTER, WORSE = (101, 102, EOS), (201, EOS)
TIED = PairingOutcome(pair=None, dropped=Dropped(prompt_id="tied", reason="tie"))


def pair(name: str = "p") -> PairingOutcome:
    prompt = Prompt(id=name, messages=(Message(role="user", content="Hi"),))
    made = PreferencePair(
        prompt=prompt,
        chosen=replace(pairing.rollout(1, "better"), token_ids=BETTER),
        rejected=replace(pairing.rollout(0, "worse"), token_ids=WORSE),
        margin=1.0,
        label_probability=1.0,
        provenance="judge",
    )
    return PairingOutcome(pair=made, dropped=None)


def chained(
    *outcomes: PairingOutcome, orders: tuple[str, ...] = ("pn",), max_tokens: int = 99, seed: int = 0
) -> list[PairingOutcome]:
    config: Any = changed(HINDSIGHT, orders=orders)
    made = condition_hindsight(outcomes, Encoder(), config=config, max_tokens=max_tokens, seed_parts=(seed,))
    return asyncio.run(made)


def sequence(outcome: PairingOutcome) -> TokenSequence:
    (only,) = outcome.sequences
    return only


@pytest.mark.parametrize(
    ("order", "first", "rest", "weights"),
    [
        ("p", HELPFUL, BETTER, (1, 1, 1)),
        ("n", UNHELPFUL, WORSE, (1, 1)),
        ("pn", HELPFUL, (*BETTER, *UNHELPFUL, *WORSE), (1, 1, 1, 0, 0, 0, 0, 0, 1, 1)),
        ("np", UNHELPFUL, (*WORSE, *HELPFUL, *BETTER), (1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1)),
    ],
)
def test_an_order_says_what_is_chained_and_only_responses_with_their_ends_are_learnt(
    order: str, first: tuple[int, ...], rest: tuple[int, ...], weights: tuple[int, ...]
) -> None:
    """The prompt and its marker come before all that is scored; the marker between two responses weighs 0."""
    made = sequence(chained(pair(), orders=(order,))[0])
    assert made.prompt_token_ids == (*b"user:Hi|", *first)
    assert (made.token_ids, made.weights) == (rest, weights)


def test_the_order_is_drawn_by_seed_and_prompt_and_all_orders_come() -> None:
    """64 prompts: whatever stands beside a pair, its order is the same; another run draws another."""
    pairs = [pair(f"p{number}") for number in range(64)]
    made = chained(*pairs, orders=("p", "n", "pn", "np"))
    assert {len(sequence(one).token_ids) for one in made} == {3, 2, 10, 11}
    assert chained(*pairs[::-1], orders=("p", "n", "pn", "np")) == made[::-1]
    assert chained(*pairs, orders=("p", "n", "pn", "np"), seed=1) != made


def test_a_pair_stays_the_pair_that_it_was_and_a_drop_stays_a_drop() -> None:
    first, second = chained(TIED, pair())
    assert first == TIED
    assert replace(second, sequences=()) == pair()


def test_a_chain_that_does_not_fit_the_model_is_dropped_with_its_reason() -> None:
    """8 tokens of the prompt, 6 of the marker, 3 of the response, 5 of the second marker, 2 of the second response."""
    (fits,), (not_quite,), (not_even_markers,) = (chained(pair(), max_tokens=limit) for limit in (24, 23, 10))
    assert sequence(fits).num_tokens == 24
    for outcome in (not_quite, not_even_markers):
        assert (outcome.pair, outcome.sequences) == (None, ())
        assert outcome.dropped == Dropped(prompt_id="p", reason="too_long")


def test_where_the_engine_refuses_a_prompt_nothing_is_learnt_of_it() -> None:
    made = condition_hindsight([pair()], Encoder(max_model_len=5), config=HINDSIGHT, max_tokens=5, seed_parts=(0,))
    (outcome,) = asyncio.run(made)
    assert outcome.dropped == Dropped(prompt_id="p", reason="too_long")


@given(
    better=st.lists(st.integers(1, 250), min_size=1, max_size=6),
    worse=st.lists(st.integers(1, 250), min_size=1, max_size=6),
    seed=st.integers(0, 2**31),
)
def test_the_learnt_tokens_are_those_of_the_responses_and_no_others(
    better: list[int], worse: list[int], seed: int
) -> None:
    outcome = pair()
    assert outcome.pair is not None
    own = replace(
        outcome.pair,
        chosen=replace(outcome.pair.chosen, token_ids=tuple(better)),
        rejected=replace(outcome.pair.rejected, token_ids=tuple(worse)),
    )
    config = HINDSIGHT
    (made,) = asyncio.run(
        condition_hindsight([replace(outcome, pair=own)], Encoder(), config=config, max_tokens=999, seed_parts=(seed,))
    )
    one = sequence(made)
    assert one.weights is not None and len(one.weights) == len(one.token_ids)
    learnt = [token for token, weight in zip(one.token_ids, one.weights, strict=True) if weight]
    assert learnt in (better, worse, better + worse, worse + better)
