"""The schema of the `objective` group: one class an objective, with its hyperparameters and nothing else.

A class's own fields are the keyword arguments of the function of the same name in `recipes.losses`; what they mean,
with paper and equation, stands there.
"""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field
from pydantic.dataclasses import dataclass

from .config_types import (
    STRICT,
    AboveOne,
    BelowHalf,
    BelowOne,
    Fraction,
    Frozen,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
)
from .errors import ConfigError
from .user_functions import FunctionName


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class ReferenceConfig:
    """Which policy the objective is measured against, and where its log-probs come from.

    `average` is a moving average over rounds, which starts as the initial policy: after every round
    θ_ref ← decay·θ_ref + (1 − decay)·θ.
    """

    policy: Literal["previous", "initial", "average", "none"]
    logps: Literal["recompute", "rollout"]
    decay: BelowOne | None = None  # of the average; it and only it has one


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class Objective:
    """What all objectives share."""

    reference: ReferenceConfig = ReferenceConfig(policy="none", logps="recompute")


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class PairObjective(Objective):
    """What losses on chosen and rejected responses share: WPO's weights (arXiv 2406.11827), clipped at 1 or not, and
    further losses on the same pairs."""

    weighting: Literal["none", "wpo", "wpo_unclipped"] = "none"
    plus: tuple["Term", ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class DpoObjective(PairObjective):
    kind: Literal["dpo"]
    beta: PositiveFloat


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class CdpoObjective(PairObjective):
    kind: Literal["cdpo"]
    beta: PositiveFloat
    label_smoothing: BelowHalf


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class RdpoObjective(PairObjective):
    kind: Literal["rdpo"]
    beta: PositiveFloat
    label_smoothing: BelowHalf


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class IpoObjective(PairObjective):
    kind: Literal["ipo"]
    beta: PositiveFloat
    tokens: Literal["sum", "mean"]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class HingeObjective(PairObjective):
    kind: Literal["hinge"]
    beta: PositiveFloat


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class DpopObjective(PairObjective):
    kind: Literal["dpop"]
    beta: PositiveFloat
    penalty: PositiveFloat


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class RDpoObjective(PairObjective):
    kind: Literal["r_dpo"]
    beta: PositiveFloat
    alpha: PositiveFloat


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class MipoObjective(PairObjective):
    kind: Literal["mipo"]
    beta: PositiveFloat


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class SimpoObjective(PairObjective):
    kind: Literal["simpo"]
    beta: PositiveFloat
    gamma: NonNegativeFloat  # the margin itself, not divided by beta


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class OrpoObjective(PairObjective):
    kind: Literal["orpo"]
    weight: PositiveFloat


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class SlicObjective(PairObjective):
    kind: Literal["slic"]
    delta: PositiveFloat
    weight: NonNegativeFloat


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class FunctionObjective(PairObjective):
    """A Python function of yours, called in the learner as those of `recipes.losses.pairwise` are:
    `(pairs: PairBatch, **parameters) -> (losses, metrics)`."""

    kind: Literal["function"]
    function: FunctionName
    parameters: Frozen[float]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class SppoObjective(Objective):
    kind: Literal["sppo"]
    beta: PositiveFloat
    probabilities: Literal["hard", "soft"]  # 1 and 0, or the pair's own win probabilities


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class CreamObjective(Objective):
    kind: Literal["cream"]
    beta: PositiveFloat


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class SpaObjective(Objective):
    kind: Literal["spa"]
    beta: PositiveFloat
    label_smoothing: BelowHalf
    threshold: Literal["official_code", "global_quantile"]
    noisy_fraction: Fraction  # K: the share of pairs that counts as noisy
    window: PositiveInt  # forward passes whose margins official_code remembers
    start: Fraction  # share of the round's update before which nothing counts as noisy
    extrapolation: NonNegativeFloat  # λ of de-coupled noise detection; 0 turns it off


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class WrpoObjective(Objective):
    kind: Literal["wrpo"]
    beta: PositiveFloat
    final_alpha: Fraction  # weight of the source model's response at the end of the round; it starts at 0


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class KtoObjective(Objective):
    kind: Literal["kto"]
    beta: PositiveFloat
    desirable_weight: NonNegativeFloat
    undesirable_weight: NonNegativeFloat


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class RrhfObjective(Objective):
    kind: Literal["rrhf"]
    length_exponent: NonNegativeFloat
    weight: PositiveFloat


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class ProObjective(Objective):
    kind: Literal["pro"]
    sft_weight: NonNegativeFloat  # times (responses − 1)²


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class SftObjective(Objective):
    kind: Literal["sft"]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class CutObjective(Objective):
    kind: Literal["cut"]
    threshold: AboveOne  # of p(token|judgment) / p(token); what is as probable with the judgment as without is no fault
    weight: PositiveFloat


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class RewardModelObjective(Objective):
    """A scalar head on the policy's backbone, trained on pairs. The policy itself stays as it is in such a round."""

    kind: Literal["reward_model"]
    centring: NonNegativeFloat
    margin: Literal["none", "score"]  # what the chosen response must be ahead by: nothing, or the pair's score margin


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class AttributeRegressionObjective(Objective):
    """A reward model of one score an attribute of `prompts.seed.attributes` (SteerLM, arXiv 2310.05344)."""

    kind: Literal["attribute_regression"]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class PolicyGradientObjective(Objective):
    """What objectives on scored responses share. A response without its end-of-turn token was cut by the token limit:
    `missing_eos_penalty` is taken from its score (TRL), or `missing_eos_reward` is its score, and that of a response
    without any text, which has nothing but the token (AlpacaFarm, RLCD)."""

    clip: PositiveFloat  # of the ratio to the policy that sampled
    kl_coefficient: NonNegativeFloat  # of the KL to the reference
    missing_eos_penalty: NonNegativeFloat
    missing_eos_reward: float | None


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class PpoObjective(PolicyGradientObjective):
    """The KL is taken from the reward, token by token."""

    kind: Literal["ppo"]
    kl_estimator: Literal["k1", "k3"]
    kl_clamp_min: float | None  # what a token's KL is at least; 0 in RLCD
    gamma: Fraction
    lam: Fraction
    value_clip: PositiveFloat  # in units of value
    value_weight: PositiveFloat
    whiten_rewards: bool
    critic: Literal["separate", "shared"]  # a model of its own, or a head on the policy's


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class GrpoObjective(PolicyGradientObjective):
    """The KL is a term of the loss."""

    kind: Literal["grpo"]
    scale: Literal["group", "batch", "none"]  # whose standard deviation advantages are divided by
    normaliser: Literal["grpo", "dr_grpo", "dapo"]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class RlooObjective(PolicyGradientObjective):
    """The KL is taken from a response's reward."""

    kind: Literal["rloo"]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class NoObjective(Objective):
    """Nothing is learnt: the round makes pairs for later ones, and publishes the policy that it began with."""

    kind: Literal["none"]


PairLoss: TypeAlias = (
    DpoObjective | CdpoObjective | RdpoObjective | IpoObjective | HingeObjective | DpopObjective | RDpoObjective
    | MipoObjective | SimpoObjective | OrpoObjective | SlicObjective | FunctionObjective
)  # fmt: skip
ObjectiveConfig: TypeAlias = Annotated[
    PairLoss | SppoObjective | CreamObjective | SpaObjective | WrpoObjective | KtoObjective | RrhfObjective
    | ProObjective | SftObjective | CutObjective | RewardModelObjective | AttributeRegressionObjective | PpoObjective
    | GrpoObjective | RlooObjective | NoObjective,
    Field(discriminator="kind"),
]  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class Term:
    """A loss added to a pair's main one: another on the same pair and reference, or the chosen response's NLL."""

    weight: PositiveFloat
    loss: Annotated[PairLoss | SftObjective, Field(discriminator="kind")]


REFERENCE_FREE = (
    "simpo", "orpo", "slic", "rrhf", "pro", "sft", "cut", "reward_model", "attribute_regression", "none"
)  # fmt: skip
LISTWISE = ("rrhf", "pro")
# Losses that mean something else without one. DPO and its kin may be run reference-free.
REFERENCE_BOUND = ("spa", "kto", "mipo", "sppo", "wrpo", "cream")


def trains_reward_model(objective: ObjectiveConfig) -> bool:
    """Whether an update makes a reward model and leaves the policy as it is."""
    return isinstance(objective, RewardModelObjective | AttributeRegressionObjective)


def check_objective(objective: ObjectiveConfig) -> None:
    """Refuse what an objective cannot be computed from.

    Raises:
        ConfigError: naming the fields, their values and the remedy.
    """
    reference = objective.reference
    if objective.kind in REFERENCE_FREE and reference.policy != "none":
        raise ConfigError(
            f"objective.kind={objective.kind} has no reference, but objective.reference.policy={reference.policy}",
            "set objective.reference.policy=none",
        )
    if objective.kind in REFERENCE_BOUND and reference.policy == "none":
        raise ConfigError(
            f"objective.kind={objective.kind} is defined by its reference, but objective.reference.policy=none",
            "set objective.reference.policy=previous or initial",
        )
    if isinstance(objective, PolicyGradientObjective):
        _check_policy_gradient(objective)
    if (reference.policy == "average") != (reference.decay is not None):
        raise ConfigError(
            f"objective.reference.policy={reference.policy} with objective.reference.decay={reference.decay}: an "
            "average has a decay, and nothing else has",
            "set objective.reference.decay for policy=average (0.9, say), or leave it null",
        )
    if reference.logps == "rollout":
        _check_rollout_logps(objective)
    for index, term in enumerate(objective.plus if isinstance(objective, PairObjective) else ()):
        field = f"objective.plus.{index}.loss"
        _check_term(field, term.loss, reference)
        if objective.kind in REFERENCE_FREE and term.loss.kind not in REFERENCE_FREE:
            raise ConfigError(
                f"{field}.kind={term.loss.kind} is measured against a reference, but objective.kind={objective.kind} "
                "has none to share",
                f"make {term.loss.kind} the objective, and {objective.kind} a further loss",
            )


def _check_policy_gradient(objective: PpoObjective | GrpoObjective | RlooObjective) -> None:
    kind, reference = objective.kind, objective.reference
    if objective.missing_eos_penalty and objective.missing_eos_reward is not None:
        raise ConfigError(
            f"objective.missing_eos_penalty={objective.missing_eos_penalty:g} with objective.missing_eos_reward="
            f"{objective.missing_eos_reward:g}: a truncated response's score is lowered or replaced, not both",
            "set objective.missing_eos_penalty=0 or objective.missing_eos_reward=null",
        )
    if (objective.kl_coefficient > 0) != (reference.policy != "none"):
        raise ConfigError(
            f"objective.kind={kind} with objective.kl_coefficient={objective.kl_coefficient:g} and "
            f"objective.reference.policy={reference.policy}: the KL needs a reference, and nothing else does",
            "set objective.reference.policy=initial with a coefficient, or none with objective.kl_coefficient=0",
        )
    if reference.policy == "previous":
        raise ConfigError(
            f"objective.kind={kind} with objective.reference.policy=previous: a KL to the policy that a round starts "
            "from restrains no run of many rounds",
            "set objective.reference.policy=initial",
        )


def _check_rollout_logps(objective: ObjectiveConfig) -> None:
    """Whether the sampler's log-probs of the trained responses are all that is wanted of the reference."""
    if objective.reference.policy != "previous":
        raise ConfigError(
            f"objective.reference.logps=rollout takes the sampler's log-probs, which are those of the previous "
            f"policy, but objective.reference.policy={objective.reference.policy}",
            "set objective.reference.logps=recompute, or objective.reference.policy=previous",
        )
    if isinstance(objective, KtoObjective):
        raise ConfigError(
            "objective.reference.logps=rollout with objective.kind=kto: its KL is measured on responses to other "
            "prompts, of which the sampler has no log-probs",
            "set objective.reference.logps=recompute",
        )
    if isinstance(objective, SpaObjective) and objective.extrapolation > 0:
        raise ConfigError(
            f"objective.reference.logps=rollout with objective.extrapolation={objective.extrapolation:g}: "
            "extrapolated logits need the reference itself, not its log-probs",
            "set objective.reference.logps=recompute, or objective.extrapolation=0",
        )


def _check_term(field: str, loss: PairLoss | SftObjective, reference: ReferenceConfig) -> None:
    """A further loss has the reference of the main one, and no further losses of its own."""
    if loss.reference.policy != "none":
        raise ConfigError(
            f"{field}.reference.policy={loss.reference.policy}: a further loss has the reference of the main one",
            f"leave {field}.reference out, and set objective.reference",
        )
    if isinstance(loss, PairObjective) and loss.plus:
        raise ConfigError(f"{field}.plus: a further loss has none of its own", "list it in objective.plus")
    if loss.kind in REFERENCE_BOUND and reference.policy == "none":
        raise ConfigError(
            f"{field}.kind={loss.kind} is defined by its reference, but objective.reference.policy=none",
            "set objective.reference.policy=previous or initial",
        )
