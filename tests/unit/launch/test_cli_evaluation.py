"""`compare`, `judge-accuracy` and `lm-eval` on run directories made by hand; the engine is a script."""

import json
import math
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from support.configs import base
from support.evaluation_commands import (
    Call,
    ScriptedEngine,
    bad,
    good,
    half,
    kept,
    row,
)
from support.finished_runs import PROMPTS, make_run

from roundelay.launch.compare import judging
from roundelay.launch.show import harness
from roundelay.launch.show.rounds import finished_round
from roundelay.orchestrator.cluster.ray import bundles_of
from roundelay.orchestrator.data.records import Generation
from roundelay.orchestrator.errors import ConfigError
from roundelay.orchestrator.ledger.ledger import Ledger

HEADER = b'{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'
ONE_TENSOR = len(HEADER).to_bytes(8, "little") + HEADER + b"\0"
FIXTURES = Path(__file__).parents[2] / "support" / "labelled"


def test_two_rounds_are_judged_in_both_orders_on_the_prompts_that_both_answered(
    call: Call, engine: ScriptedEngine, tmp_path: Path
) -> None:
    """All wins: 100%, each of 12 prompts asked about twice, and one engine started for all of it."""
    run = make_run(tmp_path, "demo", [bad, good])
    code, out, _ = call("compare", f"{run}:1", f"{run}:0")
    assert code == 0
    assert (engine.starts, engine.asked) == (1, 24)
    assert row(out, "a wins")[0].startswith("100.0% (95% interval 75.8% to 100.0%)")
    assert row(out, "wins, ties, losses") == ["12, 0, 0"]
    assert "ψ = 0" in row(out, "LC (no difficulties)")[0]
    assert row(out, "judge: same both ways round") == ["100.0%"]
    assert row(out, "judge: parse rate") == ["100.0%"]
    assert f"a: {run}:1\nb: {run}:0\n" in out
    (stored,) = kept(run)
    assert stored["report"]["win_rate"]["wins"] == 12
    assert len(stored["comparisons"]) == 12


def test_a_judge_in_words_votes_several_times_in_both_orders(
    call: Call, engine: ScriptedEngine, tmp_path: Path
) -> None:
    """12 prompts, two orders, three votes each: 72 questions; good wins all."""
    run = make_run(tmp_path, "demo", [bad, good])
    code, out, err = call("compare", f"{run}:1", f"{run}:0", "judge=pairwise", "judge.format=mt_bench", "judge.votes=3")
    assert code == 0, err
    assert (engine.starts, engine.asked) == (1, 72)
    assert row(out, "wins, ties, losses") == ["12, 0, 0"]
    assert row(out, "judge: same both ways round") == ["100.0%"]


def test_nothing_is_judged_twice(call: Call, engine: ScriptedEngine, tmp_path: Path) -> None:
    """Asked again, it reads back what it kept and prints the same; for another judge or other policies it judges."""
    run = make_run(tmp_path, "demo", [bad, good, half])
    first = call("compare", f"{run}:1", f"{run}:0")
    assert call("compare", f"{run}:1", f"{run}:0")[1] == first[1]
    assert engine.starts == 1
    call("compare", f"{run}:1", f"{run}:0", "judge=ab", "judge.instructions=[kinder]")
    call("compare", f"{run}:2", f"{run}:0")
    assert engine.starts == 3
    assert len(kept(run)) == 3


def test_all_rounds_of_a_run_are_put_on_one_scale(call: Call, engine: ScriptedEngine, tmp_path: Path) -> None:
    """Good beats half beats bad: three matches, one engine. What two rounds were judged on before is not judged
    again."""
    run = make_run(tmp_path, "demo", [bad, half, good])
    call("compare", f"{run}:1", f"{run}:0")
    code, out, _ = call("compare", run)
    assert code == 0
    assert engine.starts == 2
    assert len(kept(run)) == 3
    ratings = [int(row(out, name)[0]) for name in ("round 2", "round 1", "initial")]
    assert ratings[0] > ratings[1] > ratings[2]
    lines = [line for line in out.splitlines() if re.search("round|initial", line) and "│" in line]
    assert [re.split("[│┃]", line)[1].strip() for line in lines] == ["round 2", "round 1", "initial"]
    elos = [int(row(out, name)[2]) for name in ("round 2", "round 1", "initial")]
    assert elos[0] > elos[1] > elos[2]
    assert row(out, "round 2")[4] == "100.0%"
    assert row(out, "initial")[4:] == ["–", "–"]
    assert "36 comparisons, 0 unparsable, 0 left out" in out


