"""RLCD whole, on a tiny model: contrast pairs train a reward model, which judges PPO; killed on the way, it goes on."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support.runs import finish, has, identity, kill_in, shards, start
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from roundelay.orchestrator.data.records import Judgment, PairingOutcome, Rollout
from roundelay.orchestrator.ledger.ledger import Ledger

pytestmark = pytest.mark.slow

# Each moment by a sign in the run directory. Round 1 trains the reward model, 2 and 3 are PPO's.
MOMENTS: dict[str, Callable[[Ledger], bool]] = {
    "the reward model is written": lambda ledger: has(ledger, "rounds/001/reward_model"),
    "PPO samples": lambda ledger: shards(ledger, 2, "rollouts") > 0,
    "a checkpoint in PPO's update": lambda ledger: has(ledger, "rounds/002/checkpoint.json"),
    "the critic is written": lambda ledger: has(ledger, "rounds/002/critic"),
    "the second PPO round": lambda ledger: shards(ledger, 3, "judgments") > 0,
}


def overrides(model: Path, root: Path, name: str, *more: str) -> list[str]:
    return [
        "recipe=rlcd",
        "model=local",
        f"model.path={model}",
        "model.max_model_len=1024",
        f"run.root={root}",
        f"run.name={name}",
        "run.rounds=3",
        "run.prompts_per_shard=2",
        "generation.sampling.max_tokens=12",
        "generation.truncated=keep",  # of so few tokens nearly all
        "evaluation.num_prompts=6",
        "evaluation.sampling.max_tokens=12",
        "phases.reward_model.prompts_per_round=12",
        "phases.reward_model.learner={learning_rate: 1e-3, pairs_per_step: 4}",
        "phases.ppo.prompts_per_round=8",
        "phases.ppo.generation.sampling.max_tokens=12",
        "phases.ppo.learner={learning_rate: 1e-3, pairs_per_step: 4, checkpoint_every_steps: 1}",
        *more,
    ]


@pytest.fixture(scope="module")
def calm(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    """An undisturbed run."""
    root = tmp_path_factory.mktemp("runs")
    output = finish(start("run", *overrides(tiny_model, root, "calm")))
    assert "reward model: held-out accuracy" in output and "objective/kl" in output
    return Ledger(str(root / "calm"))


def test_the_reward_model_judges_what_ppo_learns_from(calm: Ledger, tiny_model: Path) -> None:
    """The policy of the reward model's round is the initial one; every PPO response has the score that the written
    reward model gives it in plain transformers; of critics and optimizers only the last are left."""
    first, second, third = (calm.manifest(round) for round in (1, 2, 3))
    assert first["policy"]["sha256"] == calm.header()["initial_policy"]["sha256"]
    assert second["policy"]["sha256"] not in (first["policy"]["sha256"], third["policy"]["sha256"])
    assert second["judged_by"] == third["judged_by"] == {"reward_model": identity(first["reward_model"])}
    assert 0 <= first["heldout"]["accuracy"] <= 1 and first["score_parity"] < 1e-4
    assert second["phase"] == "ppo" and second["data"]["groups"] == 8
    assert not has(calm, "rounds/002/critic") and has(calm, "rounds/003/critic")
    assert not has(calm, "rounds/002/optimizer") and has(calm, "rounds/003/optimizer")

    model = AutoModelForSequenceClassification.from_pretrained(calm.absolute(first["reward_model"]["path"]))
    rollouts = list(calm.read_stage(2, "rollouts", Rollout))
    judgments = {(j.prompt_id, j.sample): j.score for j in calm.read_stage(2, "judgments", Judgment)}
    assert len(rollouts) == len(judgments) == 8
    end = AutoTokenizer.from_pretrained(tiny_model).eos_token_id
    assert any(rollout.token_ids[-1] != end for rollout in rollouts), "some were cut: they are read at an end too"
    for rollout in rollouts:
        ended = rollout.token_ids if rollout.token_ids[-1] == end else (*rollout.token_ids, end)
        with torch.no_grad():
            score = model(torch.tensor([rollout.prompt_token_ids + ended])).logits.item()
        assert judgments[rollout.prompt_id, rollout.sample] == pytest.approx(score, abs=1e-4)


@pytest.mark.parametrize(
    "moments",
    [
        ("the reward model is written", "a checkpoint in PPO's update"),
        pytest.param(tuple(MOMENTS), marks=pytest.mark.long),
    ],
)
def test_killed_in_either_phase_a_resumed_run_equals_an_undisturbed_one(
    calm: Ledger, tiny_model: Path, tmp_path: Path, moments: tuple[str, ...]
) -> None:
    """The same responses, scores and, bitwise, the same reward model and policies."""
    shaken = Ledger(str(tmp_path / "shaken"))
    for number, moment in enumerate(moments):
        words = ["resume", shaken.url] if number else ["run", *overrides(tiny_model, tmp_path, "shaken")]
        kill_in(moment, MOMENTS[moment], start(*words), shaken)
    finish(start("resume", shaken.url))
    assert shaken.manifest(1)["reward_model"]["sha256"] == calm.manifest(1)["reward_model"]["sha256"]
    for round in (2, 3):
        groups = [
            [
                (group.prompt.id, group.scores, [response.token_ids for response in group.responses])
                for outcome in ledger.read_stage(round, "pairs", PairingOutcome)
                if (group := outcome.group) is not None
            ]
            for ledger in (calm, shaken)
        ]
        assert groups[0] == groups[1]
        assert shaken.manifest(round)["policy"]["sha256"] == calm.manifest(round)["policy"]["sha256"]


def test_an_update_stops_early_and_keeps_its_best_moment(tiny_model: Path, tmp_path: Path) -> None:
    """At a rate that ruins the reward model, its best measurement on held-out pairs is not the last one; what is
    written is the model of that moment. Here all held-out pairs choose and are reported: the two must be equal."""
    root = ("phases.reward_model.learner={learning_rate: 0.3, epochs: 4, pairs_per_step: 4, schedule: constant, "
            "warmup_fraction: 0.0, selection: {every_steps: 1, metric: loss, patience: 2}}",
            "run.rounds=1", "evaluation.selection_share=null")  # fmt: skip
    finish(start("run", *overrides(tiny_model, tmp_path, "selected", *root)))
    ledger = Ledger(str(tmp_path / "selected"))
    manifest = ledger.manifest(1)
    rows = [row for row in _learn_rows(ledger) if "heldout/loss" in row]
    best = min(rows, key=lambda row: row["heldout/loss"])
    assert manifest["selected_step"] == best["step"] < manifest["learn"]["steps"] < 12
    assert manifest["heldout"]["loss"] == pytest.approx(best["heldout/loss"], abs=1e-6)
    assert not has(ledger, "rounds/001/checkpoint")


def _learn_rows(ledger: Ledger) -> list[dict[str, float]]:
    lines = Path(ledger.root, "metrics.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if row["stage"] == "learn"]
