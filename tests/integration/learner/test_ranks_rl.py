"""Two learner ranks do what one does where a model scores or values responses: reward models, and PPO with a critic."""

from pathlib import Path
from typing import Any

import pytest
import torch
from support.learner_host import start_of, written
from support.tiny_model import write_moved
from support.updates import POLICY_GRADIENT, Ranks, assert_close, config_of, groups, pairs, ref, scorer_at

from roundelay.orchestrator.data.records import PolicyRef

pytestmark = pytest.mark.slow

PAIRS = pairs(7)
GROUPS = groups(5)


@pytest.fixture(scope="module")
def reference(tiny_model: Path) -> PolicyRef:
    return ref(tiny_model)


@pytest.fixture(scope="module")
def moved(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> PolicyRef:
    """A policy near its reference."""
    return ref(write_moved(tiny_model, tmp_path_factory.mktemp("models") / "moved", scale=0.02, seed=1))


@pytest.fixture(scope="module")
def reward_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> PolicyRef:
    path = tmp_path_factory.mktemp("models") / "reward-model"
    torch.manual_seed(3)
    scorer_at(tiny_model).save_pretrained(path)
    return ref(path)


@pytest.mark.parametrize("stage", [1, 3])
def test_two_ranks_train_the_reward_model_that_one_does(
    hosts: list[Any], reward_model: PolicyRef, tiny_model: Path, tmp_path: Path, stage: int
):
    """From one that says something already. Seven pairs, four a step: the ranks share them unevenly, and so they do
    what is measured and scored."""
    config = config_of(tiny_model, "objective=reward_model", f"learner.zero_stage={stage}", "learner.pairs_per_step=4")
    alone, together = (Ranks(some, config, start_of(reward_model)) for some in (hosts[:1], hosts[1:]))
    assert together.losses(PAIRS) == pytest.approx(alone.losses(PAIRS), abs=1e-5)
    measured = [[row["loss"] for part in ranks.all("measure", PAIRS) for row in part] for ranks in (alone, together)]
    assert sorted(measured[1]) == pytest.approx(sorted(measured[0]), abs=1e-5) and len(measured[0]) == 7
    sequences = [one for pair in PAIRS for one in pair.sequences]
    scores = [
        {index: score for part in ranks.all("scores", sequences) for index, (score,) in part}
        for ranks in (alone, together)
    ]
    assert scores[0].keys() == set(range(14)) and scores[1] == pytest.approx(scores[0], abs=1e-5)
    assert_close(
        together.saved("reward_model", tmp_path / "together"),
        alone.saved("reward_model", tmp_path / "alone"),
        atol=1e-5,
    )


@pytest.mark.parametrize("stage", [1, 3])
def test_two_ranks_learn_by_ppo_what_one_does(
    hosts: list[Any], moved: PolicyRef, reference: PolicyRef, reward_model: PolicyRef, tiny_model: Path,
    tmp_path: Path, stage: int,
):  # fmt: skip
    """Five groups, three a step, twice: what the ranks measured of their shares is whitened over all, and the second
    shard of the round, a single group, leaves a rank with nothing to measure. The critic is a model of its own. One
    rank goes on from the checkpoint of two, with all that both have measured."""
    config = config_of(
        tiny_model, "objective=ppo", *POLICY_GRADIENT, f"learner.zero_stage={stage}", "learner.pairs_per_step=3"
    )
    start = start_of(moved, reference, critic=reward_model)
    alone, together = (Ranks(some, config, start) for some in (hosts[:1], hosts[1:]))
    for ranks in (alone, together):
        ranks.all("prepare", GROUPS[:4], False)
        ranks.all("prepare", GROUPS[4:], True)
    assert together.losses(GROUPS) == pytest.approx(alone.losses(GROUPS), rel=5e-5)
    together.all("save_checkpoint", str(tmp_path / "checkpoint"))
    expected_losses = alone.losses(GROUPS)
    assert together.losses(GROUPS) == pytest.approx(expected_losses, rel=5e-5)
    for kind in ("policy", "critic"):
        expected = alone.saved(kind, tmp_path / kind / "alone")
        assert_close(together.saved(kind, tmp_path / kind / "together"), expected, atol=1e-5)
    again = Ranks(hosts[:1], config, start)
    again.all("restore", start, written(tmp_path / "checkpoint"))
    assert again.losses(GROUPS) == pytest.approx(expected_losses, rel=5e-5)
