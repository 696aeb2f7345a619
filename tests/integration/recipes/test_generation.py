"""Responses made in several steps: mixtures, ladders, system messages, revisions."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from support.recipe_ledgers import by_construction, outcomes
from support.recipe_runs import ONE_PHASE
from support.tiny_model import write_tiny_model
from transformers import AutoTokenizer

from roundelay.orchestrator.data.records import Rollout
from roundelay.orchestrator.ledger.ledger import Ledger

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

# A tiny random model seldom ends a response: with so many stops most of its texts end by themselves.
STOPS = "generation.sampling.stop=[a,e,i,o]"
TWO_ROUNDS = ("run.rounds=2", "run.prompts_per_round=8", "learner.pairs_per_step=2")


def rollouts_by_prompt(ledger: Ledger, round: int) -> dict[str, list[Rollout]]:
    found: dict[str, list[Rollout]] = {}
    for rollout in ledger.read_stage(round, "rollouts", Rollout):
        found.setdefault(rollout.prompt_id, []).append(rollout)
    return found


@pytest.mark.parametrize("recipe", ["self_moa", "aft"])
def test_what_is_learnt_was_made_of_the_proposals_that_could_be_read(
    recipe: str, play: Callable[..., Ledger], tiny_model: Path
) -> None:
    """Under the plain prompt (Self-MoA distilled), or under the request that shows the proposals (AFT)."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    ledger = play(recipe, *ONE_PHASE, STOPS)
    num_proposals = ledger.header()["config"]["generation"]["proposals"]
    learnt = {o.group.prompt.id: o.group.responses for o in outcomes(ledger, 1) if o.group is not None}
    assert len(learnt) >= 4
    remarks: list[str] = []
    for prompt_id, texts in rollouts_by_prompt(ledger, 1).items():
        proposals, response = texts[:num_proposals], texts[num_proposals:]
        usable = [text for text in proposals if text.finish_reason == "stop" and text.text.strip()]
        remarks += [text.remark for text in proposals if text.remark]
        assert all((text in usable) == (text.remark == "") and text.variant == "interim" for text in proposals)
        assert len(response) == (1 if usable else 0)
        if prompt_id not in learnt:
            continue
        assert learnt[prompt_id] == tuple(response)
        shown = tokenizer.decode(response[0].sampler_token_ids)
        for number, proposal in enumerate(usable, start=1):
            assert f'<response option="{number}">\n{proposal.text}\n</response>' in shown
        assert shown.count("<response option=") == len(usable)
        plain = proposals[0].sampler_token_ids
        assert response[0].prompt_token_ids == (plain if recipe == "self_moa" else response[0].sampler_token_ids)
    assert sum(ledger.manifest(1)["data"]["remarks"].values()) == len(remarks) > 0
    assert ledger.manifest(1)["policy"]["sha256"] != ledger.header()["initial_policy"]["sha256"]


def test_several_models_propose_and_the_policy_makes_one_response(
    play: Callable[..., Ledger], tiny_model: Path, tmp_path: Path
) -> None:
    """MoA: the other model's proposals, which stand first, are committed before the policy's turn, and shown with its
    own."""
    source = str(write_tiny_model(tmp_path / "source", seed=1))
    words = (*ONE_PHASE, STOPS, f"generation.samplers=[{source},policy]", "generation.proposals=3")
    ledger, tokenizer = play("self_moa", *words), AutoTokenizer.from_pretrained(tiny_model)
    (theirs,) = Path(ledger.root, "rounds", "001").glob("rollouts-*")
    committed = list(ledger.read_stage(1, theirs.name, Rollout))
    responses = 0
    for texts in rollouts_by_prompt(ledger, 1).values():
        assert [text.sampler for text in texts[:6]] == [source] * 3 + ["policy"] * 3
        assert [text.sample for text in texts] == list(range(len(texts)))
        assert {replace(text, remark="") for text in texts[:3]} <= {*committed}
        assert [text.policy_version for text in texts] == [-1] * 3 + [0] * (len(texts) - 3)
        for response in texts[6:]:
            shown = tokenizer.decode(response.sampler_token_ids)
            readable = [text for text in texts[:6] if not text.remark]
            assert all(f"\n{text.text}\n</response>" in shown for text in readable)
            assert shown.count("<response option=") == len(readable)
            responses += 1
    assert responses >= 4
    assert ledger.manifest(1)["samplers"][source]["version"] == -1


