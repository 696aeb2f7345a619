"""Overrides that Hydra cannot read or that name nothing, and files of config groups that are none."""

from pathlib import Path

import pytest
from support.bad_inputs import BadInput, CommandLine, bad_inputs, by_words

WORDS = bad_inputs("""
a | 'a' | check the spelling
a= | unknown key a= | --cfg
= | No match in the defaults list | check the spelling
=3 | =3 | check the spelling
++ | '++' | check the spelling
+x=1 | unknown key x=1 | known: cluster, conditioning
~x | 'x' | check the spelling
~run.name | run.name has no value | set it
~model | ${recipe}_${model} | check the spelling
run.name | 'run.name' | check the spelling
run.name==x | 'run.name==x' | check the spelling
run.rounds=[ | '[' | check the spelling
run.rounds={ | '{' | check the spelling
"run.rounds='" | run.rounds=' | check the spelling
'run.rounds=${nope}' | run.rounds=${nope}: Interpolation key 'nope' not found | check the spelling
'run.rounds=${oc.env:NOPE}' | run.rounds=${oc.env:NOPE} | 'NOPE' not found | check the spelling
'run.rounds=${run.rounds}' | run.rounds=${run.rounds}: Recursive interpolation | check the spelling
run.rounds=??? | run.rounds has no value | set it
run.rounds=range(1,3) | run.rounds=range(1,3) | check the spelling
run.rounds=1,2 | run.rounds=1,2 | quote values with commas
'run . rounds=1' | run . rounds=1 | check the spelling
ключ=1 | ключ=1 | check the spelling
run.round=1 | unknown key run.round=1 | did you mean run.rounds?
run=3 | run=3 | such as run.rounds=3
run={} | run={} | such as run.rounds=3
phases=3 | phases=3 | phases.NAME.rounds=2
phases=[1] | phases=[1] | phases.NAME.rounds=2
phases={a:3} | phases={a:3} | phases.NAME.rounds=2
phases.x.rounds=1 | phases.x.rounds=1: the recipe has no phase x | leave `phases.…` out
model=3 | model=3: a config group takes the name | model=NAME
judge=[ab] | judge=[ab]: a config group takes the name | judge=NAME
recipe={} | recipe={}: a config group takes the name | recipe=NAME
model=nope | model=nope: no such model | known: local, smollm2_135m
prompts=nope | prompts=nope: no such prompts | known: file, starter
recipe=nope | recipe=nope: no such recipe | known: aft
recipe=../../etc | recipe=../../etc: no such recipe | known: aft
recipe=/etc/passwd | recipe=/etc/passwd: no such recipe | known: aft
generation=nope | generation=nope: no such generation | known: altered_instruction
judge=nope | judge=nope: no such judge | did you mean judge=none?
judge@evaluation.judge=nope | judge=nope: no such judge | did you mean judge=none?
judge@evaluation.jugde=ab | judge@evaluation.jugde=ab | did you mean
pairing=nope | pairing=nope: no such pairing | known: agreement
objective=nope | objective=nope: no such objective | known: attribute_regression
filter=nope | filter=nope: no such filter | did you mean filter=none?
conditioning=nope | conditioning=nope: no such conditioning | did you mean conditioning=none?
new_prompts=nope | new_prompts=nope: no such new_prompts | did you mean new_prompts=none?
learner=nope | learner=nope: no such learner | known: adamw
evaluation=nope | evaluation=nope: no such evaluation | known: heldout
cluster=nope | cluster=nope: no such cluster | known: laptop_cpu
tracking=nope | tracking=nope: no such tracking | known: wandb
evaluation=null | evaluation=null: a config group cannot be null | choose one of its members
model@foo=local | model@foo=local | did you mean model?
foo@model=local | foo@model=local | check the spelling
hydra.run.dir=x | hydra.run.dir=x would do nothing | leave it out
hydra/launcher=basic | hydra/launcher=basic | leave it out
prompts.train.splitt=x | unknown key prompts.train.splitt=x | did you mean prompts.train.split?
objective=function objective.function=m:f objective.parameters={q:1} | objective.parameters={q:1} | add each with a plus
""")

GROUP_FILES = bad_inputs("""
recipe=broken | recipe/broken.yaml, line 1: not YAML | mend the file
recipe=tabs | recipe/tabs.yaml, line 1: not YAML | mend the file
recipe=latin | groups/recipe/latin.yaml is no UTF-8 | save it as UTF-8
recipe=list | run.prompts_per_round=4: the recipe gives | let its file set it
recipe=empty | run.prompts_per_round=4: the recipe gives | let its file set it
recipe=nodefault | judge=nope: no such judge | did you mean judge=none?
recipe=folder | recipe=folder: no such recipe | known: aft
recipe=unknown | unknown key objective.betta=1 | did you mean objective.beta?
""")


@by_words(WORDS)
def test_words_that_name_nothing_are_refused(case: BadInput, line: CommandLine) -> None:
    line.refuses_run(case)


@pytest.fixture(scope="module")
def groups(here: Path) -> Path:
    recipes = here / "groups" / "recipe"
    (recipes / "folder.yaml").mkdir(parents=True)
    unknown = "# @package _global_\ndefaults: [self_rewarding]\nobjective: {betta: 1}\n"
    nodefault = "# @package _global_\ndefaults:\n  - /judge: nope\n"
    for name, text in {
        "broken": "a: [", "tabs": "\ta: 1", "list": "- a", "empty": "", "nodefault": nodefault, "unknown": unknown
    }.items():  # fmt: skip
        (recipes / f"{name}.yaml").write_text(text)
    (recipes / "latin.yaml").write_bytes(b"a: caf\xe9")
    return here / "groups"


@by_words(GROUP_FILES)
def test_a_recipes_file_that_is_none_is_refused_by_name(case: BadInput, groups: Path, line: CommandLine) -> None:
    line.refuses_run(BadInput(words=("--config-dir", "groups", *case.words), says=case.says))
