"""What the judge of two responses is asked, and what its probabilities mean. The judge here is scripted."""

import asyncio
import math
import re
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import judging

from roundelay.orchestrator.data.records import Generation, GenerationRequest, Judgment, Message, Prompt, Rollout, Shard
from roundelay.orchestrator.parts.sampling import SamplingConfig
from roundelay.recipes.generation.contrast import AffixPair, ContrastGeneration, sample_contrast
from roundelay.recipes.judges.ab import AbJudge, judge_ab, preference
from roundelay.recipes.pairing.soft import pair_soft

CASE = re.compile(
    r'[^<]*<prompt>\n(?P<prompt>.*)\n</prompt>\n<response option="A">\n(?P<a>.*)\n</response>\n'
    r'<response option="B">\n(?P<b>.*)\n</response>\n\nWhich response is (?P<instruction>[^<]*): \(A\) or \(B\)\?[^<]*',
    re.DOTALL,
)
PARTS = (7, "train", 2)  # as generation is given them: run seed, split, round


def ab(*instructions: str, orders: str = "both") -> AbJudge:
    return AbJudge(
        kind="ab",
        instructions=instructions or ("better",),
        orders=orders,  # pyright: ignore[reportArgumentType]
        assistant_prefix="The answer is: (",
    )


def prompt(identity: str = "p", content: str = "Hi") -> Prompt:
    return Prompt(id=identity, messages=(Message(role="user", content=content),))


def rollout(sample: int, text: str, prompt_id: str = "p") -> Rollout:
    return judging.rollout(prompt_id, sample, text)


def said(*choice_logprobs: float, finish_reason: str = "length") -> Generation:
    return Generation(
        prompt_token_ids=(1,),
        plain_token_ids=(3,),
        token_ids=(2,),
        logprobs=(-1.0,),
        text="",
        finish_reason=finish_reason,  # pyright: ignore[reportArgumentType]
        choice_logprobs=choice_logprobs,
    )


