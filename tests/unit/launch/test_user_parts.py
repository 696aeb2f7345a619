"""A part of the user's own: one module outside the repository, one YAML beside it, and it is a kind like any other."""

import json
import math
import subprocess
from pathlib import Path

import pytest
from support.own_parts import PAGE, write_own_parts
from support.runs import ROUNDELAY

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
