"""CREAM's pairs: whose ranking makes them, and whose consistency is theirs."""

import itertools
import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roundelay.orchestrator.data.records import Judgment, Message, PairingOutcome, Prompt, Rollout
from roundelay.recipes.pairing.cream import kendall_consistency, pair_cream

PROMPT = Prompt(id="p", messages=(Message(role="user", content="Why?"),))


def rollout(sample: int, text: str | None = None, *, truncated: bool = False) -> Rollout:
    return Rollout(
        prompt_id="p",
        sample=sample,
        variant="plain",
        prompt_token_ids=(1,),
        sampler_token_ids=(1,),
        token_ids=(10 + sample, 2),
        logprobs=(-1.0, -1.0),
        text=f"answer {sample}" if text is None else text,
        finish_reason="length" if truncated else "stop",
        policy_version=2,
        seed=0,
    )


def votes(now: Sequence[float], before: Sequence[float]) -> list[Judgment]:
    """Vote 0 is the policy's, vote 1 its predecessor's."""
    return [
        Judgment(prompt_id="p", sample=sample, vote=vote, status="parsed", score=score, choice_mass=None, text="")
        for vote, rewards in enumerate((now, before))
        for sample, score in enumerate(rewards)
    ]


def cream(
    now: Sequence[float], before: Sequence[float], rollouts: Sequence[Rollout] | None = None, drop: bool = False
) -> PairingOutcome:
    given = rollouts or [rollout(sample) for sample in range(len(now))]
    return pair_cream(PROMPT, given, votes(now, before), drop_truncated=drop)


def test_the_policys_best_is_chosen_and_its_consistency_is_the_labels_probability() -> None:
    """The policy ranks 1 > 0 > 2, the one before 1 > 2 > 0: of three pairs (0,1), (0,2), (1,2) they agree on two."""
    pair = cream([-1.0, -0.5, -2.0], [-3.0, -1.0, -2.0]).pair
    assert pair is not None
    assert (pair.chosen.sample, pair.rejected.sample, pair.margin) == (1, 2, 1.5)
    assert pair.label_probability == pytest.approx(2 / 3)


def test_the_policy_before_has_no_say_in_which_responses_are_paired() -> None:
    """However strong its opinion: its rewards are never averaged in."""
    pair = cream([0.2, 0.1], [-100.0, 100.0]).pair
    assert pair is not None
    assert (pair.chosen.sample, pair.rejected.sample, pair.label_probability) == (0, 1, 0.0)


def test_a_policy_that_is_its_own_predecessor_is_sure_of_its_labels() -> None:
    """The first round of a run: c = 1, and the loss is DPO's."""
    pair = cream([0.3, 0.1, 0.2], [0.3, 0.1, 0.2]).pair
    assert pair is not None and pair.label_probability == 1.0


@pytest.mark.parametrize(
    ("now", "before", "texts", "reason"),
    [
        ([0.5, 0.5, 0.5], [1.0, 2.0, 3.0], ["a", "b", "c"], "tie"),
        ([0.5, 0.1], [1.0, 2.0], ["same", " same"], "identical"),
        ([0.5], [1.0], ["a"], "truncated"),
    ],
)
def test_what_the_policy_cannot_tell_apart_gives_no_pair(
    now: list[float], before: list[float], texts: list[str], reason: str
) -> None:
    """Whatever its predecessor thinks of it."""
    outcome = cream(now, before, [rollout(sample, text) for sample, text in enumerate(texts)])
    assert outcome.pair is None and outcome.dropped is not None and outcome.dropped.reason == reason


def test_consistency_is_over_the_responses_that_are_candidates() -> None:
    """The truncated response 2 would turn c from 1 to 2/3 [pairs (0,1), (0,2), (1,2)]."""
    rollouts = [rollout(0), rollout(1), rollout(2, truncated=True)]
    kept, dropped = (cream([3.0, 2.0, 1.0], [3.0, 1.0, 2.0], rollouts, drop).pair for drop in (False, True))
    assert kept is not None and kept.label_probability == pytest.approx(2 / 3)
    assert dropped is not None and dropped.label_probability == 1.0


