"""The stages of a round: one row a stage, in the order in which they come.

Whatever runs, shows, hashes, checks or heals by stage reads this table; a stage without a row cannot be run.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, Literal, TypeVar

from ..data.records import CanaryJudgment, Judgment, PairingOutcome, PairLogps, PromptCandidate, Rollout
from ..parts.sampling import POLICY, is_model_path

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage(Generic[T]):
    """One row.

    Example:
        Stage(name="pairs", label="pair", records=PairingOutcome, quiet=True)
    """

    name: str  # of its directory, `rounds/NNN/NAME`, and of its seconds in metrics
    label: str  # on screen
    records: type[T]  # what a row of its shards holds
    quiet: bool = False  # over in an instant: not shown
    before_update: bool = False  # whether the round's update depends on it
    of_samplers: bool = False  # one directory a sampler: see `sampled_by`


@dataclass(frozen=True, kw_only=True, slots=True)
class Activity:
    """What takes a while and commits no shard: shown, and no more.

    Example:
        Activity(name="learn", label="learn")
    """

    name: str
    label: str
    quiet: bool = False


START = Activity(name="start", label="start engines")
PREPARE = Activity(name="prepare", label="prepare")
LEARN = Activity(name="learn", label="learn")
COMPARISONS = Activity(name="comparisons", label="judge pairs")

PROMPTS = Stage(name="prompts", label="new prompts", records=PromptCandidate, before_update=True)
ROLLOUTS = Stage(name="rollouts", label="sample", records=Rollout, before_update=True, of_samplers=True)
JUDGMENTS = Stage(name="judgments", label="judge", records=Judgment, before_update=True)
PAIRS = Stage(name="pairs", label="pair", records=PairingOutcome, before_update=True, quiet=True)
SELECTED = Stage(name="selected", label="filter", records=PairingOutcome, before_update=True, quiet=True)
HELDOUT_ROLLOUTS = Stage(
    name="heldout-rollouts", label="held-out: sample pairs", records=Rollout, of_samplers=True
)  # fmt: skip
HELDOUT_JUDGMENTS = Stage(name="heldout-judgments", label="held-out: judge pairs", records=Judgment)
HELDOUT_PAIRS = Stage(name="heldout-pairs", label="held-out: pair", records=PairingOutcome, quiet=True)
EVAL_ROLLOUTS = Stage(name="eval-rollouts", label="evaluate: respond", records=Rollout)
EVAL_JUDGMENTS = Stage(name="eval-judgments", label="evaluate: judge", records=Judgment)
EVAL_LOGPS = Stage(name="eval-logps", label="evaluate: implicit reward", records=PairLogps)
CANARY_JUDGMENTS = Stage(name="canary-judgments", label="evaluate: judge canaries", records=CanaryJudgment)
DRIFT_JUDGMENTS = Stage(
    name="drift-judgments", label="evaluate: judge the initial responses again", records=Judgment
)  # fmt: skip
LABELS_DRIFT_JUDGMENTS = Stage(
    name="labels-drift-judgments", label="evaluate: judge the first pairs' responses again", records=Judgment
)
OWN_PREFERENCE_JUDGMENTS = Stage(
    name="own-preference-judgments", label="evaluate: judge beside the initial responses", records=Judgment
)
OTHER_PREFERENCE_JUDGMENTS = Stage(
    name="other-preference-judgments", label="evaluate: the other judge on the same", records=Judgment
)
FRESH_ROLLOUTS = Stage(name="fresh-rollouts", label="evaluate: respond to fresh prompts", records=Rollout)
FRESH_JUDGMENTS = Stage(name="fresh-judgments", label="evaluate: judge on fresh prompts", records=Judgment)

STAGES: Mapping[str, Stage[Any]] = {
    stage.name: stage
    for stage in (
        PROMPTS, ROLLOUTS, JUDGMENTS, PAIRS, SELECTED, HELDOUT_ROLLOUTS, HELDOUT_JUDGMENTS, HELDOUT_PAIRS,
        EVAL_ROLLOUTS, EVAL_JUDGMENTS, EVAL_LOGPS, CANARY_JUDGMENTS, DRIFT_JUDGMENTS, LABELS_DRIFT_JUDGMENTS,
        OWN_PREFERENCE_JUDGMENTS, OTHER_PREFERENCE_JUDGMENTS, FRESH_ROLLOUTS, FRESH_JUDGMENTS,
    )
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class PairStages:
    """The stages by which a shard's pairs are made."""

    rollouts: Stage[Rollout]
    judgments: Stage[Judgment]
    pairs: Stage[PairingOutcome]


# By the split that a shard's prompts are of.
PAIR_STAGES: Mapping[Literal["train", "heldout"], PairStages] = {
    "train": PairStages(rollouts=ROLLOUTS, judgments=JUDGMENTS, pairs=PAIRS),
    "heldout": PairStages(rollouts=HELDOUT_ROLLOUTS, judgments=HELDOUT_JUDGMENTS, pairs=HELDOUT_PAIRS),
}


def sampled_by(sampler: str, stage: Stage[Rollout]) -> Stage[Rollout]:
    """The row of one sampler's rollouts: the policy's are the stage's own, each other sampler has a directory.

    Example:
        >>> sampled_by("initial", ROLLOUTS).name, sampled_by("policy", ROLLOUTS).name
        ('rollouts-initial', 'rollouts')
    """
    assert stage.of_samplers, f"{stage.name} is the policy's alone"
    if sampler == POLICY:
        return stage
    word = hashlib.sha256(sampler.encode()).hexdigest()[:8] if is_model_path(sampler) else sampler
    return replace(stage, name=f"{stage.name}-{word}", label=f"{stage.label} by {word}")


def row_of(name: str) -> Stage[Any] | None:
    """The row of a directory of a round; None where it is no stage's."""
    by_sampler = (stage for stage in STAGES.values() if stage.of_samplers and name.startswith(f"{stage.name}-"))
    return STAGES.get(name) or next(by_sampler, None)
