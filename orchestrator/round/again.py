"""What a round that takes up the one before it takes over: that round's pairs, with the scores that made them."""

from collections.abc import Sequence
from dataclasses import replace

from ..data.records import Judgment, PairingOutcome, Rollout, Shard, pairs_of
from ..ledger.layout import JUDGMENTS, PAIRS
from ..ledger.ledger import Ledger

# The samplers that the two responses of a pair of the round before are known by.
CHOSEN_BEFORE, REJECTED_BEFORE = "chosen_before", "rejected_before"


def pairs_before(ledger: Ledger, shard: Shard, first: int) -> tuple[list[Rollout], list[Judgment]]:
    """Both responses of every pair that the round before made of the shard's prompts, and their votes.

    They are numbered from `first`: the chosen one, then the rejected one.
    """
    before = replace(shard, round=shard.round - 1)
    outcomes = ledger.read_shard(PAIRS.name, before, PairingOutcome)
    votes = ledger.read_shard(JUDGMENTS.name, before, Judgment)
    assert outcomes is not None and votes is not None, "the round before is finished"
    rollouts: list[Rollout] = []
    judgments: list[Judgment] = []
    for pair in pairs_of(outcomes):
        named = ((CHOSEN_BEFORE, pair.chosen), (REJECTED_BEFORE, pair.rejected))
        for sample, (name, rollout) in enumerate(named, start=first):
            rollouts.append(replace(rollout, sample=sample, sampler=name))
            judgments.extend(replace(vote, sample=sample) for vote in _votes(votes, rollout))
    return rollouts, judgments


def _votes(votes: Sequence[Judgment], rollout: Rollout) -> list[Judgment]:
    return [vote for vote in votes if (vote.prompt_id, vote.sample) == (rollout.prompt_id, rollout.sample)]
