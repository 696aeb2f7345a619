"""All scored responses to a prompt, best first."""

from collections.abc import Sequence
from functools import partial
from typing import ClassVar, Literal

from ...orchestrator.data.records import Judgment, PairingOutcome, Prompt, ResponseGroup, Rollout
from ...orchestrator.fields import PositiveInt
from ...orchestrator.parts.pairing import Gives, Pair, PairingContext, PairingPart
from ...orchestrator.parts.registry import part
from .candidates import dropped, kept, lacking, scored_candidates


@part("pairing")
class GroupPairing(PairingPart):
    """No pairs: all scored responses to a prompt, best first. For objective=ppo, grpo and rloo; with `ties: drop` and
    two or more, for rrhf and pro."""

    kind: Literal["group"]
    min_responses: PositiveInt  # a prompt with fewer scored responses is dropped
    ties: Literal["keep", "drop"]  # whether a group whose scores are all equal is kept; it ranks nothing
    version: ClassVar[int] = 2  # no empty response comes into a pair or a group
    every_sampled: ClassVar[bool] = True
    every_given: ClassVar[bool] = True

    def gives(self) -> Gives:
        return "groups"

    def least_responses(self) -> int:
        return self.min_responses

    def keeps_ties(self) -> bool:
        return self.ties == "keep"

    def sentence(self) -> str:
        tied = "; a group of equal scores is dropped" if self.ties == "drop" else ""
        return f"No pairs: all scored responses to a prompt, best first ({self.min_responses} or more){tied}."

    def build(self, context: PairingContext) -> Pair:
        return partial(
            pair_group,
            min_responses=self.min_responses,
            drop_ties=self.ties == "drop",
            drop_truncated=context.drop_truncated,
            drop_empty=context.drop_empty,
        )


def pair_group(
    prompt: Prompt,
    rollouts: Sequence[Rollout],
    judgments: Sequence[Judgment],
    *,
    min_responses: int,
    drop_ties: bool,
    drop_truncated: bool,
    drop_empty: bool = True,
) -> PairingOutcome:
    """Every scored response, best first, equals in the order they were sampled.

    Identical texts stay: each is a sample of its own in a policy gradient. Empty ones stay only where the objective has
    a reward for them (`drop_empty` False). Drop reasons, in this order: `truncated`, `empty` and `unscored` (fewer than
    `min_responses` candidates are left), `tie` (with `drop_ties`: all scores are equal, which a single response's is
    too).
    """
    candidates = kept(rollouts, drop_truncated, drop_empty=drop_empty)
    if len(candidates) < min_responses:
        return dropped(prompt, lacking(rollouts, drop_truncated, at_least=min_responses))
    scored = scored_candidates(candidates, judgments)
    if len(scored) < min_responses:
        return dropped(prompt, "unscored")
    ranked = sorted(scored, key=lambda one: (-one.score, one.rollout.sample))
    if drop_ties and ranked[0].score == ranked[-1].score:
        return dropped(prompt, "tie")
    group = ResponseGroup(
        prompt=prompt,
        responses=tuple(one.rollout for one in ranked),
        scores=tuple(one.score for one in ranked),
    )
    return PairingOutcome(pair=None, dropped=None, group=group)
