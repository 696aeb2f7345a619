"""NaN is never equal: what is not finite is refused by name before anything is decided by it."""

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from roundelay.orchestrator.cluster.verification import verify_scores, verify_sync
from roundelay.orchestrator.config.schema import SelectionConfig
from roundelay.orchestrator.data.records import (
    Generation,
    Judgment,
    Message,
    PairLogps,
    PolicyRef,
    PreferencePair,
    Prompt,
    ResponseGroup,
    Rollout,
    TokenSequence,
    TrainingExample,
)
from roundelay.orchestrator.data.tables import from_table, to_table
from roundelay.orchestrator.errors import RunError
from roundelay.orchestrator.fields import FrozenMapping
from roundelay.orchestrator.round.selection import Selection, goodness
from roundelay.recipes.evaluation.comparisons import Comparison
from roundelay.recipes.objectives.function import FunctionObjective

NOT_FINITE = [math.nan, math.inf, -math.inf]
PROMPT = Prompt(id="maths-1", messages=(Message(role="user", content="7?"),))
ROLLOUT = Rollout(
    prompt_id="maths-1", sample=3, variant="plain", prompt_token_ids=(1,), sampler_token_ids=(1,), token_ids=(7, 2),
    logprobs=(-0.5, -0.25), text="7", finish_reason="stop", policy_version=0, seed=0,
)  # fmt: skip
JUDGMENT = Judgment(prompt_id="maths-1", sample=3, vote=0, status="parsed", score=3.5, choice_mass=0.2, text="")
PAIR = PreferencePair(
    prompt=PROMPT, chosen=ROLLOUT, rejected=ROLLOUT, margin=1.0, label_probability=1.0, provenance="judge"
)
RECORDS: list[tuple[Any, str, Callable[[float], Any]]] = [
    (ROLLOUT, "logprobs", lambda bad: (-0.5, bad)),
    (JUDGMENT, "score", lambda bad: bad),
    (JUDGMENT, "probability", lambda bad: bad),
    (JUDGMENT, "choice_mass", lambda bad: bad),
    (JUDGMENT, "attributes", lambda bad: (4.0, bad)),
    (PAIR, "margin", lambda bad: bad),
    (PAIR, "label_probability", lambda bad: bad),
    (PAIR, "win_probabilities", lambda bad: (bad, 0.5)),
    (ResponseGroup(prompt=PROMPT, responses=(ROLLOUT,), scores=(1.0,)), "scores", lambda bad: (bad,)),
    (PairLogps(prompt_id="maths-1", chosen=-1.0, rejected=-2.0), "rejected", lambda bad: bad),
    (Comparison(prompt_id="maths-1", shown_first=0.5, shown_second=None, chars_a=1, chars_b=2), "shown_first",
     lambda bad: bad),
    (Comparison(prompt_id="maths-1", shown_first=None, shown_second=None, chars_a=1, chars_b=2, scores=(1.0, None)),
     "scores", lambda bad: (None, bad)),
]  # fmt: skip


@pytest.mark.parametrize("bad", NOT_FINITE)
@pytest.mark.parametrize(("record", "field", "value"), RECORDS, ids=lambda one: one if isinstance(one, str) else "")
def test_no_record_that_something_is_decided_by_holds_what_is_not_finite(
    record: Any, field: str, value: Callable[[float], Any], bad: float
) -> None:
    """As it is, with the field left out, it can be made; with the number it cannot: prompt, field and number are
    named."""
    with pytest.raises(RunError) as caught:
        replace(record, **{field: value(bad)})
    assert all(part in caught.value.what for part in ("'maths-1'", field, str(bad), type(record).__name__))


def test_a_judgment_on_disk_that_is_not_finite_is_not_read() -> None:
    table = to_table(Judgment, [JUDGMENT])
    assert from_table(Judgment, table) == [JUDGMENT]
    spoilt = table.set_column(table.column_names.index("score"), table.schema.field("score"), [[math.nan]])
    with pytest.raises(ValueError, match="Judgment of prompt 'maths-1', sample 3: score is nan"):
        from_table(Judgment, spoilt)


# ------------------------------------------------------------------------------------------------------- weights' syncs

POLICY = PolicyRef(version=4, path="policy", sha256="4")
PROBES = [replace(PROMPT, id=f"p{index}") for index in range(2)]


