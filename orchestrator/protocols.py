"""The seams: what the round driver needs of the parts that it is handed. Implemented by `actors` over Ray, by
`launch.composition` over the recipes, and by scripted stand-ins where a test is about the driver alone."""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from .records import (
    Generation,
    GenerationRequest,
    Judgment,
    PairingOutcome,
    PolicyRef,
    Prompt,
    Rollout,
    Shard,
    TokenSequence,
    TrainingExample,
)

Generate: TypeAlias = Callable[[Sequence[GenerationRequest]], Awaitable[list[Generation]]]
Judge: TypeAlias = Callable[[Shard, Sequence[Rollout], Generate], Coroutine[Any, Any, list[Judgment]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Phase:
    """A recipe's science: what is sampled, how it is judged, which pairs come of it."""

    sample: Callable[[Shard, int, Generate], Awaitable[list[Rollout]]]
    judge: Judge | None  # None where pairs are labelled by construction
    pair: Callable[[Shard, Prompt, Sequence[Rollout], Sequence[Judgment]], PairingOutcome]
    sample_heldout: Callable[[Shard, int, Generate], Awaitable[list[Rollout]]]
    judge_heldout: Judge | None


class Rollouts(Protocol):
    """The rollout engines, as one."""

    policy_version: int

    async def generate(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        """Answers in order, by whichever engine; an engine that dies is replaced and its requests are repeated."""
        ...

    async def score(self, sequences: Sequence[TokenSequence]) -> list[list[list[float]]]:
        """For every engine: log-probs of each sequence's response tokens."""
        ...

    async def load(self, weights: Any, policy: PolicyRef) -> None:
        """Give every engine the learner's weights."""
        ...

    async def sleep(self) -> None: ...

    async def wake(self) -> None: ...

    async def busy_seconds(self) -> dict[str, float]: ...


class Learner(Protocol):
    """The learner's ranks, as one."""

    async def begin(self, policy: PolicyRef, reference: PolicyRef | None) -> None:
        """Load `policy` under a new optimizer, and hold `reference` beside it."""
        ...

    async def restore(self, policy: PolicyRef, reference: PolicyRef | None, path: str) -> str:
        """Go on within the update that began with `policy`, from the checkpoint at `path`; in words, how exactly."""
        ...

    async def checkpoint(self, path: str) -> None:
        """Write at `path` what `restore` needs. Examples that made no step yet are not in it."""
        ...

    async def update(self, examples: Sequence[TrainingExample], *, flush: bool) -> list[dict[str, float]]:
        """Take the next examples; the metrics of every optimizer step that came of them."""
        ...

    async def logps(self, sequences: Sequence[TokenSequence]) -> list[list[float]]:
        """Per-token log-probs under the policy."""
        ...

    async def weights(self) -> Any:
        """The policy's weights, as `Rollouts.load` takes them."""
        ...

    async def save(self, version: int) -> PolicyRef:
        """Write the policy into the run directory."""
        ...

    async def save_average(self, version: int, reference: PolicyRef, decay: float) -> PolicyRef:
        """Write decay·reference + (1 − decay)·policy into the run directory."""
        ...

    async def busy_seconds(self) -> dict[str, float]: ...


class Observer(Protocol):
    """Who watches a run: progress on a terminal, a tracker."""

    def stage(self, round: int, stage: str, done: int, total: int, tokens: int) -> None:
        """`done` of `total` shards (or steps) of a stage are finished; `tokens` were handled in the last one."""
        ...

    def metrics(self, row: dict[str, Any]) -> None:
        """A row of metrics.jsonl was written."""
        ...

    def pairs(self, round: int, outcomes: Sequence[PairingOutcome]) -> None:
        """A shard of pairs is finished."""
        ...

    def note(self, text: str) -> None:
        """Something that the user should know."""
        ...