def test_autopm_learns_from_pairs_in_breadth_and_then_in_depth(play: Callable[..., Ledger]) -> None:
    ledger = play("autopm", *TWO_ROUNDS, "phases.depth.generation.sampling.max_tokens=10")
    breadth, depth = ([o.pair for o in outcomes(ledger, round) if o.pair is not None] for round in (1, 2))
    assert len(breadth) >= 4 and len(depth) >= 4
    assert all(by_construction(pair, []) for pair in breadth)
    for pair in depth:
        assert (pair.chosen.variant, pair.rejected.variant, pair.provenance) == ("ranked", "ranked", "ranked")
        assert (pair.chosen.sample, pair.rejected.sample) == (0, 4)
        assert pair.chosen.prompt_token_ids == pair.rejected.prompt_token_ids
        assert pair.chosen.sampler_token_ids != pair.rejected.sampler_token_ids
    assert all(len(rollouts) == 5 for rollouts in rollouts_by_prompt(ledger, 2).values())
    assert ledger.manifest(1)["policy"]["sha256"] != ledger.manifest(2)["policy"]["sha256"]


def test_janus_learns_to_follow_a_system_message_alone_and_then_rather_than_another(
    play: Callable[..., Ledger], tiny_model: Path
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    ledger = play("janus", *TWO_ROUNDS)
    texts = ledger.header()["config"]["generation"]["system_messages"]
    followed = [response for o in outcomes(ledger, 1) if o.group is not None for response in o.group.responses]
    pairs = [o.pair for o in outcomes(ledger, 2) if o.pair is not None]
    assert len(followed) >= 4 and len(pairs) >= 4

    def said(token_ids: Sequence[int]) -> list[str]:
        return [text for text in texts if text in tokenizer.decode(token_ids)]

    for response in followed:
        assert response.prompt_token_ids == response.sampler_token_ids and len(said(response.prompt_token_ids)) == 1
    for pair in pairs:
        assert pair.chosen.prompt_token_ids == pair.chosen.sampler_token_ids == pair.rejected.prompt_token_ids
        assert said(pair.rejected.sampler_token_ids) != said(pair.chosen.sampler_token_ids)


def test_a_revised_answer_is_learnt_rather_than_the_first_one(play: Callable[..., Ledger]) -> None:
    """As the reviews say by the line that is decoded for them; what they end with is counted."""
    ledger = play("rlcd_dpo", "generation=revise", *ONE_PHASE)
    made, ended = rollouts_by_prompt(ledger, 1), ledger.manifest(1)["data"]["remarks"]
    pairs = 0
    for outcome in outcomes(ledger, 1):
        texts = made[outcome.pair.prompt.id if outcome.pair else outcome.dropped.prompt_id]  # pyright: ignore
        answers, reviews = texts[::2], texts[1::2]
        verdicts = [review.text[-1] for review in reviews]
        assert len(answers) == 1 + verdicts.count("1") and set(verdicts) <= {"0", "1"}
        if outcome.pair is None:
            assert verdicts[0] == "0" or answers[0].text.strip() == answers[-1].text.strip() or not answers[-1].text
            continue
        pairs += 1
        assert (outcome.pair.chosen, outcome.pair.rejected) == (answers[-1], answers[0])
        assert outcome.pair.chosen.prompt_token_ids == outcome.pair.rejected.prompt_token_ids
    assert pairs >= 2
    assert ended == {"nothing_to_mend": sum(texts[-1].remark == "nothing_to_mend" for texts in made.values())}
