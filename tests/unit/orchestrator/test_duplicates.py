"""Responses that several prompts share."""

from support.rounds import rollout

from roundelay.orchestrator.data.records import Rollout
from roundelay.orchestrator.prompts.duplicates import Duplicates


def say(**texts: str) -> list[Rollout]:
    """One response a prompt."""
    return [rollout(prompt_id, 0, 1, text=text) for prompt_id, text in texts.items()]


def test_the_share_of_responses_that_another_prompt_has_too() -> None:
    """Over two shards: a and d say "Yes", b and e nothing at all, c alone "No": four of five. Whitespace at the ends
    makes no difference, case does."""
    duplicates = Duplicates()
    duplicates.add(say(a="Yes", b="", c="No"))
    duplicates.add(say(d=" Yes\n", e="  "))
    assert duplicates.share == 4 / 5
    duplicates.add(say(f="yes", g="YES", h="nO"))
    assert duplicates.share == 4 / 8


def test_equal_responses_to_one_prompt_are_no_duplicates_and_count_once() -> None:
    """a says "Yes" three times, b "No" and "Yes": of a's one and b's two different responses two are equal."""
    duplicates = Duplicates()
    duplicates.add([rollout("a", sample, 1, text="Yes") for sample in range(3)])
    assert duplicates.share == 0
    duplicates.add([rollout("b", 0, 1, text="No"), rollout("b", 1, 1, text="Yes")])
    assert duplicates.share == 2 / 3


def test_without_responses_there_is_no_share() -> None:
    assert Duplicates().share is None