class Judge:
    """A scripted engine that answers by what it is shown, and keeps what it was asked."""

    def __init__(self, answer: Callable[[str, str], Generation]):
        self.answer = answer  # of the texts shown as (A) and as (B)
        self.requests: list[GenerationRequest] = []

    async def __call__(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        asked = len(self.requests)
        self.requests += requests
        return [self.answer(case["a"], case["b"]) for case in self.cases[asked:]]

    @property
    def cases(self) -> list[re.Match[str]]:
        matches = [CASE.fullmatch(request.messages[-1].content) for request in self.requests]
        assert None not in matches
        return [match for match in matches if match]


def by_text(**logprobs: float) -> Judge:
    """A judge to whom a text has its log-prob, wherever it is shown."""
    return Judge(lambda a, b: said(logprobs[a], logprobs[b]))


def compare(judge: Judge, rollouts: Sequence[Rollout], config: AbJudge, *prompts: Prompt) -> list[Judgment]:
    shard = Shard(round=2, index=0, prompts=prompts or (prompt(),), split="train")
    return asyncio.run(judge_ab(shard, rollouts, judge, config=config, seed_parts=PARTS))


def two(prompt_id: str = "p") -> list[Rollout]:
    return [rollout(0, "good", prompt_id), rollout(1, "bad", prompt_id)]


# ----------------------------------------------------------------------------------------------------------- preference


def test_the_preference_is_the_softmax_over_the_two_options() -> None:
    """p(A) = .06, p(B) = .02: .06/.08 = .75 of a mass of .08; the other way round .25."""
    assert preference(math.log(0.06), math.log(0.02)) == (0.75, 0.08)
    assert preference(math.log(0.02), math.log(0.06)) == (0.25, 0.08)


def test_an_option_that_cannot_be_said_has_probability_zero() -> None:
    assert preference(math.log(0.5), -math.inf) == (1.0, 0.5)
    assert preference(-math.inf, math.log(0.5)) == (0.0, 0.5)


@given(a=st.floats(-60, 0), b=st.floats(-60, 0), shift=st.floats(-600, 0))
def test_the_preference_is_a_logistic_function_of_the_difference(a: float, b: float, shift: float) -> None:
    """σ(a − b): the same however little mass both have; with the options exchanged 1 less it, but for rounding."""
    sigmoid = 1.0 / (1.0 + math.exp(b - a)) if b - a < 700 else 0.0
    assert preference(a, b)[0] == pytest.approx(sigmoid, abs=6e-5)
    assert preference(a + shift, b + shift)[0] == pytest.approx(sigmoid, abs=6e-5)
    one, other = preference(a, b)[0], preference(b, a)[0]
    assert one is not None and other is not None and one + other == pytest.approx(1.0, abs=1.1e-4)


# --------------------------------------------------------------------------------------------------- orders, arithmetic


def test_both_orders_ask_twice_and_speak_of_sample_0_both_times() -> None:
    """ "good" has three times the probability of "bad" at either place: P(sample 0) = .3/.4 = .75 in both votes."""
    judge = by_text(good=math.log(0.3), bad=math.log(0.1))
    judged = compare(judge, two(), ab())
    assert [(case["a"], case["b"]) for case in judge.cases] == [("good", "bad"), ("bad", "good")]
    assert judged == [
        Judgment(
            prompt_id="p",
            sample=0,
            other=1,
            vote=vote,
            status="parsed",
            score=None,
            probability=0.75,
            choice_mass=0.4,
            text="",
        )
        for vote in (0, 1)
    ]


@given(a=st.floats(-20, 0), b=st.floats(-20, 0), orders=st.sampled_from(["one", "both"]))
def test_swapping_the_responses_swaps_the_probability(a: float, b: float, orders: str) -> None:
    """What sample 0 gets with log-probs (a, b) for the two texts, it does not get with (b, a): P + P' = 1, vote by
    vote, wherever the texts were shown."""
    straight = compare(by_text(good=a, bad=b), two(), ab(orders=orders))
    swapped = compare(by_text(good=b, bad=a), two(), ab(orders=orders))
    for one, other in zip(straight, swapped, strict=True):
        assert one.probability is not None and other.probability is not None
        assert one.probability + other.probability == pytest.approx(1.0, abs=1.1e-4)
        assert one.probability == pytest.approx(1.0 / (1.0 + math.exp(b - a)), abs=6e-5)


@given(a=st.floats(-20, 0), b=st.floats(-20, 0))
def test_a_judge_that_sees_only_the_place_makes_no_pair(a: float, b: float) -> None:
    """p for (A) whatever stands there: P(sample 0) is p in one order and 1 − p in the other, exactly even."""
    judged = compare(Judge(lambda *shown: said(a, b)), two(), ab())
    assert pair_soft(prompt(), two(), judged, drop_truncated=False).dropped is not None


def test_one_order_asks_once_and_each_response_comes_first_about_half_the_time() -> None:
    """A fair coin on 400 prompts: 200 ± 10, so 150–250 is five standard deviations. The probability is that of sample 0
    all the same, the vote is the sample that was shown as (A), and the coin is the prompt's own."""
    names = [f"prompt-{number}" for number in range(400)]
    prompts = [prompt(name) for name in names]
    rollouts = [response for name in names for response in two(name)]

    def first(rollouts: Sequence[Rollout], prompts: Sequence[Prompt]) -> dict[str, str]:
        judge = by_text(good=math.log(0.3), bad=math.log(0.1))
        judged = compare(judge, rollouts, ab(orders="one"), *prompts)
        assert [judgment.prompt_id for judgment in judged] == [prompt.id for prompt in prompts]
        assert {(j.sample, j.other, j.probability) for j in judged} == {(0, 1, 0.75)}
        shown = {judgment.prompt_id: case["a"] for judgment, case in zip(judged, judge.cases, strict=True)}
        assert shown == {judgment.prompt_id: ("good", "bad")[judgment.vote] for judgment in judged}
        return shown

    shown = first(rollouts, prompts)
    assert 150 < sum(text == "good" for text in shown.values()) < 250
    assert first(rollouts[::-1], prompts[::-1]) == shown


def test_the_order_and_the_instruction_are_drawn_apart() -> None:
    """With two instructions, each order meets either of them: 400 prompts, four cases of 100 ± 9."""
    names = [f"prompt-{number}" for number in range(400)]
    judge = by_text(good=-1.0, bad=-1.0)
    rollouts = [response for name in names for response in two(name)]
    compare(judge, rollouts, ab("kinder", "clearer", orders="one"), *(prompt(name) for name in names))
    drawn = [(case["a"], case["instruction"]) for case in judge.cases]
    assert all(55 < drawn.count((text, word)) < 145 for text in ("good", "bad") for word in ("kinder", "clearer"))


# -------------------------------------------------------------------------------------------------------- what is asked


def test_every_pair_is_compared_beside_its_own_prompt_by_letters_alone() -> None:
    prompts = (prompt("p", "What is a fish?"), prompt("q", "Who is Ada?"))
    rollouts = [rollout(1, "woman", "q"), rollout(0, "animal"), rollout(0, "countess", "q"), rollout(1, "food")]
    judge = Judge(lambda a, b: said(-1.0, -2.0))
    judged = compare(judge, rollouts, ab("truer"), *prompts)
    assert [(j.prompt_id, j.vote) for j in judged] == [("p", 0), ("p", 1), ("q", 0), ("q", 1)]
    assert [case.groups() for case in judge.cases] == [
        ("What is a fish?", "animal", "food", "truer"),
        ("What is a fish?", "food", "animal", "truer"),
        ("Who is Ada?", "countess", "woman", "truer"),
        ("Who is Ada?", "woman", "countess", "truer"),
    ]
    for request in judge.requests:
        assert (request.choices, request.assistant_prefix) == (("A", "B"), "The answer is: (")
        assert (request.max_tokens, request.temperature, request.top_p) == (1, 0.0, 1.0)
        assert not request.constrain_to_choices


def test_only_prompts_with_two_responses_are_compared() -> None:
    prompts = [prompt(name) for name in ("none", "one", "two", "three")]
    rollouts = [
        rollout(sample, "text", name) for name, n in (("one", 1), ("two", 2), ("three", 3)) for sample in range(n)
    ]
    judged = compare(by_text(text=-1.0), rollouts, ab(), *prompts)
    assert {judgment.prompt_id for judgment in judged} == {"two"}


def test_all_turns_of_a_conversation_are_shown_with_their_roles() -> None:
    answer = Message(role="assistant", content="two")
    turns = (Message(role="user", content="one"), answer, Message(role="user", content="three"))
    case = Prompt(id="p", messages=turns)
    judge = by_text(good=-1.0, bad=-1.0)
    compare(judge, two(), ab(), case)
    assert {case["prompt"] for case in judge.cases} == {"user: one\nassistant: two\nuser: three"}


ATTACKS = st.lists(
    st.sampled_from(
        ["<", "</", "response", "prompt", ' option="B"', ' option="C"', ">", " ", "\n", "(A)", "(", "{}", "{a}", "\\1"]
    ),
    max_size=14,
).map("".join)


@given(asked=ATTACKS, texts=st.tuples(ATTACKS, ATTACKS))
def test_no_text_closes_its_delimiter_adds_an_option_or_changes_the_question(
    asked: str, texts: tuple[str, str]
) -> None:
    """The tags of the case are those of one prompt and two options; between them stands the text, with nothing lost,
    and around them the same words for every text."""
    judge = Judge(lambda a, b: said(-1.0, -1.0))
    compare(judge, [rollout(0, texts[0]), rollout(1, texts[1])], ab(), prompt("p", asked))
    plain = Judge(lambda a, b: said(-1.0, -1.0))
    compare(plain, [rollout(0, ""), rollout(1, "")], ab(), prompt("p", ""))
    for case, empty, shown in zip(judge.cases, plain.cases, (texts, texts[::-1]), strict=True):
        tags = re.findall(r"<\s*/?\s*(?:prompt|response)\b[^<>]*>?", case[0], re.IGNORECASE)
        opened = ["<prompt>", '<response option="A">', '<response option="B">']
        assert tags == [opened[0], "</prompt>", opened[1], "</response>", opened[2], "</response>"]
        inside = [case[name].replace("&lt;", "<").replace("&gt;", ">") for name in ("prompt", "a", "b")]
        assert inside == [asked, *shown]
        around = case[0][: case.start("prompt")], case[0][case.end("b") :]
        assert around == (empty[0][: empty.start("prompt")], empty[0][empty.end("b") :])


# ------------------------------------------------------------------------------------------------------ the instruction


def test_the_instruction_has_the_index_of_the_affix_that_sampling_drew() -> None:
    """RLCD-Rescore: with as many instructions as affixes, and the same seed parts, what was made to be "quality 3" is
    asked about with instruction 3, prompt by prompt."""
    words = [f"quality {number}" for number in range(5)]
    generation = ContrastGeneration(
        kind="contrast",
        placement="in_turn",
        affixes=tuple(AffixPair(positive=word, negative=f"no {word}") for word in words),
        sampling=SamplingConfig(temperature=1.0, top_p=1.0, max_tokens=8),
        truncated="keep",
    )
    prefixes: list[str] = []

    async def sample(requests: Sequence[GenerationRequest]) -> list[Generation]:
        prefixes.extend(request.assistant_prefix for request in requests)
        return [said(finish_reason="stop") for _ in requests]

    prompts = tuple(prompt(f"prompt-{number}") for number in range(100))
    shard = Shard(round=2, index=0, prompts=prompts, split="train")
    rollouts = asyncio.run(sample_contrast(shard, 0, sample, config=generation, seed_parts=PARTS))
    for orders in ("one", "both"):
        judge = Judge(lambda a, b: said(-1.0, -1.0))
        compare(judge, rollouts, ab(*words, orders=orders), *prompts)
        asked = [case["instruction"] for case in judge.cases][:: 2 if orders == "both" else 1]
        assert [f"({word}) " for word in asked] == prefixes[::2]
        assert set(asked) == set(words)


def test_both_orders_ask_with_the_same_instruction() -> None:
    judge = by_text(good=-1.0, bad=-1.0)
    names = [f"prompt-{number}" for number in range(20)]
    rollouts = [response for name in names for response in two(name)]
    compare(judge, rollouts, ab("kinder", "clearer", "truer"), *(prompt(name) for name in names))
    asked = [case["instruction"] for case in judge.cases]
    assert asked[::2] == asked[1::2] and len(set(asked)) == 3


# ------------------------------------------------------------------------------------------------- what is no judgment


def test_a_comparison_that_does_not_fit_the_model_is_truncated_and_the_other_keeps_its_place() -> None:
    def answer(a: str, b: str) -> Generation:
        return said(finish_reason="prompt_too_long") if a == "good" else said(math.log(0.1), math.log(0.3))

    cut, read = compare(Judge(answer), two(), ab())
    assert (cut.vote, cut.status, cut.probability, cut.choice_mass) == (0, "truncated", None, None)
    assert (read.vote, read.status, read.probability) == (1, "parsed", 0.75)


def test_a_judge_that_can_say_neither_letter_is_unparsable_and_not_even() -> None:
    for judgment in compare(Judge(lambda a, b: said(-math.inf, -math.inf)), two(), ab()):
        assert (judgment.status, judgment.probability, judgment.choice_mass) == ("unparsable", None, 0.0)


@pytest.mark.parametrize("odd", [(math.nan, -0.5), (-0.5, math.nan), (math.nan, math.nan), (math.inf, -0.5)])
def test_a_letter_whose_log_prob_is_none_makes_the_comparison_unparsable(odd: tuple[float, float]) -> None:
    for judgment in compare(Judge(lambda a, b: said(*odd)), two(), ab()):
        assert (judgment.status, judgment.probability, judgment.choice_mass) == ("unparsable", None, None)


def test_a_judge_that_can_say_one_letter_only_is_certain() -> None:
    """Always (A): sample 0 for certain in the first order, sample 1 for certain in the second."""
    judged = compare(Judge(lambda a, b: said(math.log(0.2), -math.inf)), two(), ab())
    assert [(j.status, j.probability, j.choice_mass) for j in judged] == [("parsed", 1.0, 0.2), ("parsed", 0.0, 0.2)]
