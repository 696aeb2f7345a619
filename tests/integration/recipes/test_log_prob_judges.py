"""Judges that compare models by their log-probs, against plain transformers."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from statistics import fmean

import pytest
from support.plain_logps import chat_ids, plain_logps
from support.recipe_ledgers import best_over_worst, outcomes, scored_responses
from support.recipe_runs import ONE_PHASE
from support.runs import identity
from support.tiny_model import write_moved

from roundelay.orchestrator.data.records import Judgment, Rollout
from roundelay.orchestrator.ledger.checksums import weights_hash
from roundelay.orchestrator.ledger.ledger import Ledger
from roundelay.orchestrator.prompts.store import PromptStore

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

STARTER_SEED = Path(__file__).parents[3] / "configs" / "prompts" / "starter" / "seed.jsonl"


def by_prompt(rollouts: Sequence[Rollout], rewards: Sequence[float]) -> dict[str, dict[int, float]]:
    """Each prompt's rewards by sample."""
    found: dict[str, dict[int, float]] = {}
    for rollout, reward in zip(rollouts, rewards, strict=True):
        found.setdefault(rollout.prompt_id, {})[rollout.sample] = reward
    return found


def judged(ledger: Ledger, round: int, vote: int) -> dict[str, dict[int, float]]:
    found: dict[str, dict[int, float]] = {}
    for judgment in ledger.read_stage(round, "judgments", Judgment):
        if judgment.vote == vote and judgment.score is not None:
            found.setdefault(judgment.prompt_id, {})[judgment.sample] = judgment.score
    return found


def assert_rewards(found: dict[str, dict[int, float]], expected: dict[str, dict[int, float]]) -> None:
    """The same responses, in the same order, with the same values."""
    assert found.keys() == expected.keys()
    for prompt_id, rewards in expected.items():
        assert found[prompt_id] == pytest.approx(rewards, abs=1e-3)
        for one, other in combinations(rewards, 2):
            if abs(rewards[one] - rewards[other]) > 2e-3:
                ahead = found[prompt_id][one] > found[prompt_id][other]
                assert ahead == (rewards[one] > rewards[other])


def policy_path(ledger: Ledger, round: int) -> str:
    """Of the policy after a round."""
    return ledger.absolute(ledger.manifest(round)["policy"]["path"])


def test_spas_labels_are_the_log_density_ratio_of_the_policy_to_the_first_one(play: Callable[..., Ledger]) -> None:
    """0.1·(Σ log π − Σ log π_0) in plain transformers, π the policy that sampled. The labels' reference stays the first
    policy where the objective's is the policy before, and the sign of the difference is the label. Before that the
    policy has learnt the starter set's gold pairs, three times over: no label is needed for them."""
    sizes = (*ONE_PHASE[1:], "phases.seed.prompts_per_round=8")
    ledger = play("spa", "run.rounds=3", *sizes, "learner.learning_rate=3e-3")
    gold = {row["id"]: row for row in map(json.loads, STARTER_SEED.read_text().splitlines())}
    seeded = [outcome.pair for outcome in outcomes(ledger, 1) if outcome.pair is not None]
    assert len(seeded) == 8 and ledger.manifest(1)["learn"]["pairs_trained"] == 3 * 8
    for pair in seeded:
        row = gold[pair.prompt.id]
        assert (pair.chosen.text, pair.rejected.text) == (row["chosen"], row["rejected"])
    first = policy_path(ledger, 0)
    for round in (2, 3):
        rollouts = list(ledger.read_stage(round, "rollouts", Rollout))
        now, start = (plain_logps(path, rollouts) for path in (policy_path(ledger, round - 1), first))
        expected = [0.1 * (sum(one) - sum(other)) for one, other in zip(now, start, strict=True)]
        assert max(map(abs, expected)) > 0.1, "a policy that learnt nothing shows nothing"
        assert_rewards(judged(ledger, round, 0), by_prompt(rollouts, expected))
        scored = scored_responses(ledger, round)
        pairs = [outcome.pair for outcome in outcomes(ledger, round) if outcome.pair is not None]
        assert len(pairs) >= 4
        assert all(best_over_worst(pair, scored[pair.prompt.id]) for pair in pairs)
        manifest = ledger.manifest(round)
        assert manifest["judged_by"] == {"initial": identity({"version": 0, **ledger.header()["initial_policy"]})}
        assert manifest["reference"]["sha256"] == ledger.manifest(round - 1)["policy"]["sha256"]
        assert "spa/noisy" in manifest["learn"]


def test_recomputed_log_probs_of_the_policy_come_from_the_code_that_the_references_come_from(
    play: Callable[..., Ledger],
) -> None:
    """The same labels as from the rollouts' log-probs, of a policy that the scorer holds beside the first one."""
    sizes = (*ONE_PHASE[1:], "phases.seed.prompts_per_round=8")
    ledger = play("spa", "run.rounds=2", *sizes, "learner.learning_rate=3e-3", "phases.first.judge.logps=recompute")
    rollouts = list(ledger.read_stage(2, "rollouts", Rollout))
    now, start = (plain_logps(policy_path(ledger, round), rollouts) for round in (1, 0))
    expected = [0.1 * (sum(one) - sum(other)) for one, other in zip(now, start, strict=True)]
    assert_rewards(judged(ledger, 2, 0), by_prompt(rollouts, expected))
    held = ledger.manifest(2)["judged_by"]
    assert {name: model["sha256"] for name, model in held.items()} == {
        "policy": ledger.manifest(1)["policy"]["sha256"],
        "initial": ledger.header()["initial_policy"]["sha256"],
    }