def test_identical_responses_need_no_engine_and_a_policy_is_even_with_itself(
    call: Call, engine: ScriptedEngine, tmp_path: Path
) -> None:
    run = make_run(tmp_path, "demo", [bad, good])
    code, out, _ = call("compare", f"{run}:1", f"{run}:1")
    assert (code, engine.starts) == (0, 0)
    assert row(out, "wins, ties, losses") == ["0, 12, 0"]
    assert row(out, "a wins")[0].startswith("50.0%")
    assert row(out, "LC (no difficulties)")[0].startswith("50.0%")


def test_runs_are_compared_where_their_prompts_coincide_and_told_apart_where_they_differ(
    call: Call, engine: ScriptedEngine, tmp_path: Path
) -> None:
    """4 of the prompts are in both. What else differs between the runs than their policies is said."""
    one = make_run(tmp_path, "one", [bad, good])
    other = make_run(
        tmp_path, "other", [bad], asked=[*PROMPTS[8:], "Another"], more=["run.seed=5", "evaluation.sampling.top_p=0.5"]
    )
    code, out, _ = call("compare", one, other)
    assert (code, engine.asked) == (0, 8)
    assert row(out, "prompts that both answered") == ["4"]
    assert "different run.seed: 0 and 5" in out
    assert "sampled differently" in out and "'top_p': 0.5" in out
    assert row(out, "LC (no difficulties)") == ["too few readable comparisons"]
    assert kept(one) and not kept(other)


def test_a_text_given_to_several_prompts_is_noted(call: Call, engine: ScriptedEngine, tmp_path: Path) -> None:
    """A null model's win rate is not taken for a policy's."""
    run = make_run(tmp_path, "demo", [bad, lambda prompt: "good good good"])
    _, out, _ = call("compare", f"{run}:1", f"{run}:0")
    assert "note: 12 of 12 responses of a are given to several prompts" in out
    assert "responses of b" not in out


def test_parts_of_the_prompts_do_not_overlap(call: Call, engine: ScriptedEngine, tmp_path: Path) -> None:
    run = make_run(tmp_path, "demo", [bad, good])
    for draw in ("0", "1"):
        call("compare", f"{run}:1", f"{run}:0", "--num-prompts", "6", "--draw", draw)
    ids = [one["prompt_id"] for stored in kept(run) for one in stored["comparisons"]]
    assert (len(ids), len(set(ids)), engine.asked) == (12, 12, 24)


def test_the_judge_is_the_runs_initial_policy_on_one_engine_or_the_model_that_is_named(
    call: Call, engine: ScriptedEngine, tmp_path: Path
) -> None:
    run = make_run(tmp_path, "demo", [bad, good], more=["cluster.rollout.actors=2"])
    call("compare", f"{run}:1", f"{run}:0", "cluster.rollout.max_num_seqs=3")
    config = engine.setup.config
    assert engine.setup.policy.path == str(tmp_path / "model")
    assert (config.cluster.rollout.actors, config.cluster.rollout.max_num_seqs) == (1, 3)
    other = tmp_path / "judge"
    other.mkdir()
    (other / "config.json").write_text("{}")
    (other / "model.safetensors").write_bytes(ONE_TENSOR)
    call("compare", f"{run}:1", f"{run}:0", "--judge-model", str(other))
    assert engine.setup.policy.path == engine.setup.config.model.path == str(other)


def test_a_third_party_shows_how_far_a_judge_prefers_its_own(
    call: Call, engine: ScriptedEngine, tmp_path: Path
) -> None:
    """The judge gives all 12 to "good"; the third party likes the odd ones of them only, and ties the others: half of
    12 are 9 points of 12 for it, 75%. Asked again, nobody judges."""
    run, other = make_run(tmp_path, "demo", [bad, good]), tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text("{}")
    (other / "model.safetensors").write_bytes(ONE_TENSOR)

    def liking(text: str) -> float:
        is_third = engine.setup.policy.path == str(other)
        return float("good" in text and not (is_third and int(text.split()[-1]) % 2 == 0))

    engine.logit = liking
    words = ("compare", f"{run}:1", f"{run}:0", "--third-party", str(other))
    code, out, err = call(*words)
    assert code == 0, err
    assert row(out, "a wins")[0].startswith("100.0%") and row(out, "a wins by the third party") == ["75.0%"]
    assert row(out, "judge: self-preference") == ["+25.0 points (0: no bias)"]
    assert engine.starts == 2 and call(*words)[1] == out and engine.starts == 2


