"""The schema: what a field takes, and which combinations of fields can never run."""

import dataclasses
from typing import Any

import pytest
from pydantic import ValidationError

from roundelay.orchestrator.config import (
    AdditiveJudge,
    AffixPair,
    BestWorstPairing,
    ClusterConfig,
    Config,
    ContrastGeneration,
    ContrastPairing,
    EvaluationConfig,
    ExpectedScoreJudge,
    LearnerActors,
    LearnerConfig,
    ModelConfig,
    NoJudge,
    PlainGeneration,
    PromptsConfig,
    PromptSource,
    RecipeInfo,
    RolloutActors,
    RunConfig,
    SamplingConfig,
    TrackingConfig,
    check_combinations,
)
from roundelay.orchestrator.errors import ConfigError
from roundelay.orchestrator.objective_config import (
    REFERENCE_BOUND,
    REFERENCE_FREE,
    WITHOUT_DATA,
    CreamObjective,
    CutObjective,
    DpoObjective,
    KtoObjective,
    MipoObjective,
    ObjectiveConfig,
    OrpoObjective,
    PairLoss,
    ProObjective,
    ReferenceConfig,
    RrhfObjective,
    SftObjective,
    SimpoObjective,
    SlicObjective,
    SpaObjective,
    SppoObjective,
    Term,
    WrpoObjective,
)

SAMPLING = SamplingConfig(temperature=0.7, top_p=0.9, max_tokens=48)
NO_JUDGE = NoJudge(kind="none")
EXPECTED = ExpectedScoreJudge(kind="expected_score", scores=("0", "1"), assistant_prefix="Score: ")
ADDITIVE = AdditiveJudge(kind="additive", votes=3, sampling=SAMPLING, constrain_last_line=False)
PLAIN = PlainGeneration(kind="plain", samples_per_prompt=4, sampling=SAMPLING, truncated="keep")
CONTRAST = ContrastGeneration(
    kind="contrast",
    placement="system",
    affixes=(AffixPair(positive="being kind", negative="being rude"),),
    sampling=SAMPLING,
    truncated="keep",
)
PREVIOUS = ReferenceConfig(policy="previous", logps="recompute")
ROLLOUT = ReferenceConfig(policy="previous", logps="rollout")
DPO = DpoObjective(kind="dpo", beta=0.1, reference=PREVIOUS)
KTO = KtoObjective(kind="kto", beta=0.1, desirable_weight=1.0, undesirable_weight=1.0, reference=PREVIOUS)
SFT_TERM = Term(weight=0.2, loss=SftObjective(kind="sft"))
SPA = SpaObjective(
    kind="spa", beta=0.1, label_smoothing=0.1, threshold="official_code", noisy_fraction=0.1, window=50, start=0.2,
    extrapolation=0.5, reference=PREVIOUS,
)  # fmt: skip
FREE: list[ObjectiveConfig] = [
    SimpoObjective(kind="simpo", beta=2.0, gamma=1.0),
    OrpoObjective(kind="orpo", weight=0.1),
    SlicObjective(kind="slic", delta=1.0, weight=0.1),
    RrhfObjective(kind="rrhf", length_exponent=1.0, weight=1.0),
    ProObjective(kind="pro", sft_weight=0.05),
    SftObjective(kind="sft"),
    CutObjective(kind="cut", threshold=1.1, weight=1.0),
]
BOUND: list[ObjectiveConfig] = [
    SPA,
    KTO,
    MipoObjective(kind="mipo", beta=10.0, reference=PREVIOUS),
    SppoObjective(kind="sppo", beta=0.001, probabilities="hard", reference=PREVIOUS),
    WrpoObjective(kind="wrpo", beta=0.01, final_alpha=0.1, reference=PREVIOUS),
    CreamObjective(kind="cream", beta=0.1, reference=PREVIOUS),
]
BEST_WORST = BestWorstPairing(kind="best_worst", min_margin=0.0)
BY_CONSTRUCTION = ContrastPairing(kind="contrast", shuffle_labels=False)


