"""How responses are sampled: seeds, contrast prompts, and which token ids a response is trained under."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.scripted_engine import Engine, assistant, encode, prompts, system, user

from roundelay.orchestrator.data.records import Generation, GenerationRequest, Prompt, Rollout, Shard, Variant
from roundelay.orchestrator.parts.conditions import Condition
from roundelay.orchestrator.parts.sampling import SamplingConfig
from roundelay.recipes.generation.contrast import AffixPair, ContrastGeneration, contrast_prompt, sample_contrast
from roundelay.recipes.generation.plain import sample_plain

SAMPLING = SamplingConfig(temperature=0.7, top_p=0.9, max_tokens=48, stop=("<end>",))
KIND = AffixPair(positive="being kind", negative="being rude")
VARIANTS: tuple[Variant, ...] = ("positive", "negative")


def plain(shard_prompts: Sequence[Prompt], *, index: int = 0, samples: int = 3, round: int = 1) -> list[Rollout]:
    shard = Shard(round=round, index=index, prompts=tuple(shard_prompts), split="train")
    parts = (0, "train", round)
    return asyncio.run(sample_plain(shard, 4, Engine(), sampling=SAMPLING, samples=range(samples), seed_parts=parts))


def contrast(
    shard_prompts: Sequence[Prompt], *, placement: str = "system", affixes: Sequence[AffixPair] = (KIND,), seed: int = 0
) -> tuple[list[Rollout], list[GenerationRequest]]:
    config = ContrastGeneration(
        kind="contrast",
        placement=placement,  # pyright: ignore[reportArgumentType]
        affixes=tuple(affixes),
        sampling=SAMPLING,
        truncated="keep",
    )
    engine = Engine()
    shard = Shard(round=1, index=0, prompts=tuple(shard_prompts), split="train")
    rollouts = asyncio.run(sample_contrast(shard, 4, engine, config=config, seed_parts=(seed, "train", 1)))
    return rollouts, engine.requests


# ---------------------------------------------------------------------------------------------------------------- plain


def test_every_prompt_gets_its_samples_and_each_answer_is_recorded_where_it_belongs() -> None:
    rollouts = plain(prompts("ants", "bees"), samples=2)
    assert [(r.prompt_id, r.sample, r.variant) for r in rollouts] == [
        ("ants", 0, "plain"), ("ants", 1, "plain"), ("bees", 0, "plain"), ("bees", 1, "plain"),
    ]  # fmt: skip
    for rollout in rollouts:
        ids = encode([user(f"Tell me of {rollout.prompt_id}.")])
        assert rollout.prompt_token_ids == rollout.sampler_token_ids == ids
        assert rollout.text == f"answer {rollout.seed}"
        assert (rollout.token_ids, rollout.logprobs) == ((rollout.seed % 1000, 2), (-0.5, -0.25))
        assert (rollout.policy_version, rollout.finish_reason) == (4, "stop")


def test_requests_carry_the_sampling_settings() -> None:
    engine = Engine()
    shard = Shard(round=1, index=0, prompts=tuple(prompts("ants")), split="train")
    asyncio.run(sample_plain(shard, 0, engine, sampling=SAMPLING, samples=range(1), seed_parts=(0,)))
    (request,) = engine.requests
    assert (request.temperature, request.top_p, request.max_tokens, request.stop) == (0.7, 0.9, 48, ("<end>",))
    assert (request.assistant_prefix, request.choices, request.constrain_to_choices) == ("", (), False)


def test_seeds_depend_on_seed_parts_prompt_and_sample_only() -> None:
    """Not on the shard, on the place in it, or on the other prompts: a retry or another sharding draws the same."""

    def seeds(rollouts: Sequence[Rollout]) -> dict[tuple[str, int], int]:
        return {(rollout.prompt_id, rollout.sample): rollout.seed for rollout in rollouts}

    names = [f"topic-{number}" for number in range(60)]
    together = seeds(plain(prompts(*names)))
    apart = seeds(plain(prompts(*names[30:][::-1]), index=1)) | seeds(plain(prompts(*names[:30]), index=9))
    assert apart == together
    assert len(set(together.values())) == 180
    assert not set(together.values()) & set(seeds(plain(prompts(*names), round=2)).values())


def test_a_prompt_that_does_not_fit_is_an_error_that_names_it() -> None:
    async def too_long(requests: Sequence[GenerationRequest]) -> list[Generation]:
        generation = Generation(
            prompt_token_ids=(1,) * 900,
            plain_token_ids=(),
            token_ids=(),
            logprobs=(),
            text="",
            finish_reason="prompt_too_long",
            choice_logprobs=(),
        )
        return [generation for _ in requests]

    shard = Shard(round=1, index=0, prompts=tuple(prompts("ants")), split="train")
    with pytest.raises(ValueError, match=r"ants .*900 tokens"):
        asyncio.run(sample_plain(shard, 0, too_long, sampling=SAMPLING, samples=range(1), seed_parts=(0,)))


# ----------------------------------------------------------------------------------------------------- contrast prompts

DIALOGUE = (user("one"), assistant("two"), user("three"), assistant("four"), user("five"))


@pytest.mark.parametrize("placement", ["system", "in_turn"])
@pytest.mark.parametrize(
    ("variant", "own", "opposite"),
    [("positive", "being kind", "being rude"), ("negative", "being rude", "being kind")],
)
def test_earlier_assistant_turns_carry_the_opposite_affix(
    placement: str, variant: Variant, own: str, opposite: str
) -> None:
    """RLCD: every assistant turn before the last one has the other polarity, so that the last stands out."""
    messages, prefix = contrast_prompt(DIALOGUE, KIND, variant, placement)
    turns = [message for message in messages if message.role != "system"]
    assert turns == [
        user("one"), assistant(f"({opposite}) two"), user("three"), assistant(f"({opposite}) four"), user("five"),
    ]  # fmt: skip
    asked = prefix + "".join(message.content for message in messages if message.role == "system")
    assert own in asked and opposite not in asked


def test_in_turn_opens_the_last_assistant_turn_and_touches_no_system_message() -> None:
    messages, prefix = contrast_prompt((system("Be brief."), user("Hi")), KIND, "positive", "in_turn")
    assert (messages, prefix) == ((system("Be brief."), user("Hi")), "(being kind) ")


def test_system_placement_keeps_the_users_system_message_and_extends_it() -> None:
    messages, prefix = contrast_prompt((system("Be brief."), user("Hi")), KIND, "negative", "system")
    assert (messages, prefix) == ((system("Be brief.\nYou are an assistant being rude."), user("Hi")), "")


def test_system_placement_adds_a_system_message_where_there_is_none() -> None:
    messages, prefix = contrast_prompt((user("Hi"),), KIND, "positive", "system")
    assert (messages, prefix) == ((system("You are an assistant being kind."), user("Hi")), "")


@given(
    contents=st.lists(st.text(max_size=8), min_size=1, max_size=7),
    placement=st.sampled_from(["system", "in_turn"]),
    with_system=st.booleans(),
)
def test_the_two_sides_differ_in_their_affixes_only(contents: list[str], placement: str, with_system: bool) -> None:
    """Exchanging the two descriptions turns one side into the other: nothing else distinguishes them."""
    turns = tuple((user, assistant)[(len(contents) - 1 - i) % 2](text) for i, text in enumerate(contents))
    messages = (system("s"), *turns) if with_system else turns
    swapped = AffixPair(positive=KIND.negative, negative=KIND.positive)
    assert contrast_prompt(messages, KIND, "positive", placement) == contrast_prompt(
        messages, swapped, "negative", placement
    )
    for variant in VARIANTS:
        affixed, _ = contrast_prompt(messages, KIND, variant, placement)
        assert [m for m in affixed if m.role == "user"] == [m for m in messages if m.role == "user"]


def test_what_is_asked_under_a_condition_is_recorded_as_an_answer_to_the_prompt_as_it_is() -> None:
    """The line stands in the system message and the opening in the assistant's turn; seeds are those of the prompt."""
    engine, condition = Engine(), Condition(system="Be kind.", assistant_prefix="Well: ")
    shard = Shard(round=1, index=0, prompts=tuple(prompts("ants", "bees")), split="train")
    made = asyncio.run(
        sample_plain(
            shard, 4, engine, sampling=SAMPLING, samples=range(2), seed_parts=(0, "train", 1), condition=condition
        )
    )
    plainly = plain(shard.prompts, samples=2)
    assert [rollout.seed for rollout in made] == [rollout.seed for rollout in plainly]
    for rollout, other, request in zip(made, plainly, engine.requests, strict=True):
        assert request.messages[0] == system("Be kind.") and request.assistant_prefix == "Well: "
        assert rollout.prompt_token_ids == other.prompt_token_ids
        assert rollout.sampler_token_ids == encode(request.messages, "Well: ") != other.sampler_token_ids


