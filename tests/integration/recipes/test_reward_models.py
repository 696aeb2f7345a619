"""A reward model learns labels, and judges the phase after it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean

import pytest
import torch
from support.recipe_ledgers import by_construction, outcomes, sampled
from support.runs import identity
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from roundelay.orchestrator.data.records import Judgment, PairingOutcome, PreferencePair
from roundelay.orchestrator.ledger.ledger import Ledger

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

REWARD_MODELS = {"rlcd": "contrast", "rlcd_rescore": "judge", "rlaif": "judge"}  # and where their pairs come from
TWO_PHASES = (
    "run.rounds=2",
    "phases.reward_model.prompts_per_round=8",
    "phases.ppo.prompts_per_round=8",
    "phases.ppo.generation.sampling.max_tokens=10",
    "phases.ppo.learner.pairs_per_step=4",
)

ALPACAFARM_SIZES = tuple(size.replace("phases.ppo", "phases.train") for size in TWO_PHASES[1:])
# A tiny model's verdicts in words are none.
WITHOUT_WORDS = tuple(f"~judge.members.{name}" for name in ("explains_first", "answers_first", "decides_first"))


@pytest.mark.parametrize("recipe", REWARD_MODELS)
def test_a_reward_model_is_learnt_from_its_labels_and_judges_the_next_phase(
    recipe: str, play: Callable[..., Ledger]
) -> None:
    """RLCD's labels are hard and by construction; RLAIF's and Rescore's are the probabilities of the two questions'
    answers, averaged, and never even."""
    ledger = play(recipe, *TWO_PHASES)
    first, second = ledger.manifest(1), ledger.manifest(2)
    pairs = [outcome.pair for outcome in outcomes(ledger, 1) if outcome.pair is not None]
    asked: dict[str, list[float]] = {}
    for judgment in ledger.read_stage(1, "judgments", Judgment):
        if judgment.probability is not None:
            asked.setdefault(judgment.prompt_id, []).append(judgment.probability)
    assert pairs
    for pair in pairs:
        assert pair.provenance == REWARD_MODELS[recipe]
        if pair.provenance == "contrast":
            assert pair.label_probability == 1.0 and by_construction(pair, [])
            continue
        mean = fmean(asked[pair.prompt.id])
        assert len(asked[pair.prompt.id]) == 2 and pair.label_probability > 0.5
        assert pair.label_probability == pytest.approx(max(mean, 1 - mean), abs=1e-6)
        assert (pair.chosen.sample == 0) == (mean > 0.5)
    assert first["policy"]["sha256"] == ledger.header()["initial_policy"]["sha256"] != second["policy"]["sha256"]
    assert second["judged_by"] == {"reward_model": identity(first["reward_model"])}
    assert second["data"]["groups"] == 8 and "objective/scores" in second["learn"]


def test_simulated_annotators_take_turns_and_a_reward_model_learns_their_noisy_labels(
    play: Callable[..., Ledger],
) -> None:
    """Two annotators here, told apart by whether both orders are asked (a tiny model's verdicts in words are none). A
    prompt has one of them, and its label is his or, of some prompts and not all, the opposite; what was said is in the
    ledger as it was said, and held-out pairs have it. PPO then learns by the reward model."""
    sizes = [size.replace("=8", "=24") for size in ALPACAFARM_SIZES]
    members = (*WITHOUT_WORDS, "judge.members.careful.orders=both")
    ledger = play("alpacafarm", "run.rounds=2", *sizes, *members, "judge.flipped_fraction=0.4")

    def said(round: int, stage: str) -> dict[str, list[float]]:
        found: dict[str, list[float]] = {}
        for judgment in ledger.read_stage(round, stage, Judgment):
            assert judgment.probability is not None
            found.setdefault(judgment.prompt_id, []).append(judgment.probability)
        return found

    def turned(pairs: Sequence[PreferencePair], labels: dict[str, list[float]]) -> list[bool]:
        found = []
        for pair in pairs:
            mean = fmean(labels[pair.prompt.id])
            assert pair.label_probability == pytest.approx(max(mean, 1 - mean), abs=2e-6)
            found.append((pair.chosen.sample == 0) != (mean > 0.5))
        return found

    labels = said(1, "judgments")
    assert {len(own) for own in labels.values()} == {1, 2}, "both annotators have prompts"
    pairs = [outcome.pair for outcome in outcomes(ledger, 1) if outcome.pair is not None]
    assert len(pairs) >= 12 and 0 < sum(turned(pairs, labels)) < len(pairs)
    heldout = [o.pair for o in ledger.read_stage(0, "heldout-pairs", PairingOutcome) if o.pair is not None]
    assert heldout and not any(turned(heldout, said(0, "heldout-judgments")))
    first, second = ledger.manifest(1), ledger.manifest(2)
    assert first["policy"]["sha256"] == ledger.header()["initial_policy"]["sha256"] != second["policy"]["sha256"]
    assert second["judged_by"] == {"reward_model": identity(first["reward_model"])}
    assert second["data"]["groups"] == 24 and "objective/scores" in second["learn"]


@pytest.mark.parametrize(("recipe", "rounds"), [("alpacafarm_expert_iteration", 3), ("alpacafarm_best_of_n", 2)])
def test_the_best_response_by_the_reward_model_of_annotators_is_imitated(
    recipe: str, rounds: int, play: Callable[..., Ledger], tiny_model: Path
) -> None:
    """Of a prompt's four responses the one that the written reward model, in plain transformers, scores highest is what
    is learnt, and it is no tie. Expert iteration samples its second round from what the first one made; best of n has
    one round. All of them are judged by the one reward model, whose own round leaves the policy as it is."""
    few = ("phases.train.generation.samples_per_prompt=4", f"run.rounds={rounds}")
    # A head that starts at zero would score all alike, and ties are dropped.
    apart = ("phases.reward_model.learner.learning_rate=1e-2", "phases.reward_model.learner.pairs_per_step=2")
    ledger = play(recipe, *ALPACAFARM_SIZES, *WITHOUT_WORDS, *few, *apart)
    first = ledger.manifest(1)
    assert first["policy"]["sha256"] == ledger.header()["initial_policy"]["sha256"]
    model = AutoModelForSequenceClassification.from_pretrained(ledger.absolute(first["reward_model"]["path"]))
    end = AutoTokenizer.from_pretrained(tiny_model).eos_token_id

    def reward(prompt_token_ids: tuple[int, ...], token_ids: tuple[int, ...]) -> float:
        ended = token_ids if token_ids[-1] == end else (*token_ids, end)
        with torch.no_grad():
            return model(torch.tensor([prompt_token_ids + ended])).logits.item()

    policies = [first["policy"]["sha256"]]
    for round in range(2, rounds + 1):
        manifest, rollouts = ledger.manifest(round), sampled(ledger, round)
        rewards: dict[str, dict[int, float]] = {}
        for rollout in rollouts:
            own = rewards.setdefault(rollout.prompt_id, {})
            own[rollout.sample] = reward(rollout.prompt_token_ids, rollout.token_ids)
        pairs = [outcome.pair for outcome in outcomes(ledger, round) if outcome.pair is not None]
        assert len(pairs) >= 4
        for pair in pairs:
            own = rewards[pair.prompt.id]
            assert len(own) == 4 and own[pair.chosen.sample] > min(own.values())
            assert own[pair.chosen.sample] == pytest.approx(max(own.values()), abs=1e-4)
        assert manifest["judged_by"] == {"reward_model": identity(first["reward_model"])}
        assert {rollout.policy_version for rollout in rollouts} == {0 if round == 2 else round - 1}
        assert manifest["learn"]["pairs_trained"] == 3 * len(pairs)
        policies.append(manifest["policy"]["sha256"])
    assert len(set(policies)) == rounds
