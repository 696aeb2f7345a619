"""From judged attributes to a line of values before a response: SteerLM."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.conditioning import Encoder
from support.pairing import PROMPT, rollout, vote

from roundelay.launch.config.loading import load_config
from roundelay.orchestrator.data.records import Dropped, Judgment, PairingOutcome
from roundelay.recipes.conditioning.attributes import attribute_line, condition_attributes
from roundelay.recipes.judges.attribute_model import AttributeModelJudge
from roundelay.recipes.pairing.annotated import annotation, pair_annotated

NAMES = ("helpfulness", "verbosity")


def rated(sample: int, score: float, *values: float, number: int = 0) -> Judgment:
    return replace(vote(sample, score, number), attributes=values)


def annotated(*judgments: Judgment, texts: tuple[str, ...] = ("a", "b", "c")) -> PairingOutcome:
    rollouts = [rollout(sample, text) for sample, text in enumerate(texts)]
    return pair_annotated(PROMPT, rollouts, judgments, drop_truncated=True)


def test_every_judged_response_is_annotated_best_score_first() -> None:
    """Two votes on the first: (1 + 2)/2 = 1.5 and (4 + 3)/2 = 3.5, each to the even number: 2 and 4."""
    made = annotated(rated(0, 1.0, 1, 4), rated(0, 2.0, 2, 3, number=1), rated(2, 9.0, 4.4, -0.2), vote(1, None))
    assert made.group is not None
    assert [one.sample for one in made.group.responses] == [2, 0]
    assert made.group.scores == (9.0, 1.5)
    assert made.group.attributes == ((4.0, 0.0), (2.0, 4.0))


@given(st.floats(-10, 10))
def test_an_annotation_is_the_nearest_whole_number_from_0_to_4(value: float) -> None:
    assert annotation(value) in (0, 1, 2, 3, 4)
    assert abs(annotation(value) - min(max(value, 0), 4)) <= 0.5


@pytest.mark.parametrize(
    ("texts", "judgments", "reason"),
    [((" ", "\n"), [rated(0, 1.0, 2, 2)], "empty"), (("a", "b"), [vote(0, None), vote(1, 3.0)], "unscored")],
)
def test_a_prompt_without_annotations_is_dropped_with_its_reason(
    texts: tuple[str, ...], judgments: list[Judgment], reason: str
) -> None:
    """A score alone, without values, is no annotation."""
    assert annotated(*judgments, texts=texts).dropped == Dropped(prompt_id="p", reason=reason)


def test_cut_responses_are_not_annotated_where_they_are_dropped() -> None:
    made = pair_annotated(PROMPT, [rollout(0, "a", finish="length")], [rated(0, 1.0, 2, 2)], drop_truncated=True)
    assert made.dropped == Dropped(prompt_id="p", reason="truncated")


def test_a_response_is_learnt_after_the_line_of_its_values() -> None:
    """The line belongs to the prompt; all tokens of the response weigh 1."""
    outcome = annotated(rated(0, 1.0, 3, 1), rated(1, 2.0, 4, 0), texts=("a", "b"))
    lost = PairingOutcome(pair=None, dropped=Dropped(prompt_id="x", reason="unscored"))
    made, kept = asyncio.run(condition_attributes([outcome, lost], Encoder(), names=NAMES, max_tokens=99))
    assert kept == lost
    assert [bytes(sequence.prompt_token_ids).decode() for sequence in made.sequences] == [
        "user:Hi|helpfulness:4,verbosity:0\n",
        "user:Hi|helpfulness:3,verbosity:1\n",
    ]
    assert {sequence.weights for sequence in made.sequences} == {(1.0,)}


def test_the_recipe_asks_for_values_as_they_were_learnt() -> None:
    """In a line of the same form, with all the attributes that its judge rates, in their order."""
    config = load_config(["recipe=steerlm"], default_name="x")
    judge = config.at(2).judge
    assert config.evaluation.condition is not None and isinstance(judge, AttributeModelJudge)
    line = config.evaluation.condition.assistant_prefix or ""
    values = [float(part.rpartition(":")[2]) for part in line.strip().split(",")]
    assert line == attribute_line(tuple(judge.weights), values)
