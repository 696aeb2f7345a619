"""Judges that compare models by their log-probs: whose log-probs they are, and what they add up to."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.configs import BY_CREAM, CONTRAST, IMPLICIT, RATIO, base, changed

from roundelay.launch.phases import build_phase
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
from roundelay.orchestrator.errors import RunError
from roundelay.orchestrator.parts.judge import JudgePart
from roundelay.recipes.judges.density_ratio import DensityRatioJudge, instructed, judge_density_ratio
from roundelay.recipes.judges.implicit_reward import ImplicitRewardJudge, judge_implicit_reward
from roundelay.recipes.judges.log_probs import Logps, with_own_logps

PROMPTS = tuple(Prompt(id=name, messages=(Message(role="user", content=f"Tell me of {name}."),)) for name in "pq")
SHARD = Shard(round=2, index=0, prompts=PROMPTS, split="train")


def rollout(prompt_id: str, sample: int, *logprobs: float) -> Rollout:
    """`logprobs` are the sampler's; the plain prompt's token is the prompt's letter."""
    return Rollout(
        prompt_id=prompt_id,
        sample=sample,
        variant="plain",
        prompt_token_ids=(ord(prompt_id),),
        sampler_token_ids=(ord(prompt_id),),
        token_ids=tuple(10 * (sample + 1) + place for place in range(len(logprobs))),
        logprobs=logprobs,
        text="yes",
        finish_reason="stop",
        policy_version=1,
        seed=0,
    )


# Of one prompt two responses, of one and of three tokens; of the other one.
ROLLOUTS = [rollout("q", 0, -1.0), rollout("q", 1, -0.5, -0.25, -0.25), rollout("p", 0, -2.0, -2.0)]
# Each model's log-prob of every token: the same for all tokens of all responses.
LEVELS = {"policy": -1.5, "initial": -1.0, "previous": -0.75, "/dpo": -0.5}


class Models:
    """Models that find every token equally likely; what they were asked is remembered."""

    def __init__(self, **levels: float):
        self.levels = {**LEVELS, **levels}
        self.asked: list[tuple[str, list[TokenSequence]]] = []

    async def logps(self, model: str, sequences: Sequence[TokenSequence]) -> list[list[float]]:
        self.asked.append((model, list(sequences)))
        return [[self.levels[model]] * len(sequence.token_ids) for sequence in sequences]


async def never(requests: Sequence[GenerationRequest]) -> list[Generation]:
    raise AssertionError("no rollout engine is needed")


def implicit(
    config: ImplicitRewardJudge, rollouts: Sequence[Rollout] = ROLLOUTS, models: Models | None = None, own: bool = True
) -> list[Judgment]:
    """As a phase binds it: the policy's log-probs are the rollouts' own, or computed."""
    models = models or Models()
    logps: Logps = with_own_logps(rollouts, models.logps) if own else models.logps
    return asyncio.run(judge_implicit_reward(SHARD, rollouts, never, config=config, logps=logps))


def scores(judgments: Sequence[Judgment], vote: int = 0) -> list[float | None]:
    return [judgment.score for judgment in judgments if judgment.vote == vote]


# ----------------------------------------------------------------------------------------------------- implicit_reward


def test_the_implicit_reward_is_beta_times_the_log_ratio_to_the_initial_policy() -> None:
    """SPA with β = 0.1. q/0: Σ log π = −1, initial −1 → 0. q/1: −1 against −3 → 0.2. p/0: −4 against −2 → −0.2."""
    judged = implicit(IMPLICIT)
    assert judged == [
        Judgment(prompt_id=name, sample=sample, vote=0, status="parsed", score=score, choice_mass=None, text="")
        for name, sample, score in (("q", 0, 0.0), ("q", 1, 0.2), ("p", 0, -0.2))
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"reference": "none"}, [-0.1, -0.1, -0.4]),  # 0.1·Σ log π
        ({"reference": "previous"}, [-0.025, 0.125, -0.25]),  # 0.1·(−1 + 0.75), 0.1·(−1 + 2.25), 0.1·(−4 + 1.5)
        ({"tokens": "mean"}, [0.0, 0.0667, -0.1]),  # 0.1·(−1 + 1), 0.1·(−1/3 + 1), 0.1·(−2 + 1)
        ({"beta": 1.0}, [0.0, 2.0, -2.0]),
    ],
)
def test_reference_length_and_scale_of_the_implicit_reward_are_choices(
    changes: dict[str, object], expected: list[float]
) -> None:
    assert scores(implicit(replace(IMPLICIT, **changes))) == expected