def base() -> Config:
    """A run that can run: self-rewarding on one machine."""
    return Config(
        recipe=RecipeInfo(title="t", paper="p", differs="d"),
        run=RunConfig(
            name="r", root="runs", seed=0, rounds=2, prompts_per_round=8, prompts_per_shard=4, keep_policies=None
        ),
        prompts=PromptsConfig(
            train=PromptSource(path="train.jsonl"),
            heldout=PromptSource(path="heldout.jsonl"),
            prompt_column="prompt",
            id_column=None,
            system=None,
        ),
        model=ModelConfig(path="m", package=None, dtype="float32", max_model_len=256, trust_remote_code=False),
        generation=PLAIN,
        judge=EXPECTED,
        pairing=BEST_WORST,
        objective=DPO,
        learner=LearnerConfig(
            learning_rate=1e-6,
            schedule="cosine",
            warmup_fraction=0.0,
            final_lr_fraction=0.1,
            epochs=1,
            pairs_per_step=8,
            tokens_per_device=4096,
            pairs_per_device=None,
            max_grad_norm=1.0,
            weight_decay=0.0,
            adam_betas=(0.9, 0.999),
            adam_eps=1e-8,
            zero_stage=1,
            deepspeed="{}",
            gradient_checkpointing=False,
            checkpoint_every_steps=None,
            lora=None,
        ),
        evaluation=EvaluationConfig(num_prompts=8, sampling=SAMPLING, judge=EXPECTED, samples_shown=3),
        cluster=ClusterConfig(
            address=None,
            num_cpus=2,
            device="cpu",
            rollout=RolloutActors(
                actors=1, cpus=1, gpus=0, tensor_parallel_size=1, memory_fraction=0.9, kv_cache_gib=1, max_num_seqs=8
            ),
            learner=LearnerActors(ranks=2, cpus=1, gpus=0, threads=None),
            colocated=True,
            placement="PACK",
            shards_in_flight=2,
            shard_attempts=3,
            placement_timeout_s=30,
            start_timeout_s=600,
            call_timeout_s=1800,
            dashboard=False,
        ),
        tracking=TrackingConfig(wandb=False, project="p", pair_samples=0),
    )


def changed(config: Any, **changes: Any) -> Any:
    """`config` with dotted fields changed (a double underscore stands for the dot)."""
    for field, value in changes.items():
        head, _, rest = field.partition("__")
        config = dataclasses.replace(
            config, **{head: changed(getattr(config, head), **{rest: value}) if rest else value}
        )
    return config


# --------------------------------------------------------------------------------------------------------- combinations


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"judge": ADDITIVE},
        {"generation": CONTRAST, "judge": NO_JUDGE, "pairing": BY_CONSTRUCTION},
        {"objective__reference__policy": "none"},
        {"objective__reference__policy": "initial"},
        {"objective__reference__logps": "rollout"},
        {"generation__samples_per_prompt": 2},
        {"generation__sampling__max_tokens": 255, "evaluation__sampling__max_tokens": 255},
        {"learner__pairs_per_step": 2},
        {"learner__pairs_per_device": 1},
        {"objective": dataclasses.replace(DPO, plus=(SFT_TERM,))},
        {"objective": dataclasses.replace(SPA, extrapolation=0.0, reference=ROLLOUT)},
        {"evaluation__judge": NO_JUDGE},
        {"cluster__device": "gpu", "cluster__rollout__gpus": 0.5, "cluster__learner__gpus": 0.5},
        {
            "cluster__device": "gpu",
            "cluster__rollout__gpus": 4,
            "cluster__learner__gpus": 1,
            "cluster__rollout__tensor_parallel_size": 4,
        },
    ],
)
def test_what_can_run_is_let_through(changes: dict[str, Any]) -> None:
    """Also at the limits: two samples, a response one token short of the model's length, one pair a rank."""
    check_combinations(changed(base(), **changes))