# ---------------------------------------------------------------------------------------------------- contrast sampling


@pytest.mark.parametrize("placement", ["system", "in_turn"])
def test_the_original_prompts_token_ids_are_recorded_for_training(placement: str) -> None:
    """The response is sampled under the affixed prompt and trained under the one that the user gave."""
    prompt = Prompt(id="ants", messages=DIALOGUE)
    rollouts, requests = contrast([prompt], placement=placement)
    assert [(r.prompt_id, r.sample, r.variant) for r in rollouts] == [("ants", 0, "positive"), ("ants", 1, "negative")]
    for rollout, request, variant in zip(rollouts, requests, VARIANTS, strict=True):
        affixed, prefix = contrast_prompt(DIALOGUE, KIND, variant, placement)
        assert (request.messages, request.assistant_prefix) == (affixed, prefix)
        assert rollout.prompt_token_ids == encode(DIALOGUE)
        assert rollout.sampler_token_ids == encode(affixed, prefix) != rollout.prompt_token_ids
        assert rollout.text == f"answer {request.seed}"


PAIRS = tuple(AffixPair(positive=f"being kind{n}.", negative=f"being rude{n}.") for n in range(3))


def drawn(requests: Sequence[GenerationRequest]) -> list[tuple[str, int]]:
    """(polarity, number of the affix pair) of each request."""
    words = [request.messages[0].content.split("being ")[1] for request in requests]
    return [(word[:4], int(word[4])) for word in words]