class Side:
    """Engines, a learner or scorers that give `logps[index]` to the index-th of two probes' tokens."""

    def __init__(self, *engines: Sequence[float]):
        self.engines, self.models = engines, {"initial": POLICY}

    async def generate(self, requests: Sequence[Any]) -> list[Generation]:
        one = Generation(
            prompt_token_ids=(1, 2), plain_token_ids=(), token_ids=(3,), logprobs=(-1.0,), text="",
            finish_reason="stop", choice_logprobs=(),
        )  # fmt: skip
        return [one for _ in requests]

    async def score(self, *args: Any) -> Any:
        rows = [[[value] * 2 for value in engine] for engine in self.engines]
        return rows[0] if args[0] == "reward_model" else rows

    async def logps(self, *args: Any) -> Any:
        return [[value] * 2 for value in self.engines[0]]

    async def scores(self, sequences: Sequence[TokenSequence]) -> Any:
        return [[value] * 2 for value in self.engines[0]]


def synced(dtype: str, *, engines: Side, learner: Side, scorers: Side | None = None) -> float:
    sides: Any = {"rollouts": engines, "learner": learner, "scorers": scorers}
    return asyncio.run(verify_sync(POLICY, PROBES, dtype=dtype, **sides))


FINE = (-1.0, -2.0)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("bad", NOT_FINITE)
def test_a_sync_check_refuses_whoever_gives_log_probs_that_are_not_finite(dtype: str, bad: float) -> None:
    """A second engine that is all NaN, one NaN behind finite ones, the learner, the same on both sides, a scorer."""
    assert synced(dtype, engines=Side(FINE, FINE), learner=Side(FINE), scorers=Side(FINE)) == 0.0
    late = (-1.0, bad)
    for who, sides in {
        "rollout engine 1": {"engines": Side(FINE, (bad, bad)), "learner": Side(FINE)},
        "rollout engine 0": {"engines": Side(late), "learner": Side(FINE)},
        "the learner": {"engines": Side(late), "learner": Side(late)},
        "the scorer's model 'initial'": {"engines": Side(FINE), "learner": Side(FINE), "scorers": Side(late)},
    }.items():
        with pytest.raises(RunError) as caught:
            synced(dtype, **sides)
        assert who in caught.value.what and "policy 4" in caught.value.what and str(bad) in caught.value.what


@pytest.mark.parametrize("bad", NOT_FINITE)
def test_a_reward_models_check_refuses_scores_that_are_not_finite(bad: float) -> None:
    sequence = TokenSequence(prompt_token_ids=(1,), token_ids=(2,))
    examples = [TrainingExample(id="p", sequences=(sequence, sequence), progress=0.0)]

    def parity(scorer: Sequence[float], learner: Sequence[float]) -> float:
        sides: Any = {"scorers": Side(scorer), "learner": Side(learner)}
        return asyncio.run(verify_scores(POLICY, examples, dtype="float32", **sides))

    assert parity(FINE, FINE) == 0.0
    for who, sides in {"the scorer": ((-1.0, bad), FINE), "the learner": (FINE, (-1.0, bad))}.items():
        with pytest.raises(RunError, match=f"{who} gives .*reward model 4.* is {bad}"):
            parity(*sides)


# ------------------------------------------------------------------------------------------------------------ the best


@pytest.mark.parametrize("bad", NOT_FINITE)
@pytest.mark.parametrize(("metric", "name"), [("loss", "loss"), ("accuracy", "accuracy")])
def test_the_best_moment_and_the_best_alpha_are_not_chosen_among_what_is_not_finite(
    metric: Any, name: str, bad: float
) -> None:
    measured = {"loss": 0.5, "accuracy": 0.5, name: bad}
    with pytest.raises(RunError, match=rf"learner.extrapolation: the {name} .* is {bad}"):
        goodness(measured, metric, "learner.extrapolation")
    selection = Selection(config=SelectionConfig(every_steps=1, metric=metric, patience=1))
    with pytest.raises(RunError, match=rf"learner.selection: the {name} .* is {bad}"):
        selection.add({f"heldout/{key}": value for key, value in measured.items()}, 1)
    assert selection.best is None


@pytest.mark.parametrize("bad", NOT_FINITE)
def test_no_number_of_a_configuration_is_infinite_or_nan(bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        FunctionObjective(kind="function", function="mine.losses:dpo", parameters=FrozenMapping({"beta": bad}))
