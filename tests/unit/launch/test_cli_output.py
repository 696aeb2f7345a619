"""What the commands print that start nothing: plan, config, recipes, help, and the table of a run."""

import re
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console
from support.configs import RECIPE_NEEDS

from roundelay.launch import cli
from roundelay.launch.config.loading import CONFIG_ROOT, config_values, load_config, parse_config
from roundelay.launch.config.recipes import print_recipes
from roundelay.launch.run.sweeps import expand
from roundelay.orchestrator.data.records import Rollout, Shard
from roundelay.orchestrator.errors import ConfigError
from roundelay.orchestrator.ledger.ledger import Ledger, round_name
from roundelay.orchestrator.prompts.store import PromptStore, freeze_prompts

RECIPES = sorted((CONFIG_ROOT / "recipe").glob("*.yaml"))
COMMANDS = ("run", "resume", "sweep", "show", "recipes", "compare", "judge-accuracy", "lm-eval", "check")

Roundelay = Callable[..., str]


@pytest.fixture
def roundelay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Roundelay]:
    """The command, in an empty working directory and on a wide terminal: gives what it printed on stdout."""

    def call(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["roundelay", *words])
        try:
            cli.main()
        except SystemExit as stop:
            assert not stop.code, capsys.readouterr().err
        return capsys.readouterr().out

    monkeypatch.setattr(cli.out, "width", 400)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    before = signal.getsignal(signal.SIGTERM)
    yield call
    signal.signal(signal.SIGTERM, before)


def cells(output: str, first: str) -> list[str]:
    """The cells of the table row that begins with `first`."""
    rows = [[cell.strip() for cell in re.split("[│┃]", line)[1:-1]] for line in output.splitlines()]
    (row,) = (row for row in rows if row and row[0] == first)
    return row[1:]


# ------------------------------------------------------------------------------------------------- before anything runs


def test_dry_run_prints_config_and_plan_and_creates_nothing(roundelay: Roundelay, tmp_path: Path) -> None:
    """Every stage with its size, and the actors; then neither a run directory nor anything else exists."""
    out = roundelay(
        "run", "--dry-run", "run.rounds=5", "run.prompts_per_round=10", "run.prompts_per_shard=4", "judge=additive",
        "judge.votes=2", "generation.samples_per_prompt=3", "cluster.rollout.actors=2",
        "objective.beta=0.25", "objective.reference.policy=initial", "evaluation.num_prompts=17",
    )  # fmt: skip
    config, _, plan = out.partition("plan: ")
    assert yaml.safe_load(config)["run"]["prompts_per_round"] == 10
    assert plan.startswith("baseline evaluation, then 5 × these stages")
    assert "10 prompts × 3 = 30 rollouts (plain)" in cells(plan, "sample")[0]
    assert "in 3 shards" in cells(plan, "sample")[0]
    assert cells(plan, "judge") == ["60 judgments (additive)"]
    assert cells(plan, "pair") == ["best_worst: at most 10 pairs"]
    assert "dpo (beta 0.25), reference: initial (recompute)" in cells(plan, "learn")[0]
    assert "2 rollout engine(s)" in cells(plan, "sync")[0]
    assert "17 held-out prompts" in cells(plan, "evaluate")[0]
    assert "actors: rollout-0 (1 CPU), rollout-1 (1 CPU), learner-0 (1 CPU)" in plan
    assert list((tmp_path / "work").rglob("*")) == []


def test_the_plan_of_contrast_pairs_has_two_responses_a_prompt_and_no_judge(roundelay: Roundelay) -> None:
    out = roundelay("run", "--dry-run", "recipe=rlcd_dpo", "run.prompts_per_round=10")
    assert "10 prompts × 2 = 20 rollouts (contrast)" in cells(out, "sample")[0]
    assert cells(out, "judge") == ["nothing: pairs are labelled by construction"]