def test_a_judge_that_says_nothing_readable_gives_no_figures(
    call: Call, engine: ScriptedEngine, tmp_path: Path
) -> None:
    engine.logit = lambda text: -math.inf
    engine.answer = lambda request: Generation(
        prompt_token_ids=(1,), plain_token_ids=(), token_ids=(2,), logprobs=(), text="", finish_reason="length",
        choice_logprobs=(-math.inf, -math.inf),
    )  # fmt: skip
    run = make_run(tmp_path, "demo", [bad, good])
    code, out, _ = call("compare", f"{run}:1", f"{run}:0")
    assert code == 0 and "none of 12 comparisons could be read" in out
    code, out, _ = call("compare", run)
    assert code == 0 and "no comparison could be read" in out


def test_a_run_that_a_reward_model_evaluates_can_be_compared(
    call: Call, engine: ScriptedEngine, tmp_path: Path
) -> None:
    """Its evaluation's judge is not there then, and is not asked for."""
    run = make_run(tmp_path, "demo", [bad, good], more=["recipe=rlcd"])
    assert call("compare", f"{run}:1", f"{run}:0")[0] == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["{run}:7", "{run}:0"], ("round 7 of {run} is not finished", "choose one of 0, 1")),
        (["{run}:1"], ("{run}:1: cannot be compared", "RUN[:ROUND] RUN[:ROUND]")),
        (["{run}", "{run}", "{run}"], ("cannot be compared", "one RUN for all of its rounds")),
        (["{run}/nowhere"], ("holds no run", "check the path")),
        (["{single}"], ("only the initial policy of {single} is evaluated", "finish a round")),
        (["{run}", "{strange}"], ("answered no held-out prompt in common", "same prompts.heldout")),
        (["{run}:1", "{run}:0", "judge=reward_model"], ("judge.kind=reward_model asks reward_model", "judge=ab")),
        (["{run}:1", "{run}:0", "judge=implicit_reward"], ("asks policy, initial beside", "judge=expected_score")),
        (["{run}:1", "{run}:0", "judge=function", "judge.function=a:b"], ("judge.kind=function", "in Python")),
        (["{run}:1", "{run}:0", "judge=annotators"], ("judge.kind=annotators: a member drawn by lot", "judge=ab")),
        (["{run}:1", "{run}:0", "judge=panel", "judge.aggregate=mean"], ("on different scales", "aggregate=majority")),
        (["{run}:1", "{run}:0", "judge=endpoint", "judge@judge.judge=pairwise", "judge.judge.orders=one",
          "judge.base_url=http://localhost/v1", "judge.model=m"], ("judge.judge.orders=one", "orders=both")),
        (["{run}:1", "{run}:0", "--judge-model", "/no/where", "judge=endpoint", "judge.base_url=http://localhost/v1",
          "judge.model=m"], ("judge.kind=endpoint asks no model of ours: that of /no/where", "leave --judge-model")),
        (["{run}:1", "{run}:0", "--length-rule", "300"], ("--length-rule 300 would do nothing", "judge=pairwise")),
        (["{run}", "--length-rule", "300"], ("--length-rule 300 with the rounds of one run", "name two policies")),
        (["{run}", "--third-party", "m"], ("--third-party m with the rounds of one run", "name two policies")),
        (["a.jsonl", "b.json"], ("a.jsonl b.json: cannot be compared", "a policy and a file")),
        (["a.jsonl"], ("a.jsonl: cannot be compared", "a policy and a file")),
        (["{run}", "absent.jsonl"], ("absent.jsonl does not exist", "check the path")),
        (["{run}:1", "{run}:0", "judge=ab", "judge.orders=one"], ("judge.orders=one", "set judge.orders=both")),
        (["{run}:1", "{run}:0", "judge.ordres=one"], ("unknown key judge.ordres=one", "did you mean judge.")),
        (["{run}:1", "{run}:0", "judge.orders=three"], ("judge.orders='three'", "'one' or 'both'")),
        (["{run}:1", "{run}:0", "cluster.colour=red"], ("cluster.colour=red", "")),
        (["{run}:1", "{run}:0", "--num-prompts", "13"], ("--num-prompts 13", "share 12 answered")),
        (["{run}:1", "{run}:0", "--judge-model", "/no/where"], ("model.path=/no/where is no model directory", "give")),
        (["{run}:1", "{run}:0", "--third-party", "/no/where"], ("model.path=/no/where is no model directory", "give")),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused_before_any_engine_starts(
    words: Sequence[str], says: Sequence[str], call: Call, engine: ScriptedEngine, tmp_path: Path
) -> None:
    places = {
        "run": make_run(tmp_path, "demo", [bad, good]),
        "single": make_run(tmp_path, "single", [bad]),
        "strange": make_run(tmp_path, "strange", [bad], asked=["Quite another"]),
    }
    code, out, err = call("compare", *(word.format(**places) for word in words))
    assert (code, out, engine.starts) == (2, "", 0)
    for text in says:
        assert text.format(**places) in err


