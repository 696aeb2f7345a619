"""`compare` and `judge-accuracy` by judges that score single responses, and by endpoints."""

import re
from pathlib import Path

import pytest
from support.evaluation_commands import (
    Call,
    ScriptedEngine,
    bad,
    good,
    kept,
    row,
    scoring,
    two_or_four,
)
from support.finished_runs import make_run

from roundelay.recipes.judges import endpoint

FIXTURES = Path(__file__).parents[2] / "support" / "labelled"


@pytest.mark.parametrize(
    ("judge", "questions", "scores"),
    [
        (["judge=additive"], 72, "4.000, 2.000"),  # 3 votes on each of 24 responses
        (["judge=expected_score"], 24, "4.000, 2.000"),
        (["judge=rating"], 24, "4.000, 2.000"),
        (["judge=critique"], 48, "4.000, 2.000"),  # asks once more for the critiqued prompt's tokens
        (["judge=checklist"], 36, "-2.000, -6.000"),  # 12 checklists; (4 − 5)·2 and (2 − 5)·2
        (["judge=attributes"], 120, "8.200, 4.100"),  # 5 attributes, whose weights' sum is 2.05
        (["judge=panel"], 24 + 72 + 24, "1.000, 0.000"),  # the share of the other responses that it beats
    ],
)
def test_a_judge_that_scores_lets_the_higher_score_win_and_is_asked_in_no_order(
    judge: list[str], questions: int, scores: str, call: Call, engine: ScriptedEngine, tmp_path: Path
) -> None:
    engine.answer = scoring(two_or_four)
    run = make_run(tmp_path, "demo", [bad, good])
    code, out, err = call("compare", f"{run}:1", f"{run}:0", *judge)
    assert code == 0, err
    assert (engine.starts, engine.asked) == (1, questions)
    assert row(out, "wins, ties, losses") == ["12, 0, 0"]
    assert row(out, "mean scores a, b, where texts differ") == [scores]
    assert "same both ways round" not in out and "prefers the first" not in out and "mean probability" not in out
    (stored,) = kept(run)
    assert [one["shown_first"] for one in stored["comparisons"]] == [None] * 12


def test_equal_scores_tie_and_a_response_without_one_leaves_its_prompt_uncounted(
    call: Call, engine: ScriptedEngine, tmp_path: Path
) -> None:
    """Of 12 prompts, the judge says nothing of a's answer to Question 0 and gives both 4 on Question 1: ten wins and a
    tie of eleven that were read, 10.5/11 = 95.5%."""

    def score(text: str) -> int | None:
        number = int(re.findall(r"\d+", text)[-1])
        return None if "good" in text and number == 0 else 4 if number == 1 else two_or_four(text)

    engine.answer = scoring(score)
    run = make_run(tmp_path, "demo", [bad, good])
    _, out, _ = call("compare", f"{run}:1", f"{run}:0", "judge=rating")
    assert row(out, "wins, ties, losses") == ["10, 1, 0"]
    assert row(out, "a wins")[0].startswith("95.5%")
    assert row(out, "judge: parse rate") == ["91.7%"]


@pytest.mark.parametrize(("inner", "questions"), [("pairwise", 24), ("rating", 24)])
def test_an_endpoint_judges_without_an_engine(
    inner: str, questions: int, call: Call, engine: ScriptedEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked what its inner judge asks, and the weights of no policy are said to have judged."""
    if inner == "rating":
        engine.answer = scoring(two_or_four)
    monkeypatch.setattr(endpoint, "Endpoint", lambda config, key: engine.generate)
    run = make_run(tmp_path, "demo", [bad, good])
    judge = ["judge=endpoint", f"judge@judge.judge={inner}", "judge.base_url=http://localhost/v1", "judge.model=big"]
    code, out, err = call("compare", f"{run}:1", f"{run}:0", *judge)
    assert code == 0, err
    assert (engine.starts, engine.asked) == (0, questions)
    assert row(out, "wins, ties, losses") == ["12, 0, 0"]
    assert f"judge: {inner}, big at http://localhost/v1\n" in out


def test_self_rewardings_judge_is_measured_as_its_paper_measures_it(
    call: Call, engine: ScriptedEngine, tmp_path: Path
) -> None:
    """The additive rubric's mean score of each response, three votes on each: 5 over 3 is right on the first row, 3 and
    3 a tie on the second. One of two labels is right; with half a point for the tie it is three quarters."""
    engine.answer = scoring(lambda text: 5 if "Nile" in text else 3)
    run = make_run(tmp_path, "demo", [bad, good])
    words = ("judge-accuracy", run, str(FIXTURES / "llmbar.json"), "--format", "llmbar", "judge=additive")
    code, out, err = call(*words)
    assert code == 0, err
    assert engine.asked == 2 * 2 * 3
    assert row(out, "accuracy") == ["50.0%"]
    assert row(out, "accuracy, the judge's ties half, ties in the labels left out") == ["75.0%"]
    assert row(out, "parse rate") == ["100.0%"]
    assert "same both ways round" not in out and "prefers the first" not in out
    assert f"judge: {run}:1 (additive)\n" in out


def test_a_pair_with_a_response_that_has_no_score_is_counted_and_never_a_tie(
    call: Call, engine: ScriptedEngine, tmp_path: Path
) -> None:
    engine.answer = scoring(lambda text: None if "large" in text else 3 if "Nile" in text else 1)
    run = make_run(tmp_path, "demo", [bad, good])
    words = ("judge-accuracy", run, str(FIXTURES / "llmbar.json"), "--format", "llmbar", "judge=rating")
    _, out, _ = call(*words)
    assert row(out, "parse rate") == ["50.0%"]
    assert row(out, "pairs with an answer that cannot be read, which is wrong") == ["1"]
    assert row(out, "accuracy") == ["50.0%"]  # LLMBar counts what cannot be read as wrong
    assert row(out, "ties: judge, labels") == ["0.0%, 0.0%"]
