"""A part of the user's own: one module outside the repository, one YAML beside it, and it is a kind like any other."""

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.configs import base
from support.own_parts import PAGE, write_own_parts
from support.runs import ROUNDELAY

from roundelay.orchestrator.errors import ConfigError
from roundelay.orchestrator.parts import registry
from roundelay.orchestrator.parts.registry import Place
from roundelay.orchestrator.parts.user_functions import load_module
from roundelay.recipes.objectives.dpo import DpoObjective

FILTER = '''
"""Keep short responses."""

from typing import ClassVar, Literal

from roundelay.orchestrator.fields import PositiveInt
from roundelay.orchestrator.data.filtering import Decision
from roundelay.orchestrator.parts.filter import FilterPart
from roundelay.orchestrator.parts.registry import part


@part("filter")
class ShortFilter(FilterPart):
    """Pairs whose chosen response is short."""

    kind: Literal["short"]
    max_chars: PositiveInt
    takes_pairs: ClassVar[bool] = True

    def sentence(self) -> str:
        return f"Pairs whose chosen response has at most {self.max_chars} characters."

    def build(self, seed: int):
        return lambda rows: Decision(dropped=[None if n <= self.max_chars else "long" for n in rows["chars"]])
'''


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A folder of the user's with a filter and its YAML."""
    (tmp_path / "my_filter.py").write_text(FILTER)
    (tmp_path / "configs" / "filter").mkdir(parents=True)
    (tmp_path / "configs" / "filter" / "short.yaml").write_text("kind: short\nmax_chars: 80\n")
    return tmp_path