REFUSED = [
    (
        {"generation": CONTRAST},
        ["pairing.kind=best_worst", "generation.kind=contrast"],
        ["pairing=contrast", "generation=plain"],
    ),
    (
        {"generation__samples_per_prompt": 1},
        ["generation.samples_per_prompt=1"],
        ["generation.samples_per_prompt", "2"],
    ),
    ({"judge": NO_JUDGE}, ["pairing.kind=best_worst", "judge.kind=none"], ["judge=expected_score", "judge=additive"]),
    (
        {"pairing": BY_CONSTRUCTION, "judge": NO_JUDGE},
        ["pairing.kind=contrast", "generation.kind=plain"],
        ["generation=contrast", "pairing=best_worst"],
    ),
    (
        {"pairing": BY_CONSTRUCTION, "generation": CONTRAST, "judge": ADDITIVE},
        ["pairing.kind=contrast", "judge.kind=additive"],
        ["judge=none"],
    ),
    (
        {"objective__reference": ReferenceConfig(policy="initial", logps="rollout")},
        ["objective.reference.logps=rollout", "objective.reference.policy=initial"],
        ["objective.reference.logps=recompute", "objective.reference.policy=previous"],
    ),
    (
        {"objective__reference": ReferenceConfig(policy="none", logps="rollout")},
        ["objective.reference.logps=rollout", "objective.reference.policy=none"],
        ["objective.reference.logps=recompute"],
    ),
    (
        {
            "generation": CONTRAST,
            "judge": NO_JUDGE,
            "pairing": BY_CONSTRUCTION,
            "objective__reference__logps": "rollout",
        },
        ["objective.reference.logps=rollout", "generation.kind=contrast"],
        ["objective.reference.logps=recompute"],
    ),
    (
        {"generation__sampling__max_tokens": 256},
        ["generation.sampling.max_tokens=256", "model.max_model_len=256"],
        ["generation.sampling.max_tokens", "model.max_model_len"],
    ),
    (
        {"evaluation__sampling__max_tokens": 300},
        ["evaluation.sampling.max_tokens=300", "model.max_model_len=256"],
        ["evaluation.sampling.max_tokens"],
    ),
    (
        {"learner__pairs_per_step": 1},
        ["cluster.learner.ranks=2", "learner.pairs_per_step=1"],
        ["cluster.learner.ranks", "learner.pairs_per_step"],
    ),
    (
        {"cluster__device": "gpu", "cluster__learner__gpus": 1},
        ["cluster.device=gpu", "cluster.rollout.gpus=0"],
        ["cluster.device=cpu"],
    ),
    (
        {"cluster__device": "gpu", "cluster__rollout__gpus": 1},
        ["cluster.device=gpu", "cluster.learner.gpus=0"],
        ["cluster.device=cpu"],
    ),
    (
        {"cluster__rollout__tensor_parallel_size": 2},
        ["cluster.rollout.tensor_parallel_size=2", "cluster.device=cpu"],
        ["cluster.rollout.tensor_parallel_size=1", "cluster.rollout.actors"],
    ),
    (
        {"objective": KTO, "objective__reference": ROLLOUT},
        ["objective.reference.logps=rollout", "objective.kind=kto"],
        ["objective.reference.logps=recompute"],
    ),
    (
        {"objective": SPA, "objective__reference": ROLLOUT},
        ["objective.reference.logps=rollout", "objective.extrapolation=0.5"],
        ["objective.reference.logps=recompute", "objective.extrapolation=0"],
    ),
]


