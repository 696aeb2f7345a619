"""The implicit reward on held-out pairs, by hand."""

from collections.abc import Sequence

import pytest

from roundelay.orchestrator.data.records import PairLogps
from roundelay.orchestrator.evaluate.evaluation import implicit_reward


def logps(**pairs: tuple[float, float]) -> list[PairLogps]:
    return [PairLogps(prompt_id=name, chosen=chosen, rejected=rejected) for name, (chosen, rejected) in pairs.items()]


INITIAL = logps(a=(-10, -12), b=(-20, -5), c=(-7, -7), d=(-1, -2))


def test_accuracy_and_margin_are_those_of_the_change_in_log_probs() -> None:
    """Changes (chosen, rejected), and their margins: a (+2, +1) → +1; b (+5, −1) → +6, right although the chosen
    response is still the less probable one; c (−3, +1) → −4; d (+4, +4) → 0, a tie, which counts as wrong.
    Accuracy 2/4, mean margin (1 + 6 − 4 + 0)/4 = 0.75."""
    now = logps(a=(-8, -11), b=(-15, -6), c=(-10, -6), d=(3, 2))
    assert implicit_reward(initial=INITIAL, now=now) == {
        "heldout_pairs": 4,
        "implicit_accuracy": 0.5,
        "implicit_margin": 0.75,
    }


def test_pairs_are_matched_by_prompt_and_not_by_place() -> None:
    now = logps(a=(-8, -11), b=(-15, -6), c=(-10, -6), d=(3, 2))
    assert implicit_reward(initial=INITIAL[::-1], now=now) == implicit_reward(initial=INITIAL, now=now)


@pytest.mark.parametrize("initial", [INITIAL, []], ids=["round 0", "no pairs"])
def test_the_initial_policy_and_an_empty_set_have_no_accuracy(initial: Sequence[PairLogps]) -> None:
    """Where every reward is zero an accuracy of 0% (or 50%) would be a number without a meaning."""
    assert implicit_reward(initial=initial, now=initial) == {
        "heldout_pairs": len(initial),
        "implicit_accuracy": None,
        "implicit_margin": None,
    }
