"""The stage that makes a round's prompts: committed batch by batch, the same after every restart, never too few."""

import asyncio
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from support.configs import (
    ADDITIVE,
    DEMONSTRATIONS,
    DISPUTED,
    FROM_KEPT,
    GIVEN,
    GIVEN_JUDGED,
    META,
    NO_FILTER,
    NO_JUDGE,
    NO_NEW_PROMPTS,
    PAIRS_JUDGED,
    RIP,
    SCORES_JUDGED,
    SELF_INSTRUCT,
    base,
    changed,
    phase,
)
from support.judging import rollout
from support.observers import Notes
from support.scripted_rollouts import ScriptedRollouts, said

from roundelay.launch.phases import build_phase
from roundelay.orchestrator.config.schema import Config
from roundelay.orchestrator.data.records import (
    Dropped,
    Generation,
    GenerationRequest,
    Judgment,
    PairingOutcome,
    PreferencePair,
    Prompt,
    PromptCandidate,
    ResponseGroup,
    Rollout,
    Shard,
)
from roundelay.orchestrator.data.sources import PromptSource
from roundelay.orchestrator.errors import RunError
from roundelay.orchestrator.ledger.ledger import Ledger
from roundelay.orchestrator.parts.filter import FilterPart
from roundelay.orchestrator.prompts.shards import train_shards
from roundelay.orchestrator.prompts.store import PromptStore, freeze_prompts, freeze_seed
from roundelay.orchestrator.round.new_prompts import counted_candidates, kept_prompts, new_prompts
from roundelay.orchestrator.round.stages import Stages
from roundelay.recipes.judges.verdicts import scored
from roundelay.recipes.objectives.sft import SftObjective

FILE = [f"Tell me what number {number} is good for" for number in range(20)]


def config(tmp_path: Path, **changes: Any) -> Config:
    """Rounds of four prompts, two shards, over a file of twenty."""
    sources = {}
    for name, texts in (("train", FILE), ("heldout", ["A held out prompt"])):
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in texts))
        sources[f"prompts__{name}"] = PromptSource(path=str(path))
    sizes = {"run__prompts_per_round": 4, "run__prompts_per_shard": 2}
    return changed(base(), **{**sources, **sizes, "new_prompts": SELF_INSTRUCT, **changes})


def ledger_of(config: Config, tmp_path: Path, name: str = "run") -> Ledger:
    ledger = Ledger(str(tmp_path / name))
    for split in ("train", "heldout"):
        source = getattr(config.prompts, split)
        freeze_prompts(ledger, config.prompts, field=f"prompts.{split}.path", source=source, name=split)
    return ledger


def inventive(request: GenerationRequest) -> Generation:
    """One new prompt and one too short an answer's seed away from every other one; nothing to a probe."""
    if request.max_tokens == 1:
        return said("")
    words = " ".join(f"w{(request.seed >> shift) % 997}" for shift in range(0, 24, 3))
    return said(f" Say {words}\n10. No")


def make(config: Config, ledger: Ledger, round: int = 1, rollouts: ScriptedRollouts | None = None) -> list[Prompt]:
    stages = Stages(ledger=ledger, rollouts=rollouts or ScriptedRollouts(inventive), observer=Notes())
    stages.start_round(build_phase(config.at(round), None))
    return list(asyncio.run(new_prompts(round, stores(ledger), config=config, stages=stages)))


def stores(ledger: Ledger) -> dict[str, PromptStore]:
    return {"train": PromptStore(ledger, "train")}


def batches(ledger: Ledger, round: int = 1) -> list[Path]:
    return sorted(Path(ledger.root, f"rounds/{round:03d}", "prompts").glob("*.parquet"))


def test_a_round_without_new_prompts_asks_for_none(tmp_path: Path) -> None:
    plain = config(tmp_path, new_prompts=NO_NEW_PROMPTS)
    rollouts = ScriptedRollouts(inventive)
    ledger = ledger_of(plain, tmp_path)
    assert plain.new_prompts.build(plain) is None
    assert make(plain, ledger, rollouts=rollouts) == [] == rollouts.asked
    assert counted_candidates(ledger, 1) is None


