"""Right judgments, to imitate or over those that are not right."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.pairing import PROMPT, pair_of, rollout, vote

from roundelay.orchestrator.data.records import Judgment, PairingOutcome, Rollout
from roundelay.recipes.pairing.right import pair_right
from roundelay.recipes.pairing.right_over_wrong import pair_right_over_wrong

RIGHT, WRONG, UNREAD = "right", "wrong", "unread"


def votes(*kinds: str) -> list[Judgment]:
    """One a sample; what is not read has no score, and nobody says that it agrees."""
    return [
        vote(n, None) if kind == UNREAD else replace(vote(n, float(kind == RIGHT)), agrees=kind == RIGHT)
        for n, kind in enumerate(kinds)
    ]


def samples(count: int, cut: tuple[int, ...] = ()) -> list[Rollout]:
    return [rollout(n, finish="length" if n in cut else "stop") for n in range(count)]


def over(*kinds: str, cut: tuple[int, ...] = (), drop: bool = False) -> PairingOutcome:
    return pair_right_over_wrong(PROMPT, samples(len(kinds), cut), votes(*kinds), drop_truncated=drop)


def reason(outcome: PairingOutcome) -> str:
    assert outcome.dropped is not None and outcome.pair is None and outcome.group is None
    return outcome.dropped.reason


@pytest.mark.parametrize(
    ("kinds", "chosen", "rejected"),
    [
        ((WRONG, RIGHT, RIGHT, WRONG), 1, 0),  # the first of each
        ((RIGHT, UNREAD, WRONG), 0, 1),  # what cannot be read is not right, and comes first
        ((UNREAD, RIGHT), 1, 0),
    ],
)
def test_the_first_right_judgment_is_chosen_over_the_first_that_is_not(
    kinds: tuple[str, ...], chosen: int, rejected: int
) -> None:
    pair = pair_of(over(*kinds))
    assert (pair.chosen.sample, pair.rejected.sample) == (chosen, rejected)
    assert (pair.margin, pair.label_probability, pair.provenance) == (None, 1.0, "truth")


def test_what_makes_no_pair_says_why() -> None:
    assert reason(over(RIGHT, RIGHT)) == "all_right"
    assert reason(over(WRONG, UNREAD)) == "none_right"
    assert reason(over(RIGHT)) == "truncated"
    assert reason(over(RIGHT, WRONG, cut=(1,), drop=True)) == "truncated"
    assert reason(pair_right_over_wrong(PROMPT, samples(2), [], drop_truncated=False)) == "unscored"


def test_a_cut_judgment_is_not_right_unless_it_stays_out() -> None:
    """Sample 1 was cut and could not be read: with it there is a pair, without it all that is left is right."""
    assert pair_of(over(RIGHT, UNREAD, RIGHT, cut=(1,))).rejected.sample == 1
    assert reason(over(RIGHT, UNREAD, RIGHT, cut=(1,), drop=True)) == "all_right"


def test_one_right_judgment_is_imitated() -> None:
    outcome = pair_right(PROMPT, samples(4), votes(UNREAD, WRONG, RIGHT, RIGHT), drop_truncated=False)
    assert outcome.group is not None and [one.sample for one in outcome.group.responses] == [2]
    assert outcome.pair is None and outcome.dropped is None
    for kinds, why in (((WRONG, UNREAD), "none_right"), ((UNREAD, UNREAD), "unscored")):
        assert reason(pair_right(PROMPT, samples(2), votes(*kinds), drop_truncated=False)) == why
    assert reason(pair_right(PROMPT, samples(1, (0,)), votes(RIGHT), drop_truncated=True)) == "truncated"


@given(kinds=st.lists(st.sampled_from([RIGHT, WRONG, UNREAD]), max_size=8), seed=st.randoms())
def test_nothing_but_a_right_judgment_is_ever_chosen(kinds: list[str], seed) -> None:
    """And nothing hangs on the order in which rollouts and judgments come."""
    rollouts, judgments = samples(len(kinds)), votes(*kinds)
    pairs = pair_right_over_wrong(PROMPT, rollouts, judgments, drop_truncated=False)
    imitated = pair_right(PROMPT, rollouts, judgments, drop_truncated=False)
    if pairs.pair is not None:
        assert kinds[pairs.pair.chosen.sample] == RIGHT != kinds[pairs.pair.rejected.sample]
    if imitated.group is not None:
        assert [kinds[one.sample] for one in imitated.group.responses] == [RIGHT]
    seed.shuffle(rollouts)
    seed.shuffle(judgments)
    assert pair_right_over_wrong(PROMPT, rollouts, judgments, drop_truncated=False) == pairs
    assert pair_right(PROMPT, rollouts, judgments, drop_truncated=False) == imitated
