"""A reward model learns labels, and judges the phase after it."""

from collections.abc import Callable, Sequence
from statistics import fmean

import pytest
from support.recipe_ledgers import by_construction, outcomes

from roundelay.orchestrator.ledger import Ledger
from roundelay.orchestrator.records import Judgment, PairingOutcome, PreferencePair

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

REWARD_MODELS = {"rlcd": "contrast", "rlcd_rescore": "judge", "rlaif": "judge"}  # and where their pairs come from
TWO_PHASES = (
    "run.rounds=2",
    "phases.reward_model.prompts_per_round=8",
    "phases.ppo.prompts_per_round=8",
    "phases.ppo.generation.sampling.max_tokens=10",
    "phases.ppo.learner.pairs_per_step=4",
)


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
    assert second["judged_by"] == {"reward_model": first["reward_model"]}
    assert second["data"]["groups"] == 8 and "objective/scores" in second["learn"]


def test_simulated_annotators_take_turns_and_a_reward_model_learns_their_noisy_labels(
    play: Callable[..., Ledger],
) -> None:
    """Two annotators here, told apart by whether both orders are asked (a tiny model's verdicts in words are none). A
    prompt has one of them, and its label is his or, of some prompts and not all, the opposite; what was said is in the
    ledger as it was said, and held-out pairs have it. PPO then learns by the reward model."""
    words = ("explains_first", "answers_first", "decides_first")
    members = (*(f"~judge.members.{name}" for name in words), "judge.members.careful.orders=both")
    sizes = [size.replace("phases.ppo", "phases.train").replace("=8", "=24") for size in TWO_PHASES]
    ledger = play("alpacafarm", *sizes, *members, "judge.flipped_fraction=0.4")

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
    assert second["judged_by"] == {"reward_model": first["reward_model"]}
    assert second["data"]["groups"] == 24 and "objective/scores" in second["learn"]
