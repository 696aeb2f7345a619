"""Several judges as one: what their votes come to, and what one of them cannot do."""

import asyncio
from collections.abc import Sequence
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.judging import Judge, prompt, rollout, said, shard

from roundelay.orchestrator.data.records import Judgment, Rollout, Shard
from roundelay.orchestrator.protocols import Generate
from roundelay.recipes.judges.panel import Aggregate, judge_panel, panel_judgments
from roundelay.recipes.pairing.best_worst import pair_best_worst


def vote(sample: int, number: int, score: float | None) -> Judgment:
    status = "unparsable" if score is None else "parsed"
    return Judgment(prompt_id="p", sample=sample, vote=number, status=status, score=score, choice_mass=None, text="")


def scores(
    aggregate: Aggregate, *members: Sequence[float | None], votes: Sequence[int] | None = None
) -> dict[int, float]:
    """The panel's scores of members that vote once on each response."""
    cast = [vote(sample, member, score) for member, own in enumerate(members) for sample, score in enumerate(own)]
    return of_votes(aggregate, cast, votes or [1] * len(members))


def of_votes(aggregate: Aggregate, cast: Sequence[Judgment], votes: Sequence[int]) -> dict[int, float]:
    judged = panel_judgments(cast, votes=votes, aggregate=aggregate)
    assert all((j.status, j.vote, j.prompt_id) == ("parsed", 0, "p") for j in judged)
    return {j.sample: j.score for j in judged if j.score is not None}


# ----------------------------------------------------------------------------------------------------- what it comes to


def test_mean_and_median_are_of_the_members_scores() -> None:
    """(1, 2, 6): mean 3, median 2. (5, 5, 2): 4 and 5."""
    members = ([1.0, 5.0], [2.0, 5.0], [6.0, 2.0])
    assert scores("mean", *members) == {0: 3.0, 1: 4.0}
    assert scores("median", *members) == {0: 2.0, 1: 5.0}


def test_a_majority_score_is_the_share_of_the_others_that_more_members_put_below() -> None:
    """0 > 1 by two of three, 0 > 2 by two, 1 = 2 (one each, one even): shares 1, 1/4, 1/4. Scales do not matter."""
    members = ([3.0, 2.0, 1.0], [90.0, 10.0, 20.0], [0.1, 0.2, 0.2])
    assert scores("majority", *members) == {0: 1.0, 1: 0.25, 2: 0.25}


def test_a_member_counts_once_however_often_it_votes() -> None:
    """The first member votes three times, 1, 2 and 3 (mean 2), the second once, 4: the mean is 3, not 2.5."""
    cast = [vote(0, 0, 1.0), vote(0, 1, 2.0), vote(0, 2, 3.0), vote(0, 3, 4.0)]
    assert of_votes("mean", cast, [3, 1]) == {0: 3.0}


def test_a_failed_parse_leaves_its_member_out_and_never_becomes_a_number() -> None:
    """Response 0 has members (4, –, 2): 3. Response 1 has (–, –, 5): 5. Response 2 has none, and no score."""
    members = ([4.0, None, None], [None, None, None], [2.0, 5.0, None])
    assert scores("mean", *members) == scores("median", *members) == {0: 3.0, 1: 5.0}
    assert scores("majority", *members) == {0: 0.0, 1: 1.0}  # only the third compares the two
    cast = [vote(0, 0, None), vote(0, 1, 4.0), vote(0, 2, 2.0)]
    assert of_votes("mean", cast, [2, 1]) == {0: 3.0}  # of two votes of the first member, one was read


@pytest.mark.parametrize("aggregate", ["mean", "median", "majority"])
def test_a_panel_that_scored_nothing_makes_no_pair(aggregate: Aggregate) -> None:
    cast = [vote(sample, member, None) for sample in (0, 1) for member in range(3)]
    judged = panel_judgments(cast, votes=[1, 1, 1], aggregate=aggregate)
    rollouts = [rollout("p", sample, f"r{sample}") for sample in (0, 1)]
    outcome = pair_best_worst(prompt("p", "Hi"), rollouts, judged, min_margin=0.0, drop_truncated=False)
    assert outcome.dropped is not None and outcome.dropped.reason == "unscored"


def test_a_single_scored_response_has_no_majority() -> None:
    assert scores("majority", [3.0], [4.0]) == {}


