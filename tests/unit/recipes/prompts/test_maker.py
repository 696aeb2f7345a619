"""A batch of new prompts: each candidate kept or dropped for one reason, and nothing that is not accounted for."""

import asyncio
import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.configs import CONTRAST, EVOLVE, EXPECTED, PLAIN, PROMPT_RULES, RATIO, SAMPLING, SKILL_MIX
from support.scripted_rollouts import ScriptedRollouts, said

from roundelay.orchestrator.data.records import Generation, GenerationRequest, Message, Prompt, PromptCandidate
from roundelay.recipes.prompts.asking import Ask, Asked, Pool, Read, ask_list, read_list, read_one
from roundelay.recipes.prompts.contamination import HeldoutText
from roundelay.recipes.prompts.evolve import ask_evolved, leaks, review
from roundelay.recipes.prompts.filters import KnownPrompts
from roundelay.recipes.prompts.maker import Maker, MakingRules
from roundelay.recipes.prompts.skill_mix import ask_skill_mix

SEED = Prompt(id="seed", messages=(Message(role="user", content="Explain how tides come about"),))
MAKING = MakingRules(rules=PROMPT_RULES, generation=PLAIN, judge=EXPECTED, max_model_len=100, system=None)
REASONS = {
    None, "shots_too_long", "truncated", "unparsable", "leaks_task", "too_short", "too_long", "banned", "program",
    "bad_start", "does_not_fit", "no_gain", "not_compared", "unanswered", "contaminated", "duplicate", "similar",
    "surplus",
}  # fmt: skip


def ask_next(pool: Pool, seed: int) -> Asked:
    return ask_list([SEED], 3, SAMPLING, seed, "list")


def maker(*, ask: Ask = ask_next, read: Read = read_list, requests: int = 1, making: MakingRules = MAKING) -> Maker:
    return Maker(
        ask=ask,
        read=read,
        requests_per_batch=requests,
        making=making,
        known=KnownPrompts(0.7, ["Explain how tides come about"]),
        heldout=HeldoutText(["Which bird is the largest of all?"], 13, 0.7),
        seeds=[SEED],
        made=[],
        policy_version=3,
        seed_parts=(0, "new-prompts", 1),
    )


def script(*answers: Generation | str, tokens: Callable[[str], int] = lambda text: 5) -> ScriptedRollouts:
    """These answers to what asks for prompts; a probe (of one token) only tells the length of its prompt."""
    left = list(answers)

    def answer(request: GenerationRequest) -> Generation:
        if request.max_tokens == 1 and not request.choices:
            return said("", tokens=tokens(request.messages[-1].content))
        given = left.pop(0)
        return said(given) if isinstance(given, str) else given

    return ScriptedRollouts(answer)


def write(one: Maker, rollouts: ScriptedRollouts, batch: int = 0, wanted: int = 9) -> list[PromptCandidate]:
    return asyncio.run(one.write(batch, wanted, rollouts.generate))


def outcomes(batch: Sequence[PromptCandidate]) -> list[tuple[str, str | None]]:
    return [(candidate.prompt.messages[-1].content, candidate.reason) for candidate in batch]


def test_every_prompt_of_an_answer_is_kept_or_dropped_for_its_own_reason() -> None:
    answer = (
        " Plan a picnic for ten people\n3. Too short\n4. explain how tides come about!\n"
        "5. Plan a big picnic for ten people\n6. Which bird is the largest of all\n7. What makes bread rise slowly"
    )
    batch = write(maker(), script(answer))
    assert outcomes(batch) == [
        ("Plan a picnic for ten people", None),
        ("Too short", "too_short"),
        ("explain how tides come about!", "duplicate"),  # of the training file
        ("Plan a big picnic for ten people", "similar"),  # to the first of the same answer
        ("Which bird is the largest of all", "contaminated"),
        ("What makes bread rise slowly", None),
    ]
    assert [candidate.index for candidate in batch] == [0, 1, 2, 3, 4, 5]
    assert {(c.how, c.shown, c.policy_version) for c in batch} == {("list", ("seed",), 3)}
    assert len({candidate.prompt.id for candidate in batch}) == 6