def test_only_the_reference_is_asked_where_the_policy_itself_has_sampled() -> None:
    """Every response once, with its end, under the plain prompt."""
    models = Models()
    implicit(IMPLICIT, models=models)
    ((model, sequences),) = models.asked
    assert model == "initial"
    assert sequences == [
        TokenSequence(prompt_token_ids=one.prompt_token_ids, token_ids=one.token_ids) for one in ROLLOUTS
    ]


def test_a_response_from_another_prompt_or_sampler_is_computed_under_the_plain_prompt() -> None:
    """Log-probs of a contrast prompt's response, or of none at all (a given response), are not the policy's of it."""
    contrast = [replace(one, sampler_token_ids=(99, 98)) for one in ROLLOUTS[:2]]
    given = [replace(ROLLOUTS[2], logprobs=())]
    models = Models()
    judged = implicit(IMPLICIT, [*contrast, *given], models, own=False)
    assert {model: [sequence.prompt_token_ids for sequence in asked] for model, asked in models.asked} == {
        "initial": [(ord("q"),), (ord("q"),), (ord("p"),)],
        "policy": [(ord("q"),), (ord("q"),), (ord("p"),)],
    }
    assert scores(judged) == [-0.05, -0.15, -0.1]  # 0.1·(−1.5 + 1) a token


def test_two_voters_are_the_policy_and_the_one_before_it() -> None:
    """CREAM without a reference: mean log-probs. The policy's own are −1, −1/3, −2, its predecessor's −0.75 each."""
    judged = implicit(BY_CREAM)
    assert scores(judged, 0) == [-1.0, -0.3333, -2.0]
    assert scores(judged, 1) == [-0.75, -0.75, -0.75]
    assert [judgment.sample for judgment in judged] == [0, 1, 0] * 2


def test_swapping_what_is_compared_negates_the_reward() -> None:
    """Policy and reference in each other's place: 0.1·(−1 + 1.5) a token, and back."""
    there = scores(implicit(IMPLICIT, own=False))
    models = Models(policy=LEVELS["initial"], initial=LEVELS["policy"])
    back = scores(implicit(IMPLICIT, models=models, own=False))
    assert there == [-score for score in back if score is not None] and there != back


@given(st.lists(st.floats(min_value=-20, max_value=0), min_size=1, max_size=50), st.floats(-5e-8, 5e-8))
def test_judged_again_with_an_engines_noise_a_response_has_a_score_of_four_decimals(
    logprobs: list[float], noise: float
) -> None:
    """And one that is at most a unit of the last decimal away: noise of 1e-7 nats makes no pair of equal responses."""
    once, again = (
        scores(implicit(IMPLICIT, [rollout("q", 0, *(value + extra for value in logprobs))]))[0] for extra in (0, noise)
    )
    assert once is not None and again is not None
    assert once == round(once, 4) and abs(once - again) < 1.5e-4


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_log_prob_that_is_not_finite_stops_the_run_and_names_model_and_response(value: float) -> None:
    with pytest.raises(RunError) as caught:
        implicit(IMPLICIT, models=Models(initial=value))
    assert "initial" in caught.value.what and "'q', sample 0" in caught.value.what and caught.value.remedy


def bound(judge: JudgePart, scorers: Any, **changes: Any) -> list[Judgment]:
    """As a run's phase judges."""
    phase = build_phase(changed(base(), judge=judge, **changes), scorers)
    assert phase.judge is not None
    return asyncio.run(phase.judge(SHARD, ROLLOUTS, never))


def test_a_run_without_scorers_can_judge_by_the_policys_own_log_probs() -> None:
    """Where there is no reference, nobody is asked."""
    assert scores(bound(replace(IMPLICIT, reference="none"), None)) == [-0.1, -0.1, -0.4]


def test_a_phase_takes_the_samplers_log_probs_of_plain_responses_only() -> None:
    """Contrast prompts' responses are computed, though their log-probs are there."""
    models: Any = Models()
    assert scores(bound(IMPLICIT, models)) == [0.0, 0.2, -0.2]
    assert [model for model, _ in models.asked] == ["initial"]
    models.asked.clear()
    assert scores(bound(IMPLICIT, models, generation=CONTRAST)) == [-0.05, -0.15, -0.1]
    assert [model for model, _ in models.asked] == ["initial", "policy"]


