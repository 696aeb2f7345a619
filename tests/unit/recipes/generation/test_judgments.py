"""Judgments with a verdict that is decoded among its forms: read as the judge reads them, encoded as a whole."""

import asyncio
from dataclasses import replace

import pytest
from support.scripted_engine import TOO_LONG, Engine, prompts, said

from roundelay.orchestrator.data.records import (
    Generation,
    GenerationRequest,
    JudgingForm,
    Prompt,
    Rollout,
    Shard,
    Truth,
)
from roundelay.orchestrator.parts.sampling import SamplingConfig
from roundelay.recipes.generation.judgments import JudgmentsGeneration, sample_judgments
from roundelay.recipes.judges.truth import judge_truth

CONFIG = JudgmentsGeneration(
    kind="judgments",
    samples_per_prompt=2,
    sampling=SamplingConfig(temperature=0.7, top_p=0.9, max_tokens=48, stop=("<end>",)),
    truncated="keep",
)


def judging(name: str, form: JudgingForm) -> Prompt:
    ranks = (0,) if form == "additive" else (1, 0)
    return replace(prompts(name)[0], truth=Truth(source=name, form=form, ranks=ranks))


def answer(request: GenerationRequest) -> str | Generation:
    """Reasons; the last of the choices; a given text encoded, with an end of turn where one is asked for."""
    if request.response is not None:
        end = (2,) if request.response_ended else ()
        return replace(said(request.response), token_ids=(*request.response.encode(), *end), logprobs=())
    if request.choices:
        assert request.constrain_to_choices and request.max_tokens == 1 and request.temperature == 0.7
        return request.choices[-1]
    return "Some reasons."


def sampled(*of: Prompt, engine: Engine) -> list[Rollout]:
    shard = Shard(round=1, index=0, prompts=of, split="train")
    return asyncio.run(sample_judgments(shard, 4, engine, config=CONFIG, seed_parts=(0, "train", 1)))


@pytest.mark.parametrize(
    ("form", "text", "score"),
    [
        ("additive", "Some reasons.\nScore: 5", 5.0),
        ("mt_bench", "Some reasons.\n[[C]]", 0.0),
        ("pandalm", "2\nSome reasons.", 1.0),
    ],
)
def test_a_judgment_has_its_reasons_and_a_verdict_that_the_judge_can_read(
    form: JudgingForm, text: str, score: float
) -> None:
    """What is trained on are the tokens of the whole text under the judging prompt; the sampler's log-probs of a
    decoded verdict are none of its own."""
    prompt, engine = judging("ants", form), Engine(answer)
    rollouts = sampled(prompt, engine=engine)
    assert [(one.sample, one.text, one.variant) for one in rollouts] == [(0, text, "plain"), (1, text, "plain")]
    for one in rollouts:
        assert one.token_ids == (*text.encode(), 2) and one.logprobs == () and one.finish_reason == "stop"
        assert one.prompt_token_ids == one.sampler_token_ids and one.policy_version == 4
    assert rollouts[0].seed != rollouts[1].seed
    shard = Shard(round=1, index=0, prompts=(prompt,), split="train")
    assert [one.score for one in asyncio.run(judge_truth(shard, rollouts, engine))] == [score, score]


def test_reasons_that_were_cut_after_the_verdict_have_no_end_of_turn() -> None:
    def cut(request: GenerationRequest) -> str | Generation:
        free = request.response is None and not request.choices
        return said("It is", cut=True) if free else answer(request)

    (one, _) = sampled(judging("ants", "pandalm"), engine=Engine(cut))
    assert (one.text, one.token_ids, one.finish_reason) == ("2\nIt is", tuple(b"2\nIt is"), "length")


@pytest.mark.parametrize("form", ["additive", "mt_bench", "pandalm"])
def test_what_does_not_fit_the_model_says_so(form: JudgingForm) -> None:
    """The reasons, or the whole with its verdict: neither is judged or trained on."""
    for what in ("reasons", "whole"):

        def full(request: GenerationRequest, what: str = what) -> str | Generation:
            fails = request.response is not None if what == "whole" else not request.choices
            return TOO_LONG if fails else answer(request)

        rollouts = sampled(judging("ants", form), engine=Engine(full))
        assert [(one.variant, one.remark) for one in rollouts] == [("interim", "too_long")] * 2


def test_other_prompts_get_plain_responses() -> None:
    plain, asked = prompts("bees")[0], judging("ants", "mt_bench")
    made = {(one.prompt_id, one.sample): one for one in sampled(asked, plain, engine=Engine(answer))}
    assert made["bees", 1].text == "Some reasons." and made["bees", 1].logprobs
    assert len(made) == 4