@pytest.mark.parametrize(
    ("name", "when"), [("rip", "once the whole round is paired"), ("score_threshold", "as shards come")]
)
def test_the_plan_says_what_is_filtered_and_whether_learning_waits_for_it(
    name: str, when: str, roundelay: Roundelay
) -> None:
    out = roundelay("run", "--dry-run", "recipe=self_rewarding", f"filter={name}")
    assert cells(out, "filter") == [f"{name}, {when}"]
    unfiltered = roundelay("run", "--dry-run", "recipe=self_rewarding").partition("plan: ")[2]
    assert "filter" not in unfiltered


def test_the_plan_of_a_recipe_of_phases_has_a_table_a_phase(roundelay: Roundelay) -> None:
    """With the rounds, sizes and parts of each; what trains a reward model syncs no policy, and what judges has an
    actor."""
    out = roundelay("run", "--dry-run", "recipe=rlaif", "model=local", "model.path=/m", "run.rounds=7")
    _, first, second = out.partition("\nactors: rollout-0")[0].split("plan: ")
    assert first.startswith("phase reward_model: 1 × these stages")
    assert "40000 prompts × 2 = 80000 rollouts (plain)" in cells(first, "sample")[0]
    assert "in 1250 shards" in cells(first, "sample")[0]
    assert cells(first, "judge") == ["80000 judgments (ab)"]
    assert cells(first, "pair") == ["soft: at most 40000 pairs"]
    assert "reward model: reward_model (centring 0), reference: none" in cells(first, "learn")[0]
    assert "16 pairs a step, lr 3e-06, fresh optimizer" in cells(first, "learn")[0]
    assert cells(first, "sync") == ["nothing: the policy stays as it is"]
    assert second.startswith("phase ppo: 6 × these stages")
    assert "512 prompts × 1 = 512 rollouts (plain)" in cells(second, "sample")[0]
    assert cells(second, "judge") == ["512 judgments (reward_model)"]
    assert cells(second, "pair") == ["group: at most 512 groups of responses"]
    assert "2 epoch(s), 256 groups a step, lr 1e-05, carried optimizer" in cells(second, "learn")[0]
    assert "verified by probe log-probs" in cells(second, "sync")[0]
    assert all("96 held-out prompts, judge: reward_model" in cells(phase, "evaluate")[0] for phase in (first, second))
    assert "actors: rollout-0 (1 CPU), learner-0 (1 CPU), scorer-0 (1 CPU)" in out


@pytest.mark.parametrize(
    ("rounds", "phases"),
    [
        (1, {"reward_model": 1}),
        (3, {"reward_model": 1, "ppo": 2}),
    ],
)
def test_a_phase_that_a_run_never_reaches_is_not_planned(
    rounds: int, phases: dict[str, int], roundelay: Roundelay
) -> None:
    out = roundelay("run", "--dry-run", "recipe=rlcd", f"run.rounds={rounds}")
    found = re.findall(r"plan: phase (\w+): (\d+) × these stages", out)
    assert found == [(name, str(number)) for name, number in phases.items()]


def test_the_plan_counts_a_comparison_once_or_in_both_orders(roundelay: Roundelay) -> None:
    words = ["run", "--dry-run", "judge=ab", "pairing=soft", "generation.samples_per_prompt=2"]
    for orders, votes in (("both", 20), ("one", 10)):
        out = roundelay(*words, "run.prompts_per_round=10", f"judge.orders={orders}")
        assert cells(out, "judge") == [f"{votes} judgments (ab)"]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_printed_config_is_the_config(path: Path, roundelay: Roundelay, tmp_path: Path) -> None:
    """`run --cfg` prints YAML that reads back as the config of the same overrides, and creates nothing."""
    overrides = [
        f"recipe={path.stem}",
        *RECIPE_NEEDS.get(path.stem, ()),
        "run.name=same",
        "prompts.system='Mind ä, \"quotes\": and # signs'",
    ]
    out = roundelay("run", "--cfg", *overrides)
    assert parse_config(yaml.safe_load(out)) == load_config(overrides)
    assert list((tmp_path / "work").rglob("*")) == []


def test_a_run_without_a_name_is_named_after_recipe_model_and_time(roundelay: Roundelay) -> None:
    name = yaml.safe_load(roundelay("run", "--cfg", "recipe=rlcd_dpo", "model=local", "model.path=/m"))["run"]["name"]
    assert re.fullmatch(r"rlcd_dpo-local-\d{8}-\d{6}-[0-9a-f]{6}", name)