def test_prompts_with_given_responses_are_known_too(tmp_path: Path) -> None:
    """Another phase trains on them. The first answer is one of them word for word, the second but for a word, the
    third but for a word one that is held out."""
    settings = config(tmp_path)
    ledger = ledger_of(settings, tmp_path)
    with_given(settings, ledger, tmp_path, asked="Name the three longest rivers of {n} countries")
    said_first = ["Name the three longest rivers of 0 countries", "Name the three widest rivers of 1 countries",
                  "A well held out prompt"]  # fmt: skip

    def answer(request: GenerationRequest) -> Generation:
        if request.max_tokens == 1 or not said_first:
            return inventive(request)
        return said(f" {said_first.pop(0)}\n10. No")

    files = {"train": PromptStore(ledger, "train"), "seed": PromptStore(ledger, "seed")}
    stages = Stages(ledger=ledger, rollouts=ScriptedRollouts(answer), observer=Notes())
    stages.start_round(build_phase(settings, None))
    assert len(asyncio.run(new_prompts(1, files, config=settings, stages=stages))) == 4
    first = [c.reason for c in ledger.read_stage(1, "prompts", PromptCandidate)][:6:2]
    assert first == ["duplicate", "similar", "contaminated"]


def test_batches_are_made_until_there_are_enough(tmp_path: Path) -> None:
    """Three requests a batch give three prompts and three that are too short: four prompts take two batches, and the
    fifth and sixth are one too many each."""
    settings = config(tmp_path)
    ledger = ledger_of(settings, tmp_path)
    made = make(settings, ledger)
    assert len(made) == len({prompt.id for prompt in made}) == 4
    assert len(batches(ledger)) == 2
    assert list(kept_prompts(ledger, 1)) == made
    assert counted_candidates(ledger, 1) == {"kept": 4, "dropped": {"surplus": 2, "too_short": 6}}


def test_a_resumed_round_has_the_same_prompts_and_writes_no_batch_again(tmp_path: Path) -> None:
    """Killed before the second batch: the first is read back, untouched, and the second is what it would have been."""
    settings = config(tmp_path)
    calm, shaken = ledger_of(settings, tmp_path, "calm"), ledger_of(settings, tmp_path, "shaken")
    made = make(settings, calm)

    def dies(request: GenerationRequest) -> Generation:
        if len(batches(shaken)) == 1:
            raise RuntimeError("killed")
        return inventive(request)

    with pytest.raises(RuntimeError):
        make(settings, shaken, rollouts=ScriptedRollouts(dies))
    first = batches(shaken)[0]
    written = first.stat().st_mtime_ns
    rollouts = ScriptedRollouts(inventive)
    assert make(settings, shaken, rollouts=rollouts) == made
    assert first.stat().st_mtime_ns == written
    assert sum(request.max_tokens != 1 for request in rollouts.asked) == 3
    assert calm.stage_hash(1, "prompts") == shaken.stage_hash(1, "prompts")
    again = ScriptedRollouts(inventive)
    assert make(settings, shaken, rollouts=again) == made and again.asked == []


def test_another_round_makes_other_prompts(tmp_path: Path) -> None:
    """And an earlier round's are known: the same answer twice is a duplicate."""
    settings = config(tmp_path)
    ledger = ledger_of(settings, tmp_path)
    first = make(settings, ledger)
    second = make(settings, ledger, round=2)
    assert not {prompt.id for prompt in first} & {prompt.id for prompt in second}

    def repeats(request: GenerationRequest) -> Generation:
        return said("" if request.max_tokens == 1 else f" {first[0].messages[0].content}")

    with pytest.raises(RunError, match=r"round 3 has 0 of 4 new prompts after 5 batches .*\{'duplicate': 15\}"):
        make(settings, ledger, round=3, rollouts=ScriptedRollouts(repeats))