@pytest.mark.parametrize(("changes", "fields", "remedies"), REFUSED)
def test_what_can_never_run_is_refused_with_fields_values_and_remedy(
    changes: dict[str, Any], fields: list[str], remedies: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        check_combinations(changed(base(), **changes))
    assert all(field in caught.value.what for field in fields), caught.value.what
    assert all(remedy in caught.value.remedy for remedy in remedies), caught.value.remedy


# ------------------------------------------------------------------------------------------- objectives and references


def test_every_kind_that_has_no_reference_or_needs_one_is_covered_here() -> None:
    assert {objective.kind for objective in FREE} == set(REFERENCE_FREE)
    assert {objective.kind for objective in BOUND} == set(REFERENCE_BOUND)


@pytest.mark.parametrize(
    "objective", [one for one in (*FREE, *BOUND) if one.kind in WITHOUT_DATA], ids=lambda objective: objective.kind
)
def test_an_objective_that_no_phase_can_feed_is_refused(objective: ObjectiveConfig) -> None:
    with pytest.raises(ConfigError) as caught:
        check_combinations(changed(base(), objective=objective))
    assert f"objective.kind={objective.kind} needs" in caught.value.what


def test_soft_win_probabilities_are_refused_where_nobody_gives_them() -> None:
    """A judge's margin would be taken for a probability."""
    soft = SppoObjective(kind="sppo", beta=0.001, probabilities="soft", reference=PREVIOUS)
    with pytest.raises(ConfigError, match=r"objective\.probabilities=soft"):
        check_combinations(changed(base(), objective=soft))


@pytest.mark.parametrize("objective", [one for one in FREE if one.kind in ("rrhf", "pro")], ids=lambda one: one.kind)
def test_ranking_losses_need_scores(objective: ObjectiveConfig) -> None:
    contrast = changed(base(), generation=CONTRAST, judge=NoJudge(kind="none"), objective=objective)
    with pytest.raises(ConfigError, match="ranks by score"):
        check_combinations(changed(contrast, pairing=ContrastPairing(kind="contrast", shuffle_labels=False)))


def test_a_further_loss_with_a_reference_is_refused_where_the_main_one_has_none() -> None:
    """It would silently be computed without one."""
    dpo = DpoObjective(kind="dpo", beta=0.1)
    simpo = SimpoObjective(kind="simpo", beta=2.5, gamma=1.0, plus=(Term(weight=0.5, loss=dpo),))
    with pytest.raises(ConfigError) as caught:
        check_combinations(changed(base(), objective=simpo))
    assert "objective.plus.0.loss.kind=dpo" in caught.value.what and "objective.kind=simpo" in caught.value.what
    assert caught.value.remedy == "make dpo the objective, and simpo a further loss"


@pytest.mark.parametrize(("policy", "decay"), [("average", None), ("previous", 0.9)])
def test_an_average_has_a_decay_and_nothing_else_has(policy: str, decay: float | None) -> None:
    reference = {"objective__reference__policy": policy, "objective__reference__decay": decay}
    with pytest.raises(ConfigError, match=rf"policy={policy} with objective\.reference\.decay={decay}"):
        check_combinations(changed(base(), **reference))
    check_combinations(changed(base(), objective__reference__policy="average", objective__reference__decay=0.9))


@pytest.mark.parametrize("key", ["gradient_clipping", "bf16"])
def test_deepspeeds_keys_that_have_a_field_of_their_own_are_refused(key: str) -> None:
    with pytest.raises(ConfigError, match=rf"learner\.deepspeed sets {key}"):
        check_combinations(changed(base(), learner__deepspeed=f'{{"{key}": 1}}'))


def test_the_zero_stage_is_not_hidden_among_deepspeeds_keys() -> None:
    nested = '{"zero_optimization": {"stage": 3}}'
    with pytest.raises(ConfigError, match=r"set learner\.zero_stage"):
        check_combinations(changed(base(), learner__deepspeed=nested))


@pytest.mark.parametrize("policy", ["previous", "initial"])
@pytest.mark.parametrize("objective", FREE, ids=lambda objective: objective.kind)
def test_an_objective_without_a_reference_takes_none(objective: ObjectiveConfig, policy: str) -> None:
    """A reference would be loaded and computed for nothing, and believed to matter."""
    if objective.kind in WITHOUT_DATA:
        pytest.skip("refused whatever its reference: see the test of that")
    check_combinations(changed(base(), objective=objective))
    with pytest.raises(ConfigError) as caught:
        check_combinations(changed(base(), objective=objective, objective__reference__policy=policy))
    assert f"objective.kind={objective.kind}" in caught.value.what
    assert f"objective.reference.policy={policy}" in caught.value.what
    assert caught.value.remedy == "set objective.reference.policy=none"


@pytest.mark.parametrize("objective", BOUND, ids=lambda objective: objective.kind)
def test_an_objective_that_its_reference_defines_is_refused_without_one(objective: ObjectiveConfig) -> None:
    if objective.kind in WITHOUT_DATA:
        pytest.skip("refused whatever its reference: see the test of that")
    for policy in ("previous", "initial"):
        check_combinations(changed(base(), objective=objective, objective__reference__policy=policy))
    with pytest.raises(ConfigError) as caught:
        check_combinations(changed(base(), objective=objective, objective__reference__policy="none"))
    assert f"objective.kind={objective.kind}" in caught.value.what
    assert "objective.reference.policy=none" in caught.value.what
    assert caught.value.remedy == "set objective.reference.policy=previous or initial"


@pytest.mark.parametrize(
    ("loss", "reference", "field", "remedy"),
    [
        (DPO, PREVIOUS, "objective.plus.1.loss.reference.policy=previous", "objective.reference"),
        (
            dataclasses.replace(DPO, reference=ReferenceConfig(policy="none", logps="recompute"), plus=(SFT_TERM,)),
            PREVIOUS,
            "objective.plus.1.loss.plus",
            "objective.plus",
        ),
        (
            MipoObjective(kind="mipo", beta=10.0),
            ReferenceConfig(policy="none", logps="recompute"),
            "objective.plus.1.loss.kind=mipo",
            "objective.reference.policy=previous",
        ),
    ],
)
def test_a_further_loss_that_would_be_computed_otherwise_than_written_is_refused(
    loss: PairLoss, reference: ReferenceConfig, field: str, remedy: str
) -> None:
    """It has the main loss's reference and no terms of its own: what says otherwise is named, with its place."""
    terms = (SFT_TERM, Term(weight=0.5, loss=loss))
    with pytest.raises(ConfigError) as caught:
        check_combinations(changed(base(), objective=dataclasses.replace(DPO, plus=terms, reference=reference)))
    assert field in caught.value.what
    assert remedy in caught.value.remedy


# --------------------------------------------------------------------------------------------------------------- fields


@pytest.mark.parametrize(
    "changes",
    [
        {"run__name": "../elsewhere"},
        {"run__name": "a/b"},
        {"run__name": ""},
        {"run__name": ".hidden"},
        {"run__rounds": 0},
        {"run__prompts_per_shard": -1},
        {"run__keep_policies": 0},
        {"generation__sampling__temperature": -0.1},
        {"generation__sampling__temperature": float("inf")},
        {"generation__sampling__top_p": 0.0},
        {"generation__sampling__top_p": 1.5},
        {"generation__truncated": "maybe"},
        {"learner__learning_rate": float("nan")},
        {"learner__learning_rate": 0.0},
        {"learner__warmup_fraction": 1.1},
        {"learner__zero_stage": 4},
        {"objective__beta": -0.1},
        {"objective__weighting": "dpo"},
        {"learner__tokens_per_device": 0},
        {"learner__pairs_per_device": 0},
        {"pairing__min_margin": -1.0},
        {"judge__scores": ("5",)},
    ],
    ids=str,
)
def test_a_value_outside_a_fields_range_is_refused_by_its_name(changes: dict[str, Any]) -> None:
    ((field, _),) = changes.items()
    with pytest.raises(ValidationError, match=field.rpartition("__")[2]):
        changed(base(), **changes)


def test_a_contrast_without_affixes_is_refused() -> None:
    with pytest.raises(ValidationError, match="affixes"):
        changed(CONTRAST, affixes=())
    with pytest.raises(ValidationError, match="negative"):
        AffixPair(positive="being kind", negative="")


def test_unknown_keys_are_refused_and_configurations_are_frozen() -> None:
    with pytest.raises(ValidationError, match="batch_size"):
        ReferenceConfig(policy="initial", logps="recompute", batch_size=3)  # pyright: ignore[reportCallIssue]
    config = base()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.run.seed = 1  # pyright: ignore[reportAttributeAccessIssue]
    assert config.run.seed == 0
