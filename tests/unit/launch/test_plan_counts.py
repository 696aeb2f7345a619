"""The plan's numbers are those that a round then has."""

import asyncio
from dataclasses import replace
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest
from support.configs import CONTRAST, LADDER, META, MIXTURE, REVISE, SYSTEM_MESSAGES, base, changed
from support.judging import rollout
from support.scripted_engine import Engine, prompts, said

from roundelay.launch.config.loading import CONFIG_ROOT, load_judge
from roundelay.launch.judges import build_judge
from roundelay.launch.phases import build_phase
from roundelay.orchestrator.data.records import Generation, GenerationRequest, Rollout, Shard, Truth
from roundelay.orchestrator.parts.counts import Count
from roundelay.orchestrator.parts.generation import GenerationPart
from roundelay.orchestrator.parts.judge import JudgePart
from roundelay.orchestrator.parts.sampling import POLICY
from roundelay.recipes.generation.altered_instruction import AlteredInstructionGeneration
from roundelay.recipes.judges.endpoint import EndpointJudge

NEEDED = {
    "endpoint": ("judge.base_url=http://localhost/v1", "judge.model=theirs"),
    "function": ("judge.function=json:loads",),
    "density_ratio": ("judge.strong=initial", "judge.weak=previous"),
}
JUDGES = sorted(path.stem for path in (CONFIG_ROOT / "judge").glob("*.yaml"))
PROMPTS = 3


@cache
def judge_of(*words: str) -> JudgePart:
    name = words[0].partition("=")[2]
    return load_judge([*words, *NEEDED.get(name, ())])


def answer(request: GenerationRequest) -> Generation:
    """A score, and log-probs wherever there is a choice."""
    return replace(said("Score: 3"), choice_logprobs=tuple(-1.0 - index for index, _ in enumerate(request.choices)))


def judged(judge: JudgePart, responses: int) -> int:
    """How many judgments the judge then gives of so many responses to each of three prompts."""
    values = len(getattr(judge, "weights", (1,)))

    async def score(name: str, sequences: Any) -> list[list[float]]:
        return [[0.5] * values for _ in sequences]

    async def logps(name: str, sequences: Any) -> list[list[float]]:
        return [[-1.0] * len(sequence.token_ids) for sequence in sequences]

    scorers: Any = SimpleNamespace(models={"reward_model": None}, score=score, logps=logps)
    truth = Truth(source="s", form="expected_score", ranks=(0,))
    asked = tuple(replace(prompt, truth=truth) for prompt in prompts("ants", "bees", "cats"))
    shard = Shard(round=1, index=0, prompts=asked, split="train")
    rollouts = [rollout(prompt.id, sample, "Score: 3") for prompt in asked for sample in range(responses)]
    function = build_judge(judge, base(), scorers, "counted", own_logps=True)
    return 0 if function is None else len(asyncio.run(function(shard, rollouts, Engine(answer))))


@pytest.mark.parametrize("name", JUDGES)
@pytest.mark.parametrize("responses", [1, 2, 4])
def test_every_judge_gives_as_many_judgments_as_are_planned(
    name: str, responses: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = judge_of(f"judge={name}")
    inner = judge.judge if isinstance(judge, EndpointJudge) else judge
    if name == "function":
        monkeypatch.setattr("roundelay.recipes.judges.function.load_function", lambda *_: lambda prompt, rollout: 1.0)
    found, planned = judged(inner, responses), judge.judgments_of(Count(number=responses))
    if planned.bound:
        assert planned.bound == "at most "
        assert found <= PROMPTS * planned.number
    else:
        assert found == PROMPTS * planned.number


@pytest.mark.parametrize(
    ("words", "responses", "planned"),
    [
        (("judge=rating", "judge.votes=3"), 4, 12),
        (("judge=additive", "judge.votes=3"), 4, 12),
        (("judge=checklist", "judge.votes=3"), 4, 12),
        (("judge=attributes", "judge.read=words", "judge.votes=3"), 4, 12),
        (("judge=attributes", "judge.read=expected"), 4, 4),
        (("judge=pairwise", "judge.votes=3", "judge.orders=both"), 2, 6),
        (("judge=pairwise", "judge.votes=3", "judge.orders=one"), 2, 3),
        (("judge=endpoint", "judge.judge.votes=3"), 4, 12),
        (("judge=cream",), 4, 8),
    ],
)
def test_every_vote_and_every_order_is_counted(words: tuple[str, ...], responses: int, planned: int) -> None:
    judge = judge_of(*words)
    assert judge.judgments_of(Count(number=responses)) == Count(number=planned)
    assert judged(judge.judge if isinstance(judge, EndpointJudge) else judge, responses) == PROMPTS * planned


def test_judgments_of_judgments_are_counted_in_both_orders() -> None:
    """Four judgments that can be read: 4·3 comparisons, which is the most."""
    assert META.judgments_of(Count(number=4)) == Count(number=12, bound="at most ")
    assert judged(META, 4) == PROMPTS * 12


ALTERED = AlteredInstructionGeneration(kind="altered_instruction", sampling=REVISE.sampling, truncated="keep")


@pytest.mark.parametrize(
    "generation",
    [base().generation, CONTRAST, LADDER, SYSTEM_MESSAGES, MIXTURE, REVISE, ALTERED],
    ids=lambda generation: generation.kind,
)
def test_every_way_of_generation_makes_as_many_texts_and_responses_as_are_planned(generation: GenerationPart) -> None:
    config = changed(base(), generation=generation)
    shard = Shard(round=1, index=0, prompts=tuple(prompts("ants", "bees", "cats")), split="train")

    async def sample() -> list[Rollout]:
        return await build_phase(config, None).sample(shard, 1, Engine(), POLICY, ())

    made = asyncio.run(sample())
    texts, responses = generation.texts(), generation.responses()
    for found, planned in ((len(made), texts), (len([one for one in made if not one.interim]), responses)):
        assert found == PROMPTS * planned.number or (planned.bound == "at most " and found < PROMPTS * planned.number)