def test_too_few_prompts_stop_the_run_and_more_batches_let_it_go_on(tmp_path: Path) -> None:
    """What was committed stays: with two batches more, only they are asked for."""
    answers = 0

    def rarely(request: GenerationRequest) -> Generation:
        nonlocal answers
        if request.max_tokens == 1:
            return said("")
        answers += 1
        return inventive(request) if answers % 3 == 0 else said("cut off", cut=True)

    short = config(tmp_path, new_prompts__max_batches=2)
    ledger = ledger_of(short, tmp_path)
    with pytest.raises(RunError) as caught:
        make(short, ledger, rollouts=ScriptedRollouts(rarely))
    assert "round 1 has 2 of 4 new prompts after 2 batches" in caught.value.what
    assert "{'too_short': 2, 'truncated': 4}" in caught.value.what
    assert "new_prompts.max_batches" in caught.value.remedy
    assert len(make(changed(short, new_prompts__max_batches=4), ledger, rollouts=ScriptedRollouts(rarely))) == 4
    assert answers == 12


@pytest.mark.parametrize(("engines", "calls"), [(1, [3]), (2, [2, 1]), (3, [1, 1, 1]), (9, [1, 1, 1])])
def test_a_batch_is_shared_among_the_engines_and_the_prompts_are_the_same(
    engines: int, calls: list[int], tmp_path: Path
) -> None:
    settings = config(tmp_path)
    made = make(settings, ledger_of(settings, tmp_path, "alone"))
    seen: list[int] = []

    class Counted(ScriptedRollouts):
        async def generate(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
            seen.append(len(requests))
            return await super().generate(requests)

    many = changed(settings, cluster__rollout__actors=engines)
    assert make(many, ledger_of(settings, tmp_path, "many"), rollouts=Counted(inventive)) == made
    assert seen[: len(calls)] == calls


# ----------------------------------------------------------------------------------------------------------- the shards


def test_a_rounds_shards_hold_its_new_prompts_alone(tmp_path: Path) -> None:
    settings = config(tmp_path)
    ledger = ledger_of(settings, tmp_path)
    made = make(settings, ledger)
    shards = list(train_shards(1, stores(ledger), settings, made))
    assert [len(shard.prompts) for shard in shards] == [2, 2]
    assert sorted(p.id for shard in shards for p in shard.prompts) == sorted(p.id for p in made)


def test_fewer_new_prompts_leave_the_rest_to_the_training_file(tmp_path: Path) -> None:
    """One new and three of the file, shuffled. Six rounds of three use 18 of the file's 20, none twice; the seventh has
    the last two."""
    settings = config(tmp_path, new_prompts__per_round=1, run__rounds=7)
    ledger = ledger_of(settings, tmp_path)
    texts, places = [], set()
    for round in range(1, 8):
        new = make(settings, ledger, round)
        prompts = [p for shard in train_shards(round, stores(ledger), settings, new) for p in shard.prompts]
        assert len(prompts) == 4 and len(new) == 1
        places.add([prompt in new for prompt in prompts].index(True))
        texts += [p.messages[0].content for p in prompts if p not in new]
    assert len(set(texts[:18])) == 18 and set(texts) == set(FILE)
    assert len(places) > 1


def test_rounds_of_new_prompts_do_not_move_the_files_cursor(tmp_path: Path) -> None:
    """With new prompts in round 2 alone, round 3 has what round 2 has without them."""
    plain = changed(config(tmp_path, new_prompts=NO_NEW_PROMPTS), run__rounds=3)
    phases = {
        "file": phase(plain, rounds=1),
        "new": phase(plain, rounds=1, new_prompts=SELF_INSTRUCT),
        "file_again": phase(plain),
    }
    mixed = changed(plain, phases=phases)
    files = stores(ledger_of(plain, tmp_path))
    assert list(train_shards(3, files, mixed).indices) == list(train_shards(2, files, plain).indices)


# --------------------------------------------------------------------------------------------------------- survivors


def outcome(prompt: Prompt, kept: bool) -> PairingOutcome:
    if not kept:
        return PairingOutcome(pair=None, dropped=Dropped(prompt_id=prompt.id, reason="tie"))
    return PairingOutcome(pair=None, dropped=None, group=ResponseGroup(prompt=prompt, responses=(), scores=()))


@pytest.mark.parametrize(("filter", "stage"), [(NO_FILTER, "pairs"), (RIP, "selected")], ids=["unfiltered", "filtered"])
def test_only_prompts_that_were_learnt_from_are_examples(filter: FilterPart, stage: str, tmp_path: Path) -> None:
    """Ten of round 1's twenty prompts were; a fresh round's examples are all among them. Under a filter all twenty gave
    something, of which it left ten."""
    plain = config(tmp_path, new_prompts=NO_NEW_PROMPTS)
    phases = {"one": phase(plain, rounds=1, filter=filter), "two": phase(plain, new_prompts=FROM_KEPT)}
    settings = changed(plain, phases=phases)
    ledger = ledger_of(settings, tmp_path)
    prompts = list(PromptStore(ledger, "train"))
    shard = Shard(round=1, index=0, prompts=tuple(prompts), split="train")
    outcomes = [outcome(prompt, index % 2 == 0) for index, prompt in enumerate(prompts)]
    paired = [outcome(prompt, True) for prompt in prompts]
    for name, records in {"pairs": paired, stage: outcomes}.items():
        ledger.write_shard(name, shard, PairingOutcome, records)
    make(settings, ledger, round=2)
    shown = {name for c in ledger.read_stage(2, "prompts", PromptCandidate) for name in c.shown}
    assert shown <= {prompt.id for prompt in prompts[::2]} and len(shown) >= 8


def test_too_few_survivors_stop_the_run(tmp_path: Path) -> None:
    plain = config(tmp_path, new_prompts=NO_NEW_PROMPTS)
    settings = changed(plain, phases={"one": phase(plain, rounds=1), "two": phase(plain, new_prompts=FROM_KEPT)})
    with pytest.raises(RunError, match=r"from 8 that were learnt from .* only 0 of one message were"):
        make(settings, ledger_of(settings, tmp_path), round=2)


def test_a_conversation_is_no_example(tmp_path: Path) -> None:
    """It is compared with, and not shown."""
    settings = config(tmp_path, new_prompts=dataclasses.replace(SELF_INSTRUCT, seed_shots=1, made_shots=0))
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}]
    talk = {"prompt": [*turns, {"role": "user", "content": "Say w1 w2 w3 w4"}]}
    rows = [talk, {"prompt": "Tell me about tides"}]
    assert settings.prompts.train.path is not None
    Path(settings.prompts.train.path).write_text("".join(json.dumps(row) + "\n" for row in rows))
    ledger = ledger_of(settings, tmp_path)
    make(settings, ledger)
    single = [prompt.id for prompt in PromptStore(ledger, "train") if len(prompt.messages) == 1]
    assert {c.shown for c in ledger.read_stage(1, "prompts", PromptCandidate)} == {tuple(single)}