def test_what_did_not_end_or_has_no_prompt_in_it_is_one_dropped_candidate() -> None:
    """Self-Instruct drops all of an answer that was cut; its text is kept for the reader."""
    too_long = dataclasses.replace(said(""), finish_reason="prompt_too_long")
    batch = write(maker(requests=3), script(said(" Plan a picnic for ten\n3. What mak", cut=True), "\n\n", too_long))
    assert outcomes(batch) == [
        (" Plan a picnic for ten\n3. What mak", "truncated"), ("\n\n", "unparsable"), ("", "shots_too_long"),
    ]  # fmt: skip


def test_more_than_wanted_is_surplus() -> None:
    """The first ones stay; what is dropped anyway keeps its reason."""
    answer = " Plan a picnic for ten people\n3. What makes bread rise slowly\n4. No\n5. Compare two kinds of bread"
    batch = write(maker(), script(answer), wanted=2)
    assert [reason for _, reason in outcomes(batch)] == [None, None, "too_short", "surplus"]


def test_a_batch_is_compared_with_those_that_were_taken() -> None:
    one = maker()
    first = write(one, script(" Plan a picnic for ten people"))
    one.take(first)
    again = write(one, script(" Plan a picnic for ten people"), batch=1)
    assert [reason for _, reason in outcomes(first + again)] == [None, "duplicate"]
    assert [prompt.id for prompt in one.made] == [first[0].prompt.id]


def test_writing_alone_changes_nothing() -> None:
    """A batch that was interrupted before its commit is written again, and is the same."""
    one = maker()
    answers = [write(one, script(" Plan a picnic for ten people")) for _ in range(2)]
    assert answers[0] == answers[1] and one.made == [] and len(one.known) == 1


def test_no_two_requests_of_a_round_share_a_seed() -> None:
    one = maker(requests=4)
    seeds = [c.seed for number in range(3) for c in write(one, script(*["Yes"] * 4), batch=number)]
    assert len(set(seeds)) == 12


def test_a_prompt_that_leaves_no_room_for_its_answer_is_dropped() -> None:
    """The model takes 100 tokens and a response 48: a prompt of 52 fits, one of 53 does not."""
    rollouts = script(
        " Plan a picnic for ten people\n3. What makes bread rise slowly",
        tokens=lambda text: 52 if "picnic" in text else 53,
    )
    assert [reason for _, reason in outcomes(write(maker(), rollouts))] == [None, "does_not_fit"]


def test_a_prompt_has_to_fit_under_every_affix_too() -> None:
    making = dataclasses.replace(MAKING, generation=CONTRAST)
    rollouts = script(" Plan a picnic for ten people")
    assert outcomes(write(maker(making=making), rollouts))[0][1] is None
    systems = {request.messages[0].content for request in rollouts.asked[1:]}
    assert {"You are an assistant being kind.", "You are an assistant being rude."} <= systems


def test_a_prompt_has_to_fit_under_the_judges_instruction_too() -> None:
    """The density ratio of two models may be taken after an instruction; that is 60 tokens long here."""
    judge = dataclasses.replace(RATIO, instruction="Be exact.")
    rollouts = script(" Plan a picnic for ten people", tokens=lambda text: 60 if text.startswith("Be exact.") else 5)
    made = write(maker(making=dataclasses.replace(MAKING, judge=judge)), rollouts)
    assert outcomes(made)[0][1] == "does_not_fit"


