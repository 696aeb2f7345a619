"""Simulated annotators: who answers for which prompt, and which labels are turned round."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.judging import Judge, prompt, rollout, said, shard

from roundelay.orchestrator.data.records import Judgment, Rollout, Shard
from roundelay.orchestrator.protocols import Generate
from roundelay.recipes.judges.annotators import flipped, judge_annotators
from roundelay.recipes.judges.verdicts import compared

PROMPTS = tuple(prompt(f"p{number}", f"Say {number}") for number in range(200))


def verdict(prompt_id: str, probability: float | None, vote: int = 0) -> Judgment:
    status = "unparsable" if probability is None else "parsed"
    return compared(prompt_id, 0, 1, vote=vote, status=status, probability=probability)


def member(probability: float):
    """An annotator who always gives one probability."""

    async def judge(shard: Shard, rollouts: Sequence[Rollout], generate: Generate) -> list[Judgment]:
        assert [one.prompt_id for one in rollouts] == [prompt.id for prompt in shard.prompts for _ in range(2)]
        return [verdict(prompt.id, probability) for prompt in shard.prompts]

    return judge


MEMBERS = {"always": member(1.0), "never": member(0.0), "maybe": member(0.75)}


def asked(part: Shard, seed: int = 0) -> dict[str, float | None]:
    rollouts = [rollout(prompt.id, sample, "text") for prompt in part.prompts for sample in range(2)]
    generate = Judge(lambda request: said(""))
    judged = asyncio.run(judge_annotators(part, rollouts, generate, members=MEMBERS, seed_parts=(seed, "judge")))
    assert len(judged) == len(part.prompts)
    return {judgment.prompt_id: judgment.probability for judgment in judged}


def test_every_prompt_is_compared_by_one_annotator_and_each_has_a_share_of_them() -> None:
    """Of 200 prompts each of three has 67 on average, with a standard deviation of under 7."""
    found = list(asked(shard(*PROMPTS)).values())
    assert all(40 < found.count(own) < 94 for own in (1.0, 0.0, 0.75))


def test_a_prompts_annotator_hangs_on_its_id_the_seed_and_the_round_alone() -> None:
    whole = asked(shard(*PROMPTS))
    assert {**asked(shard(*PROMPTS[100:])), **asked(shard(*PROMPTS[:100]))} == whole
    assert asked(shard(*PROMPTS), seed=1) != whole
    assert asked(Shard(round=2, index=0, prompts=PROMPTS, split="train")) != whole


def test_a_quarter_of_the_labels_is_turned_round_and_the_rest_is_as_it_was() -> None:
    """Of 2,000 prompts 500 on average, with a standard deviation of under 20."""
    turned = [flipped([verdict(f"p{n}", 0.9)], fraction=0.25, seed=3)[0].probability for n in range(2000)]
    assert {round(probability, 6) for probability in turned if probability is not None} == {0.9, 0.1}
    assert 420 < sum(probability != 0.9 for probability in turned) < 580


def test_all_votes_on_a_prompt_are_turned_round_together_and_failed_parses_stay() -> None:
    """So contradictory orders stay contradictory, and nothing that was not read becomes a number."""
    for n in range(50):
        votes = [verdict(f"p{n}", 0.8, 0), verdict(f"p{n}", 0.3, 1), verdict(f"p{n}", None, 2)]
        found = [one.probability for one in flipped(votes, fraction=0.4, seed=0)]
        assert found in ([0.8, 0.3, None], [pytest.approx(0.2), 0.7, None])
        assert [one.status for one in flipped(votes, fraction=0.4, seed=0)] == [one.status for one in votes]


@given(st.lists(st.none() | st.floats(0, 1), max_size=4), st.integers(0, 99))
def test_without_noise_every_label_is_as_it_was_said(probabilities: list[float | None], seed: int) -> None:
    votes = [verdict("p", probability, vote) for vote, probability in enumerate(probabilities)]
    assert flipped(votes, fraction=0.0, seed=seed) == votes