# --------------------------------------------------------------------------------------- one deceptive member of three

SCORES = st.lists(st.integers(0, 10).map(float), min_size=2, max_size=5)


@st.composite
def panels(draw: st.DrawFn) -> tuple[list[float], list[float], list[float], int]:
    """Two honest members' scores, anything of a third, and the third's place."""
    one = draw(SCORES)
    same = st.lists(st.integers(0, 10).map(float), min_size=len(one), max_size=len(one))
    return one, draw(same), draw(same), draw(st.integers(0, 2))


def placed(one: list[float], other: list[float], liar: list[float], place: int) -> list[list[float]]:
    members = [one, other]
    members.insert(place, liar)
    return members


@given(drawn=panels())
def test_the_median_keeps_the_order_of_responses_whose_honest_ranges_are_apart(
    drawn: tuple[list[float], list[float], list[float], int],
) -> None:
    """Whatever the third says, a score stays within the two others' scores of that response. So a response that both
    honest members put above another, each of them above both scores of the other, stays above."""
    one, other, _, _ = drawn
    found = scores("median", *placed(*drawn))
    for a in range(len(one)):
        assert min(one[a], other[a]) <= found[a] <= max(one[a], other[a])
        for b in range(len(one)):
            if min(one[a], other[a]) > max(one[b], other[b]):
                assert found[a] > found[b]


def test_the_median_can_be_turned_where_the_honest_ranges_overlap() -> None:
    """Both put 0 above 1: (5, 4) and (2, 1). The third inverts them, (1, 5): medians 2 and 4. It is stated, not hidden;
    the majority keeps the order."""
    members = ([5.0, 4.0], [2.0, 1.0], [1.0, 5.0])
    assert scores("median", *members) == {0: 2.0, 1: 4.0}
    assert scores("majority", *members) == {0: 1.0, 1: 0.0}


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_member_that_always_inverts_cannot_change_the_majoritys_order(place: int) -> None:
    """Every order of four responses on which two members agree, on scales of their own: it is the panel's."""
    for order in permutations(range(4)):
        one = [float(order.index(sample)) for sample in range(4)]
        other = [10.0 * score + 3 for score in one]
        found = scores("majority", *placed(one, other, [-score for score in one], place))
        assert sorted(found, key=lambda sample: found[sample]) == list(order)


@given(drawn=panels())
def test_the_majority_keeps_the_best_and_the_worst_of_two_honest_members(
    drawn: tuple[list[float], list[float], list[float], int],
) -> None:
    """A response that both find better than every other beats all, share 1, and no other does; likewise the worst."""
    one, other, _, _ = drawn
    found = scores("majority", *placed(*drawn))
    for a in range(len(one)):
        others = [b for b in range(len(one)) if b != a]
        if all(one[a] > one[b] and other[a] > other[b] for b in others):
            assert found[a] == 1.0 and all(found[b] < 1.0 for b in others)
        if all(one[a] < one[b] and other[a] < other[b] for b in others):
            assert found[a] == 0.0 and all(found[b] > 0.0 for b in others)


# ----------------------------------------------------------------------------------------------------------- the ledger


def test_every_members_votes_are_kept_and_numbered_on_from_member_to_member() -> None:
    async def thrice(case: Shard, rollouts: Sequence[Rollout], generate: Generate) -> list[Judgment]:
        return [vote(response.sample, number, 1.0) for response in rollouts for number in range(3)]

    async def silent(case: Shard, rollouts: Sequence[Rollout], generate: Generate) -> list[Judgment]:
        return []

    async def once(case: Shard, rollouts: Sequence[Rollout], generate: Generate) -> list[Judgment]:
        return [vote(response.sample, 0, None) for response in rollouts]

    rollouts = [rollout("p", sample, "r") for sample in (0, 1)]
    nobody = Judge(lambda request: said(""))
    case = shard(prompt("p", "Hi"))
    judged = asyncio.run(judge_panel(case, rollouts, nobody, members=[thrice, silent, once], votes=[3, 1, 1]))
    assert [(j.sample, j.vote, j.status) for j in judged] == [
        *((sample, number, "parsed") for sample in (0, 1) for number in range(3)),
        (0, 4, "unparsable"),
        (1, 4, "unparsable"),
    ]
    assert of_votes("mean", judged, [3, 1, 1]) == {0: 1.0, 1: 1.0}
