"""Judges that give every response a number: whose number it is, and that nothing but a finite one becomes a score."""

import asyncio
import math
import sys
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roundelay.orchestrator.data.records import (
    Generation,
    GenerationRequest,
    Judgment,
    Message,
    Prompt,
    Rollout,
    Shard,
    TokenSequence,
)
from roundelay.orchestrator.errors import ConfigError, RunError
from roundelay.orchestrator.parts.user_functions import load_function
from roundelay.recipes.judges.attribute_model import judge_attribute_model
from roundelay.recipes.judges.function import judge_function
from roundelay.recipes.judges.reward_model import judge_reward_model

PROMPTS = tuple(Prompt(id=name, messages=(Message(role="user", content=f"Tell me of {name}."),)) for name in "pq")
SHARD = Shard(round=1, index=0, prompts=PROMPTS, split="train")


def rollout(prompt_id: str, sample: int, text: str = "yes") -> Rollout:
    """Sampled from a prompt with an affix: its `sampler_token_ids` are not those of the plain one."""
    return Rollout(
        prompt_id=prompt_id,
        sample=sample,
        variant="plain",
        prompt_token_ids=(ord(prompt_id),),
        sampler_token_ids=(ord(prompt_id), 99),
        token_ids=(10 + sample, 2),
        logprobs=(-1.0, -1.0),
        text=text,
        finish_reason="stop",
        policy_version=0,
        seed=0,
    )


ROLLOUTS = [rollout("q", 0), rollout("p", 0), rollout("q", 1)]


async def never(requests: Sequence[GenerationRequest]) -> list[Generation]:
    raise AssertionError("these judges ask no rollout engine")


def rewarded(rewards: Sequence[float]) -> list[Judgment]:
    async def score(sequences: Sequence[TokenSequence]) -> list[list[float]]:
        return [[reward] for reward in rewards]

    return asyncio.run(judge_reward_model(SHARD, ROLLOUTS, never, score=score))


def returned(value: Any) -> list[Judgment]:
    return asyncio.run(judge_function(SHARD, ROLLOUTS, never, function=lambda prompt, rollout: value))


# --------------------------------------------------------------------------------------------------- judge_reward_model


def test_every_response_is_scored_once_under_its_plain_prompt_and_gets_its_own_reward() -> None:
    calls: list[list[TokenSequence]] = []

    async def score(sequences: Sequence[TokenSequence]) -> list[list[float]]:
        calls.append(list(sequences))
        return [[float(sum(sequence.prompt_token_ids) + sequence.token_ids[0])] for sequence in sequences]

    judged = asyncio.run(judge_reward_model(SHARD, ROLLOUTS, never, score=score))
    p, q = ord("p"), ord("q")
    assert calls == [
        [
            TokenSequence(prompt_token_ids=(q,), token_ids=(10, 2)),
            TokenSequence(prompt_token_ids=(p,), token_ids=(10, 2)),
            TokenSequence(prompt_token_ids=(q,), token_ids=(11, 2)),
        ]
    ]
    assert judged == [
        Judgment(prompt_id=name, sample=sample, vote=0, status="parsed", score=score, choice_mass=None, text="")
        for name, sample, score in (("q", 0, q + 10.0), ("p", 0, p + 10.0), ("q", 1, q + 11.0))
    ]


def test_an_attribute_models_values_are_kept_and_their_weighted_sum_is_the_score() -> None:
    """0.65·3 − 0.4·1.25 = 1.45, and 0.65·(−0.5) − 0.4·4.5 = −2.125. A value may be off the scale."""
    rows = [[3.0, 1.25], [-0.5, 4.5], [0.1234567, 0.0]]

    async def score(sequences: Sequence[TokenSequence]) -> list[list[float]]:
        return rows[: len(sequences)]

    judge = partial(judge_attribute_model, score=score, weights={"helpfulness": 0.65, "verbosity": -0.4})
    judged = asyncio.run(judge(SHARD, ROLLOUTS, never))
    assert [(one.prompt_id, one.sample, one.score) for one in judged] == [
        ("q", 0, 1.45), ("p", 0, -2.125), ("q", 1, 0.0802)
    ]  # fmt: skip
    assert [one.attributes for one in judged] == [(3.0, 1.25), (-0.5, 4.5), (0.123457, 0.0)]
    rows[1] = [0.0, math.nan]
    with pytest.raises(RunError, match=r"gave 0\.0, nan for prompt 'p', sample 0"):
        asyncio.run(judge(SHARD, ROLLOUTS, never))


