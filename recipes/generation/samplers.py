"""What ways of generation with several samplers share: the numbers of their samples, and how samplers are called."""

from collections.abc import Sequence

from ...orchestrator.parts.sampling import POLICY, is_model_path
from ...orchestrator.parts.wording import listed


def samples_of(sampler: str, samplers: Sequence[str], each: int) -> range:
    """The numbers of a sampler's samples, `each` a sampler. None if it is not among the samplers.

    Example:
        >>> samples_of("initial", ("policy", "initial"), 4)
        range(4, 8)
    """
    if sampler not in samplers:
        return range(0)
    first = samplers.index(sampler) * each
    return range(first, first + each)


def from_samplers(samplers: Sequence[str]) -> str:
    """Who samples, where that is not the policy alone."""
    if tuple(samplers) == (POLICY,):
        return ""
    return f" from {listed(map(_called, samplers))}{' each' * (len(samplers) > 1)}"


def _called(sampler: str) -> str:
    return f"the model {sampler}" if is_model_path(sampler) else {
        "policy": "the policy", "initial": "the initial policy", "previous": "the policy before the latest",
        "latest": "the latest policy",
    }.get(sampler, f"the policy of {sampler.replace('-', ' ')}")  # fmt: skip