def test_both_sides_of_a_prompt_use_one_affix_pair_and_all_pairs_are_drawn() -> None:
    """Uniform over three pairs and 300 prompts: 100 ± 8 each, so 60–140 is five standard deviations."""
    _, requests = contrast(prompts(*(f"topic-{n}" for n in range(300))), affixes=PAIRS)
    draws = drawn(requests)
    assert all(p == ("kind", n[1]) and n[0] == "rude" for p, n in zip(draws[::2], draws[1::2], strict=True))
    counts = [draws[::2].count(("kind", number)) for number in range(3)]
    assert all(60 < count < 140 for count in counts), counts


def test_the_affix_pair_and_the_seeds_belong_to_the_prompt_not_to_its_place() -> None:
    names = [f"topic-{n}" for n in range(40)]
    rollouts, requests = contrast(prompts(*names), affixes=PAIRS)
    reversed_rollouts, reversed_requests = contrast(prompts(*names[::-1]), affixes=PAIRS)
    keys = [(rollout.prompt_id, rollout.variant) for rollout in rollouts]
    back = {(r.prompt_id, r.variant): request for r, request in zip(reversed_rollouts, reversed_requests, strict=True)}
    assert [back[key] for key in keys] == requests
    assert len({request.seed for request in requests}) == 80
    _, others = contrast(prompts(*names), affixes=PAIRS, seed=1)
    assert drawn(others) != drawn(requests)
    assert not {request.seed for request in others} & {request.seed for request in requests}
