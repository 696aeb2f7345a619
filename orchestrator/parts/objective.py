"""What the core asks of an objective: what it learns from, by which loss, and against which reference."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Annotated, Any, ClassVar, Literal, TypeAlias, assert_never

from pydantic.dataclasses import dataclass

from ..data.records import Rollout
from ..fields import STRICT, BelowOne, PositiveFloat
from .registry import AnyKind, Place
from .user_functions import load_function

# What an example holds (see `training_examples`): the two responses of a pair, with its margin and label probability,
# with their win probabilities, or with a source's response before them; one response as desirable or not; what is
# imitated; all scored responses to a prompt; a response with the values of its attributes; with a judgment on it.
Examples: TypeAlias = Literal[
    "preferences", "contests", "sourced", "labelled", "demonstrations", "groups", "described", "critiqued"
]
# What a loss is called with:
# batch: `(objective, MicroBatch)`.
# pairs: `(PairBatch, **hyperparameters)`, in both orders where labels are uncertain.
# group: `(logps_K, lengths_K, rewards_K, **hyperparameters)`, for each example.
# scores: `(objective, examples, scores_SA)`, those of a reward model's head.
# samples: `(objective, PolicyBatch)`, with the advantages of the whole round.
Taken: TypeAlias = Literal["batch", "pairs", "group", "scores", "samples"]
Needed: TypeAlias = Literal["never", "optional", "always"]
Trained: TypeAlias = Literal["policy", "reward_model", "nothing"]
# What the sum of a step's losses is divided by: numbers of examples, responses or tokens, or the tokens' weights.
Averaged: TypeAlias = Literal["examples", "responses", "tokens", "weights"]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class ReferenceConfig:
    """Which policy the objective is measured against, and where its log-probs come from.

    `average` is a moving average over rounds, which starts as the initial policy: after every round
    θ_ref ← decay·θ_ref + (1 − decay)·θ.
    """

    policy: Literal["previous", "initial", "average", "none"]
    logps: Literal["recompute", "rollout"]
    decay: BelowOne | None = None  # of the average; it and only it has one

    def sentence(self) -> str:
        log_probs = ", by the sampler's log-probs" if self.logps == "rollout" else ""
        match self.policy:
            case "previous":
                return f"Reference: the policy before the round{log_probs}."
            case "initial":
                return "Reference: the initial policy."
            case "average":
                return f"Reference: the moving average of the policies, decay {self.decay:g}."
            case "none":
                return "No reference."
            case _:
                assert_never(self.policy)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class NoiseRule:
    """Which pairs count as noisy: those whose margin, `beta` times the difference of log-ratios to the reference under
    logits that are extrapolated away from it, is among the lowest `fraction` of the last `window` forward passes' mean
    margins, or of all margins of the step."""

    beta: float
    extrapolation: float  # 0: the policy's own logits
    fraction: float
    window: int
    whole_step: bool


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class ObjectivePart:
    """The traits of an objective, with their defaults.

    Functions of tensors are named as "module:function"; a module that begins with a dot is one of `recipes.losses`.
    """

    kind: str
    reference: ReferenceConfig = ReferenceConfig(policy="none", logps="recompute")
    version: ClassVar[int] = 1  # rises when the same input comes to mean something else
    loss: ClassVar[str] = ""
    takes: ClassVar[Taken] = "batch"
    examples: ClassVar[Examples] = "preferences"
    # A round that trains nothing keeps its pairs for later ones, and the policy.
    trains: ClassVar[Trained] = "policy"
    needs_reference: ClassVar[Needed] = "optional"
    has_accuracy: ClassVar[bool] = True  # among its metrics
    may_be_added: ClassVar[bool] = False  # to a loss on the same pairs
    ranks: ClassVar[bool] = False  # learns from differences of the scores in a list
    scores_attributes: ClassVar[bool] = False  # its reward model has a score an attribute, not one alone
    measures_heldout: ClassVar[bool] = False  # says how well it does on held-out pairs whenever a round has learnt
    # The first sequences of an example that its loss is computed from; None: all.
    trained_sequences: ClassVar[int | None] = None
    # Before a step: from the log-ratios of all other sequences of its examples, shape (S,), to what its loss knows as
    # `step["kl"]`.
    kl_of_step: ClassVar[str | None] = None
    # A policy gradient learns from the scores of the policy's own samples. Of a whole round, before its first step:
    # `(objective, scores_S, sizes, tokens, measured)`, to what is further known of each token, `advantages` above all.
    policy_gradient: ClassVar[bool] = False
    advantages: ClassVar[str] = ""
    compares_samples: ClassVar[bool] = False  # a sample's advantage is over the others to the same prompt

    def check(self, at: Place) -> None:
        """Refuse values that do not go together.

        Raises:
            ConfigError: naming the fields, their values and the remedy.
        """

    def check_available(self, at: Place) -> None:
        """Refuse functions of the user's that it names and that are not there.

        Raises:
            ConfigError: naming them.
        """
        for name in filter(None, (self.formula(), self.advantages, self.kl_of_step)):
            if not name.startswith("."):
                load_function(name, f"{at}.kind={self.kind}, loss")

    def formula(self) -> str:
        """The name of its loss."""
        return self.loss

    def added_formula(self) -> str:
        """The name of its loss where it is added to one on pairs, and is computed from their batch."""
        return self.formula()

    def hyperparameters(self) -> Mapping[str, Any]:
        """The arguments of a loss on pairs or lists: its own fields."""
        return own_fields(self, ObjectivePart)

    def further(self) -> "Sequence[Term]":
        """Losses that are added."""
        return ()

    def extras(self) -> tuple[str, ...]:
        """What the policy's forward pass must give beside log-probs: `log_collision`, `hidden`, `entropy`, `values`."""
        return ()

    def averaged_over(self) -> Averaged:
        return "examples"

    def noise(self) -> NoiseRule | None:
        """How noisy labels are told."""
        return None

    def value_model(self) -> Literal["separate", "shared"] | None:
        """Where values of tokens come from: a model of its own, a head on the policy's, or nowhere."""
        return None

    def reward(self, rollout: Rollout, score: float) -> float:
        """What a scored response counts as."""
        return score

    def rewards_truncated(self) -> bool:
        """Whether a truncated response has a reward of its own."""
        return False

    def rewards_empty(self) -> bool:
        """Whether an empty response has a reward of its own: then it is a sample like any other."""
        return False

    def pairs_with(self) -> Literal["margin", "win_probabilities", "consistency"] | None:
        """What pairs must come with."""
        return None

    def phrase(self) -> str:
        """What is asked, as one of several losses: neither capital nor full stop."""
        raise NotImplementedError

    def sentence(self) -> str:
        """What is asked of the policy (or of a reward model)."""
        raise NotImplementedError


def own_fields(objective: ObjectivePart, base: type[ObjectivePart]) -> dict[str, Any]:
    """The fields of an objective that `base` does not have."""
    shared = {field.name for field in fields(base)}
    return {field.name: getattr(objective, field.name) for field in fields(objective) if field.name not in shared}


def _may_be_added(cls: type) -> bool:
    return getattr(cls, "may_be_added", False)


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class Term:
    """A loss that is added to a pair's main one, on the same pair and reference."""

    weight: PositiveFloat
    loss: Annotated[ObjectivePart, AnyKind("objective", where=_may_be_added)]


AnyObjective: TypeAlias = Annotated[ObjectivePart, AnyKind("objective")]