def test_creams_labels_are_the_policys_ranking_and_how_far_the_one_before_agrees(play: Callable[..., Ledger]) -> None:
    """Mean log-probs, recomputed in plain transformers. In round 1 there is no policy before: every c is 1. In rounds 2
    and 3 the policies are those of the rounds before, and c is counted here, pair by pair. What is learnt from has the
    mean of the round's pairs."""
    ledger = play("cream", "run.rounds=3", *ONE_PHASE[1:], "learner.learning_rate=3e-3")
    consistencies: list[list[float]] = []
    for round in (1, 2, 3):
        rollouts = list(ledger.read_stage(round, "rollouts", Rollout))
        paths = [policy_path(ledger, before) for before in (round - 1, max(0, round - 2))]
        votes = [by_prompt(rollouts, [fmean(logps) for logps in plain_logps(path, rollouts)]) for path in paths]
        for vote, expected in enumerate(votes):
            assert_rewards(judged(ledger, round, vote), expected)
        assert (
            ledger.manifest(round)["judged_by"]["previous"]["sha256"]
            == (ledger.manifest(max(0, round - 2))["policy"]["sha256"])
        )
        now, before = (judged(ledger, round, vote) for vote in (0, 1))
        pairs = [outcome.pair for outcome in outcomes(ledger, round) if outcome.pair is not None]
        assert len(pairs) >= 4
        for pair in pairs:
            mine, theirs = now[pair.prompt.id], before[pair.prompt.id]
            assert (mine[pair.chosen.sample], mine[pair.rejected.sample]) == (max(mine.values()), min(mine.values()))
            agree = [
                0.5 + 0.5 * _sign(mine[one] - mine[other]) * _sign(theirs[one] - theirs[other])
                for one, other in combinations(mine, 2)
            ]
            assert pair.label_probability == pytest.approx(fmean(agree), abs=1e-9)
        consistencies.append([pair.label_probability for pair in pairs])
        mean = fmean(consistencies[-1])
        learnt = [outcome.pair for outcome in outcomes(ledger, round, "selected") if outcome.pair is not None]
        assert [replace(pair, label_probability=0.0) for pair in learnt] == [
            replace(pair, label_probability=0.0) for pair in pairs
        ]
        assert [pair.label_probability for pair in learnt] == pytest.approx([mean] * len(pairs), abs=1e-6)
        assert ledger.manifest(round)["data"]["limits"] == pytest.approx({"label_probability": mean}, abs=1e-6)
        assert "rewards/accuracies" in ledger.manifest(round)["learn"]
    assert set(consistencies[0]) == {1.0}
    assert {*consistencies[1], *consistencies[2]} != {1.0}, "policies that always agree show nothing"


def _sign(number: float) -> int:
    return (number > 0) - (number < 0)


@pytest.mark.parametrize("instruction", [None, "Answer for children."], ids=["plain", "instructed"])
def test_the_density_ratio_is_the_strong_models_log_probs_less_the_weak_ones(
    instruction: str | None, play: Callable[..., Ledger], tiny_model: Path, tmp_path: Path
) -> None:
    """Summed over tokens, under the plain prompt or after an instruction; the best is taken over the worst, and both
    are trained under the plain prompt."""
    strong = write_moved(tiny_model, tmp_path / "strong", scale=0.05, seed=3)
    words = (f"judge.strong={strong}", "judge.weak=initial", f"judge.instruction={instruction or 'null'}")
    ledger = play("cdr", *ONE_PHASE, *words)
    rollouts = list(ledger.read_stage(1, "rollouts", Rollout))
    prompts = {prompt.id: prompt for prompt in PromptStore(ledger, "train")}
    ids = None
    if instruction:
        asked = {
            name: [replace(turns[0], content=f"{instruction}\n\n{turns[0].content}"), *turns[1:]]
            for name, turns in ((rollout.prompt_id, prompts[rollout.prompt_id].messages) for rollout in rollouts)
        }
        ids = [chat_ids(tiny_model, asked[rollout.prompt_id]) for rollout in rollouts]
    high, low = (plain_logps(path, rollouts, ids) for path in (strong, tiny_model))
    expected = [sum(one) - sum(other) for one, other in zip(high, low, strict=True)]
    assert_rewards(judged(ledger, 1, 0), by_prompt(rollouts, expected))
    scored = scored_responses(ledger, 1)
    pairs = [outcome.pair for outcome in outcomes(ledger, 1) if outcome.pair is not None]
    assert len(pairs) >= 4
    for pair in pairs:
        assert best_over_worst(pair, scored[pair.prompt.id])
        assert list(pair.chosen.prompt_token_ids) == chat_ids(tiny_model, pair.prompt.messages)
    by = ledger.manifest(1)["judged_by"]
    assert by[str(strong)]["sha256"] == weights_hash(str(strong))
    assert by["initial"]["sha256"] == ledger.header()["initial_policy"]["sha256"]
