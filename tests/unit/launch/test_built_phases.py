"""A shard through a phase as it is built from its configuration: what generation made is judged and paired as what it
is."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.configs import (
    ANNOTATORS,
    BY_CONSTRUCTION,
    BY_RANK,
    CLASSES,
    CONTRAST,
    DISPUTED,
    HINDSIGHT,
    LADDER,
    META,
    MIXTURE,
    NO_JUDGE,
    RANKED_LIST,
    REVISE,
    SOFT,
    SYSTEM_MESSAGES,
    base,
    changed,
)
from support.judging import rollout
from support.scripted_engine import Engine, prompts, said

from roundelay.launch.phases import build_phase
from roundelay.orchestrator.config.schema import Config
from roundelay.orchestrator.data.records import Judgment, PairingOutcome, Rollout, Shard
from roundelay.orchestrator.ledger.ledger import Ledger
from roundelay.orchestrator.protocols import Generate, Judge
from roundelay.orchestrator.round.stages import ShardResult, Stages
from roundelay.recipes.objectives.sft import SftObjective

SHARD = Shard(round=1, index=0, prompts=tuple(prompts("ants", "bees", "cats")), split="train")
REVISE_IT, FINE = "Vague.\nNeeds revision: 1", "Needs revision: 0"


def played(config: Config, path: Path, *answers: Any, judge: Judge | None = None) -> ShardResult:
    """The shard's way through the phase; its engine says `answers` in turn, or tells requests by their seeds."""
    rest = iter(answers)
    rollouts: Any = SimpleNamespace(generate=Engine(lambda _: next(rest)) if answers else Engine(), policy_version=4)
    observer: Any = SimpleNamespace(stage=lambda *_: None)
    stages = Stages(ledger=Ledger(str(path)), rollouts=rollouts, observer=observer)
    stages.start_round(replace(build_phase(config, None), judge=judge))
    return asyncio.run(stages.run_shard(SHARD, 1))


def constructed(**changes: Any) -> Config:
    return changed(base(), judge=NO_JUDGE, **changes)


def ends(result: ShardResult) -> list[str]:
    """How each prompt ended: the texts of its pair or list, or the reason of its drop."""
    found = []
    for outcome in result.outcomes:
        if outcome.pair is not None:
            found.append(f"{outcome.pair.chosen.text} > {outcome.pair.rejected.text}")
        elif outcome.group is not None:
            found.append(" > ".join(rollout.text for rollout in outcome.group.responses))
        else:
            assert outcome.dropped is not None
            found.append(outcome.dropped.reason)
    return found


def test_a_revised_answer_is_paired_over_the_first_and_an_unrevised_one_says_why_there_is_no_pair(
    tmp_path: Path,
) -> None:
    answers = ("a", "b", "c", REVISE_IT, FINE, "Well.", "a2")
    result = played(constructed(generation=REVISE, pairing=BY_CONSTRUCTION), tmp_path, *answers)
    assert ends(result) == ["a2 > a", "nothing_to_mend", "review_unparsable"]
    assert len(result.rollouts) == 7


def test_texts_on_the_way_to_a_response_are_kept_in_the_ledger_and_never_judged(tmp_path: Path) -> None:
    asked: list[Rollout] = []

    async def judge(shard: Shard, rollouts: Sequence[Rollout], generate: Generate) -> list[Judgment]:
        asked.extend(rollouts)
        return []

    answers = ("a", "b", "c", REVISE_IT, FINE, "Well.", "a2")
    result = played(constructed(generation=REVISE, pairing=BY_CONSTRUCTION), tmp_path, *answers, judge=judge)
    assert [rollout.text for rollout in asked] == ["a", "a2", "b"]
    assert list(Ledger(str(tmp_path)).read_stage(1, "rollouts", Rollout)) == list(result.rollouts)


def test_a_prompt_that_got_no_response_is_dropped_with_what_generation_said_of_it(tmp_path: Path) -> None:
    useless = [" "] * 3 + [said("cut", cut=True)] * 3
    result = played(constructed(generation=MIXTURE), tmp_path, *useless, "one", "two", " ", "all")
    assert ends(result)[:2] == ["empty", "truncated"]
    assert [rollout.text for rollout in result.rollouts if not rollout.interim] == ["all"]


def test_what_another_model_proposed_is_in_a_mixture_once_and_read_back_on_resume(tmp_path: Path) -> None:
    """The other model's proposals are committed before the policy's turn, which takes them up."""
    config = constructed(generation=replace(MIXTURE, samplers=("/models/b", "policy"), proposals=1))
    rollouts: Any = SimpleNamespace(generate=Engine(), policy_version=4)
    observer: Any = SimpleNamespace(stage=lambda *_: None)
    stages = Stages(ledger=Ledger(str(tmp_path)), rollouts=rollouts, observer=observer)
    stages.start_round(build_phase(config, None))
    theirs = asyncio.run(stages.sampled("/models/b", SHARD, 1))
    result = asyncio.run(stages.run_shard(SHARD, 1))

    for prompt in SHARD.prompts:
        own = [one for one in result.rollouts if one.prompt_id == prompt.id]
        assert [(one.sample, one.sampler, one.variant) for one in own] == [
            (0, "/models/b", "interim"), (1, "policy", "interim"), (2, "policy", "positive")
        ]  # fmt: skip
        assert own[0] in theirs
    rollouts.generate = None  # nothing is sampled again
    assert asyncio.run(stages.run_shard(SHARD, 1)).rollouts == result.rollouts


