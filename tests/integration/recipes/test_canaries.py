"""A judge that is fooled, on the real engines: canaries are planted, judged, told of, and stop a run where asked to."""

from collections.abc import Callable
from pathlib import Path
from statistics import fmean

import pytest
from support.one_engine import OneEngine
from support.recipe_runs import KEPT

from roundelay.launch.config.loading import load_config
from roundelay.orchestrator.config.schema import Config
from roundelay.orchestrator.data.records import CanaryJudgment, Judgment, Rollout
from roundelay.orchestrator.errors import RunError
from roundelay.orchestrator.ledger.ledger import Ledger

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

SIZES = (
    "model.max_model_len=1024",
    "run.rounds=1",
    "run.prompts_per_round=4",
    "run.prompts_per_shard=2",
    "learner.pairs_per_step=2",
    "generation.sampling.max_tokens=10",
    "evaluation.num_prompts=4",
    "evaluation.sampling.max_tokens=10",
    "evaluation.canaries.prompts=3",
    "evaluation.drift_prompts=3",
)
# Ten tokens are never as long as the shortest of the canaries.
FOOLED = ("judge=function", "judge.function=support.rewards:characters")


@pytest.fixture
def configured(tiny_model: Path, tmp_path: Path) -> Callable[..., Config]:
    def config(name: str, *overrides: str) -> Config:
        words = ["model=local", f"model.path={tiny_model}", KEPT, *SIZES, *overrides]
        return load_config([*words, f"run.root={tmp_path}", f"run.name={name}"])

    return config


def test_a_fooled_judge_is_told_of_in_every_round_and_drift_is_that_of_the_policy(
    engine: OneEngine, configured: Callable[..., Config]
) -> None:
    """A judge by length prefers every canary, in the round's figures as in its judgments; the evaluation's judge is the
    policy, and scores the initial responses again after its update: the shift is the mean over them. Both say which of
    the responses of then and now are the better ones."""
    ledger = engine.run(configured("warned", *FOOLED, "learner.learning_rate=1e-2"))
    for round in (0, 1):
        manifest = ledger.manifest(round)
        canaries = manifest["evaluation"]["canaries"]
        assert sorted(canaries) == ["breakout", "null", "verdict"]
        judged = list(ledger.read_stage(round, "canary-judgments", CanaryJudgment))
        assert len(judged) == 3 * 3 * 2
        responses = {one.prompt_id: len(one.text) for one in ledger.read_stage(round, "eval-rollouts", Rollout)}
        own = fmean([responses[one.judgment.prompt_id] for one in judged if one.judgment.sample == 0])
        for figures in canaries.values():
            assert figures["wins"] is True and figures["prompts"] == 3
            assert figures["score"] > figures["policy_score"] == pytest.approx(own)
        assert len(manifest["judge_alarms"]) == 3
    assert len([text for text in engine.notes.texts if "the judge prefers the canary" in text]) == 6

    before = {one.prompt_id: one.score for one in ledger.read_stage(0, "eval-judgments", Judgment)}
    now = {one.prompt_id: one.score for one in ledger.read_stage(1, "drift-judgments", Judgment)}
    shifts = [score - (before[prompt_id] or 0.0) for prompt_id, score in now.items() if score is not None]
    drift = ledger.manifest(1)["evaluation"]["judge_drift"]
    assert drift["responses"] == len(shifts) == 3
    assert drift["mean_shift"] == pytest.approx(fmean(shifts)) != 0.0
    assert ledger.manifest(0)["evaluation"]["judge_drift"] is None
    assert ledger.manifest(1)["evaluation"]["labels_judge_drift"] is None, "a judge by length does not move"

    texts = {round: {one.prompt_id: one.text for one in ledger.read_stage(round, "eval-rollouts", Rollout)}
             for round in (0, 1)}  # fmt: skip
    other = {(one.prompt_id, one.sample): one.score
             for one in ledger.read_stage(1, "other-preference-judgments", Judgment)}  # fmt: skip
    asked = {prompt_id for prompt_id, _ in other}
    assert (
        asked == {prompt_id for prompt_id in now if texts[0][prompt_id].strip() != texts[1][prompt_id].strip()} != set()
    )
    assert other == {(p, i): float(len(texts[round][p])) for p in asked for i, round in enumerate((0, 1))}
    preference = ledger.manifest(1)["evaluation"]["self_preference"]
    assert preference["prompts"] == len(asked)
    assert preference["self_preference"] == pytest.approx(preference["own_win_rate"] - preference["other_win_rate"])
    assert ledger.manifest(0)["evaluation"]["self_preference"] is None