def test_a_skipped_prompt_moves_no_consistency_to_another_prompt() -> None:
    """The authors' code zips the consistencies of all prompts with the pairs of those that were not skipped."""
    rankings = {
        "a": ([2.0, 1.0], [2.0, 1.0]),  # c = 1
        "b": ([1.0, 1.0], [2.0, 1.0]),  # skipped
        "c": ([2.0, 1.0], [1.0, 2.0]),  # c = 0
    }
    found = {}
    for name, (now, before) in rankings.items():
        pair = cream(now, before).pair
        found[name] = pair.label_probability if pair else None
    assert found == {"a": 1.0, "b": None, "c": 0.0}


reward = st.integers(-3, 3).map(lambda number: number / 4)


@given(st.lists(st.tuples(reward, reward), min_size=2, max_size=6), st.randoms())
def test_a_pair_is_never_a_tie_and_hangs_on_no_order(rewards: list[tuple[float, float]], random) -> None:
    now, before = zip(*rewards, strict=True)
    outcome = cream(now, before)
    rollouts, judgments = [rollout(sample) for sample in range(len(now))], votes(now, before)
    random.shuffle(rollouts)
    random.shuffle(judgments)
    assert pair_cream(PROMPT, rollouts, judgments, drop_truncated=False) == outcome
    assert (outcome.pair is None) == (max(now) == min(now))
    if outcome.pair is not None:
        assert now[outcome.pair.chosen.sample] == max(now) and now[outcome.pair.rejected.sample] == min(now)
        assert 0 <= outcome.pair.label_probability <= 1


# --------------------------------------------------------------------------------------------------------- consistency


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ([1, 2, 3, 4], 1),  # the same order
        ([4, 3, 2, 1], 0),  # the opposite one
        ([1, 2, 4, 3], 5 / 6),  # one of six pairs reversed: τ = (5 − 1)/6 = 2/3
        ([2, 1, 4, 3], 4 / 6),  # two: τ = 1/3
        ([3, 1, 4, 2], 3 / 6),  # three: τ = 0
        ([10, 20, 20, 30], 5.5 / 6),  # one tied, which counts half
        ([7, 7, 7, 7], 1 / 2),  # nothing but ties: no opinion
    ],
)
def test_consistency_is_the_share_of_pairs_in_the_same_order(before: list[float], expected: float) -> None:
    """Against 1, 2, 3, 4, by counting; the two rankings are interchangeable, and only order counts."""
    assert kendall_consistency([1, 2, 3, 4], before) == pytest.approx(expected, abs=1e-12)
    assert kendall_consistency(before, [1, 2, 3, 4]) == pytest.approx(expected, abs=1e-12)
    assert kendall_consistency([-8.5, -2, 0, math.inf], before) == pytest.approx(expected, abs=1e-12)


def test_two_responses_are_enough_for_consistency() -> None:
    assert kendall_consistency([0.5, 0.25], [3, 2]) == 1
    assert kendall_consistency([0.5, 0.25], [2, 3]) == 0


def test_consistency_counts_reversals_for_every_ranking_of_four() -> None:
    """By brute force: sorted by one ranking, the share of pairs that the other has in rising order; turning one
    ranking over gives the rest. Relabelling the responses of both changes nothing."""
    for before in itertools.permutations(range(4)):
        rising = sum(before[i] < before[j] for i in range(4) for j in range(i + 1, 4))
        consistency = kendall_consistency(range(4), before)
        assert consistency == pytest.approx(rising / 6, abs=1e-12)
        assert kendall_consistency(range(4), [-rank for rank in before]) == pytest.approx(1 - rising / 6, abs=1e-12)
        shuffled = [2, 0, 3, 1]
        assert kendall_consistency(shuffled, [before[index] for index in shuffled]) == consistency


@pytest.mark.parametrize(("now", "before"), [([1, 2], [1, 2, 3]), ([1, 2, 3], [1, 2]), ([1], [1]), ([], [])])
def test_consistency_refuses_rankings_of_different_responses_or_of_fewer_than_two(
    now: list[float], before: list[float]
) -> None:
    with pytest.raises(ValueError, match=f"{len(now)} and {len(before)} rewards"):
        kendall_consistency(now, before)