def test_an_initial_policy_that_is_gone_cannot_judge(call: Call, engine: ScriptedEngine, tmp_path: Path) -> None:
    run = make_run(tmp_path, "demo", [bad, good])
    (tmp_path / "model").rmdir()
    code, _, err = call("compare", f"{run}:1", f"{run}:0")
    assert code == 2 and f"the policy of {run}:0 is gone from" in err and "choose one of the rounds 1" in err


def test_an_engine_that_judges_takes_no_learners_place() -> None:
    """On GPUs a learner's bundle would keep one idle."""
    assert bundles_of(base().cluster, scorers=False, learners=False) == {"rollout-0": {"CPU": 1}}


# ------------------------------------------------------------------------------------------------------ judge-accuracy


def test_a_rounds_policy_is_measured_against_labels(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A judge that likes short texts: right on both LLMBar rows whose better output is the shorter one ("The Nile." of
    9 characters over 14; "Huge." of 5 over 24)."""
    engine = ScriptedEngine(lambda text: -0.1 * len(text))
    monkeypatch.setattr(judging, "engine", engine)
    run = make_run(tmp_path, "demo", [bad, good])
    code, out, _ = call("judge-accuracy", run, str(FIXTURES / "llmbar.json"), "--format", "llmbar")
    assert code == 0
    assert engine.setup.policy.path == f"{run}/rounds/001/policy"
    assert row(out, "accuracy") == ["100.0%"]
    assert row(out, "Cohen's κ") == ["1.000"]
    assert row(out, "same both ways round") == ["100.0%"]
    call("judge-accuracy", run, str(FIXTURES / "llmbar.json"), "--format", "llmbar")
    assert engine.starts == 1
    call("judge-accuracy", f"{run}:0", str(FIXTURES / "llmbar.json"), "--format", "llmbar")
    assert (engine.starts, engine.asked) == (2, 8)


@pytest.mark.parametrize(
    ("file", "format", "rows"),
    [
        ("pandalm.json", "pandalm", {"pairs": "3", "ties: judge, labels": "33.3%, 33.3%"}),
        ("mt_bench.jsonl", "mt_bench", {"pairs": "3", "turn 1": "100.0%"}),
        ("rewardbench.jsonl", "rewardbench", {"pairs": "2", "alpacaeval-easy": "0.0%", "math-prm": "100.0%"}),
    ],
)
def test_every_format_is_judged_and_told_by_its_subsets(
    file: str, format: str, rows: dict[str, str], call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A judge that likes short texts, and of equally long ones the one with a 4: wrong on the lake for a river, even on
    pear and plum."""
    monkeypatch.setattr(judging, "engine", ScriptedEngine(lambda text: 0.1 * ("4" in text) - 0.1 * len(text)))
    run = make_run(tmp_path, "demo", [bad, good])
    code, out, _ = call("judge-accuracy", run, str(FIXTURES / file), "--format", format)
    assert code == 0
    assert {name: row(out, name)[0] for name in rows} == rows


def test_odd_rows_of_a_published_file_are_judged_and_counted(
    call: Call, engine: ScriptedEngine, tmp_path: Path
) -> None:
    """PandaLM's published file has responses that are JSON's true, a blank instruction and empty responses."""
    run = make_run(tmp_path, "demo", [bad, good])
    code, out, err = call("judge-accuracy", run, str(FIXTURES / "pandalm_odd.json"), "--format", "pandalm")
    assert code == 0, err
    assert row(out, "pairs") == ["4"]
    told = " ".join(out.split())
    assert "odd rows of the file: 2 of 4: a response is JSON's true or false, read as the word" in told
    assert "1 of 4: the instruction is blank, so the input alone is the prompt" in told
    assert "1 of 4: a response is empty" in told
    (kept,) = Path(run, "judge-accuracy").glob("*.json")
    assert sum(json.loads(kept.read_text())["report"]["rows_noted"].values()) == 4


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["{run}", "{llmbar}", "--format", "mtbench"], ("--format mtbench", "known: llmbar, mt_bench")),
        (["{run}", "{llmbar}", "--format", "pandalm"], ("llmbar.json, row 1: 'annotator1' is absent", "pandalm")),
        (["{run}", "absent.json", "--format", "llmbar"], ("absent.json does not exist", "working directory")),
        (["{run}", "{llmbar}", "--format", "llmbar", "--num-pairs", "3"], ("--num-pairs 3", "holds 2")),
        (["{run}", "{llmbar}", "judge=none", "--format", "llmbar"], ("judge.kind=none says nothing", "judge=ab")),
        (["{run}:1", "{llmbar}", "--format", "llmbar"], ("the policy of {run}:1 is gone", "run.keep_policies")),
    ],
)
def test_a_judge_that_cannot_be_measured_is_refused(
    words: Sequence[str], says: Sequence[str], call: Call, engine: ScriptedEngine, tmp_path: Path
) -> None:
    places = {"run": make_run(tmp_path, "demo", [bad, good]), "llmbar": str(FIXTURES / "llmbar.json")}
    if words[0].endswith(":1"):
        shutil.rmtree(Path(places["run"], "rounds/001/policy"))
    code, out, err = call("judge-accuracy", *(word.format(**places) for word in words))
    assert (code, out, engine.starts) == (2, "", 0)
    for text in says:
        assert text.format(**places) in err