def test_rewards_of_either_sign_and_any_size_are_kept_to_six_decimals() -> None:
    scores = [judgment.score for judgment in rewarded([-0.12345649, 0.12345651, 1e5])]
    assert scores == [-0.123456, 0.123457, 1e5]


@pytest.mark.parametrize("reward", [math.nan, math.inf, -math.inf])
def test_a_reward_that_is_not_finite_stops_the_run_and_names_the_response(reward: float) -> None:
    with pytest.raises(RunError) as caught:
        rewarded([1.0, 2.0, reward])
    assert "'q', sample 1" in caught.value.what and str(reward) in caught.value.what
    assert caught.value.remedy


@pytest.mark.parametrize("rewards", [[1.0, 2.0], [1.0, 2.0, 3.0, 4.0]])
def test_a_reward_too_few_or_too_many_is_an_error(rewards: list[float]) -> None:
    with pytest.raises(ValueError, match="zip"):
        rewarded(rewards)


# ------------------------------------------------------------------------------------------------------- judge_function


def test_the_function_gets_every_response_with_its_own_prompt() -> None:
    judged = asyncio.run(
        judge_function(
            SHARD,
            [rollout("q", 0, "of q"), rollout("p", 0, "of q"), rollout("q", 1, "of p")],
            never,
            function=lambda prompt, rollout: float(rollout.text == f"of {prompt.id}") - 0.5 + rollout.sample,
        )
    )
    assert judged == [
        Judgment(prompt_id=name, sample=sample, vote=0, status="parsed", score=score, choice_mass=None, text="")
        for name, sample, score in (("q", 0, 0.5), ("p", 0, -0.5), ("q", 1, 0.5))
    ]


@pytest.mark.parametrize(
    ("value", "score"),
    [(3, 3.0), (True, 1.0), (False, 0.0), (-0.1234567, -0.123457), (np.float32(0.5), 0.5), (Fraction(1, 4), 0.25)],
)
def test_every_kind_of_finite_number_is_a_plain_float_score(value: object, score: float) -> None:
    for judgment in returned(value):
        assert judgment.score == score and type(judgment.score) is float


@pytest.mark.parametrize("value", [None, "4", "[bold]", (1.0,), 1j, math.nan, math.inf, np.float64("nan"), np.ones(2)])
def test_what_is_no_finite_number_stops_the_run_and_names_the_response_and_the_value(value: object) -> None:
    with pytest.raises(RunError) as caught:
        returned(value)
    assert "judge.function returned" in caught.value.what and "'q', sample 0" in caught.value.what
    assert repr(value) in caught.value.what
    assert "finite float" in caught.value.remedy


def test_a_long_value_is_cut_in_the_message() -> None:
    with pytest.raises(RunError) as caught:
        returned("x" * 10_000)
    assert len(caught.value.what) < 300


# -------------------------------------------------------------------------------------------------------- load_function


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the import path, with a package whose module has a function, and one that cannot be imported."""
    package = tmp_path / "roundelay_test_rewards"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "short.py").write_text(
        "LIMIT = 5\ndef score(prompt, rollout):\n    return -float(len(rollout.token_ids))\n"
    )
    (package / "broken.py").write_text("import roundelay_test_missing\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield package
    for name in [name for name in sys.modules if name.startswith(package.name)]:
        del sys.modules[name]


def test_a_function_is_found_by_its_name(modules: Path) -> None:
    function = load_function("roundelay_test_rewards.short:score", "judge.function")
    assert function(PROMPTS[0], ROLLOUTS[0]) == -2.0


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("roundelay_test_nowhere:score", "roundelay_test_nowhere"),
        ("roundelay_test_rewards.nowhere:score", "roundelay_test_rewards.nowhere"),
        ("roundelay_test_rewards..short:score", "roundelay_test_rewards."),
        ("roundelay_test_rewards.broken:score", "roundelay_test_missing"),  # what the module itself lacks
        ("roundelay_test_rewards.short:nothing", "nothing"),
        ("roundelay_test_rewards.short:LIMIT", "LIMIT"),  # is there, but cannot be called
    ],
)
def test_a_name_that_is_no_function_is_an_error_with_field_name_and_remedy(
    modules: Path, name: str, missing: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_function(name, "judge.function")
    field, _, reason = caught.value.what.partition(": ")
    assert field == f"judge.function={name}" and missing in reason
    assert caught.value.remedy
