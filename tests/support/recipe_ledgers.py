"""What a recipe's run left in its ledger, and the rules of pairs that many recipes share."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import TypeAlias

from roundelay.orchestrator.data.records import Judgment, PairingOutcome, PreferencePair, Rollout
from roundelay.orchestrator.ledger.ledger import Ledger

Scored: TypeAlias = list[tuple[Rollout, float]]  # a prompt's responses with the means of their parsed votes


def sampled(ledger: Ledger, round: int) -> list[Rollout]:
    """By all samplers, each a stage of its own."""
    stages = sorted(path.name for path in Path(ledger.root, f"rounds/{round:03d}").glob("rollouts*"))
    return [rollout for stage in stages for rollout in ledger.read_stage(round, stage, Rollout)]


def scored_responses(ledger: Ledger, round: int) -> dict[str, Scored]:
    votes: dict[tuple[str, int], list[float]] = {}
    for judgment in ledger.read_stage(round, "judgments", Judgment):
        if judgment.score is not None:
            votes.setdefault((judgment.prompt_id, judgment.sample), []).append(judgment.score)
    found: dict[str, Scored] = {}
    for rollout in sampled(ledger, round):
        scores = votes.get((rollout.prompt_id, rollout.sample))
        if scores:
            found.setdefault(rollout.prompt_id, []).append((rollout, fmean(scores)))
    return found


def outcomes(ledger: Ledger, round: int, stage: str = "pairs") -> Sequence[PairingOutcome]:
    """One for each of the round's prompts."""
    found = list(ledger.read_stage(round, stage, PairingOutcome))
    assert len(found) == ledger.manifest(round)["data"]["prompts"] >= 8
    return found


def best_over_worst(pair: PreferencePair, scored: Scored) -> bool:
    scores = [score for _, score in scored]
    of = {rollout.sample: score for rollout, score in scored}
    return (of[pair.chosen.sample], of[pair.rejected.sample]) == (max(scores), min(scores)) and min(scores) < max(
        scores
    )


def by_construction(pair: PreferencePair, scored: Scored) -> bool:
    return (pair.chosen.variant, pair.rejected.variant, scored) == ("positive", "negative", [])
