"""The seams: what the round driver needs of the parts that it is handed. Implemented by `actors` over Ray, by
`launch.composition` over the recipes, and by scripted stand-ins where a test is about the driver alone."""

from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from .data.filtering import Filter
from .data.records import (
    CanaryJudgment,
    Generation,
    GenerationRequest,
    Judgment,
    Message,
    PairingOutcome,
    PolicyRef,
    PreferencePair,
    Prompt,
    PromptCandidate,
    Rollout,
    Shard,
    TokenSequence,
    TrainingExample,
    UpdateStart,
)

if TYPE_CHECKING:
    from .ledger.layout import Activity, Stage
    from .parts.judge import JudgePart

Generate: TypeAlias = Callable[[Sequence[GenerationRequest]], Awaitable[list[Generation]]]
# One sampler's responses. The policy's come last, and are given the other samplers'.
Sample: TypeAlias = Callable[[Shard, int, Generate, str, Sequence[Rollout]], Awaitable[list[Rollout]]]
Judge: TypeAlias = Callable[[Shard, Sequence[Rollout], Generate], Coroutine[Any, Any, list[Judgment]]]
# What a judge says, by the judgments that it gave: a panel's votes become the panel's scores.
Conclude: TypeAlias = Callable[[Sequence[Judgment]], list[Judgment]]
# What is learnt of a shard's outcomes, in `sequences`.
Conditioning: TypeAlias = Callable[
    [Shard, Sequence[PairingOutcome], Generate], Coroutine[Any, Any, list[PairingOutcome]]
]
# Takes the policy's responses and its version.
JudgeCanaries: TypeAlias = Callable[
    [Shard, Sequence[Rollout], int, Generate], Coroutine[Any, Any, list[CanaryJudgment]]
]


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptSources:
    """What round `round`'s new prompts are made of and compared with.

    `file` are the training prompts, `heldout` those that a policy is measured on, `made` the new prompts of earlier
    rounds, and `survivors` the prompts of earlier rounds that gave a pair or a group which the filter left, each
    once; none of these two are judging prompts, which are `judged`. Those are made of `given`, the prompts with given
    responses, `pairs`, or `judged_responses`, each a prompt with its responses and their judgments by `judge` (see
    `parts.new_prompts.Judged`).
    """

    round: int
    policy_version: int
    file: Iterable[Prompt]
    heldout: Iterable[Prompt]
    made: Iterable[Prompt]
    survivors: Iterable[Prompt]
    judged: Iterable[Prompt]
    given: Iterable[Prompt]
    pairs: Iterable[PreferencePair]
    judge: "JudgePart | None"
    judged_responses: Iterable[tuple[Prompt, Sequence[Rollout], Sequence[Judgment]]]


class Encoder(Protocol):
    """A tokenizer with its chat template. What it cannot write, it refuses by `ConfigError`."""

    path: str  # of the model that it is of

    def encode(self, messages: Sequence[Message], assistant_prefix: str = "") -> tuple[int, ...]:
        """Token ids of a conversation with the assistant's turn opened, and `assistant_prefix` in it."""
        ...

    def encode_response(self, text: str, *, ended: bool = True) -> tuple[int, ...]:
        """Token ids of a given response, by default ended as the template ends an assistant's turn."""
        ...

    def choice_ids(self, assistant_prefix: str, choices: Sequence[str]) -> tuple[int, ...]:
        """The single token with which each choice continues `assistant_prefix`."""
        ...


