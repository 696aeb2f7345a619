"""Rewards with a known meaning, for judges that are functions: what a policy gradient must raise, and its control."""

from roundelay.orchestrator.data.records import Prompt, Rollout
from roundelay.orchestrator.data.seeds import derive_seed


def even_tokens(prompt: Prompt, rollout: Rollout) -> float:
    """The share of a response's tokens with an even id."""
    return sum(token % 2 == 0 for token in rollout.token_ids) / len(rollout.token_ids)


def unrelated(prompt: Prompt, rollout: Rollout) -> float:
    """A number between 0 and 1 that has nothing to do with the response: the control."""
    return derive_seed("unrelated", prompt.id, rollout.sample, rollout.policy_version) / 2**31


def characters(prompt: Prompt, rollout: Rollout) -> float:
    """The length of the response: a judge that long nothings fool."""
    return float(len(rollout.text))