def roundelay(mine: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROUNDELAY, *words, "--config-dir", str(mine / "configs")],
        env={"PYTHONPATH": str(mine), "HF_HUB_OFFLINE": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


RUN = ("run", "--dry-run", "model=local", "model.path=/none", "filter=short")


def test_a_module_of_the_users_brings_a_kind(mine: Path) -> None:
    """In the configuration that the run keeps, in its plan, and in its errors."""
    done = roundelay(mine, *RUN, "--parts", "my_filter")
    assert done.returncode == 0, done.stderr
    assert "parts:\n- my_filter\n" in done.stdout and "max_chars: 80" in done.stdout
    assert "short, as shards come" in done.stdout
    refused = roundelay(mine, *RUN, "parts=[my_filter]", "filter.max_chars=0")
    assert refused.returncode == 2
    assert "filter.max_chars=0" in refused.stderr and "greater than 0" in refused.stderr


def test_cross_part_rules_hold_for_it_by_its_traits(mine: Path) -> None:
    refused = roundelay(mine, *RUN, "--parts", "my_filter", "pairing=group", "pairing.min_responses=2",
                        "pairing.ties=drop", "objective=rrhf")  # fmt: skip
    assert refused.returncode == 2
    assert "filter.kind=short goes by the two responses of a pair" in refused.stderr


@pytest.mark.parametrize(
    ("module", "told"),
    [
        (None, "filter.kind=short: no such kind"),
        ("absent", "parts=[absent]: cannot import absent"),
        ("broken", "parts=[broken]: importing broken raises SyntaxError"),
        ("second", "filter.kind=rip is roundelay.recipes.filters.rip.RipFilter already"),
        ("../my_filter", "parts=[../my_filter]: this is no module's name"),
    ],
)
def test_a_module_that_brings_nothing_is_named(mine: Path, module: str | None, told: str) -> None:
    (mine / "broken.py").write_text("def f(:\n")
    (mine / "second.py").write_text(FILTER.replace('Literal["short"]', 'Literal["rip"]'))
    done = roundelay(mine, *RUN, *(() if module is None else (f"parts=['{module}']",)))
    assert done.returncode == 2
    assert told.lower() in done.stderr.lower() and "Traceback" not in done.stderr


CHECK = """
import asyncio, json, sys
import my_parts, my_losses, torch
from roundelay.orchestrator.data.records import Generation, Judgment, Prompt, Message, Rollout, Shard
from roundelay.orchestrator.parts.judge import JudgeContext
from roundelay.orchestrator.parts.pairing import PairingContext
from roundelay.orchestrator.parts.sampling import SamplingConfig
from roundelay.recipes.losses.batches import PairBatch

prompt = Prompt(id="p", messages=(Message(role="user", content="Name a prime."),))
texts = ("7", "Seven is a prime, I think.", "It is 11.")
rollouts = [
    Rollout(prompt_id="p", sample=i, variant="plain", prompt_token_ids=(1,), sampler_token_ids=(1,), token_ids=(2,),
            logprobs=(-1.0,), text=text, finish_reason="stop", policy_version=0, seed=i)
    for i, text in enumerate(texts)
]
shard = Shard(round=1, index=0, prompts=(prompt,), split="train")
judge = my_parts.BrevityJudge(
    kind="brevity", sampling=SamplingConfig(temperature=1.0, top_p=1.0, max_tokens=9)
).build(JudgeContext(seed=0, purpose=("judge",), scorers=None, own_logps=True))

async def answer(requests):
    assert "How brief" in requests[0].messages[0].content
    said = ["Short. Rating: [[5]]", "Rating: [[1]]", "Rating: [[2]]"]
    return [Generation(prompt_token_ids=(1,), plain_token_ids=(), token_ids=(2,), logprobs=(-1.0,), text=text,
                       finish_reason="stop", choice_logprobs=()) for text in said]

judgments = asyncio.run(judge(shard, rollouts, answer))
context = PairingContext(run_seed=0, split="train", round=1, drop_truncated=False, drop_empty=True, max_tokens=99)
pair = my_parts.BestOverLongestPairing(kind="best_over_longest").build(context)(prompt, rollouts, judgments).pair
one = lambda value: torch.tensor([float(value)])
batch = PairBatch(chosen_B=one(-1), rejected_B=one(-3), reference_chosen_B=one(-2), reference_rejected_B=one(-3),
                  chosen_lengths_B=one(1), rejected_lengths_B=one(1))
losses, _ = my_losses.margin_dpo(batch, beta=0.1, margin=0.5)
print(json.dumps([[j.score for j in judgments], pair.chosen.text, pair.rejected.text, losses.item()]))
"""


def test_a_judge_a_pairing_rule_and_an_objective_of_the_users_work_as_the_page_has_them(tmp_path: Path) -> None:
    """Each touches one module and one YAML. The loss is −log σ(0.1·((−1+3) − (−2+3)) − 0.5) = log(1 + e^0.4)."""
    write_own_parts(tmp_path)
    done = subprocess.run(
        [str(Path(ROUNDELAY).parent / "python"), "-c", CHECK], env={"PYTHONPATH": str(tmp_path)},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    scores, chosen, rejected, loss = json.loads(done.stdout.splitlines()[-1])
    assert scores == [5.0, 1.0, 2.0]
    assert (chosen, rejected) == ("7", "Seven is a prime, I think.")
    assert loss == pytest.approx(math.log(1 + math.exp(0.4)), abs=1e-6)


def test_the_pages_parts_go_into_a_run(tmp_path: Path) -> None:
    write_own_parts(tmp_path)
    words = ("judge=brevity", "pairing=best_over_longest", "objective=margin_dpo", "--parts", "my_parts")
    done = roundelay(tmp_path, "run", "--dry-run", "model=local", "model.path=/none", *words)
    assert done.returncode == 0, done.stderr
    assert "judgments (brevity)" in done.stdout and "best_over_longest: at most" in done.stdout
    assert "margin: 0.5" in done.stdout


def test_a_judge_that_asks_for_text_takes_under_forty_lines() -> None:
    code = PAGE.read_text().partition("```python\n")[2].partition("```")[0]
    judge = code[: code.index('@part("pairing")')]
    imports_of_others = ("PositiveFloat", "PairingPart", "PairObjective", "candidates")
    lines = [
        line for line in judge.splitlines() if line.strip() and not any(word in line for word in imports_of_others)
    ]
    assert len(lines) < 40


BASE = "from typing import ClassVar, Literal\nfrom roundelay.orchestrator.parts.registry import part\n"
JUDGE = f"{BASE}from roundelay.orchestrator.parts.judge import JudgePart\n"
WHOLE = "    def sentence(self):\n        return 'x'\n    def build(self, context):\n        return None\n"


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (f"{JUDGE}@part('judge')\nclass Mine(JudgePart):\n{WHOLE}", "odd.Mine does not say which kind it is"),
        (f"{JUDGE}@part('judge')\nclass Mine(JudgePart):\n    kind: str\n{WHOLE}", "does not say which kind it is"),
        (
            f"{JUDGE}@part('judge')\nclass Mine(JudgePart):\n    kind: Literal['a', 'b']\n{WHOLE}",
            "does not say which kind it is",
        ),
        (f"{JUDGE}@part('judges')\nclass Mine(JudgePart):\n    kind: Literal['a']\n", "there is no such group"),
        (f"{BASE}@part('judge')\nclass Mine:\n    kind: Literal['a']\n", "derives from no judge"),
        (f"{JUDGE}@part('judge')\nclass Mine(JudgePart):\n    kind: Literal['a']\n", "odd.Mine has no sentence()"),
        (
            f"{JUDGE}from dataclasses import dataclass\n@part('judge')\n@dataclass(frozen=True)\n"
            f"class Mine(JudgePart):\n    kind: Literal['a']\n{WHOLE}",
            "is a dataclass already",
        ),
    ],
)
def test_a_class_that_is_no_part_is_told_so_by_its_name(
    code: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "odd.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "odd", raising=False)
    with pytest.raises(ConfigError, match=re.escape(told)) as caught:
        load_module("odd", "parts=[odd]")
    assert caught.value.remedy


def test_super_works_in_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slots make another class of the one that was written."""
    monkeypatch.setattr(registry, "_KINDS", {group: dict(found) for group, found in registry._KINDS.items()})
    (tmp_path / "calls_super.py").write_text(
        f"{JUDGE}@part('judge')\nclass Mine(JudgePart):\n    kind: Literal['calls_super']\n{WHOLE}"
        "    def description(self):\n        return super().description() + '!'\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    module = load_module("calls_super", "parts=[calls_super]")
    assert module.Mine(kind="calls_super").description() == "calls_super!"


def test_given_responses_of_a_users_kind_are_not_sampled(tmp_path: Path) -> None:
    """What the recipe says of sampling is left out, as for the shipped kind."""
    (tmp_path / "my_given.py").write_text(
        f"{BASE}from roundelay.recipes.generation.given import GivenGeneration\n"
        "from roundelay.orchestrator.parts.generation import GenerationPart\n"
        "@part('generation')\nclass Mine(GenerationPart):\n    kind: Literal['my_given']\n"
        "    samples: ClassVar[bool] = False\n    takes_given: ClassVar[bool] = True\n"
        "    ranks: ClassVar[bool] = True\n"
        "    def responses(self):\n        return GivenGeneration(kind='given').responses()\n"
        "    def sentence(self):\n        return 'x'\n    def build(self, seed):\n        return None\n"
    )
    (tmp_path / "configs" / "generation").mkdir(parents=True)
    (tmp_path / "configs" / "generation" / "my_given.yaml").write_text("kind: my_given\n")
    words = ("model=local", "model.path=/none", "generation=my_given", "judge=none", "pairing=ranked")
    done = roundelay(tmp_path, "run", "--dry-run", *words, "--parts", "my_given")
    assert done.returncode == 0, done.stderr


def test_an_objective_whose_loss_is_not_there_is_refused_before_the_start(tmp_path: Path) -> None:
    place = Place(field="objective", config=base())
    with pytest.raises(ConfigError, match=re.escape("objective.kind=dpo, loss=nowhere:f: cannot import nowhere")):
        with_loss = type("Other", (DpoObjective,), {"__slots__": (), "loss": "nowhere:f"})
        with_loss(kind="dpo", beta=0.1).check_available(place)