def test_recipes_lists_every_recipe_with_its_paper(roundelay: Roundelay) -> None:
    """And how it differs from it, so that nobody takes it for the paper."""
    out = roundelay("recipes")
    lines = out.splitlines()
    for path in RECIPES:
        info = yaml.safe_load(path.read_text())["recipe"]
        assert cells(out, path.stem) == [info["title"], info["differs"]]
        (first,) = (number for number, line in enumerate(lines) if re.match(rf"│ {path.stem} +│", line))
        assert info["paper"] in lines[first + 1]


def test_recipes_lists_the_users_own_too(roundelay: Roundelay, tmp_path: Path) -> None:
    (tmp_path / "mine" / "recipe").mkdir(parents=True)
    recipe = "# @package _global_\nrecipe: {title: Ours, paper: none yet, differs: in all}\n"
    recipe += "run: {rounds: 1, prompts_per_round: 8, prompts_per_shard: 8}\n"
    (tmp_path / "mine" / "recipe" / "ours.yaml").write_text(recipe)
    out = roundelay("recipes", "--config-dir", str(tmp_path / "mine"))
    assert cells(out, "ours") == ["Ours", "in all"]
    assert all(cells(out, path.stem) for path in RECIPES)


def test_a_recipe_that_goes_on_from_another_is_listed_by_what_that_one_says(
    roundelay: Roundelay, tmp_path: Path
) -> None:
    """And a user's own stands in the place of a shipped one of its name, as it does in a run."""
    (tmp_path / "recipe").mkdir()
    (tmp_path / "recipe" / "ours.yaml").write_text("# @package _global_\ndefaults:\n  - rlcd\n")
    own = "# @package _global_\nrecipe: {title: Not SPIN, paper: none yet, differs: in all}\n"
    (tmp_path / "recipe" / "spin.yaml").write_text(own)
    out = roundelay("recipes", "--config-dir", str(tmp_path))
    assert cells(out, "ours") == cells(out, "rlcd")
    assert cells(out, "spin") == ["Not SPIN", "in all"]


