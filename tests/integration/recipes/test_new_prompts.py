"""Rounds whose prompts the policy wrote."""

from collections.abc import Callable

import pytest
from support.recipe_ledgers import outcomes
from support.recipe_runs import ONE_PHASE

from roundelay.orchestrator.data.records import PromptCandidate, Rollout
from roundelay.orchestrator.ledger.ledger import Ledger
from roundelay.orchestrator.prompts.store import PromptStore

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

# A tiny model writes no sentences: short answers that end somewhere, of which most pass the rules that are left.
LOOSE = {
    "sampling.temperature": "1.0", "sampling.top_p": "1.0", "sampling.max_tokens": "24", "sampling.stop": "[e]",
    "rules.min_words": "1", "rules.max_rouge_l": "1.0", "requests_per_batch": "6", "max_batches": "40",
}  # fmt: skip


def loosened(where: str) -> list[str]:
    return [f"{where}.{field}={value}" for field, value in LOOSE.items()]


def check_new_prompts(ledger: Ledger, round: int) -> list[PromptCandidate]:
    """The round was sampled from its eight new prompts and no others; each is new, and obeys the rules that are left.
    All that was written is accounted for."""
    candidates = list(ledger.read_stage(round, "prompts", PromptCandidate))
    kept = [candidate for candidate in candidates if candidate.reason is None]
    earlier = {c.prompt.id for r in range(1, round) for c in ledger.read_stage(r, "prompts", PromptCandidate)}
    ids = [candidate.prompt.id for candidate in kept]
    assert len(set(ids)) == 8 and not set(ids) & {*earlier, *(prompt.id for prompt in PromptStore(ledger, "train"))}
    assert {rollout.prompt_id for rollout in ledger.read_stage(round, "rollouts", Rollout)} == set(ids)
    for candidate in kept:
        text = candidate.prompt.messages[-1].content
        assert text[0].isascii() and text[0].isalnum() and 1 <= len(text.split()) <= 300 and "e" not in text
    counts = ledger.manifest(round)["new_prompts"]
    assert (counts["kept"], sum(counts["dropped"].values())) == (8, len(candidates) - 8)
    assert {candidate.policy_version for candidate in candidates} == {round - 1}
    return candidates


@pytest.mark.parametrize("kind", ["self_instruct", "evolve"])
def test_a_round_is_sampled_from_prompts_that_the_policy_wrote(kind: str, play: Callable[..., Ledger]) -> None:
    """Two rounds: the second one's prompts are of the trained policy. Self-Instruct shows six prompts of the file and
    two new ones, as soon as there are two; an evolved prompt has one origin."""
    sizes = ("run.rounds=2", "run.prompts_per_round=8", "learner.pairs_per_step=2")
    ledger = play("self_rewarding", *sizes, f"new_prompts={kind}", *loosened("new_prompts"))
    file = {prompt.id for prompt in PromptStore(ledger, "train")}
    first, second = check_new_prompts(ledger, 1), check_new_prompts(ledger, 2)
    made = {candidate.prompt.id for candidate in (*first, *second) if candidate.reason is None}
    assert all(set(candidate.shown) <= file | made for candidate in second)
    if kind == "self_instruct":
        new = [sum(name not in file for name in candidate.shown) for candidate in second]
        assert new == [2] * len(new) and {len(candidate.shown) for candidate in second} == {8}
    else:
        assert {len(candidate.shown) for candidate in second} == {1}


def test_skillmix_learns_the_answers_to_prompts_that_the_policy_wrote(play: Callable[..., Ledger]) -> None:
    """Each prompt was to need two of the skills, and its answer is learnt, three times over."""
    ledger = play("skillmix", *ONE_PHASE, *loosened("new_prompts"))
    skills = ledger.header()["config"]["new_prompts"]["skills"]
    candidates = check_new_prompts(ledger, 1)
    assert all(len({*c.shown}) == 2 and {*c.shown} <= set(skills) for c in candidates)
    groups = [outcome.group for outcome in outcomes(ledger, 1) if outcome.group is not None]
    assert len(groups) >= 4 and all(len(group.responses) == 1 for group in groups)
    learned = ledger.manifest(1)["learn"]
    assert learned["pairs_trained"] == 3 * len(groups) and learned["loss"] > 0


def test_self_rip_writes_prompts_by_the_example_of_those_that_survived(play: Callable[..., Ledger]) -> None:
    """24 prompts of the file, then eight new ones; each of these was written after eight survivors. So that there are
    as many, only the median of rejected scores is a threshold here: it leaves half of the pairs, or more with ties."""
    sizes = (
        "run.rounds=2", "phases.rip.prompts_per_round=24", "phases.self_rip.prompts_per_round=8",
        "generation.samples_per_prompt=6", "learner.pairs_per_step=2",
        "filter.rejected_length.at=0.0", "filter.margin.at=1.0",
    )  # fmt: skip
    ledger = play("self_rip", *sizes, *loosened("phases.self_rip.new_prompts"))
    paired = {o.pair.prompt.id for o in outcomes(ledger, 1) if o.pair is not None}
    survivors = {o.pair.prompt.id for o in outcomes(ledger, 1, "selected") if o.pair is not None}
    assert survivors < paired
    candidates = check_new_prompts(ledger, 2)
    assert all(len({*c.shown}) == 8 and {*c.shown} <= survivors for c in candidates)
    assert ledger.manifest(1)["new_prompts"] is None
