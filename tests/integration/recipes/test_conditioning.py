"""What is learnt after other words than the plain prompt: judgments, markers, classes, attributes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from support.recipe_ledgers import best_over_worst, outcomes, scored_responses
from support.recipe_runs import ONE_PHASE, given_responses
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from roundelay.orchestrator.data.records import Judgment, ResponseGroup, Rollout
from roundelay.orchestrator.ledger.ledger import Ledger

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def test_a_response_is_learnt_after_its_judgment_or_is_good_as_it_is(
    play: Callable[..., Ledger], tiny_model: Path
) -> None:
    """CUT: a response that scores 7 or more, or whose judgment has no words, comes after the plain prompt alone; all
    others after one in which the judgment can be read. No other response is left out."""
    constrained = ("judge.constrain_last_line=true", "judge.sampling.max_tokens=10", "pairing.keep_good=1.0")
    ledger = play("cut", *ONE_PHASE, *constrained, "generation.samples_per_prompt=2")
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    judged = {(j.prompt_id, j.sample): j for j in ledger.read_stage(1, "judgments", Judgment)}
    groups: list[ResponseGroup] = [o.group for o in outcomes(ledger, 1) if o.group is not None]
    told = good = 0
    for group in groups:
        assert list(group.scores) == sorted(group.scores, reverse=True)
        for rollout, score, ids in zip(group.responses, group.scores, group.critiqued_prompt_token_ids, strict=True):
            words, _, digit = judged[rollout.prompt_id, rollout.sample].text.rpartition("\nScore: ")
            assert score == float(digit)
            if score >= 7 or not words.strip():
                good += 1
                assert ids == rollout.prompt_token_ids
            else:
                told += 1
                assert words.strip() in tokenizer.decode(ids) and len(ids) > len(rollout.prompt_token_ids)
    assert told and good and told + good == sum(judgment.score is not None for judgment in judged.values())
    learned = ledger.manifest(1)["learn"]
    assert learned["pairs_trained"] == told + good and learned["cut/judged_nll"] > 0
    assert ledger.manifest(1)["policy"]["sha256"] != ledger.header()["initial_policy"]["sha256"]


def test_a_chain_of_hindsight_is_learnt_and_the_policy_is_asked_with_the_helpful_words(
    play: Callable[..., Ledger], tiny_model: Path
) -> None:
    """Four orders of the best and the worst response. Behind the first marker the responses' tokens weigh 1, the second
    marker's 0; held-out prompts are asked with the helpful marker and recorded without it."""
    ledger = play("coh", *ONE_PHASE, "run.prompts_per_round=16", "generation.truncated=keep")
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    conditioning = ledger.header()["config"]["conditioning"]
    markers = [conditioning["helpful"], conditioning["unhelpful"]]
    scored, lengths = scored_responses(ledger, 1), set[tuple[int, ...]]()
    made = [outcome for outcome in outcomes(ledger, 1) if outcome.pair is not None]
    assert len(made) >= 8
    for outcome in made:
        pair, (sequence,) = outcome.pair, outcome.sequences
        assert pair is not None and best_over_worst(pair, scored[pair.prompt.id])
        first = tokenizer.decode(sequence.prompt_token_ids).endswith(markers[1])
        links = [(pair.chosen.token_ids, markers[0]), (pair.rejected.token_ids, markers[1])][:: -1 if first else 1]
        assert tokenizer.decode(sequence.prompt_token_ids).endswith(links[0][1])
        second = tuple(tokenizer(links[1][1], add_special_tokens=False)["input_ids"])
        whole = (*links[0][0], *second, *links[1][0])
        weights = [1.0] * len(links[0][0]) + [0.0] * len(second) + [1.0] * len(links[1][0])
        size = len(sequence.token_ids)
        assert size in (len(links[0][0]), len(whole)) and sequence.token_ids == whole[:size]
        assert list(sequence.weights or ()) == weights[:size]
        lengths.add((int(first), int(size == len(whole))))
    assert len(lengths) >= 3, "one order shows nothing of the others"
    assert ledger.manifest(1)["learn"]["pairs_trained"] == len(made)
    assert ledger.manifest(1)["policy"]["sha256"] != ledger.header()["initial_policy"]["sha256"]
    for round in (0, 1):
        for rollout in ledger.read_stage(round, "eval-rollouts", Rollout):
            asked = tokenizer.decode(rollout.sampler_token_ids)
            assert asked == tokenizer.decode(rollout.prompt_token_ids) + markers[0]