def test_a_recipe_that_is_no_yaml_is_named_where_recipes_are_listed(tmp_path: Path) -> None:
    (tmp_path / "recipe").mkdir()
    (tmp_path / "recipe" / "ours.yaml").write_text("recipe: [\n")
    with pytest.raises(ConfigError, match="ours"):
        print_recipes(Console(), tmp_path)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_what_a_recipe_does_is_said_on_80_columns(
    path: Path, roundelay: Roundelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its title, paper and differences, and every stage of every phase once; no line is wider, and none is cut."""
    monkeypatch.setattr(cli.out, "width", 80)
    out = roundelay("recipes", path.stem)
    words = [f"recipe={path.stem}", "model=local", "model.path=m", *RECIPE_NEEDS.get(path.stem, ())]
    config = load_config(words, default_name="x")
    said = unwrapped(out)
    for text in (config.recipe.title, config.recipe.paper, config.recipe.differs):
        assert unwrapped(text) in said
    assert max(map(len, out.splitlines())) <= 80 and "…\n" not in out.replace(f"{path.stem} …", "")
    for stage in ("sample", "judge", "pair", "learn", "update", "sync"):
        assert len(re.findall(rf"^  {stage} ", out, re.MULTILINE)) == max(1, len(config.phases))
    making = sum(config.in_phase(name).new_prompts_per_round > 0 for name in config.phases or (None,))
    assert len(re.findall(r"^  prompts ", out, re.MULTILINE)) == making
    assert all(f", phase {name}:" in out for name in config.phases)


def test_a_recipes_words_are_those_of_its_configuration(roundelay: Roundelay) -> None:
    """The numbers are the recipe's own, not those that the default model scales it to."""
    out = roundelay("recipes", "self_rewarding")
    assert "Rounds 1 to 2: 64 prompts a round" in out
    stages = dict(re.findall(r"^  (\w+) +(.*?) *$", out, re.MULTILINE))
    assert stages["sample"].startswith(
        "4 responses to each prompt; temperature 0.7, top_p 0.9, up to 512 tokens. Responses"
    )
    assert unwrapped("Responses that are cut") in unwrapped(out)
    assert stages["judge"].startswith("The policy, asked for a score from 0 to 5")
    assert stages["pair"] == "A prompt's best-scored response over its worst, where it is better."
    assert stages["learn"] == "DPO, beta 0.1. Reference: the policy before the round."
    assert stages["update"].startswith("1 epoch, 16 pairs a step, learning rate 1e-06 (cosine)")
    assert stages["evaluate"].startswith("A response to each of 96 held-out prompts. Judge: The policy, asked for a")
    assert unwrapped("next-token probabilities. Canaries for the round's judge on 8 of them.") in unwrapped(out)
    assert unwrapped("held-out prompts. Nobody judges it. Sizes are") in unwrapped(roundelay("recipes", "sft"))


def test_a_recipe_of_phases_is_said_phase_by_phase(roundelay: Roundelay) -> None:
    out = roundelay("recipes", "rlcd")
    _, first, second = out.partition("\nBefore the first round")[0].split("\nRound")
    assert first.startswith(" 1, phase reward_model: 40000 prompts\n")
    assert "Two responses to each prompt: one under a positive" in first and "opens the assistant's turn" in first
    assert "Nobody: what is learnt from is labelled by construction." in first
    assert "A reward model, not the policy" in first and "the policy stays as it is" in first
    assert second.startswith("s 2 to 41, phase ppo: 512 prompts a round\n")
    assert "The newest reward model that an earlier phase has trained" in second
    assert "PPO, clip 0.2, KL 0.004" in second and "256 groups of responses a step" in second


def test_what_a_users_own_recipe_does_is_said_too(roundelay: Roundelay, tmp_path: Path) -> None:
    (tmp_path / "mine" / "recipe").mkdir(parents=True)
    recipe = "# @package _global_\nrecipe: {title: Ours, paper: none yet, differs: in all}\n"
    recipe += "run: {rounds: 1, prompts_per_round: 8, prompts_per_shard: 8}\n"
    (tmp_path / "mine" / "recipe" / "ours.yaml").write_text(recipe)
    out = roundelay("recipes", "ours", "--config-dir", str(tmp_path / "mine"))
    assert "Ours (none yet)" in out and "Round 1: 8 prompts\n" in out


# ---------------------------------------------------------------------------------------------------------------- help


def test_every_command_is_known_to_this_test() -> None:
    named = {command.name or command.callback.__name__ for command in cli.app.registered_commands if command.callback}
    assert named == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_commands_help_shows_an_example(command: str, roundelay: Roundelay) -> None:
    """A line to copy, for that very command."""
    assert re.search(rf"^\s*Example: roundelay {command}\b", roundelay(command, "--help"), re.MULTILINE)


def test_the_examples_in_the_help_are_valid() -> None:
    """What users copy composes: each override names a key or a group member that exists."""
    load_config(example(cli.run), default_name="x")
    jobs = expand(example(cli.sweep))
    assert len(jobs) > 1
    for job in jobs:
        load_config(job, default_name="x")


def example(command: Callable[..., None]) -> list[str]:
    (line,) = re.findall(r"Example: roundelay \w+ (.*)", command.__doc__ or "")
    return shlex.split(line)


# ---------------------------------------------------------------------------------------------------------------- show


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """A run of three rounds of which one is finished, as the driver writes it."""
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"prompt": "Mark [b]this[/b] up."}\n{"prompt": "Name a river."}\n')
    config = load_config(
        ["run.name=demo", "run.rounds=3", "evaluation.samples_shown=2", "prompts=file", f"prompts.train.path={prompts}"]
    )
    ledger = Ledger(str(tmp_path / "demo"))
    source = config.prompts.train
    freeze_prompts(ledger, config.prompts, field="prompts.heldout.path", source=source, name="heldout")
    ledger.create({"config": config_values(config)})
    evaluation = {
        "prompts": 2, "length_mean": 12.25, "truncated_rate": 0.5, "distinct_1": 0.75, "distinct_2": 0.875,
        "judge": {"votes": 2, "parse_rate": 1.0, "score_mean": 2.5}, "heldout_pairs": 2, "implicit_accuracy": None,
        "implicit_margin": None,
    }  # fmt: skip
    common = {
        "seed": 0, "sync_parity": 3.2e-6, "stage_sha256": {}, "phase": None, "judged_by": {}, "reward_model": None,
    }  # fmt: skip
    initial = {"version": 0, "path": "/models/initial", "sha256": "0"}
    first = {**common, "round": 0, "policy": initial, "evaluation": evaluation}
    ledger.commit_round(0, {**first, "seconds": {"evaluate": 4.0, "round": 4.4}})
    judge = {
        "votes": 1234, "parse_rate": 0.875, "tie_rate": 0.25, "score_histogram": [0, 1, 2, 3, 4, 5], "score_mean": 2.0,
        "score_points": [0.0, 1.0, 2.0, 3.0, 4.0, 5.0],
        "score_std": 0.5, "score_length_correlation": -0.125, "choice_mass": 0.1, "swap_consistency": None,
        "prefers_first": None,
    }  # fmt: skip
    data = {
        "prompts": 4, "rollouts": 16, "rollout_tokens": 100, "truncated": 3, "pairs": 2, "groups": 0, "equal_groups": 0,
        "dropped": {"tie": 1, "unscored": 1}, "score_margin": 1.5, "length_gap_tokens": -2.5, "judge": judge,
    }  # fmt: skip
    learn = {
        "loss": 0.69312, "rewards/margins": 0.01, "rewards/accuracies": 0.5, "grad_norm": 1.25, "steps": 2,
        "pairs_trained": 2,
    }  # fmt: skip
    later = {**evaluation, "implicit_accuracy": 0.625, "implicit_margin": 0.03125}
    seconds = {
        "rollouts": 7.0,
        "judgments": 2.0,
        "learn": 3.0,
        "save": 1.0,
        "sync": 0.5,
        "evaluate": 4.0,
        "round": 20.0,
    }
    policy = {"version": 1, "path": f"{ledger.url}/rounds/001/policy", "sha256": "1"}
    manifest = {**common, "round": 1, "policy": policy, "data": data, "learn": learn, "evaluation": later}
    ledger.commit_round(1, {**manifest, "seconds": seconds})
    return ledger