@pytest.mark.parametrize(("pairing", "ranks"), [(BY_RANK, (0, 2)), (RANKED_LIST, (0, 1, 2))])
def test_a_ladders_levels_are_its_ranks(pairing: Any, ranks: tuple[int, ...], tmp_path: Path) -> None:
    result = played(constructed(generation=LADDER, pairing=pairing), tmp_path)
    texts = {(rollout.prompt_id, rollout.sample): rollout.text for rollout in result.rollouts}
    assert ends(result) == [" > ".join(texts[prompt.id, rank] for rank in ranks) for prompt in SHARD.prompts]


def test_the_response_that_followed_its_system_message_is_chosen(tmp_path: Path) -> None:
    result = played(constructed(generation=SYSTEM_MESSAGES, pairing=BY_CONSTRUCTION), tmp_path)
    for outcome in result.outcomes:
        assert outcome.pair is not None
        chosen, rejected = outcome.pair.chosen, outcome.pair.rejected
        assert chosen.prompt_token_ids == rejected.prompt_token_ids == chosen.sampler_token_ids
        assert rejected.sampler_token_ids != rejected.prompt_token_ids


@pytest.mark.parametrize(("conditioning", "lessons"), [(HINDSIGHT, 1), (CLASSES, 2)])
def test_what_is_learnt_of_a_pair_is_committed_beside_it(conditioning: Any, lessons: int, tmp_path: Path) -> None:
    """The pair itself is as it would be without conditioning, and a resumed run reads both."""
    plainly = constructed(generation=CONTRAST, pairing=BY_CONSTRUCTION, objective=SftObjective(kind="sft"))
    result = played(changed(plainly, conditioning=conditioning), tmp_path / "conditioned")
    assert ends(result) == ends(played(plainly, tmp_path / "plain"))
    assert [len(outcome.sequences) for outcome in result.outcomes] == [lessons] * 3
    assert list(Ledger(str(tmp_path / "conditioned")).read_stage(1, "pairs", PairingOutcome)) == list(result.outcomes)


def test_a_shard_made_again_is_the_same(tmp_path: Path) -> None:
    """Whatever the way of generation: seeds are of the prompt and the sample."""
    for generation in (LADDER, SYSTEM_MESSAGES, MIXTURE, REVISE):
        pairing = BY_RANK if generation is LADDER else BY_CONSTRUCTION
        phase = build_phase(constructed(generation=generation, pairing=pairing), None)
        one, other = (list(asyncio.run(_sampled(phase))) for _ in range(2))
        assert one == other


async def _sampled(phase: Any) -> Sequence[Rollout]:
    return await phase.sample(SHARD, 4, Engine(), "policy", ())


def compared(prompt_id: str, sample: int, other: int, vote: int, probability: float) -> Judgment:
    return Judgment(
        prompt_id=prompt_id, sample=sample, vote=vote, status="parsed", score=None, choice_mass=None, text="",
        other=other, probability=probability,
    )  # fmt: skip


def test_annotators_err_in_training_and_never_about_held_out_pairs() -> None:
    """All prefer sample 0 with 0.9. Of 400 labels a quarter, 100, is turned round, by a standard deviation of under 9;
    another round turns other ones."""
    phase = build_phase(changed(base(), judge=ANNOTATORS, pairing=SOFT, generation__samples_per_prompt=2), None)

    def turned(shard: Shard) -> list[bool]:
        found = []
        for prompt in shard.prompts:
            two = [rollout(prompt.id, sample, f"text {sample}") for sample in range(2)]
            pair = phase.pair(shard, prompt, two, [compared(prompt.id, 0, 1, 0, 0.9)]).pair
            assert pair is not None and pair.label_probability == pytest.approx(0.9)
            found.append(pair.chosen.sample == 1)
        return found

    many = tuple(prompts(*(f"p{number}" for number in range(400))))
    first, second = (turned(Shard(round=round, index=0, prompts=many, split="train")) for round in (1, 2))
    assert 60 < sum(first) < 140 and first != second
    assert not any(turned(Shard(round=0, index=0, prompts=many, split="heldout")))


def test_judgments_are_paired_by_what_they_won_against_each_other() -> None:
    """Of three, 1 beats both in either order, and 2 beats 0."""
    phase = build_phase(changed(base(), judge=META, new_prompts=DISPUTED), None)
    prompt = SHARD.prompts[0]
    three = [rollout(prompt.id, sample, f"Score: {sample}") for sample in range(3)]
    won = {(0, 1): 0.0, (0, 2): 0.0, (1, 2): 1.0}
    votes = [compared(prompt.id, *pair, vote, wins) for pair, wins in won.items() for vote in (0, 1)]
    pair = phase.pair(SHARD, prompt, three, votes).pair
    assert pair is not None and (pair.chosen.sample, pair.rejected.sample) == (1, 0)


@pytest.mark.parametrize(("judge", "planted"), [(META, False), (ANNOTATORS, True)], ids=["meta", "annotators"])
def test_responses_are_planted_where_a_judge_judges_responses(judge: Any, planted: bool) -> None:
    """Of judgments alone a canary is none."""
    config = changed(base(), judge=judge, pairing=SOFT, generation__samples_per_prompt=2)
    assert (build_phase(config, None).heldout.judge_canaries is not None) == planted