def test_each_class_is_learnt_under_its_own_words_with_its_own_weight(
    play: Callable[..., Ledger], tiny_model: Path, tmp_path: Path
) -> None:
    """Given responses, weight 1, after a system message for experts; the policy's own, weight 0.1, after the other one;
    held-out prompts are asked as experts are."""
    seed = (f"prompts.seed.path={given_responses(tmp_path)}", "prompts.seed.responses=[chosen]")
    ledger = play("conditional_bc", *ONE_PHASE, *seed, "generation.truncated=keep", "learner.epochs=1")
    tokenizer, asked = AutoTokenizer.from_pretrained(tiny_model), ledger.header()["config"]["conditioning"]
    made = [outcome for outcome in outcomes(ledger, 1) if outcome.pair is not None]
    assert len(made) >= 6
    for outcome in made:
        pair = outcome.pair
        assert pair is not None and (pair.chosen.logprobs, pair.chosen.variant) == ((), "positive")
        rows = zip(outcome.sequences, (pair.chosen, pair.rejected), ("expert", "other"), (1.0, 0.1), strict=True)
        for sequence, response, name, weight in rows:
            assert sequence.token_ids == response.token_ids
            assert set(sequence.weights or ()) == {weight}
            said = [asked[one]["system"] in tokenizer.decode(sequence.prompt_token_ids) for one in ("expert", "other")]
            assert said == [name == "expert", name == "other"]
            assert f"Say {pair.prompt.id[1:]}." in tokenizer.decode(sequence.prompt_token_ids)
    assert ledger.manifest(1)["learn"]["pairs_trained"] == 2 * len(made)
    assert ledger.manifest(1)["policy"]["sha256"] != ledger.header()["initial_policy"]["sha256"]
    for rollout in ledger.read_stage(1, "eval-rollouts", Rollout):
        assert asked["expert"]["system"] in tokenizer.decode(rollout.sampler_token_ids)
        assert asked["expert"]["system"] not in tokenizer.decode(rollout.prompt_token_ids)


ATTRIBUTES = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")


