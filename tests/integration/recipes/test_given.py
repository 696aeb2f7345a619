"""Given responses are imitated, or learnt over the policy's own."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support.recipe_ledgers import outcomes
from support.recipe_runs import given_responses

from roundelay.orchestrator.data.records import PairingOutcome, Rollout
from roundelay.orchestrator.ledger.ledger import Ledger

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def test_supervised_fine_tuning_imitates_the_best_given_response(play: Callable[..., Ledger], tmp_path: Path) -> None:
    """Nothing is sampled, held-out prompts have no responses to pair, and the update sees every demonstration."""
    seed = (f"prompts.seed.path={given_responses(tmp_path)}", "prompts.seed.responses=[chosen,rejected]")
    ledger = play("sft", "run.rounds=1", "run.prompts_per_round=8", "learner.pairs_per_step=4", *seed)
    rollouts = list(ledger.read_stage(1, "rollouts", Rollout))
    assert len(rollouts) == 16 and not any(rollout.logprobs for rollout in rollouts)
    for outcome in outcomes(ledger, 1):
        assert outcome.group is not None
        (imitated,) = outcome.group.responses
        assert imitated.text.startswith("It is ") and imitated.sample == 0
        others = {rollout.token_ids[-1] for rollout in rollouts}
        assert others == {imitated.token_ids[-1]}, "every given response ends with the end-of-turn token"
    dropped = [outcome.dropped for outcome in ledger.read_stage(0, "heldout-pairs", PairingOutcome)]
    assert [drop.reason for drop in dropped if drop] == ["no_response"] * 4
    learned = ledger.manifest(1)["learn"]
    assert learned["pairs_trained"] == 8 * ledger.header()["config"]["learner"]["epochs"]
    assert ledger.manifest(1)["policy"]["sha256"] != ledger.header()["initial_policy"]["sha256"]


def test_spin_learns_given_over_own_responses_of_two_rounds(play: Callable[..., Ledger], tmp_path: Path) -> None:
    """The better given response over what the policy of the round's start sampled. The second round, on the same
    prompts, sees the first's pairs too: other examples of the same prompts."""
    seed = (f"prompts.seed.path={given_responses(tmp_path)}", "prompts.seed.responses=[chosen,rejected]")
    sizes = ("run.rounds=2", "run.prompts_per_round=8", "learner.pairs_per_step=4", "learner.epochs=1")
    ledger = play("spin", *sizes, *seed, "learner.learning_rate=1e-3")
    for round in (1, 2):
        pairs = [outcome.pair for outcome in outcomes(ledger, round) if outcome.pair is not None]
        assert len(pairs) >= 6
        for pair in pairs:
            number = int(pair.prompt.id.removeprefix("s"))
            assert pair.chosen.text == f"It is {number}{'!' * number}" and not pair.chosen.logprobs
            assert (pair.rejected.policy_version, len(pair.rejected.logprobs)) == (
                round - 1,
                len(pair.rejected.token_ids),
            )
    trained = [ledger.manifest(round)["learn"]["pairs_trained"] for round in (1, 2)]
    made = [ledger.manifest(round)["data"]["pairs"] for round in (1, 2)]
    assert trained == [made[0], made[0] + made[1]]
    assert ledger.manifest(2)["start"]["version"] == ledger.manifest(2)["reference"]["version"] == 1
