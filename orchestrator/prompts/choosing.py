"""Which held-out pairs choose (the best moment of an update, ExPO's α), and which are reported.

The best of several measurements is too good by what chance gave it: pairs that choose a policy say nothing unbiased of
it. So where a run chooses, the held-out prompts are parted by a hash of their ids, and the pairs of one part are never
measured for the other's purpose.
"""

from collections.abc import Iterable

from ..config.heldout_split import chooses
from ..config.schema import Config
from ..data.seeds import derive_seed
from .shards import RoundShards


def choosing_prompts(config: Config, heldout: RoundShards) -> frozenset[str]:
    """The ids of the held-out prompts whose pairs choose and are not reported. Empty where nothing is chosen, and where
    `evaluation.selection_share` is null: then all pairs do both. `config` is the whole run's.
    """
    share = config.evaluation.selection_share
    if share is None or not any(chooses(config.in_phase(name).learner) for name in config.phases or (None,)):
        return frozenset()
    return parted((prompt.id for shard in heldout for prompt in shard.prompts), share)


def parted(ids: Iterable[str], share: float) -> frozenset[str]:
    """`share` of the ids, to the nearest whole number: those with the lowest hashes.

    Example:
        >>> len(parted(map(str, range(10)), 0.5))
        5
    """
    ranked = sorted(ids, key=lambda identity: (derive_seed("selection", identity), identity))
    return frozenset(ranked[: round(share * len(ranked))])