def rewrite(ledger: Ledger, round: int, **changes: Any) -> None:
    """A manifest with some of its entries changed, one level deep."""
    manifest = ledger.manifest(round)
    for name, value in changes.items():
        manifest[name] = {**manifest[name], **value} if isinstance(manifest.get(name), dict) else value
    ledger.write_json(manifest, round_name(round), "manifest.json")


def respond(ledger: Ledger, round: int, *texts: str) -> None:
    """Commit responses to the held-out prompts."""
    rollouts = [
        Rollout(
            prompt_id=prompt.id, sample=0, variant="plain", prompt_token_ids=(1,), sampler_token_ids=(1,),
            token_ids=(2,), logprobs=(-0.5,), text=text, finish_reason="stop", policy_version=round, seed=1,
        )
        for prompt, text in zip(PromptStore(ledger, "heldout"), texts, strict=True)
    ]  # fmt: skip
    shard = Shard(round=round, index=0, prompts=(), split="heldout")
    ledger.write_shard("eval-rollouts", shard, Rollout, rollouts)


def title(url: object, rounds: int) -> str:
    return unwrapped(f"{url}: {rounds} of 3 rounds")


def unwrapped(text: str) -> str:
    """Without any white space: a title is as wide as its table."""
    return "".join(text.split())


