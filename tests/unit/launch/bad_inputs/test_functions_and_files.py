"""Functions of the user's, URLs, and the other commands' arguments."""

import sys
from pathlib import Path

import pytest
from support.bad_inputs import BadInput, CommandLine, bad_inputs, by_words

FUNCTIONS = bad_inputs("""
judge=function judge.function=bad_syntax:f | judge.function=bad_syntax:f | SyntaxError | bad_syntax.py, line 1 | mend
judge=function judge.function=bad_raise:f | judge.function=bad_raise:f | ZeroDivisionError | bad_raise.py | mend
judge=function judge.function=bad_exit:f | judge.function=bad_exit:f | SystemExit: 3 | mend that module
judge=function judge.function=bad_import:f | judge.function=bad_import:f | no_such_thing | PYTHONPATH
judge=function judge.function=bad_args:one | judge.function=bad_args:one takes (a) | 2 positional arguments
judge=function judge.function=bad_args:value | judge.function=bad_args:value | has no function value
judge=function judge.function=bad_args:absent | judge.function=bad_args:absent | has no function absent
pairing=function pairing.function=bad_syntax:f | pairing.function=bad_syntax:f | SyntaxError | mend that module
pairing=function pairing.function=bad_args:one | pairing.function=bad_args:one takes (a) | 3 positional arguments
objective=function objective.function=bad_raise:f | objective.function=bad_raise:f | ZeroDivisionError | mend
objective=function objective.function=bad_args:none | objective.function=bad_args:none takes () | 1 positional argument
objective=function objective.function=bad_args:one +objective.parameters.q=1 | bad_args:one takes (a) | 'q'
""")

FILES = bad_inputs("""
run.root=s3://bucket/runs | s3://bucket/runs/attempt | no package for s3:// | pip install s3fs
run.root=gs://bucket/runs | gs://bucket/runs/attempt | no package for gs:// | pip install gcsfs
run.root=foo://bucket/runs | foo://bucket/runs/attempt | no file system for foo:// | a local path
run.root=/proc/runs | /proc/runs/attempt cannot be made | set run.root
prompts.train.path= | prompts.train.path= is no .jsonl | convert it
prompts.train.path=s3://b/x.jsonl | prompts.train.path=s3://b/x.jsonl | check the path
prompts.train.path=absent.csv | prompts.train.path=absent.csv does not exist | check the path
--config-dir=absent | --config-dir absent is no directory | holds your groups
--config-dir=train.jsonl | --config-dir train.jsonl is no directory | holds your groups
""")

COMMANDS = bad_inputs("""
show absent | absent holds no run | check the path
show train.jsonl | train.jsonl holds no run | check the path
show model | model holds no run | check the path
show s3://bucket/run | s3://bucket/run | pip install s3fs
show foo://bucket/run | foo://bucket/run | a local path
resume absent | absent holds no run | check the path
resume train.jsonl run.rounds=3 | train.jsonl holds no run | check the path
resume foo://bucket/run | foo://bucket/run | a local path
compare absent:1 absent:2 | absent holds no run | check the path
compare absent | absent holds no run | check the path
compare a:1 b:2 c:3 | a:1 b:2 c:3: cannot be compared | RUN[:ROUND]
judge-accuracy absent:1 train.jsonl --format llmbar | absent holds no run | check the path
judge-accuracy absent:1 train.jsonl --format nope | --format nope | known: llmbar
lm-eval absent:1 --tasks gsm8k | absent holds no run | check the path
sweep run.rounds=1,x | run.rounds='x' | set run.rounds
sweep recipe=nope,rlcd | recipe=nope | known: aft
sweep a=[1 | '[1' | quote values
sweep --root train.jsonl run.rounds=1 | --root train.jsonl | a directory you may write
sweep --name ../x run.rounds=1 | --name ../x | without slashes
sweep --name model --root . run.rounds=1 | model is not empty and holds no sweep | another --name
recipes nope | nope: no such recipe | known: aft
recipes self_rewarding --config-dir absent | --config-dir absent is no directory | holds your groups
recipes --config-dir absent | --config-dir absent is no directory | holds your groups
run --cfg recipe=nope | recipe=nope | known: aft
run --dry-run learner.epochs=0 | learner.epochs=0 | set learner.epochs
""")


@pytest.fixture(scope="module")
def modules(here: Path):
    """Modules on Python's path: none of them has a function that could be called."""
    for name, text in {
        "bad_syntax": "def f(:\n", "bad_raise": "1 / 0\n", "bad_exit": "import sys\nsys.exit(3)\n",
        "bad_import": "import no_such_thing\n",
        "bad_args": "value = 3\ndef one(a): return 1\ndef none(): return 1\n",
    }.items():  # fmt: skip
        (here / f"{name}.py").write_text(text)
    sys.path.insert(0, str(here))
    yield
    sys.path.remove(str(here))


@by_words(FUNCTIONS)
def test_a_function_that_cannot_be_called_is_refused(case: BadInput, modules: None, line: CommandLine) -> None:
    line.refuses_run(case)


@by_words(FILES)
def test_a_place_that_nothing_can_be_read_from_is_refused(case: BadInput, line: CommandLine) -> None:
    line.refuses_run(case)


@by_words(COMMANDS)
def test_the_other_commands_refuse_wrong_words_alike(case: BadInput, line: CommandLine) -> None:
    line.refuses(case)