# ------------------------------------------------------------------------------------------------------------- lm-eval


def test_lm_evals_words_name_policy_tasks_and_output() -> None:
    assert harness.harness_command(
        "/runs/demo/rounds/002/policy", "gsm8k,arc_easy", "/runs/demo/lm-eval/002", dtype="bfloat16",
        extra=["--limit", "5"],
    ) == [
        sys.executable, "-m", "lm_eval", "run", "--model", "hf",
        "--model_args", "pretrained=/runs/demo/rounds/002/policy,dtype=bfloat16",
        "--tasks", "gsm8k,arc_easy", "--output_path", "/runs/demo/lm-eval/002", "--apply_chat_template",
        "--limit", "5",
    ]  # fmt: skip


@pytest.mark.parametrize("path", ["/runs/a,b/policy", "/runs/a=b/policy", "/runs/a b/policy"])
def test_a_path_that_lm_eval_would_split_is_refused(path: str) -> None:
    with pytest.raises(ConfigError, match="rename"):
        harness.harness_command(path, "t", "out", dtype="float32", extra=[])


def test_without_lm_eval_the_command_says_how_to_install_it(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harness.importlib.util, "find_spec", lambda name: None)
    code, _, err = call("lm-eval", make_run(tmp_path, "demo", [bad]), "--tasks", "gsm8k")
    assert code == 2 and "roundelay[eval]" in err


def test_lm_eval_is_called_with_the_rounds_policy_and_what_stands_after_the_dashes(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its exit code is not swallowed."""
    said: list[list[str]] = []

    class Done:
        returncode = 0

    def pretend(command: list[str], check: bool) -> Done:
        said.append(command)
        return Done()

    monkeypatch.setattr(harness.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(harness.subprocess, "run", pretend)
    run = make_run(tmp_path, "demo", [bad, good])
    code, out, _ = call("lm-eval", f"{run}:1", "--tasks", "gsm8k", "--", "--limit", "5")
    assert code == 0 and f"results: {run}/lm-eval/001" in out
    assert f"pretrained={run}/rounds/001/policy,dtype=float32" in said[0] and said[0][-2:] == ["--limit", "5"]
    Done.returncode = 3
    code, _, err = call("lm-eval", f"{run}:1", "--tasks", "gsm8k")
    assert code == 1 and "exit code 3" in err


# --------------------------------------------------------------------------------------------------------------- rounds


def test_a_round_is_the_newest_finished_one_unless_it_is_named(tmp_path: Path) -> None:
    run = make_run(tmp_path, "demo", [bad, good, half])
    assert [finished_round(text).round for text in (run, f"{run}:0", f"{run}:1")] == [2, 0, 1]


def test_a_run_without_a_finished_round_is_refused(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path / "new"))
    ledger.write_bytes(yaml.safe_dump({"config": {}}).encode(), "run.yaml")
    with pytest.raises(ConfigError, match=r"no round of .* is finished"):
        finished_round(ledger.url)