def test_show_prints_every_finished_round_beside_the_initial_policy(ledger: Ledger, roundelay: Roundelay) -> None:
    """Each figure stands in its round's column, in its unit; what a round does not have is a dash."""
    out = roundelay("show", ledger.url)
    assert title(ledger.url, 1) in unwrapped(out)
    header = next(line for line in out.splitlines() if "initial" in line)
    assert re.split(r"\s*[│┃]\s*", header)[2:4] == ["initial", "round 1"]
    expected: dict[str, list[str]] = {
        "prompts in": ["–", "4"],
        "rollouts": ["–", "16"],
        "truncated": ["–", "3"],
        "judged (votes)": ["–", "1,234"],
        "dropped, by reason": ["–", "tie 1"],
        "pairs": ["–", "2"],
        "score margin": ["–", "1.500"],
        "length gap (tokens)": ["–", "-2.5"],
        "loss": ["–", "0.6931"],
        "rewards/accuracies": ["–", "50.0%"],
        "optimizer steps": ["–", "2"],
        "sync parity (nats)": ["3.2e-06", "3.2e-06"],
        "judge: parse rate": ["–", "87.5%"],
        "judge: tie rate": ["–", "25.0%"],
        "judge: scores, by bin": ["–", "0 to 5:"],
        "judge: score–length corr.": ["–", "-0.12"],
        "judge: mass on scores": ["–", "10.0%"],
        "held-out: judge score": ["2.500", "2.500"],
        "held-out: mean length": ["12.2", "12.2"],
        "held-out: implicit accuracy": ["–", "62.5%"],
        "seconds: learn": ["–", "4"],
        "seconds: evaluate": ["4", "4"],
    }
    assert {label: cells(out, label) for label in expected} == expected
    assert "unscored 1" in out
    assert f"trained policy: {ledger.root}/rounds/001/policy" in out


def test_show_prints_what_speaks_against_a_judge(ledger: Ledger, roundelay: Roundelay) -> None:
    """A canary's score beside the policy's, marked where it wins; the initial policy's judge is that of the held-out
    pairs; and every alarm with its round."""
    canary = {"prompts": 8, "score": 2.25, "policy_score": 2.5, "win_rate": None, "wins": False}
    winner = {**canary, "score": 4.0, "wins": True}
    compared = {**canary, "score": None, "policy_score": None, "win_rate": 0.75, "wins": True}
    unanswered = {**compared, "win_rate": None, "wins": None}
    rewrite(
        ledger, 0,
        evaluation={
            "canaries": {"null": canary, "verdict": compared, "breakout": unanswered}, "duplicates": 0.125,
            "pairs_judge": {"parse_rate": 0.25, "score_points": [-1.0, 0.0], "score_histogram": [1, 2]},
        },
        judge_alarms=["the judge prefers [red]it[/red]"],
    )  # fmt: skip
    rewrite(
        ledger, 1,
        evaluation={
            "canaries": {"null": winner}, "judge_drift": {"responses": 8, "spearman": 0.875, "mean_shift": -0.5},
            "labels_judge_drift": {"spearman": 0.375, "mean_shift": 0.25, "agreement": 0.75},
            "self_preference": {"prompts": 8, "own_win_rate": 0.5, "other_win_rate": 0.625, "self_preference": -0.125},
        },
        data={"duplicates": 0.25, "prefers_longer": 0.625, "judge": {
            **ledger.manifest(1)["data"]["judge"], "score_concentration": 0.5, "score_length_partial": 0.0625,
            "score_likelihood_correlation": 0.375, "even_comparisons": 0.0,
        }},
    )  # fmt: skip
    out = roundelay("show", ledger.url)
    expected: dict[str, list[str]] = {
        "same across prompts": ["–", "25.0%"],
        "chosen is the longer": ["–", "62.5%"],
        "judge: parse rate": ["25.0%", "87.5%"],
        "judge: scores, by bin": ["-1 to 0:", "0 to 5:"],
        "judge: in the fullest bin": ["–", "50.0%"],
        "given the log-probs": ["–", "0.06"],
        "judge: score–logp corr.": ["–", "0.38"],
        "judge: prefers neither": ["–", "0.0%"],
        "canary null : policy": ["2.25 : 2.50", "4.00 : 2.50 !"],
        "canary verdict : policy": ["75% won !", "–"],
        "drift: rank correlation": ["–", "0.88"],
        "drift: shift of mean score": ["–", "-0.50"],
        "labels' drift: rank correlation": ["–", "0.38"],
        "labels' drift: shift of mean": ["–", "0.25"],
        "labels' drift: same verdicts": ["–", "75.0%"],
        "judge: self-preference": ["–", "-12.5%"],
        "held-out: same across prompts": ["12.5%", "–"],
    }
    assert {label: cells(out, label) for label in expected} == expected
    assert re.search(r"│ +│ +1 2 │ +0 1 2 3 4 5 │", out), "the bins stand under the scale"
    assert "canary breakout" not in out
    assert "\ninitial: the judge prefers [red]it[/red]\n" in out


