"""Learner and rollout engines brought to one policy, and verified to compute the same."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..data.records import PolicyRef, Prompt
from ..measure.metrics import StageClock
from ..protocols import Learner, Rollouts, Scorers
from .verification import verify_sync


@dataclass(kw_only=True, slots=True)
class WeightSync:
    """Moves weights. `parity` is how far engines (and scorers) and learner were apart when they were last compared."""

    rollouts: Rollouts
    learner: Learner
    scorers: Scorers | None
    probes: Sequence[Prompt]
    dtype: str
    parity: float = 0.0

    async def load(self, policy: PolicyRef, clock: StageClock) -> None:
        """Let the learner hold `policy`, and give it to the engines, unless they have it."""
        if self.rollouts.policy_version != policy.version:
            await self.learner.hold(policy)
            await self.deliver(policy, clock)

    async def deliver(self, policy: PolicyRef, clock: StageClock) -> None:
        """Give the engines the learner's weights, which are `policy`'s, unless they have them."""
        if self.rollouts.policy_version != policy.version:
            with clock.active("sync"):
                await self.rollouts.load(await self.learner.weights(), policy)
                await self.verify(policy)

    async def verify(self, policy: PolicyRef) -> None:
        """Stop unless every rollout engine, and every scorer that holds `policy`, computes the learner's log-probs."""
        self.parity = await verify_sync(
            policy,
            self.probes,
            rollouts=self.rollouts,
            learner=self.learner,
            scorers=self.scorers,
            dtype=self.dtype,
        )
