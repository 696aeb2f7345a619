"""What a round publishes: extrapolated (ExPO) or averaged policies, by identity, and gone on from as they are."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.configs import base, changed
from support.scripted_run import ScriptedRun

from roundelay.orchestrator.config.schema import Config, ExtrapolationConfig
from roundelay.orchestrator.parts.objective import ReferenceConfig


def publishing(**changes: Any) -> Config:
    sizes = {"run__rounds": 3, "run__prompts_per_round": 4, "run__prompts_per_shard": 2, "learner__pairs_per_step": 2}
    return changed(base(), **{**sizes, **changes})


def expo(*alphas: float, origin: str = "start", metric: str = "loss") -> ExtrapolationConfig:
    return ExtrapolationConfig(alphas=alphas, origin=origin, metric=metric)  # pyright: ignore[reportArgumentType]


def mixtures(run: ScriptedRun, name: str = "policy") -> list[tuple[int, list[tuple[str, float]]]]:
    return [(round, parts) for round, kind, parts in run.learner.mixtures if kind == name]


@pytest.mark.parametrize(("origin", "before"), [("start", "rounds/001/policy"), ("initial", "initial")])
def test_an_extrapolation_goes_beyond_the_update_from_where_it_began_or_from_the_initial_policy(
    tmp_path: Path, origin: str, before: str
) -> None:
    """θ₁ + α(θ₁ − θ₀) at α = 0.5: 1.5 of θ₁ and −0.5 of θ₀, in round 2 round 1's published policy or the initial one.
    What the engines get, the manifest names and the next round starts from is the mixture."""
    run = ScriptedRun(publishing(learner__extrapolation=expo(0.5, origin=origin)), tmp_path)
    run.go_on()
    assert mixtures(run)[:2] == [
        (1, [("rounds/001/trained", 1.5), ("initial", -0.5)]),
        (2, [("rounds/002/trained", 1.5), (before, -0.5)]),
    ]
    assert [start.policy.path for start in run.learner.starts][1:] == [
        run.ledger.model_path(round, "policy") for round in (1, 2)
    ]
    assert run.rollouts.held == run.ledger.model_path(3, "policy")
    manifest = run.ledger.manifest(2)
    assert manifest["extrapolation"]["alpha"] == 0.5
    assert manifest["extrapolation"]["origin"]["path"] == before
    assert manifest["trained"]["sha256"] != manifest["policy"]["sha256"]


def candidate(round: int, alpha: float) -> str:
    """What the scripted learner finds in a candidate's file."""
    before = "initial" if round == 1 else f"rounds/{round - 1:03d}/policy"
    return json.dumps([[f"rounds/{round:03d}/trained", 1 + alpha], [before, -alpha]])


@pytest.mark.parametrize(
    ("metric", "measured", "best"),
    [
        ("loss", {0.0: (0.6, 0.9), 0.3: (0.4, 0.1), 0.5: (0.5, 0.2)}, 0.3),
        ("accuracy", {0.0: (0.6, 0.5), 0.3: (0.4, 0.5), 0.5: (0.5, 0.75)}, 0.5),
        ("accuracy", {0.0: (0.6, 0.75), 0.3: (0.4, 0.75), 0.5: (0.5, 0.75)}, 0.0),
    ],
)
def test_of_several_alphas_the_best_on_held_out_pairs_is_published(
    tmp_path: Path, metric: str, measured: dict[float, tuple[float, float]], best: float
) -> None:
    """The lowest loss, or the highest accuracy, and of equals the first listed. All measurements are in the manifest,
    and nothing of what was tried stays."""
    measures = {
        candidate(1, alpha): {"loss": loss, "rewards/accuracies": accuracy}
        for alpha, (loss, accuracy) in measured.items()
    }
    config = publishing(learner__extrapolation=expo(*measured, metric=metric), run__rounds=1)
    run = ScriptedRun(config, tmp_path, measures=measures)
    run.go_on()
    assert mixtures(run) == [(1, [("rounds/001/trained", 1 + best), ("initial", -best)])]
    said = run.ledger.manifest(1)["extrapolation"]
    assert said["alpha"] == best
    assert [(one["alpha"], one["loss"], one["rewards/accuracies"]) for one in said["measured"]] == [
        (alpha, *values) for alpha, values in measured.items()
    ]
    left = {path.name for path in Path(run.ledger.root, "rounds/001").iterdir() if path.is_dir()}
    assert not left & {"trained", "candidate", "checkpoint"}


def test_an_average_is_the_uniform_mean_of_the_newest_rounds_policies(tmp_path: Path) -> None:
    """Of three rounds: in round 1 the trained policy alone, then halves, then thirds; the earlier ones as they were
    published, the initial policy never. Only two policies are kept besides, and none that is wanted is deleted."""
    config = publishing(learner__average_rounds=3, run__rounds=4, run__keep_policies=1)
    run = ScriptedRun(config, tmp_path)
    run.go_on()
    third = pytest.approx(1 / 3)
    assert mixtures(run) == [
        (1, [("rounds/001/trained", 1.0)]),
        (2, [("rounds/002/trained", 0.5), ("rounds/001/policy", 0.5)]),
        (3, [("rounds/003/trained", third), ("rounds/002/policy", third), ("rounds/001/policy", third)]),
        (4, [("rounds/004/trained", third), ("rounds/003/policy", third), ("rounds/002/policy", third)]),
    ]
    assert [policy["version"] for policy in run.ledger.manifest(4)["averaged"]] == [4, 3, 2]
    kept = [Path(run.ledger.model_path(round, "policy")).exists() for round in (1, 2, 3, 4)]
    assert kept == [False, False, True, True]


def test_a_moving_reference_follows_what_is_published(tmp_path: Path) -> None:
    """decay·θ_ref + (1 − decay)·θ, θ the extrapolated policy; the first θ_ref is the initial one."""
    reference = ReferenceConfig(policy="average", logps="recompute", decay=0.75)
    config = publishing(learner__extrapolation=expo(0.5), objective__reference=reference, run__rounds=2)
    run = ScriptedRun(config, tmp_path)
    run.go_on()
    assert mixtures(run, "average") == [
        (1, [("initial", 0.75), ("rounds/001/policy", 0.25)]),
        (2, [("rounds/001/average", 0.75), ("rounds/002/policy", 0.25)]),
    ]


def test_by_default_the_trained_policy_is_published_and_nothing_is_mixed(tmp_path: Path) -> None:
    run = ScriptedRun(publishing(run__rounds=1), tmp_path)
    run.go_on()
    assert run.learner.mixtures == []
    assert not {"trained", "extrapolation", "averaged"} & run.ledger.manifest(1).keys()