def test_show_prints_a_rounds_fresh_prompts_beside_the_fixed_ones(ledger: Ledger, roundelay: Roundelay) -> None:
    assert "fresh" not in roundelay("show", ledger.url)
    rewrite(ledger, 0, evaluation={"fresh": {"prompts": 3, "length_mean": 7.5, "judge": {"score_mean": 2.25}}})
    rewrite(ledger, 1, evaluation={"fresh": {"prompts": 3, "length_mean": 8.5, "judge": {"score_mean": 2.125}}})
    out = roundelay("show", ledger.url)
    assert cells(out, "fresh: judge score") == ["2.250", "2.125"]
    assert cells(out, "fresh: mean length") == ["7.5", "8.5"]
    assert cells(out, "held-out: judge score") == ["2.500", "2.500"]


def test_on_a_narrow_terminal_rounds_go_into_several_tables(
    ledger: Ledger, roundelay: Roundelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No label and no figure is cut or wrapped: 50 columns hold one round, 80 hold both."""
    headings = []
    for width in (50, 80):
        monkeypatch.setattr(cli.out, "width", width)
        out = roundelay("show", ledger.url)
        table = [line for line in out.splitlines() if line.startswith(("┃", "│"))]
        headings.append([line.replace("┃", "").split() for line in table if line.startswith("┃")])
        assert all(len(line) <= width for line in table) and not any("…" in line for line in table)
        assert re.search(r"│ judge: scores, by bin .*│ +0 to 5: │\n│ +│.* 0 1 2 3 4 5 │", out)
    assert headings == [[["initial"], ["round", "1"]], [["initial", "round", "1"]]]


def test_show_prints_what_a_phase_has_and_no_row_that_none_has(ledger: Ledger, roundelay: Roundelay) -> None:
    """A reward model's round, from comparisons: where it is, how exact it is, and that the policy stayed the initial
    one. Rows of groups and of a policy gradient are not there."""
    model = {"version": 1, "path": "/runs/demo/rounds/001/reward_model", "sha256": "2"}
    rewrite(
        ledger,
        1,
        phase="reward_model",
        policy=ledger.manifest(0)["policy"],
        reward_model=model,
        heldout={"loss": 0.5, "accuracy": 0.75},
        learn={"accuracy": 0.5625},
        data={
            "score_margin": None,
            "judge": {
                **ledger.manifest(1)["data"]["judge"],
                "score_histogram": None,
                "swap_consistency": 0.875,
                "prefers_first": 0.625,
            },
        },
    )
    out = roundelay("show", ledger.url)
    assert cells(out, "judge: same both ways round") == ["–", "87.5%"]
    assert cells(out, "judge: prefers the first") == ["–", "62.5%"]
    assert cells(out, "reward model: accuracy") == ["–", "56.2%"]
    assert cells(out, "reward model: held-out accuracy") == ["–", "75.0%"]
    assert re.search(r"[│┃] +round 1 +[│┃]\n[│┃] +[│┃] +initial +[│┃] +reward_model +[│┃]", out)
    for absent in ("groups", "objective/kl (nats a response)", "judge: scores, by bin", "score margin"):
        assert absent not in out
    assert out.endswith(f"trained policy: /models/initial\nreward model: {ledger.url}/rounds/001/reward_model\n")


def test_show_prints_a_policy_gradients_round_with_its_groups(ledger: Ledger, roundelay: Roundelay) -> None:
    rewrite(
        ledger,
        1,
        phase="ppo",
        data={"pairs": 0, "groups": 32},
        learn={
            "objective/scores": 0.25, "objective/kl": 1.5, "policy/entropy_avg": 2.0, "policy/clipfrac_avg": 0.125,
        },
        seconds={"prepare": 2.0, "select": 4.0},
    )  # fmt: skip
    out = roundelay("show", ledger.url)
    assert cells(out, "groups") == ["–", "32"]
    assert not re.search(r"[│┃] pairs +[│┃]", out)
    assert cells(out, "objective/scores") == ["–", "0.250"]
    assert cells(out, "objective/kl (nats a response)") == ["–", "1.500"]
    assert cells(out, "policy/clipfrac_avg") == ["–", "12.5%"]
    assert cells(out, "seconds: learn") == ["–", "10"]
    assert "reward model" not in out


def test_show_prints_a_run_that_has_finished_nothing(ledger: Ledger, roundelay: Roundelay) -> None:
    """A run can be looked at from its first moment."""
    ledger.fs.rm(ledger.path("rounds"), recursive=True)
    out = roundelay("show", ledger.url)
    assert title(ledger.url, 0) in unwrapped(out)
    assert "trained policy" not in out


def test_show_sets_first_and_last_responses_side_by_side(ledger: Ledger, roundelay: Roundelay) -> None:
    """The same held-out prompt, answered by the initial and by the trained policy, in one line each."""
    respond(ledger, 0, "Before,\nin two lines.", "The Nile")
    respond(ledger, 1, "After.", "x" * 300)
    assert roundelay("show", ledger.url).split("Mark [b]this[/b] up.")[1].splitlines() == [
        "",
        "  initial: Before, in two lines.",
        "  round 1: After.",
        "",
        "Name a river.",
        "  initial: The Nile",
        f"  round 1: {'x' * 199}…",
        "",
        f"trained policy: {ledger.root}/rounds/001/policy",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "[red]x[/red]",
        "[/] closes nothing",
        "[link=https://example.com]here[/link]",
        "a[0] = b[i]",
        "\\[escaped]",
        "a :bug: here",
        "C:\\",
    ],
)
def test_a_response_is_printed_literally(text: str, ledger: Ledger, roundelay: Roundelay) -> None:
    """Markup in a model's text is text: it is neither obeyed nor dropped, and it breaks nothing."""
    respond(ledger, 0, text, "")
    respond(ledger, 1, text, "")
    lines = roundelay("show", ledger.url).splitlines()
    assert f"  initial: {text}" in lines
    assert f"  round 1: {text}" in lines


def test_a_response_cannot_steer_the_terminal(ledger: Ledger, roundelay: Roundelay) -> None:
    """No control character of a model's text is printed as such."""
    respond(ledger, 0, "\x1b[31mred\x1b[0m \x1b]0;title\x07 \x08", "")
    respond(ledger, 1, "", "")
    assert not set(roundelay("show", ledger.url)) & {"\x1b", "\x07", "\x08"}


def test_the_runs_directory_is_printed_in_one_piece(ledger: Ledger, roundelay: Roundelay) -> None:
    """So that it can be read and copied, also before the first round is finished."""
    ledger.fs.rm(ledger.path("rounds"), recursive=True)
    assert ledger.url in roundelay("show", ledger.url)


def test_a_run_is_found_whatever_its_directory_is_called(ledger: Ledger, roundelay: Roundelay) -> None:
    """Brackets in a path are part of its name: the finished rounds behind them are not forgotten."""
    moved = Path(ledger.root).rename(Path(ledger.root).with_name("demo [old]"))
    assert Ledger(str(moved)).finished_rounds() == [0, 1]
    assert "1of3rounds" in unwrapped(roundelay("show", str(moved)))


def test_a_directorys_name_is_printed_literally(ledger: Ledger, roundelay: Roundelay) -> None:
    """A path with brackets in it is shown as it is."""
    moved = Path(ledger.root).rename(Path(ledger.root).with_name("demo[red]"))
    assert unwrapped(f"{moved}:") in unwrapped(roundelay("show", str(moved)))
