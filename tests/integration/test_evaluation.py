"""The evaluation commands on a run of the tiny model, judged by the real engine; and lm-eval, where it is installed."""

import importlib.util
import json
import re
from pathlib import Path

import pytest
from support.finished_runs import PROMPTS, make_run
from support.runs import finish, start

from roundelay.orchestrator.ledger.ledger import Ledger

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

FIXTURES = Path(__file__).parents[1] / "support" / "labelled"


@pytest.fixture
def run(tiny_model: Path, tmp_path: Path) -> Ledger:
    """Two rounds that answer differently, but for one prompt."""

    def before(prompt: str) -> str:
        return "the same" if prompt.endswith(" 0") else f"I cannot say anything about {prompt}"

    def after(prompt: str) -> str:
        return "the same" if prompt.endswith(" 0") else f"{prompt}? Gladly: it is as follows"

    more = ["model=local", f"model.path={tiny_model}", "model.max_model_len=1024"]
    return Ledger(make_run(tmp_path, "demo", [before, after], model=tiny_model, more=more))


def test_two_rounds_are_compared_once_and_a_policy_judges_labelled_pairs(run: Ledger) -> None:
    """`compare` asks its one engine about every differing pair in both orders, keeps the answers, and never starts an
    engine for them again, also not to rank all rounds; `judge-accuracy` can read every answer of a judge by
    probabilities."""
    first = finish(start("compare", f"{run.url}:1", f"{run.url}:0"))
    (kept,) = Path(run.root, "comparisons").glob("*.json")
    comparisons = json.loads(kept.read_text())["comparisons"]
    asked = [one for one in comparisons if not one["identical"]]
    assert (len(comparisons), len(asked)) == (12, 11)
    for one in asked:
        assert 0 < one["shown_first"] < 1 and 0 < one["shown_second"] < 1
    assert "start engines" in first and "judge: parse rate" in first
    again = finish(start("compare", f"{run.url}:1", f"{run.url}:0"))
    assert "start engines" not in again
    assert re.findall("a wins.*", again) == re.findall("a wins.*", first) != []
    ranked = finish(start("compare", run.url))
    assert "Bradley-Terry" in ranked and "start engines" not in ranked
    judged = finish(start("judge-accuracy", run.url, str(FIXTURES / "mt_bench.jsonl"), "--format", "mt_bench"))
    assert re.search(r"parse rate\s+│ 100.0%", judged)
    assert Path(run.root, "judge-accuracy").is_dir()


def test_a_judge_that_scores_measures_labelled_pairs_and_compares_a_policy_with_a_file(
    run: Ledger, tmp_path: Path
) -> None:
    """By probabilities of scores every response gets one: all labelled pairs can be read, and all prompts but the one
    that both answer the same have two scores."""
    judged = finish(
        start("judge-accuracy", run.url, str(FIXTURES / "llmbar.json"), "--format", "llmbar", "judge=expected_score")
    )
    assert re.search(r"parse rate\s+│ 100.0%", judged) and "both ways round" not in judged
    file = tmp_path / "other.jsonl"
    rows = [{"instruction": text, "output": "the same" if text.endswith(" 0") else "Else"} for text in PROMPTS]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    compared = finish(start("compare", f"{run.url}:1", str(file), "judge=expected_score"))
    assert f"b: {file}" in compared and "mean scores a, b" in compared
    (kept,) = Path(run.root, "comparisons").glob("*.json")
    comparisons = json.loads(kept.read_text())["comparisons"]
    scores = [score for one in comparisons if not one["identical"] for score in one["scores"]]
    assert len(scores) == 22 and all(0.0 <= score <= 5.0 for score in scores)


TASK = """\
task: roundelay_local
dataset_path: json
dataset_kwargs: {data_files: {test: DATA}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: [" yes", " no"]
doc_to_target: answer
metric_list: [{metric: acc}]
"""


@pytest.mark.skipif(importlib.util.find_spec("lm_eval") is None, reason="the extra `eval` is not installed")
def test_lm_eval_takes_a_rounds_policy_and_runs_a_local_task(run: Ledger, tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps({"question": f"Is {n} even?", "answer": n % 2}) + "\n" for n in range(4)))
    (tmp_path / "task.yaml").write_text(TASK.replace("DATA", str(data)))
    words = ["--tasks", "roundelay_local", "--", "--include_path", str(tmp_path), "--device", "cpu"]
    output = finish(start("lm-eval", f"{run.url}:1", *words))
    (results,) = Path(run.root, "lm-eval/001").rglob("results_*.json")
    assert 0 <= json.loads(results.read_text())["results"]["roundelay_local"]["acc,none"] <= 1
    assert "results:" in output
