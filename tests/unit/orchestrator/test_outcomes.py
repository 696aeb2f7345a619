"""A filter stands between pairing and learning: what it lets through is learnt from, once, whatever happens meanwhile.

The engines are scripted; stages, ledger and accounting are real.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.configs import RIP, base, changed
from support.scripted import ScriptedRound, response

from roundelay.orchestrator.data.filtering import Decision, Filter
from roundelay.orchestrator.data.records import Dropped, Judgment, PairingOutcome, PreferencePair, Prompt
from roundelay.orchestrator.ledger.ledger import Ledger
from roundelay.recipes.filters.mean_label_probability import filter_mean_label
from roundelay.recipes.filters.measured import measure
from roundelay.recipes.filters.rip import filter_rip
from roundelay.recipes.filters.score_threshold import filter_score_threshold

# Of prompts 0 to 7: (score of the chosen, score and characters of the rejected response); None gives no pair.
ROUND: list[tuple[float, float, int] | None] = [
    (5.0, 1.0, 9), (4.0, 3.0, 5), None, (5.0, 3.0, 5), (4.0, 3.0, 2), (3.0, 2.0, 8), None, (4.5, 4.0, 7)
]  # fmt: skip
# Rejected scores 1 2 3 3 3 4: median 3. Characters 2 5 5 7 8 9: median 6. Margins .5 1 1 1 2 4: median 1.
REASONS = [
    "low_rejected_score", "short_rejected", "tie", "short_rejected", "short_rejected", "low_rejected_score", "tie", None
]  # fmt: skip


def by_rip() -> Filter:
    medians = changed(RIP, unit="chars")
    return Filter(whole_round=True, measure=measure, decide=lambda rows: filter_rip(rows, config=medians))


def by_score() -> Filter:
    return Filter(whole_round=False, measure=measure, decide=lambda rows: filter_score_threshold(rows, min_score=4.5))


def outcome(prompt: Prompt) -> PairingOutcome:
    scripted = ROUND[int(prompt.id)]
    if scripted is None:
        return PairingOutcome(pair=None, dropped=Dropped(prompt_id=prompt.id, reason="tie"))
    chosen, rejected, chars = scripted
    pair = PreferencePair(
        prompt=prompt, chosen=response(prompt, 0, "better"), rejected=response(prompt, 1, "x" * chars),
        margin=chosen - rejected, label_probability=0.6 + int(prompt.id) / 20, provenance="judge",
    )  # fmt: skip
    return PairingOutcome(pair=pair, dropped=None)


def votes(prompt: Prompt) -> list[Judgment]:
    scores = (ROUND[int(prompt.id)] or (2.0, 2.0, 0))[:2]
    return [
        Judgment(prompt_id=prompt.id, sample=i, vote=0, status="parsed", score=score, choice_mass=None, text="")
        for i, score in enumerate(scores)
    ]


@pytest.fixture
def scripted(tmp_path: Path) -> Callable[..., ScriptedRound]:
    def make(filter: Filter | None, name: str = "run", **changes: object) -> ScriptedRound:
        config = changed(base(), **{"cluster__colocated": False, **changes})
        return ScriptedRound(tmp_path / name, config, len(ROUND), outcome, votes, filter)

    return make


def reasons(ledger: Ledger, stage: str) -> list[str | None]:
    """Of every prompt of the round, in order; None of a pair."""
    return [one.dropped.reason if one.dropped else None for one in ledger.read_stage(1, stage, PairingOutcome)]


def files(ledger: Ledger) -> dict[str, tuple[int, bytes]]:
    """Every finished shard, with its time and its bytes."""
    found = Path(ledger.root, "rounds/001").rglob("shard-*.parquet")
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in found}


def test_without_a_filter_shards_are_learnt_from_as_they_come(scripted: Callable[..., ScriptedRound]) -> None:
    """The first is learnt before the last is paired, and there is no further stage."""
    run = scripted(None)
    events, learner = run.play()
    assert events.index("learn 0,1") < events.index("pairs 4/4")
    assert [example.id for example in learner.learned] == ["0", "1", "3", "4", "5", "7"]
    assert not run.ledger.exists("rounds/001/selected")
    assert run.ledger.read_json("rounds/001/learn.json")["data"]["limits"] == {}


def test_a_filter_on_the_whole_round_is_a_barrier(scripted: Callable[..., ScriptedRound]) -> None:
    """Nothing is selected before all four shards are paired. Medians by hand: see `ROUND`."""
    run = scripted(by_rip())
    events, learner = run.play()
    assert events.index("pairs 4/4") < events.index("selected 1/4") < events.index("learn ")
    assert [example.id for example in learner.learned] == ["7"]
    assert reasons(run.ledger, "selected") == REASONS
    assert reasons(run.ledger, "pairs") == ["tie" if reason == "tie" else None for reason in REASONS]
    data = run.ledger.read_json("rounds/001/learn.json")["data"]
    assert (data["prompts"], data["pairs"], data["score_margin"]) == (8, 1, 0.5)
    assert data["dropped"] == {"low_rejected_score": 2, "short_rejected": 3, "tie": 2}
    assert data["limits"] == {"rejected_score": 3.0, "rejected_length": 6.0, "margin": 1.0}


def test_a_filter_on_single_responses_is_no_barrier(scripted: Callable[..., ScriptedRound]) -> None:
    run = scripted(by_score())
    events, learner = run.play()
    assert events.index("learn 0") < events.index("pairs 4/4")
    assert [example.id for example in learner.learned] == ["0", "3", "7"]
    assert reasons(run.ledger, "selected") == [None, "low_score", "tie", None, "low_score", "low_score", "tie", None]


@pytest.mark.parametrize("filter", [by_rip, by_score])
def test_engines_make_room_after_the_last_shard_is_selected(
    filter: Callable[[], Filter], scripted: Callable[..., ScriptedRound]
) -> None:
    """Where they share devices with the learner."""
    events, _ = scripted(filter(), cluster__colocated=True).play()
    assert events.index("selected 4/4") < events.index("sleep")
    assert all(events.index("sleep") < place for place, event in enumerate(events) if event.startswith("learn"))


def test_every_epoch_learns_what_the_filter_let_through(scripted: Callable[..., ScriptedRound]) -> None:
    _, learner = scripted(by_score(), learner__epochs=2).play()
    assert [example.id for example in learner.learned] == ["0", "3", "7"] * 2


def test_the_mean_label_of_the_round_reaches_the_learner(scripted: Callable[..., ScriptedRound]) -> None:
    """Labels .6 .65 .75 .8 .85 .95 of the six pairs: 4.6 / 6 = .766667."""
    filter = Filter(whole_round=True, measure=measure, decide=filter_mean_label)
    run = scripted(filter)
    _, learner = run.play()
    assert [example.label_probability for example in learner.learned] == [0.766667] * 6
    assert run.ledger.read_json("rounds/001/learn.json")["data"]["limits"] == {"label_probability": 0.766667}
    before = [one.pair.label_probability for one in run.ledger.read_stage(1, "pairs", PairingOutcome) if one.pair]
    assert np.mean(before) == pytest.approx(0.766667, abs=1e-6), "what pairing said is still there"


@pytest.mark.parametrize("filter", [by_rip, by_score])
@pytest.mark.parametrize("last", ["pairs 1/4", "pairs 4/4", "selected 1/4", "selected 3/4", "selected 4/4", "learn 7"])
def test_killed_anywhere_and_resumed_the_same_is_learnt_and_nothing_is_written_twice(
    last: str, filter: Callable[[], Filter], scripted: Callable[..., ScriptedRound]
) -> None:
    """Between pairing and learning, in the middle of the selection and after it: the learner of the second life gets
    what that of an undisturbed run gets, from the same bytes, and nobody samples again."""
    calm, shaken = scripted(filter(), "calm"), scripted(filter(), "shaken")
    _, expected = calm.play()
    shaken.play(last)
    written = files(shaken.ledger)
    sampled = list(shaken.sampled)
    _, learner = shaken.play()
    assert learner.learned == expected.learned
    assert {name: data for name, data in files(shaken.ledger).items() if name in written} == written
    assert sorted(set(shaken.sampled)) == sorted(calm.sampled)
    if "4/4" in last or "learn" in last:
        assert shaken.sampled == sampled
    assert data_of(shaken) == data_of(calm)
    assert contents(shaken) == contents(calm)


def data_of(run: ScriptedRound) -> object:
    return run.ledger.read_json("rounds/001/learn.json")["data"]


def contents(run: ScriptedRound) -> list[bytes]:
    return [data for _, (_, data) in sorted(files(run.ledger).items())]


def test_a_filter_holds_rows_of_numbers_and_no_tokens(scripted: Callable[..., ScriptedRound]) -> None:
    """96 bytes a pair are all that a round of any size leaves in the driver's memory until it is over."""
    seen: list[np.ndarray] = []

    def decide(rows: np.ndarray) -> Decision:
        seen.append(rows)
        return Decision(dropped=(None,) * len(rows))

    scripted(Filter(whole_round=True, measure=measure, decide=decide)).play()
    (rows,) = seen
    assert (rows.nbytes, len(rows)) == (6 * 96, 6)