# ----------------------------------------------------------------------------------------------------- judging prompts


def with_given(settings: Config, ledger: Ledger, tmp_path: Path, count: int = 5, asked: str = "Say {n}") -> None:
    """Prompts with two given responses each, the better one first."""
    path = tmp_path / "seed.jsonl"
    rows = [{"prompt": asked.format(n=n), "completion": [f"It is {n}", "No idea"]} for n in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    seeded = changed(settings, prompts__seed__path=str(path))
    freeze_seed(ledger, seeded.prompts)


def judging(ledger: Ledger, settings: Config, round: int = 1) -> list[Prompt]:
    rollouts = ScriptedRollouts(lambda request: said(""))
    stages = Stages(ledger=ledger, rollouts=rollouts, observer=Notes())
    stages.start_round(build_phase(settings.at(round), None))
    names = sorted(settings.prompt_sets)
    files = {name: PromptStore(ledger, name) for name in names}
    made = list(asyncio.run(new_prompts(round, files, config=settings, stages=stages)))
    shards = list(train_shards(round, files, settings, made))
    assert sorted(p.id for one in shards for p in one.prompts) == sorted(p.id for p in made)
    return made


def test_a_round_of_judging_prompts_has_them_alone_and_the_ledger_keeps_their_truth(tmp_path: Path) -> None:
    """Two a given prompt: four fill the round; what is read back has the truth that was written."""
    settings = config(tmp_path, new_prompts=GIVEN_JUDGED)
    ledger = ledger_of(settings, tmp_path)
    with_given(settings, ledger, tmp_path)
    made = judging(ledger, settings)
    assert len(made) == 4 and len(batches(ledger)) == 1
    assert [prompt.truth for prompt in kept_prompts(ledger, 1)] == [prompt.truth for prompt in made]
    assert all(prompt.truth is not None and prompt.truth.form == "additive" for prompt in made)
    assert judging(ledger, settings) == made
    second = judging(ledger, settings, round=2)
    assert not {prompt.id for prompt in made} & {prompt.id for prompt in second}
    assert counted_candidates(ledger, 1) == {"kept": 4, "dropped": {}}


def test_a_round_has_as_many_judging_prompts_as_there_are(tmp_path: Path) -> None:
    """One given prompt makes two; a round of four goes on with them. With none the run stops and says so."""
    settings = config(tmp_path, new_prompts=GIVEN_JUDGED)
    ledger = ledger_of(settings, tmp_path)
    with_given(settings, ledger, tmp_path, count=1)
    assert len(judging(ledger, settings)) == 2
    small = config(tmp_path, new_prompts=GIVEN_JUDGED, run__prompts_per_round=1, run__prompts_per_shard=1)
    other = ledger_of(small, tmp_path, "small")
    with_given(small, other, tmp_path, count=1)
    with pytest.raises(RunError, match=r"round 1 has no judging prompt: .*\(new_prompts.of=given\)"):
        judging(other, small)


@pytest.mark.parametrize(("filter", "stage"), [(NO_FILTER, "pairs"), (RIP, "selected")], ids=["unfiltered", "filtered"])
def test_the_pairs_of_the_newest_round_with_other_prompts_are_judged(
    filter: FilterPart, stage: str, tmp_path: Path
) -> None:
    """Round 1 makes pairs, rounds 2 and 3 judge them, two prompts' a round; what round 2 made is no pair to judge."""
    plain = config(tmp_path, new_prompts=NO_NEW_PROMPTS, run__rounds=3)
    phases = {"one": phase(plain, rounds=1, filter=filter), "two": phase(plain, new_prompts=PAIRS_JUDGED)}
    settings = changed(plain, phases=phases)
    ledger = ledger_of(settings, tmp_path)
    prompts = list(PromptStore(ledger, "train"))
    shard = Shard(round=1, index=0, prompts=tuple(prompts), split="train")

    def paired(prompt: Prompt) -> PairingOutcome:
        chosen, rejected = (rollout(prompt.id, sample, text) for sample, text in enumerate(("Yes", "No")))
        pair = PreferencePair(
            prompt=prompt, chosen=chosen, rejected=rejected, margin=1.0, label_probability=1.0, provenance="judge"
        )
        return PairingOutcome(pair=pair, dropped=None)

    everything = [paired(prompt) for prompt in prompts]
    left = [paired(prompt) if index < 4 else outcome(prompt, False) for index, prompt in enumerate(prompts)]
    for name, records in {"pairs": everything, stage: left}.items():
        ledger.write_shard(name, shard, PairingOutcome, records)
    second, third = judging(ledger, settings, round=2), judging(ledger, settings, round=3)
    shown = [prompt.truth.source for made in (second, third) for prompt in made if prompt.truth is not None]
    assert sorted(shown) == sorted([prompt.id for prompt in prompts[:4]] * 2)
    assert all('option="A">\nYes' in p.messages[0].content for p in second if p.truth and p.truth.ranks == (0, 1))


def test_each_prompts_response_whose_votes_differ_most_is_judged_again(tmp_path: Path) -> None:
    """Votes (2, 2), (1, 3) and (5, one that failed) on three responses: it is the second one's, in round 2 and, as that
    has judging prompts itself, in round 3. A prompt without two votes on any response gives nothing. No order is known.
    """
    plain = config(tmp_path, new_prompts=NO_NEW_PROMPTS, judge=ADDITIVE, run__rounds=3)
    phases = {"actor": phase(plain, rounds=1), "judge": phase(plain, new_prompts=DISPUTED, judge=META)}
    settings = changed(plain, phases=phases)
    ledger = ledger_of(settings, tmp_path)
    votes = {0: (2.0, 2.0), 1: (1.0, 3.0), 2: (5.0, None)}
    shards = list(train_shards(1, stores(ledger), settings))
    mute = shards[-1].prompts[-1].id
    for shard in shards:
        rollouts = [rollout(p.id, sample, f"answer {sample} to {p.id}") for p in shard.prompts for sample in votes]
        judgments = [
            scored(one, vote=vote, status="parsed" if score is not None else "unparsable", score=score)
            for one in rollouts
            for vote, score in enumerate(votes[one.sample])
            if one.prompt_id != mute or vote == 0
        ]
        ledger.write_shard("rollouts", shard, Rollout, rollouts)
        ledger.write_shard("judgments", shard, Judgment, judgments)
    judged = {p.id for shard in shards for p in shard.prompts} - {mute}
    for round in (2, 3):
        made = judging(ledger, settings, round=round)
        assert sorted(p.id for p in made) == sorted(f"{name}/1" for name in judged) and len(made) == 3
        for prompt in made:
            assert prompt.truth is not None and (prompt.truth.ranks, prompt.truth.form) == ((), "additive")
            assert f"answer 1 to {prompt.truth.source}\n" in prompt.messages[-1].content


def test_every_scored_response_of_the_newest_round_with_other_prompts_is_answered_with_its_score(
    tmp_path: Path,
) -> None:
    """Two responses to each of four prompts; one has no score. A round of six holds three prompts' responses, and the
    next one begins with those that are left."""
    plain = config(tmp_path, new_prompts=NO_NEW_PROMPTS, run__rounds=3)
    imitated = phase(
        plain, new_prompts=SCORES_JUDGED, generation=GIVEN, judge=NO_JUDGE, pairing=DEMONSTRATIONS,
        objective=SftObjective(kind="sft"), prompts=6,
    )  # fmt: skip
    settings = changed(plain, phases={"label": phase(plain, rounds=1), "distill": imitated})
    ledger = ledger_of(settings, tmp_path)
    mute = None
    for shard in train_shards(1, stores(ledger), settings):
        rollouts = [rollout(p.id, sample, f"answer {sample}") for p in shard.prompts for sample in (0, 1)]
        mute = mute or rollouts[0]
        judgments = [
            scored(one, vote=0, status="unparsable", score=None) if one is mute
            else scored(one, vote=0, status="parsed", score=0.8 if one.sample else 0.2)
            for one in rollouts
        ]  # fmt: skip
        ledger.write_shard("rollouts", shard, Rollout, rollouts)
        ledger.write_shard("judgments", shard, Judgment, judgments)
    second, third = judging(ledger, settings, round=2), judging(ledger, settings, round=3)
    answers = {prompt.id: prompt.responses for prompt in second + third}
    assert answers == {name: (f"Score: {name[-1]}",) for name in answers}
    assert mute is not None and f"{mute.prompt_id}/0" not in answers and f"{mute.prompt_id}/1" in answers
    sources = [{p.truth.source for p in made if p.truth} for made in (second, third)]
    assert len(sources[0] | sources[1]) == 4 and len(answers) == 7


def test_judging_prompts_are_no_examples_of_new_ones(tmp_path: Path) -> None:
    """After a round of judging prompts, what the policy writes is after the file's prompts alone."""
    plain = config(tmp_path, new_prompts=NO_NEW_PROMPTS)
    phases = {
        "judge": phase(plain, rounds=1, new_prompts=GIVEN_JUDGED),
        "write": phase(plain, new_prompts=SELF_INSTRUCT),
    }
    settings = changed(plain, phases=phases)
    ledger = ledger_of(settings, tmp_path)
    with_given(settings, ledger, tmp_path)
    judged = {prompt.id for prompt in judging(ledger, settings)}
    make(settings, ledger, round=2)
    shown = {name for c in ledger.read_stage(2, "prompts", PromptCandidate) for name in c.shown}
    assert shown and not shown & judged
