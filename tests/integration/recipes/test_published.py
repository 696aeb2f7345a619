"""The policy that a round publishes: extrapolated or averaged."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support.one_engine import OneEngine
from support.recipe_runs import KEPT, ONE_PHASE, SIZES
from support.updates import assert_close, furthest, tensors_in

from roundelay.launch.config.loading import load_config
from roundelay.orchestrator.ledger.ledger import Ledger

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.mark.parametrize(
    "how", ["learner.zero_stage=0", "learner.zero_stage=3", "learner.lora={rank: 4, alpha: 8, target_modules: []}"]
)
def test_what_is_published_and_synced_is_the_extrapolation_of_what_was_trained(
    how: str, engine: OneEngine, tiny_model: Path, tmp_path: Path
) -> None:
    """ExPO, θ₁ + 0.5(θ₁ − θ₀), in plain torch on the same round at α = 0, which publishes to the bit what was trained.
    A sync of anything else would have stopped the run."""

    def run(name: str, *more: str) -> Ledger:
        words = ["model=local", f"model.path={tiny_model}", "recipe=self_rewarding", KEPT, *SIZES, *ONE_PHASE, how]
        return engine.run(
            load_config([*words, *more, "learner.learning_rate=1e-3", f"run.root={tmp_path}", f"run.name={name}"])
        )

    same, further = (
        run(f"at-{alpha}", f"learner.extrapolation={{alphas: [{alpha}], origin: start, metric: loss}}")
        for alpha in (0.0, 0.5)
    )
    trained = same.manifest(1)["trained"]["sha256"]
    assert trained == same.manifest(1)["policy"]["sha256"] == further.manifest(1)["trained"]["sha256"]
    before, after = (tensors_in(path) for path in (tiny_model, same.model_path(1, "policy")))
    found = tensors_in(further.model_path(1, "policy"))
    assert_close(found, {name: w + 0.5 * (w - before[name]) for name, w in after.items()}, atol=1e-6)
    assert furthest(found, after) > 1e-5


def test_the_best_extrapolation_on_held_out_pairs_is_published_then_averaged_rounds(
    play: Callable[..., Ledger],
) -> None:
    """Every α is measured by the objective on round 0's pairs, and the lowest loss wins. Averages of two rounds name
    both policies, and the second round goes on from the first's."""
    extrapolation = "learner.extrapolation={alphas: [0.0, 0.5, 2.0], origin: initial, metric: loss}"
    tried = play("self_rewarding", *ONE_PHASE, "learner.learning_rate=1e-3", extrapolation).manifest(1)["extrapolation"]
    losses = {one["alpha"]: one["loss"] for one in tried["measured"]}
    assert list(losses) == [0.0, 0.5, 2.0] and len(set(losses.values())) == 3
    assert losses[tried["alpha"]] == min(losses.values())
    sizes = ("run.rounds=2", "run.prompts_per_round=8", "learner.pairs_per_step=2", "learner.learning_rate=1e-3")
    averaged = play("simpo", *sizes, "learner.average_rounds=2").manifest(2)
    assert [policy["version"] for policy in averaged["averaged"]] == [2, 1]
    assert averaged["policy"]["sha256"] not in {policy["sha256"] for policy in averaged["averaged"]}
