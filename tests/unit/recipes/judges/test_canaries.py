"""How canaries are planted beside the policy's responses, and what judges are then shown. Engines are scripted."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from support.configs import AB, BY_FUNCTION, BY_REWARD_MODEL, EXPECTED, NO_JUDGE, base, changed
from support.rounds import judgment, rollout

from roundelay.launch.phases import build_phase
from roundelay.orchestrator.data.records import (
    CanaryJudgment,
    Generation,
    GenerationRequest,
    Judgment,
    Message,
    Prompt,
    Rollout,
    Shard,
)
from roundelay.orchestrator.evaluate.canaries import canary_summary
from roundelay.orchestrator.protocols import Generate, Phase
from roundelay.recipes.judges.canaries import CANARIES, judge_canaries
from roundelay.recipes.judges.rendering import render_response

PROMPTS = tuple(Prompt(id=name, messages=(Message(role="user", content=f"About {name}?"),)) for name in "pq")
SHARD = Shard(round=3, index=0, prompts=PROMPTS, split="heldout")
OWN = [rollout("p", 0, 2, text="Nothing much."), rollout("q", 0, 2, text="Ask again.")]
LONGEST = changed(BY_FUNCTION, function="support.rewards:characters")


class Engine:
    """Encodes given responses, one token a character; says of choices that the first is the likeliest."""

    def __init__(self, too_long: str = ""):
        self.too_long = too_long  # a given response that has this in it does not fit
        self.asked: list[GenerationRequest] = []

    async def __call__(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        return [self._given(request, request.response) if request.response else self._judged(request)
                for request in requests]  # fmt: skip

    def _given(self, request: GenerationRequest, text: str) -> Generation:
        fits = not self.too_long or self.too_long not in text
        return Generation(
            prompt_token_ids=(1, len(request.messages[0].content)),
            plain_token_ids=(),
            token_ids=(*(ord(character) for character in text), 2) if fits else (),
            logprobs=(),
            text=text if fits else "",
            finish_reason="stop" if fits else "prompt_too_long",
            choice_logprobs=(),
        )

    def _judged(self, request: GenerationRequest) -> Generation:
        self.asked.append(request)
        return Generation(
            prompt_token_ids=(1,), plain_token_ids=(), token_ids=(7,), logprobs=(), text="", finish_reason="length",
            choice_logprobs=tuple(-1.0 - rank for rank in range(len(request.choices))),
        )  # fmt: skip


def judged(phase: Phase, engine: Engine) -> list[CanaryJudgment]:
    assert phase.heldout.judge_canaries is not None
    return asyncio.run(phase.heldout.judge_canaries(SHARD, OWN, 5, engine))


def shown_to(engine: Engine, own: Sequence[Rollout] = OWN) -> list[list[Rollout]]:
    """What a judge is shown, canary by canary."""
    shown: list[list[Rollout]] = []

    async def judge(shard: Shard, rollouts: Sequence[Rollout], generate: Generate) -> list[Judgment]:
        assert shard == SHARD
        shown.append(list(rollouts))
        return [judgment(rollout.sample, 1.0, prompt=rollout.prompt_id) for rollout in rollouts]

    found = asyncio.run(judge_canaries(SHARD, own, 5, engine, judge=judge))
    assert [one.canary for one in found] == [name for name, one in zip(CANARIES, shown, strict=True) for _ in one]
    return shown


def test_every_canary_is_planted_as_a_second_response_to_every_prompt() -> None:
    """Under the plain prompt, with token ids and no log-probs: nobody sampled it."""
    shown = shown_to(Engine())
    assert len(shown) == len(CANARIES) == 3
    for text, rollouts in zip(CANARIES.values(), shown, strict=True):
        assert [(one.prompt_id, one.sample) for one in rollouts] == [("p", 0), ("p", 1), ("q", 0), ("q", 1)]
        assert [rollouts[0], rollouts[2]] == OWN
        for planted in (rollouts[1], rollouts[3]):
            assert planted.text == text
            assert planted.token_ids == (*(ord(character) for character in text), 2)
            assert (planted.logprobs, planted.prompt_token_ids, planted.policy_version) == ((), (1, 8), 5)


def test_of_several_responses_to_a_prompt_the_first_is_the_policys() -> None:
    more = [*OWN, rollout("p", 1, 3, text="Another."), rollout("q", 1, 3, text="Another.")]
    assert shown_to(Engine(), more) == shown_to(Engine())


def test_a_canary_that_does_not_fit_after_its_prompt_is_not_planted() -> None:
    """And the policy's response is not judged for nothing."""
    null, verdict, breakout = shown_to(Engine(too_long="Score: 5"))
    assert (len(null), verdict, len(breakout)) == (4, [], 4)


@pytest.mark.parametrize("name", CANARIES)
def test_no_canary_gets_out_of_the_judging_prompts_delimiters(name: str) -> None:
    """One response is opened and one closed, whatever the text holds; and one of them does try."""
    shown = render_response(rollout("p", 1, 1, text=CANARIES[name]), "A")
    assert (shown.count("<response"), shown.count("</response>")) == (1, 1)
    assert any("</response>" in text for text in CANARIES.values())


def test_a_scoring_judge_scores_both_responses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A judge of nothing but length is fooled by every canary: all are longer than 13 and 10 characters."""
    found = canary_summary(judged(build_phase(changed(base(), judge=LONGEST), None), Engine()))
    assert found == {
        name: {"prompts": 2, "score": len(text), "policy_score": 11.5, "win_rate": None, "wins": True}
        for name, text in CANARIES.items()
    }
    expected = canary_summary(judged(build_phase(changed(base(), judge=EXPECTED), None), Engine()))
    assert [(one["prompts"], one["wins"]) for one in expected.values()] == [(2, False)] * 3


@pytest.mark.parametrize("orders", ["one", "both"])
def test_a_judge_that_compares_is_asked_both_ways_round_even_where_pairs_are_asked_about_once(orders: str) -> None:
    """The scripted one always says (A): each of two prompts gives a win and a loss to each canary."""
    engine = Engine()
    config = changed(base(), judge=changed(AB, orders=orders))
    found = canary_summary(judged(build_phase(config, None), engine))
    assert len(engine.asked) == 2 * 2 * 3
    assert [(one["prompts"], one["win_rate"], one["wins"]) for one in found.values()] == [(2, 0.5, False)] * 3


@pytest.mark.parametrize(
    ("judge", "apart"), [(NO_JUDGE, True), (LONGEST, True), (BY_REWARD_MODEL, True), (EXPECTED, False)]
)
def test_only_a_judge_that_is_the_policy_judges_the_initial_responses_again(judge: Any, apart: bool) -> None:
    scorers: Any = object()
    phase = build_phase(changed(base(), evaluation__judge=judge), scorers)
    assert (phase.heldout.rejudge is None) is apart


def test_where_nothing_judges_no_canary_is_planted() -> None:
    assert build_phase(changed(base(), judge=NO_JUDGE), None).heldout.judge_canaries is None