def test_new_prompts_have_the_system_message_of_the_data() -> None:
    """As prompts of the file get it; it is part of what the id is a hash of."""
    plain = write(maker(), script(" Plan a picnic for ten people"))[0].prompt
    with_system = write(maker(making=dataclasses.replace(MAKING, system="Be kind.")), script(" " + "Plan a picnic now"))
    assert with_system[0].prompt.messages[0] == Message(role="system", content="Be kind.")
    assert plain.messages[0].role == "user" and plain.id != with_system[0].prompt.id


def test_one_answer_may_be_one_prompt() -> None:
    one = maker(ask=partial(ask_skill_mix, config=SKILL_MIX), read=read_one, requests=2)
    batch = write(one, script("\nPlan a picnic\nfor ten people\n", "  "))
    assert outcomes(batch) == [("Plan a picnic\nfor ten people", None), ("  ", "unparsable")]


# ---------------------------------------------------------------------------------------------------------- elimination


def evolving(reviews: bool) -> Maker:
    making = dataclasses.replace(MAKING, leaks=leaks, review=partial(review, sampling=SAMPLING) if reviews else None)
    return maker(
        ask=lambda pool, seed: ask_evolved(pool, seed, config=EVOLVE), read=read_one, requests=4, making=making
    )


EVOLVED = (
    "Plan a picnic for ten people", "What makes bread rise slowly", "Compare two kinds of bread",
    "The rewritten prompt: name some rivers",
)  # fmt: skip


def test_an_evolved_prompt_is_eliminated_by_what_the_policy_says_of_it() -> None:
    """The first compares as the same (A) more likely than not; the second is answered by an apology; the third stays.
    The fourth speaks of its rewriting: nothing is asked about it."""
    comparisons = [said("", choices=(-0.2, -2.0)), said("", choices=(-2.0, -0.2)), said("", choices=(-2.0, -0.2))]
    answers = [said("Eat."), said("Sorry, no."), said("Rye and wheat.")]
    rollouts = script(*EVOLVED, *comparisons, *answers)
    assert [reason for _, reason in outcomes(write(evolving(True), rollouts))] == [
        "no_gain", "unanswered", None, "leaks_task",
    ]  # fmt: skip
    assert not any("rewritten prompt:" in r.messages[-1].content for r in rollouts.asked if r.max_tokens != 1)


def test_a_comparison_that_is_nan_keeps_no_evolved_prompt() -> None:
    comparisons = [said("", choices=odd) for odd in ((math.nan, -2.0), (-2.0, math.nan), (math.nan, math.nan))]
    rollouts = script(*EVOLVED, *comparisons, *[said("Rye and wheat.")] * 3)
    assert [reason for _, reason in outcomes(write(evolving(True), rollouts))] == ["not_compared"] * 3 + ["leaks_task"]


def test_without_a_review_only_the_text_eliminates() -> None:
    assert [reason for _, reason in outcomes(write(evolving(False), script(*EVOLVED)))] == [
        None, None, None, "leaks_task",
    ]  # fmt: skip


# ----------------------------------------------------------------------------------------------------------- accounting


@given(st.lists(st.text(alphabet="ab cd.1234\n)-"), min_size=3, max_size=3), st.integers(1, 3))
def test_whatever_is_answered_every_request_is_accounted_for(answers: list[str], wanted: int) -> None:
    """Each has a candidate at least, no reason is unknown, and no more are kept than were wanted."""
    batch = write(maker(requests=3), script(*answers), wanted=wanted)
    assert len({candidate.seed for candidate in batch}) == 3
    counts = Counter(candidate.reason for candidate in batch)
    assert counts.keys() <= REASONS and counts[None] <= wanted
    kept = [candidate.prompt.id for candidate in batch if candidate.reason is None]
    assert len(set(kept)) == len(kept)


@pytest.mark.parametrize("reason", [None, "similar"])
def test_only_what_is_kept_is_taken(reason: str | None) -> None:
    one = maker()
    (candidate,) = write(one, script(" Plan a picnic for ten people"))
    one.take([dataclasses.replace(candidate, reason=reason)])
    assert len(one.made) == (reason is None)
