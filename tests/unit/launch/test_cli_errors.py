"""Wrong input, given on the command line: exit code 2, a message with field, value and remedy, and nothing left behind.

Most cases call `main` in this process, where a stand-in for the cluster fails the test if anything gets as far as Ray;
a few go through the installed command. `{here}` in an override is the directory of the files that `here` makes.
"""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.tiny_model import write_moved

from roundelay.launch import cli
from roundelay.launch.config.loading import load_config
from roundelay.launch.run.runs import create_run, resume_run
from roundelay.orchestrator.ledger.checksums import model_files, weights_hash
from roundelay.orchestrator.ledger.ledger import Ledger

ROUNDELAY = Path(sys.executable).parent / "roundelay"
BASE = (
    "model=local", "model.path={here}/model", "prompts=file", "prompts.train.path={here}/train.jsonl",
    "prompts.heldout.path={here}/heldout.jsonl", "run.prompts_per_round=4", "run.prompts_per_shard=2",
    "evaluation.num_prompts=2", "run.name=attempt", "model.max_model_len=1024", "generation.sampling.max_tokens=100",
    "evaluation.sampling.max_tokens=100", "learner.epochs=1",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Case:
    """Overrides that are wrong, and what the message says: field, value, remedy."""

    name: str
    overrides: Sequence[str]
    says: Sequence[str]


def wrong(name: str, overrides: str, *says: str) -> Case:
    return Case(name=name, overrides=overrides.split(), says=says)


CASES = [
    wrong("unknown key", "learner.lerning_rate=1",
          "unknown key learner.lerning_rate=1", "did you mean learner.learning_rate?"),
    wrong("unknown added key", "+generation.sampling.temprature=3",
          "unknown key generation.sampling.temprature=3", "did you mean generation.sampling.temperature?"),
    wrong("unknown group", "recip=x", "unknown key recip=x", "did you mean recipe?"),
    wrong("unknown group member", "recipe=selfrewarding",
          "recipe=selfrewarding", "did you mean recipe=self_rewarding?", "rlcd_dpo"),
    wrong("wrong type", "learner.epochs=a", "learner.epochs='a'", "valid integer", "set learner.epochs"),
    wrong("fraction where a count belongs", "learner.epochs=1.5", "learner.epochs=1.5", "set learner.epochs"),
    wrong("out of range", "learner.epochs=0", "learner.epochs=0", "greater than 0", "set learner.epochs"),
    wrong("not a number", "learner.learning_rate=nan", "learner.learning_rate=nan", "set learner.learning_rate"),
    wrong("not a choice", "cluster.device=tpu", "cluster.device='tpu'", "'cpu' or 'gpu'"),
    wrong("no value", "~learner.epochs", "learner.epochs has no value", "set it: learner.epochs=…"),
    wrong("two values outside a sweep", "learner.epochs=1,2", "learner.epochs=1,2", "quote values with commas"),
    wrong("run name that escapes", "run.name=../escaped", "run.name='../escaped'", "set run.name"),
    wrong("run name of the parent", "run.name=..", "run.name='..'", "set run.name"),
    wrong("judge without two responses", "generation.samples_per_prompt=1",
          "pairing.kind=best_worst", "generation.samples_per_prompt=1", "set generation.samples_per_prompt to 2"),
    wrong("contrast pairs of plain prompts", "recipe=rlcd_dpo generation=plain",
          "pairing.kind=contrast", "generation.kind=plain", "generation=contrast"),
    wrong("best against worst unscored", "judge=none", "pairing.kind=best_worst", "judge.kind=none", "judge=additive"),
    wrong("sampler's log-probs for another reference",
          "objective.reference.logps=rollout objective.reference.policy=initial",
          "objective.reference.logps=rollout", "objective.reference.policy=initial", "recompute"),
    wrong("sampler's log-probs under affixes", "recipe=rlcd_dpo objective.reference.logps=rollout",
          "objective.reference.logps=rollout", "generation.kind=contrast", "recompute"),
    wrong("no room for a prompt", "generation.sampling.max_tokens=4096",
          "generation.sampling.max_tokens=4096", "model.max_model_len=1024", "lower generation.sampling.max_tokens"),
    wrong("config directory that is none", "--config-dir {here}/absent",
          "--config-dir {here}/absent is no directory", "holds your groups"),
    wrong("missing prompt file", "prompts.train.path={here}/absent.jsonl",
          "prompts.train.path={here}/absent.jsonl does not exist", "check the path"),
    wrong("missing held-out file", "prompts.heldout.path={here}/absent.jsonl",
          "prompts.heldout.path={here}/absent.jsonl does not exist", "check the path"),
    wrong("directory for a prompt file", "prompts.train.path={here}",
          "prompts.train.path={here} is no .jsonl, .csv or .parquet file", "convert it"),
    wrong("invalid UTF-8", "prompts.train.path={here}/latin1.jsonl",
          "prompts.train.path={here}/latin1.jsonl cannot be read", "utf-8", "check the file's format"),
    wrong("unsupported extension", "prompts.train.path={here}/prompts.txt",
          "prompts.train.path={here}/prompts.txt is no .jsonl, .csv or .parquet file", "convert it"),
    wrong("bad JSON", "prompts.train.path={here}/badjson.jsonl",
          "{here}/badjson.jsonl, line 3", "not JSON", "one JSON object a line"),
    wrong("row without the column", "prompts.train.path={here}/nocolumn.jsonl",
          "{here}/nocolumn.jsonl, line 2", "no column 'prompt'", "the row has text", "set prompts.prompt_column"),
    wrong("conversation that ends with the assistant", "prompts.train.path={here}/assistant.jsonl",
          "{here}/assistant.jsonl, line 2", "the last message is the assistant's", "end every prompt with a user"),
    wrong("prompt too long",
          "prompts.train.path={here}/long.jsonl prompts.heldout.path={here}/ids.jsonl prompts.id_column=id",
          "prompts.train: prompt 'long-3'", "sampling.max_tokens=100", "model.max_model_len=1024", "shorten"),
    wrong("no prompts", "prompts.train.path={here}/empty.jsonl",
          "prompts.train.path={here}/empty.jsonl holds no prompts", "at least one row"),
    wrong("two rows with one id", "prompts.train.path={here}/twice.jsonl prompts.train.id_column=id",
          "{here}/twice.jsonl, line 3", "'b' is used twice", "{here}/twice.jsonl, line 2", "its own id"),
    wrong("more prompts a round than there are", "run.prompts_per_round=9",
          "run.prompts_per_round=9", "prompts.train holds 8 prompts", "lower run.prompts_per_round"),
    wrong("more prompts beside the new ones than there are",
          "run.prompts_per_round=10 new_prompts=self_instruct new_prompts.per_round=1",
          "run.prompts_per_round=10", "holds 8 prompts and 1 are new", "lower run.prompts_per_round"),
    wrong("more examples than there are", "run.prompts_per_round=8 new_prompts=self_instruct new_prompts.seed_shots=7",
          "new_prompts.seed_shots + made_shots=9", "prompts.train holds 8 prompts of one message", "give more prompts"),
    wrong("more held-out prompts than there are", "evaluation.num_prompts=5",
          "evaluation.num_prompts=5", "prompts.heldout holds 4 prompts", "lower evaluation.num_prompts"),
    wrong("more fresh prompts than are left", "evaluation.num_prompts=3 evaluation.fresh_prompts=2",
          "evaluation.fresh_prompts=2", "holds 1 prompts beside the evaluation.num_prompts=3", "lower one of them"),
    wrong("held-out prompt that is trained on", "prompts.id_column=id prompts.train.path={here}/ids.jsonl "
          "prompts.heldout.path={here}/leak.jsonl", "prompts.heldout", "'leaked'", "'id-2'", "take it out"),
    wrong("no model directory", "model.path={here}/absent",
          "model.path={here}/absent is no model directory", "config.json, safetensors, tokenizer and chat template"),
    wrong("model of no hub", "model.path=nobody/nothing", "model.path=nobody/nothing", "check the name"),
    wrong("model without safetensors", "model.path={here}/no-safetensors",
          "model.path={here}/no-safetensors holds no .safetensors file", "save_pretrained"),
    wrong("model without tokenizer", "model.path={here}/no-tokenizer",
          "model.path={here}/no-tokenizer has no tokenizer that loads", "tokenizer files"),
    wrong("model without chat template", "model.path={here}/no-template",
          "model.path={here}/no-template has a tokenizer without a chat template", "chat_template.jinja"),
    wrong("scores that are no single tokens", "judge.scores=['0','100']", "judge", "'100'", "single token"),
    wrong("more prompts in a phase than there are", "recipe=rlcd phases.ppo.prompts_per_round=4",
          "phases.reward_model.prompts_per_round=40000", "prompts.train holds 8 prompts",
          "lower phases.reward_model.prompts_per_round"),
    wrong("more prompts a round than a phase has", "recipe=rlcd phases.reward_model.prompts_per_round=4 "
          "phases.ppo.prompts_per_round=null run.prompts_per_round=9",
          "run.prompts_per_round=9, but prompts.train holds 8", "lower run.prompts_per_round"),
    wrong("prompts too long in a phase", "recipe=rlcd phases.reward_model.prompts_per_round=4 "
          "phases.ppo.prompts_per_round=4 phases.ppo.generation.sampling.max_tokens=1020",
          "prompts.train: prompt ", "generation.sampling.max_tokens=1020", "model.max_model_len=1024", "shorten"),
    wrong("phase that cannot run", "recipe=rlcd phases.ppo.generation.samples_per_prompt=0",
          "generation.samples_per_prompt=0", "greater than 0"),
    wrong("policy gradient of another distribution", "recipe=rlcd phases.ppo.generation.sampling.top_p=0.5",
          "in phase ppo: objective.kind=ppo", "top_p=0.5", "here: phases.ppo."),
    wrong("phases that end too early", "recipe=rlcd phases.ppo.rounds=2 run.rounds=9",
          "run.rounds=9, but the phases reward_model, ppo end after round 3", "lower run.rounds"),
    wrong("reward model that nobody trains", "judge=reward_model",
          "judge.kind=reward_model, but no earlier phase trains one", "choose another judge"),
    wrong("no directory of a judge's model", "recipe=cdr judge.strong={here}/absent judge.weak=initial",
          "judge.strong={here}/absent is no model directory", "config.json"),
    wrong("judge's model with other tokens", "recipe=cdr judge.strong={here}/moved judge.weak={here}/other-tokens",
          "judge.weak={here}/other-tokens has the eos_token '<|endoftext|>'", "the policy's own tokenizer"),
    wrong("judge's models that are one", "recipe=cdr judge.strong={here}/model judge.weak=initial",
          "judge.strong={here}/model and judge.weak=initial have the same weights", "two different models"),
    wrong("no room for a judge's instruction", "recipe=cdr judge.strong={here}/moved judge.weak=initial "
          f"judge.instruction={'be_brief_' * 300}", "prompts.train: prompt ", "max_tokens=100", "shorten"),
    wrong("judging function in no module", "judge=function judge.function=no.such.module:score",
          "judge.function=no.such.module:score: cannot import no.such.module", "PYTHONPATH"),
    wrong("endpoint without its key",
          "judge=panel +judge@judge.members.far=endpoint judge.members.far.base_url=http://127.0.0.1:9/v1 "
          "judge.members.far.model=m judge.members.far.api_key_env=NO_KEY",
          "judge.members.far.api_key_env=NO_KEY, but that environment variable is not set", "export NO_KEY=…"),
    wrong("judging function that is none", "judge@evaluation.judge=function evaluation.judge.function=math:score",
          "judge.function=math:score: math has no function score", "at its top level"),
]  # fmt: skip
THROUGH_THE_COMMAND = ("unknown key", "run name that escapes", "bad JSON", "model without chat template")

# What is known to be wrong. Strict: whoever mends it takes the line out.
MORE_CASES = [
    (wrong("directory named like a prompt file", "prompts.train.path={here}/folder.jsonl",
           "prompts.train.path={here}/folder.jsonl is"), "a directory is said not to exist"),
    (wrong("lone surrogate", "prompts.train.path={here}/surrogate.jsonl",
           "{here}/surrogate.jsonl, line 2"), "UnicodeEncodeError, a traceback"),
    (wrong("group of nothing", "learner=null", "learner=null"), "ValueError of Hydra, a traceback"),
    (wrong("run root that is a file", "run.root={here}/train.jsonl", "{here}/train.jsonl"),
     "NotADirectoryError, a traceback"),
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Outcome:
    code: int | str | None
    out: str
    err: str


@dataclass(frozen=True, kw_only=True)
class Shell:
    """`roundelay` in this process, with Ray out of reach."""

    here: Path
    root: Path
    capture: pytest.CaptureFixture[str]
    patch: pytest.MonkeyPatch

    def words(self, overrides: Sequence[str]) -> list[str]:
        # rlcd's phases have sizes of their own: one at the top would be refused.
        phased = "recipe=rlcd" in overrides
        base = [word for word in BASE if not (phased and word.startswith("run.prompts_per_round="))]
        return [word.replace("{here}", str(self.here)) for word in (*base, f"run.root={self.root}", *overrides)]

    def roundelay(self, *words: str) -> Outcome:
        self.patch.setattr(sys, "argv", ["roundelay", *words])
        code: int | str | None = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code
        captured = self.capture.readouterr()
        return Outcome(code=code, out=captured.out, err=captured.err)

    def run(self, *overrides: str) -> Outcome:
        return self.roundelay("run", *self.words(overrides))

    def left(self) -> list[Path]:
        """What stands in the directory where runs are kept, and beside it."""
        return [path for path in self.root.parent.rglob("*") if path != self.root]


@pytest.fixture
def shell(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Shell]:
    def no_cluster(*_: object, **__: object) -> None:
        pytest.fail("the command got as far as the cluster")

    monkeypatch.setattr("roundelay.launch.run.runs.Cluster", no_cluster)
    monkeypatch.setattr(cli.out, "width", 300)
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGTERM)
    yield Shell(here=here, root=tmp_path / "runs", capture=capsys, patch=monkeypatch)
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="module")
def here(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good and broken prompt files, and a good and three broken models."""
    here = tmp_path_factory.mktemp("here")

    def rows(name: str, *values: object) -> None:
        (here / name).write_text("".join(f"{json.dumps(value)}\n" for value in values))

    rows("train.jsonl", *({"prompt": f"Name {i} rivers."} for i in range(8)))
    rows("heldout.jsonl", *({"prompt": f"Name {i} hills."} for i in range(4)))
    rows("ids.jsonl", *({"id": f"id-{i}", "prompt": f"Name {i} trees."} for i in range(4)))
    rows("leak.jsonl", {"id": "fresh", "prompt": "Name a bird."}, {"id": "leaked", "prompt": "Name 2 trees."})
    rows("nocolumn.jsonl", {"prompt": "a"}, {"text": "b"})
    ending = [{"role": "user", "content": "Well?"}, {"role": "assistant", "content": "Well."}]
    rows("assistant.jsonl", {"prompt": "a"}, {"prompt": ending})
    rows("long.jsonl", *({"id": f"long-{i}", "prompt": "word " * (3000 * (i == 3) + i + 1)} for i in range(4)))
    rows("empty.jsonl")
    rows("twice.jsonl", *({"id": identity, "prompt": f"p{i}"} for i, identity in enumerate("abbc")))
    rows("surrogate.jsonl", {"prompt": "a"}, {"prompt": "half an emoji: \ud83d"})
    (here / "badjson.jsonl").write_text('{"prompt": "a"}\n{"prompt": "b"}\n{"prompt": \n')
    (here / "latin1.jsonl").write_bytes('{"prompt": "caf\u00e9"}\n'.encode("latin-1"))
    (here / "prompts.txt").write_text("Name a river.\n")
    (here / "folder.jsonl").mkdir()
    for name, without in (
        ("model", ""), ("no-safetensors", "*.safetensors"), ("no-tokenizer", "tokenizer*"), ("no-template", "*.jinja"),
    ):  # fmt: skip
        shutil.copytree(tiny_model, here / name)
        for file in (here / name).glob(without) if without else ():
            file.unlink()
    write_moved(tiny_model, here / "moved", scale=0.01, seed=0)
    shutil.copytree(here / "moved", here / "other-tokens")
    settings = here / "other-tokens" / "tokenizer_config.json"
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "eos_token": "<|endoftext|>"}))
    return here


def check_refusal(case: Case, outcome: Outcome, here: Path) -> None:
    assert "Traceback" not in outcome.out + outcome.err
    assert outcome.code == 2, outcome
    assert outcome.err.startswith("error: ") and "\n  remedy: " in outcome.err
    for text in case.says:
        assert text.replace("{here}", str(here)) in outcome.err


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_wrong_run_is_refused_with_field_value_and_remedy(case: Case, shell: Shell) -> None:
    """It ends with 2 before any actor, says what is wrong and what to do, and leaves no run directory."""
    check_refusal(case, shell.run(*case.overrides), shell.here)
    assert shell.left() == []


@pytest.mark.parametrize("case", [pytest.param(c, id=c.name) for c, _ in MORE_CASES])
def test_a_wrong_run_is_refused_where_the_system_would_raise(case: Case, shell: Shell) -> None:
    check_refusal(case, shell.run(*case.overrides), shell.here)
    assert shell.left() == []


@pytest.mark.parametrize("case", [c for c in CASES if c.name in THROUGH_THE_COMMAND], ids=lambda case: case.name)
def test_the_installed_command_refuses_as_main_does(case: Case, shell: Shell) -> None:
    """The command that users type ends with the same code and the same words."""
    done = command("run", *shell.words(case.overrides))
    check_refusal(case, done, shell.here)
    assert shell.left() == []


def command(*words: str, timeout: float = 120) -> Outcome:
    done = subprocess.run([ROUNDELAY, *words], capture_output=True, text=True, timeout=timeout, check=False)
    return Outcome(code=done.returncode, out=done.stdout, err=done.stderr)


@pytest.mark.parametrize("words", ["", "retrain", "run --nonsense", "show", "resume"])
def test_a_mistyped_command_ends_with_2_and_the_usage(words: str, shell: Shell) -> None:
    """An unknown command or option and a missing argument are wrong input like any other."""
    outcome = shell.roundelay(*words.split())
    assert outcome.code == 2
    assert "roundelay" in outcome.out + outcome.err


def test_a_misspelt_recipe_is_refused_with_the_nearest_one(shell: Shell) -> None:
    outcome = shell.roundelay("recipes", "selfrewarding")
    assert outcome.code == 2
    for text in ("selfrewarding: no such recipe", "did you mean self_rewarding?", "known: aft, alma, "):
        assert text in outcome.err


def test_a_command_that_is_deaf_to_ctrl_c_still_heeds_sigterm(shell: Shell) -> None:
    """As one that a script started in its background: Ctrl-C stays ignored, SIGTERM interrupts."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        shell.roundelay("recipes")
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_sweep_with_a_failed_run_ends_with_1(shell: Shell) -> None:
    """So that a script sees it; the other runs are tried all the same."""
    words = [word for word in shell.words([]) if not word.startswith(("run.root=", "run.name="))]
    outcome = shell.roundelay("sweep", *words, "run.prompts_per_round=9,10", "--root", str(shell.root), "--name", "s")
    assert "run.prompts_per_round=9" in outcome.out and "run.prompts_per_round=10" in outcome.out
    assert outcome.code == 1


def test_a_directory_that_holds_another_run_is_left_as_it_is(shell: Shell) -> None:
    """A second run of the same name is refused, says how to go on with the first, and changes nothing of it."""
    ledger = Ledger(str(shell.root / "attempt"))
    ledger.create({"config": {}})
    case = wrong("", "", f"run directory {ledger.url} holds another run", f"roundelay resume {ledger.url}", "run.name")
    check_refusal(case, shell.run(), shell.here)
    assert [path.name for path in (shell.root / "attempt").iterdir()] == ["run.yaml"]
    assert ledger.header()["config"] == {}


def test_a_directory_of_other_files_is_left_as_it_is(shell: Shell) -> None:
    """A run never moves in with files that are not its own."""
    (shell.root / "attempt").mkdir(parents=True)
    (shell.root / "attempt" / "thesis.tex").write_text("mine")
    says = (f"run directory {shell.root / 'attempt'} is not empty", "choose another run.name")
    check_refusal(wrong("", "", *says), shell.run(), shell.here)
    assert [path.name for path in (shell.root / "attempt").iterdir()] == ["thesis.tex"]


@pytest.fixture
def begun(shell: Shell) -> Ledger:
    """A run directory whose first two rounds are (as far as a resume looks) finished."""
    config = load_config([*shell.words([]), "run.rounds=3"])
    with create_run(config) as (_, ledger):
        for round in range(3):
            ledger.commit_round(round, {"round": round, "seconds": {}, "sync_parity": 0.0})
    return Ledger(ledger.url)


@pytest.mark.parametrize(
    "case",
    [
        wrong("frozen field", "learner.epochs=2", "learner.epochs=2", "this run has 1", "start a new run"),
        wrong("frozen prompts", "prompts.train.path=other.jsonl", "prompts.train.path='other.jsonl'", "a new run"),
        wrong("fewer rounds than finished", "run.rounds=1", "run.rounds=1", "2 rounds are finished", "as many or more"),
        wrong("unknown key", "cluster.rolout.actors=2", "cluster.rolout.actors=2", "cluster.rollout.actors?"),
        wrong("group", "cluster=node_8gpu", "cluster=node_8gpu", "key=value of known keys only"),
        wrong("sweep", "run.rounds=5,6", "run.rounds=5,6", "key=value of known keys only"),
        wrong("wrong type", "cluster.rollout.actors=many", "cluster.rollout.actors='many'", "valid integer"),
        wrong("impossible", "cluster.learner.ranks=99", "cluster.learner.ranks=99", "lower cluster.learner.ranks"),
    ],
    ids=lambda case: case.name,
)
def test_a_wrong_resume_is_refused_and_changes_nothing(case: Case, begun: Ledger, shell: Shell) -> None:
    """What would alter finished rounds is refused by name, and run.yaml stays as it was."""
    before = begun.read_bytes("run.yaml")
    check_refusal(case, shell.roundelay("resume", begun.url, *case.overrides), shell.here)
    assert begun.read_bytes("run.yaml") == before


@pytest.fixture
def begun_phases(shell: Shell) -> Ledger:
    """A run of two phases, whose first is (as far as a resume looks) finished."""
    sizes = ("phases.reward_model.prompts_per_round=4", "phases.ppo.prompts_per_round=4")
    with create_run(load_config(shell.words(["recipe=rlcd", *sizes]))) as (_, ledger):
        for round in range(2):
            ledger.commit_round(round, {"round": round, "seconds": {}, "sync_parity": 0.0})
    return Ledger(ledger.url)


@pytest.mark.parametrize(
    "case",
    [
        wrong("a phase's rate", "phases.ppo.learner.learning_rate=1", "phases.ppo.learner.learning_rate=1",
              "this run has 1e-05", "start a new run"),
        wrong("the top's rate", "learner.learning_rate=1", "learner.learning_rate=1", "start a new run"),
        wrong("a phase's judge", "phases.ppo.judge.kind=function", "phases.ppo.judge.kind='function'", "a new run"),
        wrong("misspelt phase", "phases.pppo.learner.zero_stage=2", "phases.ppo.learner.zero_stage?"),
        wrong("impossible in a phase", "phases.ppo.learner.zero_stage=4", "learner.zero_stage=4", "0, 1, 2 or 3"),
    ],
    ids=lambda case: case.name,
)  # fmt: skip
def test_a_wrong_resume_of_phases_is_refused_and_changes_nothing(
    case: Case, begun_phases: Ledger, shell: Shell
) -> None:
    before = begun_phases.read_bytes("run.yaml")
    check_refusal(case, shell.roundelay("resume", begun_phases.url, *case.overrides), shell.here)
    assert begun_phases.read_bytes("run.yaml") == before


def test_what_alters_no_finished_round_may_change_in_all_phases_or_in_one(begun_phases: Ledger) -> None:
    """And stands in run.yaml from then on."""
    with resume_run(begun_phases.url, ["learner.zero_stage=2"]) as (config, _):
        assert [config.at(round).learner.zero_stage for round in (0, 1, 2)] == [2, 2, 2]
    with resume_run(begun_phases.url, ["phases.ppo.learner.zero_stage=3", "run.rounds=43"]) as (config, _):
        assert [config.at(round).learner.zero_stage for round in (0, 1, 2, 43)] == [2, 2, 3, 3]
    with resume_run(begun_phases.url, []) as (again, _):
        assert again == config


def test_a_run_knows_the_models_that_its_judges_compare_and_a_resume_refuses_others(
    shell: Shell, tmp_path: Path
) -> None:
    """By their directory and the hashes of their files, under the names that the configuration gives them."""
    moved = shutil.copytree(shell.here / "moved", tmp_path / "dpo")
    words = ["recipe=cdr", f"judge.strong={moved}", "judge.weak=initial"]
    with create_run(load_config(shell.words(words))) as (_, ledger):
        kept = {"path": str(moved), "sha256": weights_hash(str(moved)), "files": model_files(str(moved))}
        assert ledger.header()["models"] == {str(moved): kept}
    with resume_run(ledger.url, []):
        pass
    weights = moved / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    case = wrong("", "", f"{moved} is another model than when the run began: model.safetensors", "restore it")
    check_refusal(case, shell.roundelay("resume", ledger.url), shell.here)


def test_a_resume_from_other_weights_is_refused(begun: Ledger, shell: Shell, tiny_model: Path) -> None:
    """References are measured against the initial policy, so its files may not change under a run."""
    weights = shell.here / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    try:
        case = wrong("", "", f"model.path={shell.here}/model is another model", "model.safetensors was changed")
        check_refusal(case, shell.roundelay("resume", begun.url), shell.here)
    finally:
        shutil.copy(tiny_model / "model.safetensors", weights)


@pytest.mark.parametrize("through_the_command", [False, True])
@pytest.mark.parametrize("verb", ["resume", "show"])
def test_a_directory_that_holds_no_run_is_refused(verb: str, through_the_command: bool, shell: Shell) -> None:
    """A mistyped path is not made: the message says that there is no run in it."""
    target = shell.root / "absent"
    outcome = command(verb, str(target)) if through_the_command else shell.roundelay(verb, str(target))
    check_refusal(wrong("", "", f"{target} holds no run", "check the path"), outcome, shell.here)
    assert shell.left() == []


def test_more_actors_than_the_cluster_can_ever_hold_end_at_once(shell: Shell) -> None:
    """No waiting for a placement that cannot come: the bundle is named, and what is left can go on."""
    words = shell.words(["cluster.rollout.actors=9", "cluster.num_cpus=2"])
    says = ("bundle rollout-2 can never be placed", "2 CPU", "lower cluster.rollout.actors")
    outcome = command("run", *words, timeout=180)
    assert "Traceback" not in outcome.out + outcome.err
    assert outcome.code == 2
    assert all(text in outcome.err for text in says)
    left = shell.root / "attempt"
    if left.exists():
        with resume_run(str(left), ["cluster.rollout.actors=1"]) as (config, ledger):
            assert config.cluster.rollout.actors == 1
            assert ledger.finished_rounds() == []