def test_an_attribute_model_learns_what_people_say_and_annotates_what_is_learnt(
    play: Callable[..., Ledger], tiny_model: Path, tmp_path: Path
) -> None:
    """Round 1: a head of five outputs, whose scores are the learner's; the policy stays. Round 2: each response is
    learnt after a line of its five values by that model, clamped to 0–4, each the whole number next to it; the score is
    their weighted sum. Held-out prompts are asked with the line of the wanted values."""
    rows: list[dict[str, Any]] = [
        {"id": f"r{index}", "prompt": f"Say {index}.", "response": f"Here you are: {index}"}
        | {name: (index + place) % 5 for place, name in enumerate(ATTRIBUTES) if (index, place) != (3, 2)}
        for index in range(8)
    ]
    path = tmp_path / "labelled.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    faster = ("phases.attribute_model.learner.learning_rate=1e-2", "phases.attribute_model.learner.epochs=4")
    words = ("run.prompts_per_round=8", "learner.pairs_per_step=2", "learner.learning_rate=1e-3", *faster)
    ledger = play("steerlm", *words, f"prompts.seed.path={path}")
    tokenizer, config = AutoTokenizer.from_pretrained(tiny_model), ledger.header()["config"]

    first = ledger.manifest(1)
    made = Path(ledger.absolute(first["reward_model"]["path"]))
    with safe_open(made / "model.safetensors", framework="pt") as tensors:
        assert tensors.get_slice("score.weight").get_shape()[0] == len(ATTRIBUTES)
    assert first["policy"]["sha256"] == ledger.header()["initial_policy"]["sha256"]
    assert first["score_parity"] < 1e-4 and first["learn"]["attributes/present"] == pytest.approx(39 / 8)
    attribute_model = AutoModelForSequenceClassification.from_pretrained(made)

    weights = config["phases"]["steer"]["judge"]["weights"]
    assert tuple(weights) == ATTRIBUTES
    judged_ones = {one.prompt_id: one for one in ledger.read_stage(2, "judgments", Judgment)}
    made = [outcome for outcome in outcomes(ledger, 2) if outcome.group is not None]
    assert len(made) == len(judged_ones) == 8
    for outcome in made:
        assert outcome.group is not None
        judgment = judged_ones[outcome.group.prompt.id]
        (response,), (sequence,) = outcome.group.responses, outcome.sequences
        with torch.no_grad():
            values = attribute_model(torch.tensor([response.prompt_token_ids + response.token_ids])).logits[0]
        assert judgment.attributes == pytest.approx(values.tolist(), abs=1e-4)
        assert judgment.score == pytest.approx(
            sum(weight * value for weight, value in zip(weights.values(), judgment.attributes, strict=True)), abs=1e-3
        )
        line = tokenizer.decode(sequence.prompt_token_ids).rstrip("\n").rpartition("\n")[2]
        told = dict(part.rsplit(":", 1) for part in line[line.index("helpfulness") :].split(","))
        assert tuple(told) == ATTRIBUTES
        for value, written in zip(judgment.attributes, told.values(), strict=True):
            assert abs(min(max(value, 0), 4) - int(written)) <= 0.5
        assert sequence.token_ids == response.token_ids and set(sequence.weights or ()) == {1.0}
    said = {row["id"]: [row.get(name) for name in ATTRIBUTES] for row in rows}
    errors = [
        ((value - label) ** 2, label**2)  # beside those of the head of zeros that it began as
        for one in judged_ones.values()
        for value, label in zip(one.attributes, said[one.prompt_id], strict=True)
        if label is not None
    ]
    assert sum(learnt for learnt, _ in errors) < 0.9 * sum(before for _, before in errors)
    assert ledger.manifest(2)["policy"]["sha256"] != ledger.header()["initial_policy"]["sha256"]
    wanted = config["evaluation"]["condition"]["assistant_prefix"]
    assert all(
        tokenizer.decode(rollout.sampler_token_ids).endswith(wanted)
        for rollout in ledger.read_stage(2, "eval-rollouts", Rollout)
    )


def test_the_policy_itself_may_annotate(play: Callable[..., Ledger], tmp_path: Path) -> None:
    """`judge=attributes`: five values from 0 to 4 a response, by the policy's own next-token probabilities."""
    seed = (f"prompts.seed.path={given_responses(tmp_path)}", "prompts.seed.responses=[chosen,rejected]")
    annotate = ("judge=attributes", "pairing=annotated", "conditioning=attributes")
    ledger = play("sft", *ONE_PHASE, *seed, *annotate, "learner.epochs=1")
    judged_ones = list(ledger.read_stage(1, "judgments", Judgment))
    assert len(judged_ones) == 16
    weights = ledger.header()["config"]["judge"]["weights"]
    assert tuple(weights) == ATTRIBUTES
    for one in judged_ones:
        assert all(0 <= value <= 4 for value in one.attributes)
        expected = sum(weight * value for weight, value in zip(weights.values(), one.attributes, strict=True))
        assert one.score == pytest.approx(expected, abs=1e-3)
    assert ledger.manifest(1)["learn"]["pairs_trained"] == 16
