"""Several models answer each prompt: earlier policies, other models, the next policy."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.recipe_ledgers import best_over_worst, outcomes, sampled, scored_responses
from support.tiny_model import write_tiny_model
from transformers import AutoModelForCausalLM

from roundelay.orchestrator.data.records import Rollout
from roundelay.orchestrator.ledger.ledger import Ledger

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

# Two digits are two tokens in the tiny model's tokenizer.
ALMA_ON_TINY = ("judge.scores=['0','1','2','3','4','5']", "learner.pairs_per_step=2", "learner.learning_rate=1e-3")


def logps_alone(model: Any, rollout: Rollout) -> list[float]:
    """A response's log-probs in plain transformers."""
    ids, first = rollout.prompt_token_ids + rollout.token_ids, len(rollout.prompt_token_ids)
    with torch.no_grad():
        logprobs = model(torch.tensor([ids])).logits[0].log_softmax(-1)
    return [float(logprobs[first + t - 1, token]) for t, token in enumerate(rollout.token_ids)]


def test_alma_learns_from_the_base_model_on_the_best_of_three_samplers_in_all_rounds(
    play: Callable[..., Ledger],
) -> None:
    """Two responses from each of the newest policy, the one before it and the initial one, with the log-probs of the
    weights that they name; round 2's update starts from the base model and sees the pairs of both rounds."""
    ledger = play("alma", "run.rounds=2", "run.prompts_per_round=8", "generation.samples_per_prompt=2", *ALMA_ON_TINY)
    for round in (1, 2):
        scored = scored_responses(ledger, round)
        pairs = [outcome.pair for outcome in outcomes(ledger, round) if outcome.pair is not None]
        assert len(pairs) >= 4 and all(best_over_worst(pair, scored[pair.prompt.id]) for pair in pairs)
    assert {(r.sampler, r.sample, r.policy_version) for r in sampled(ledger, 2)} == {
        ("policy", 0, 1), ("policy", 1, 1), ("previous", 2, 0), ("previous", 3, 0), ("initial", 4, 0), ("initial", 5, 0)
    }  # fmt: skip
    paths = {0: ledger.header()["initial_policy"]["path"], 1: ledger.model_path(1, "policy")}
    models = {version: AutoModelForCausalLM.from_pretrained(path) for version, path in paths.items()}
    for rollout in sampled(ledger, 2)[::7]:
        right, wrong = (logps_alone(models[v], rollout) for v in (rollout.policy_version, 1 - rollout.policy_version))
        assert list(rollout.logprobs) == pytest.approx(right, abs=1e-3) != pytest.approx(wrong, abs=1e-3)
    manifest, learnt = ledger.manifest(2), [ledger.manifest(round)["data"]["pairs"] for round in (1, 2)]
    assert manifest["start"]["sha256"] == ledger.header()["initial_policy"]["sha256"]
    assert (manifest["rounds_learnt"], manifest["learn"]["pairs_trained"]) == ([1, 2], sum(learnt))


def test_wrpo_puts_the_best_of_another_model_beside_the_policys_own_pair(
    play: Callable[..., Ledger], tmp_path: Path
) -> None:
    """First fine-tuning on the source's best alone, then triples: the source's best, the policy's best and its worst,
    all by the policy's judgment."""
    source = str(write_tiny_model(tmp_path / "source", seed=1))
    ledger = play(
        "wrpo",
        f"generation.samplers=[policy,{source}]",
        f"phases.sft.generation.samplers=[{source}]",
        *(f"phases.{name}.prompts_per_round=8" for name in ("sft", "wrpo")),
        *(f"phases.{name}.learner.pairs_per_step=2" for name in ("sft", "wrpo")),
    )
    for round in (1, 2):
        scored = scored_responses(ledger, round)
        pairs = [outcome.pair for outcome in outcomes(ledger, round) if outcome.pair is not None]
        assert len(pairs) >= 3
        for pair in pairs:
            theirs = [(r, score) for r, score in scored[pair.prompt.id] if r.sampler == source]
            own = [(r, score) for r, score in scored[pair.prompt.id] if r.sampler == "policy"]
            assert len(theirs) == 5 and len(own) == (0, 5)[round - 1]
            if round == 1:
                assert pair.source is None and best_over_worst(pair, theirs)
                continue
            assert best_over_worst(pair, own) and pair.source is not None
            of = {r.sample: score for r, score in scored[pair.prompt.id]}
            assert of[pair.source.sample] == max(score for _, score in theirs) > of[pair.rejected.sample]
    assert ledger.manifest(2)["samplers"][source]["version"] == -1
    assert "wrpo/margins" in ledger.manifest(2)["learn"]


def test_temporal_self_rewarding_anchors_rejected_and_improves_chosen_responses(play: Callable[..., Ledger]) -> None:
    """Round 1: the policy's best over the lowest of both; round 2: the same prompts and rejected responses, chosen the
    best of before and of round 1's policy, scored and trained by the policy that round 1 began with."""
    ledger = play("temporal_self_rewarding", "run.rounds=2", "run.prompts_per_round=8", "learner.pairs_per_step=2")
    first = {o.pair.prompt.id: o.pair for o in outcomes(ledger, 1) if o.pair is not None}
    scored, future = scored_responses(ledger, 1), scored_responses(ledger, 2)
    assert len(first) >= 4
    for prompt_id, pair in first.items():
        of = {r.sample: score for r, score in scored[prompt_id]}
        own, initial = ([s for r, s in scored[prompt_id] if r.sampler == name] for name in ("policy", "initial"))
        assert len(own) == len(initial) == 7 and pair.chosen.sampler == "policy"
        assert (of[pair.chosen.sample], of[pair.rejected.sample]) == (max(own), min(own + initial))
        assert (pair.rejected.sampler == "initial") == (min(initial) < min(own))
    second = {o.pair.prompt.id: o.pair for o in outcomes(ledger, 2) if o.pair is not None}
    assert second.keys() == first.keys()
    for prompt_id, pair in second.items():
        before = {r.sample: score for r, score in scored[prompt_id]}
        old, best = before[first[prompt_id].chosen.sample], max(score for _, score in future[prompt_id])
        assert pair.rejected.token_ids == first[prompt_id].rejected.token_ids
        assert (pair.chosen.policy_version, pair.chosen.sampler) == (
            (1, "latest") if best > old else (0, "chosen_before")
        )
        assert pair.margin == pytest.approx(max(old, best) - before[first[prompt_id].rejected.sample], abs=2e-6)
    assert ledger.manifest(2)["start"]["version"] == ledger.manifest(2)["reference"]["version"] == 0