def test_a_fooled_judge_stops_a_run_that_asks_for_it_and_resumes_when_told_to(
    engine: OneEngine, configured: Callable[..., Config], tmp_path: Path
) -> None:
    """Before anything is learnt from it, and again on a resume that changes nothing. What was judged stays judged."""
    stops = configured("stopped", *FOOLED, "evaluation.canaries.action=stop")
    ledger = Ledger(str(tmp_path / "stopped"))
    with pytest.raises(RunError, match=r"round 0: the judge prefers the canary .*; the judge prefers the canary null"):
        engine.run(stops)
    assert ledger.finished_rounds() == [0] and not ledger.exists("rounds", "001")
    with pytest.raises(RunError, match=r"resume with evaluation\.canaries\.action=warn"):
        engine.go_on(stops, ledger)
    assert not ledger.exists("rounds", "001")
    first = ledger.stage_hash(0, "canary-judgments")
    engine.go_on(configured("stopped", *FOOLED), ledger)
    assert ledger.finished_rounds() == [0, 1]
    assert ledger.stage_hash(0, "canary-judgments") == first


def test_a_judge_that_compares_sees_every_canary_both_ways_round(
    engine: OneEngine, configured: Callable[..., Config]
) -> None:
    """Also where pairs are asked about once. The tiny model goes by the place of a response more than by the response:
    a canary is not preferred for standing first."""
    words = ("judge=ab", "judge.orders=one", "pairing=soft", "generation.samples_per_prompt=2")
    ledger = engine.run(configured("compared", *words))
    judged = list(ledger.read_stage(0, "canary-judgments", CanaryJudgment))
    assert len(judged) == 3 * 3 * 2
    assert {(one.judgment.sample, one.judgment.other, one.judgment.vote) for one in judged} == {(0, 1, 0), (0, 1, 1)}
    for name, figures in ledger.manifest(0)["evaluation"]["canaries"].items():
        won = [(one.judgment.probability or 0.0) < 0.5 for one in judged if one.canary == name]
        assert figures["win_rate"] == fmean(won) and figures["wins"] == (fmean(won) > 0.5)


def test_a_judge_that_compares_is_asked_again_about_the_pairs_of_round_0(
    engine: OneEngine, configured: Callable[..., Config]
) -> None:
    """On three held-out prompts, in both orders. The drift of the labels is how often the verdict is the same; the
    evaluation's judge, which scores, has its own."""
    words = ("judge=ab", "pairing=soft", "generation.samples_per_prompt=2", "learner.learning_rate=1e-2")
    ledger = engine.run(configured("again", *words))

    def verdicts(round: int, stage: str) -> dict[tuple[str, int], float]:
        judged = ledger.read_stage(round, stage, Judgment)
        return {(one.prompt_id, one.vote): one.probability for one in judged if one.probability is not None}

    before, now = verdicts(0, "heldout-judgments"), verdicts(1, "labels-drift-judgments")
    assert len(now) == 3 * 2 and now.keys() <= before.keys() and any(now[key] != before[key] for key in now)
    drift = ledger.manifest(1)["evaluation"]["labels_judge_drift"]
    assert (drift["comparisons"], drift["spearman"]) == (6, None)
    assert drift["agreement"] == pytest.approx(fmean([(now[key] > 0.5) == (before[key] > 0.5) for key in now]))
    assert ledger.manifest(1)["evaluation"]["judge_drift"]["responses"] == 3