class PromptMaker(Protocol):
    """Makes a round's new prompts, batch by batch."""

    async def write(self, batch: int, wanted: int, generate: Generate) -> list[PromptCandidate]:
        """The candidates of one batch, at most `wanted` of them kept. It depends on what `take` was told, on nothing
        else."""
        ...

    def take(self, batch: Sequence[PromptCandidate]) -> None:
        """Take note of a committed batch."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """How a judge's judgments are read: what they come to, and the points of the scale that its scores then run over,
    lowest first (None where there is none). Unless said otherwise every judgment stands for itself.

    Example:
        Reading(points=(0.0, 1.0, 2.0, 3.0, 4.0, 5.0))
    """

    conclude: Conclude = list
    points: tuple[float, ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Opinion:
    """A judge that can be asked about any two responses to a prompt, and how it is read."""

    judge: Judge
    reading: Reading


@dataclass(frozen=True, kw_only=True, slots=True)
class Heldout:
    """What a phase measures on held-out prompts: of the policy, and of those who judge it."""

    sample: Callable[[Shard, int, Generate], Awaitable[list[Rollout]]]
    judge: Judge | None
    reading: Reading  # of its judgments
    judge_canaries: JudgeCanaries | None  # None where nothing judges
    # `judge`, and the phase's own one, for round 0's responses, which another policy sampled; None where they do not
    # move.
    rejudge: Judge | None
    rejudge_pairs: Judge | None
    opinions: tuple[Opinion, Opinion] | None  # the policy's, and that of a judge that is not the policy


@dataclass(frozen=True, kw_only=True, slots=True)
class Phase:
    """A recipe's science: which prompts are made, what is sampled and by whom, how it is judged, which pairs come of
    it, and which are learnt from."""

    make_prompts: Callable[[PromptSources], PromptMaker] | None  # None where all are the training file's
    samplers: tuple[str, ...]
    again: bool  # whether the pairs of the round before take part in pairing
    sample: Sample
    gathers: bool  # whether the policy takes the other samplers' responses up, and returns them with its own
    judge: Judge | None  # None where pairs are labelled by construction
    reading: Reading  # of its judgments
    pair: Callable[[Shard, Prompt, Sequence[Rollout], Sequence[Judgment]], PairingOutcome]
    condition: Conditioning | None  # None where responses are learnt under their own prompts
    filter: Filter | None  # None: all are
    heldout: Heldout


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


class Scorers(Protocol):
    """The actors of the models that judge beside the policy, as one: reward models and frozen policies, by name."""

    models: Mapping[str, PolicyRef]

    async def hold(self, models: Mapping[str, PolicyRef]) -> None:
        """Hold these and no others. What is held already is not loaded again."""
        ...

    async def score(self, name: str, sequences: Sequence[TokenSequence]) -> list[list[float]]:
        """The reward model's scores of each sequence: one, or one an attribute."""
        ...

    async def logps(self, name: str, sequences: Sequence[TokenSequence]) -> list[list[float]]:
        """The policy's log-probs of each sequence's response tokens."""
        ...

    async def busy_seconds(self) -> dict[str, float]: ...


class Learner(Protocol):
    """The learner's ranks, as one."""

    async def hold(self, policy: PolicyRef) -> None:
        """Load `policy` outside of any update, for its log-probs and weights."""
        ...

    async def begin(self, start: UpdateStart) -> None:
        """Load what a round's update starts from."""
        ...

    async def restore(self, start: UpdateStart, checkpoint: PolicyRef) -> str:
        """Go on within the update that began with `start`, from one of its checkpoints; in words, how exactly."""
        ...

    async def prepare(self, examples: Sequence[TrainingExample], *, last: bool) -> None:
        """Compute what a policy gradient needs of the round's responses before its first step; `last` ends them."""
        ...

    async def checkpoint(self, round: int, path: str) -> PolicyRef:
        """Write at `path` what `restore` needs of round `round`'s update. Examples that made no step yet are not in
        it."""
        ...

    async def update(self, examples: Sequence[TrainingExample], *, flush: bool) -> list[dict[str, float]]:
        """Take the next examples; the metrics of every optimizer step that came of them."""
        ...

    async def measure(self, examples: Sequence[TrainingExample]) -> dict[str, float]:
        """The objective's loss and metrics on `examples`, which are not learnt from: means over them."""
        ...

    async def logps(self, sequences: Sequence[TokenSequence]) -> list[list[float]]:
        """Per-token log-probs under the policy."""
        ...

    async def scores(self, sequences: Sequence[TokenSequence]) -> list[list[float]]:
        """Scores under the reward model that is being trained: one a sequence, or one an attribute."""
        ...

    async def weights(self) -> Any:
        """The policy's weights, as `Rollouts.load` takes them."""
        ...

    async def save(self, version: int, name: str = "policy") -> PolicyRef:
        """Write the policy into the run directory."""
        ...

    async def save_reward_model(self, version: int) -> PolicyRef:
        """Write the trained reward model into the run directory."""
        ...

    async def save_critic(self, version: int) -> PolicyRef:
        """Write the critic into the run directory."""
        ...

    async def save_mixture(self, version: int, name: str, parts: Sequence[tuple[PolicyRef, float]]) -> PolicyRef:
        """Write Σ coefficient·policy into the run directory. What is loaded stays as it is."""
        ...

    async def busy_seconds(self) -> dict[str, float]: ...


class Observer(Protocol):
    """Who watches a run: progress on a terminal, a tracker."""

    def stage(self, round: int, stage: "Stage[Any] | Activity", done: int, total: int, tokens: int) -> None:
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