# ------------------------------------------------------------------------------------------------------- density_ratio


def ratio(config: DensityRatioJudge, models: Models | None = None, own: bool = True) -> list[float | None]:
    models = models or Models()
    logps: Logps = with_own_logps(ROLLOUTS, models.logps) if own else models.logps
    return scores(asyncio.run(judge_density_ratio(SHARD, ROLLOUTS, engine, config=config, logps=logps)))


async def engine(requests: Sequence[GenerationRequest]) -> list[Generation]:
    """Encodes a conversation as the numbers of its characters."""
    return [
        Generation(
            prompt_token_ids=tuple(map(ord, request.messages[0].content)), plain_token_ids=(), token_ids=(1,),
            logprobs=(0.0,), text="", finish_reason="length", choice_logprobs=(),
        )
        for request in requests
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, [0.5, 1.5, 1.0]),  # −0.5 + 1 a token, of 1, 3 and 2 tokens
        ({"tokens": "mean"}, [0.5, 0.5, 0.5]),
        ({"strong": "initial", "weak": "/dpo"}, [-0.5, -1.5, -1.0]),
        ({"weak": "policy"}, [0.5, -0.5, 3.0]),  # −0.5 a token, less the sampler's −1, −1, −4
    ],
)
def test_the_density_ratio_is_the_strong_models_log_probs_less_the_weak_ones(
    changes: dict[str, str], expected: list[float]
) -> None:
    assert ratio(replace(RATIO, **changes)) == expected


def test_an_instruction_comes_before_the_prompt_of_both_models_and_of_no_response() -> None:
    """Each response after its own prompt's instruction; the rollouts, which are trained on, stay as they are."""
    models = Models()
    assert ratio(replace(RATIO, instruction="Be safe."), models, own=False) == [0.5, 1.5, 1.0]
    asked = [
        TokenSequence(
            prompt_token_ids=tuple(map(ord, f"Be safe.\n\nTell me of {one.prompt_id}.")), token_ids=one.token_ids
        )
        for one in ROLLOUTS
    ]
    assert models.asked == [("/dpo", asked), ("initial", asked)]


def test_an_instruction_goes_before_a_system_message_where_there_is_one() -> None:
    turns = (Message(role="system", content="You are brief."), Message(role="user", content="Hi"))
    assert instructed(turns, "Be safe.") == (Message(role="system", content="Be safe.\n\nYou are brief."), turns[1])


# ------------------------------------------------------------------------------------------- which models are asked


@pytest.mark.parametrize(
    ("judge", "own", "computed"),
    [
        (IMPLICIT, ("initial",), ("policy", "initial")),
        (replace(IMPLICIT, reference="previous"), ("previous",), ("policy", "previous")),
        (replace(IMPLICIT, reference="none"), (), ("policy",)),
        (BY_CREAM, ("previous",), ("policy", "previous")),
        (replace(BY_CREAM, reference="initial"), ("previous", "initial"), ("policy", "previous", "initial")),
        (RATIO, ("/dpo", "initial"), ("/dpo", "initial")),
        (replace(RATIO, strong="policy"), ("initial",), ("policy", "initial")),
        # After an instruction the policy's log-probs are others than those it sampled with.
        (replace(RATIO, strong="policy", instruction="Be safe."), ("policy", "initial"), ("policy", "initial")),
    ],
)
def test_the_models_that_are_held_are_those_that_are_asked(
    judge: ImplicitRewardJudge | DensityRatioJudge, own: tuple[str, ...], computed: tuple[str, ...]
) -> None:
    """No model is loaded for nothing, and none is missing."""
    for has_own, expected in ((True, own), (False, computed)):
        assert judge.models(own_logps=has_own) == expected
        models = Models()
        logps = models.logps if "policy" in expected else with_own_logps(ROLLOUTS, models.logps)
        run = judge_implicit_reward if isinstance(judge, ImplicitRewardJudge) else judge_density_ratio
        asyncio.run(run(SHARD, ROLLOUTS, engine, config=judge, logps=logps))  # pyright: ignore[reportArgumentType]
        assert {model for model, _ in models.asked} == set(expected)
