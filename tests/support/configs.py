"""Configurations made in Python: one that can run, its parts, and changes to it."""

import dataclasses
from typing import Any

from roundelay.orchestrator.config.schema import (
    CanariesConfig,
    ClusterConfig,
    Config,
    EvaluationConfig,
    LearnerActors,
    LearnerConfig,
    ModelConfig,
    PhaseConfig,
    RecipeInfo,
    RolloutActors,
    RunConfig,
    ScorerActors,
    SelectionConfig,
    TrackingConfig,
)
from roundelay.orchestrator.data.sources import PromptsConfig, PromptSource, SeedSource
from roundelay.orchestrator.parts.conditions import Condition
from roundelay.orchestrator.parts.objective import ReferenceConfig
from roundelay.orchestrator.parts.pairing import PairingPart
from roundelay.orchestrator.parts.sampling import SamplingConfig
from roundelay.recipes.conditioning.attributes import AttributesConditioning
from roundelay.recipes.conditioning.classes import ClassesConditioning
from roundelay.recipes.conditioning.hindsight import HindsightConditioning
from roundelay.recipes.conditioning.none import NoConditioning
from roundelay.recipes.filters.length_margin import LengthMarginFilter
from roundelay.recipes.filters.longest import LongestFilter
from roundelay.recipes.filters.mean_label_probability import MeanLabelFilter
from roundelay.recipes.filters.none import NoFilter
from roundelay.recipes.filters.rip import RipFilter, Threshold
from roundelay.recipes.filters.score_threshold import ScoreThresholdFilter
from roundelay.recipes.filters.top_fraction import TopFractionFilter
from roundelay.recipes.generation.contrast import AffixPair, ContrastGeneration
from roundelay.recipes.generation.given import GivenGeneration
from roundelay.recipes.generation.ladder import LadderGeneration
from roundelay.recipes.generation.mixture import MixtureGeneration
from roundelay.recipes.generation.plain import PlainGeneration
from roundelay.recipes.generation.revise import ReviseGeneration
from roundelay.recipes.generation.system_messages import SystemMessagesGeneration
from roundelay.recipes.judges.ab import AbJudge
from roundelay.recipes.judges.additive import AdditiveJudge
from roundelay.recipes.judges.annotators import AnnotatorsJudge
from roundelay.recipes.judges.attributes import AttributesJudge
from roundelay.recipes.judges.checklist import ChecklistJudge
from roundelay.recipes.judges.critique import CritiqueJudge
from roundelay.recipes.judges.density_ratio import DensityRatioJudge
from roundelay.recipes.judges.endpoint import EndpointJudge
from roundelay.recipes.judges.expected_score import ExpectedScoreJudge
from roundelay.recipes.judges.function import FunctionJudge
from roundelay.recipes.judges.implicit_reward import ImplicitRewardJudge
from roundelay.recipes.judges.meta import MetaJudge
from roundelay.recipes.judges.none import NoJudge
from roundelay.recipes.judges.pairwise import PairwiseJudge
from roundelay.recipes.judges.panel import PanelJudge
from roundelay.recipes.judges.rating import RatingJudge
from roundelay.recipes.judges.reward_model import RewardModelJudge
from roundelay.recipes.judges.validator import ValidatorJudge
from roundelay.recipes.objectives.cream import CreamObjective
from roundelay.recipes.objectives.cut import CutObjective
from roundelay.recipes.objectives.dpo import DpoObjective
from roundelay.recipes.objectives.grpo import GrpoObjective
from roundelay.recipes.objectives.ppo import PpoObjective
from roundelay.recipes.objectives.reward_model import RewardModelObjective
from roundelay.recipes.objectives.rloo import RlooObjective
from roundelay.recipes.pairing.agreement import AgreementPairing
from roundelay.recipes.pairing.annotated import AnnotatedPairing
from roundelay.recipes.pairing.best_worst import BestWorstPairing
from roundelay.recipes.pairing.by_choice import ByChoicePairing
from roundelay.recipes.pairing.consistent import ConsistentPairing
from roundelay.recipes.pairing.contrast import ContrastPairing
from roundelay.recipes.pairing.cream import CreamPairing
from roundelay.recipes.pairing.critiqued import CritiquedPairing
from roundelay.recipes.pairing.demonstrations import DemonstrationsPairing
from roundelay.recipes.pairing.group import GroupPairing
from roundelay.recipes.pairing.length_controlled import LengthControlledPairing
from roundelay.recipes.pairing.ranked import RankedPairing
from roundelay.recipes.pairing.soft import SoftPairing
from roundelay.recipes.pairing.sppo import SppoPairing
from roundelay.recipes.pairing.sweet_spot import SweetSpotPairing
from roundelay.recipes.pairing.with_source import WithSourcePairing
from roundelay.recipes.pairing.worst_of_few import WorstOfFewPairing
from roundelay.recipes.pairing.wpo_ties import WpoTiesPairing
from roundelay.recipes.prompts.evolve import EvolvePrompts
from roundelay.recipes.prompts.filters import PromptRules
from roundelay.recipes.prompts.from_kept import FromKeptPrompts
from roundelay.recipes.prompts.judgments import JudgePrompts
from roundelay.recipes.prompts.none import NoNewPrompts
from roundelay.recipes.prompts.self_instruct import SelfInstructPrompts
from roundelay.recipes.prompts.skill_mix import SkillMixPrompts

SAMPLING = SamplingConfig(temperature=0.7, top_p=0.9, max_tokens=48)
ON_POLICY = SamplingConfig(temperature=1.0, top_p=1.0, max_tokens=48)
NO_JUDGE = NoJudge(kind="none")
EXPECTED = ExpectedScoreJudge(kind="expected_score", scores=("0", "1"), assistant_prefix="Score: ")
ADDITIVE = AdditiveJudge(kind="additive", votes=3, sampling=SAMPLING, constrain_last_line=False)
AB = AbJudge(kind="ab", instructions=("kinder",), orders="both", assistant_prefix="(")
RATING = RatingJudge(kind="rating", votes=2, sampling=SAMPLING, constrain_last_line=False)
CHECKLIST = ChecklistJudge(kind="checklist", votes=1, checklist=SAMPLING, sampling=SAMPLING, constrain_last_line=False)
CRITIQUE = CritiqueJudge(kind="critique", sampling=SAMPLING, constrain_last_line=False)
PAIRWISE = PairwiseJudge(kind="pairwise", format="mt_bench", orders="both", votes=1, sampling=SAMPLING)
ENDPOINT = EndpointJudge(
    kind="endpoint", judge=RATING, base_url="http://127.0.0.1:8000/v1", model="m", api_key_env=None, concurrency=2,
    attempts=3, backoff_s=0.01, timeout_s=5.0, deadline_s=30.0,
)  # fmt: skip
PANEL = PanelJudge(kind="panel", members={"one": EXPECTED, "other": EXPECTED}, aggregate="median")
ANNOTATORS = AnnotatorsJudge(kind="annotators", members={"one": AB, "other": PAIRWISE}, flipped_fraction=0.25)
META = MetaJudge(kind="meta", sampling=SAMPLING, constrain_last_line=False)
BY_REWARD_MODEL = RewardModelJudge(kind="reward_model")
ATTRIBUTES = AttributesJudge(
    kind="attributes", weights={"helpfulness": 0.65, "verbosity": -0.4}, read="expected", votes=1, sampling=SAMPLING
)
VALIDATOR = ValidatorJudge(kind="validator", answers=("Yes", "No"), assistant_prefix="")
IMPLICIT = ImplicitRewardJudge(kind="implicit_reward", beta=0.1, reference="initial", tokens="sum", voters="policy")
BY_CREAM = ImplicitRewardJudge(
    kind="implicit_reward", beta=1.0, reference="none", tokens="mean", voters="policy_and_previous"
)
RATIO = DensityRatioJudge(kind="density_ratio", strong="/dpo", weak="initial", tokens="sum", instruction=None)
BY_FUNCTION = FunctionJudge(kind="function", function="mine.rewards:length")
PLAIN = PlainGeneration(kind="plain", samples_per_prompt=4, sampling=SAMPLING, truncated="keep")
CONTRAST = ContrastGeneration(
    kind="contrast",
    placement="system",
    affixes=(AffixPair(positive="being kind", negative="being rude"),),
    sampling=SAMPLING,
    truncated="keep",
)
LADDER = LadderGeneration(
    kind="ladder", placement="in_turn", levels=("good", "fair", "bad"), sampling=SAMPLING, truncated="keep"
)
SYSTEM_MESSAGES = SystemMessagesGeneration(
    kind="system_messages", system_messages=("Be brief.", "Be thorough."), sampling=SAMPLING, truncated="keep"
)
MIXTURE = MixtureGeneration(
    kind="mixture",
    proposals=3,
    layers=1,
    window=None,
    trained_under="prompt",
    instruction="Make one of these.",
    sampling=SAMPLING,
    truncated="drop",
)
REVISE = ReviseGeneration(kind="revise", revisions=1, constrain_verdict=False, sampling=SAMPLING, truncated="keep")
BEST_WORST = BestWorstPairing(kind="best_worst", min_margin=0.0)
BY_CONSTRUCTION = ContrastPairing(kind="contrast", shuffle_labels=False)
SOFT = SoftPairing(kind="soft")
AGREEMENT = AgreementPairing(kind="agreement")
CONSISTENT = ConsistentPairing(kind="consistent")
CRITIQUED = CritiquedPairing(kind="critiqued", good_score=7.0, keep_good=0.25)
GROUP = GroupPairing(kind="group", min_responses=2, ties="keep")
SWEET_SPOT = SweetSpotPairing(kind="sweet_spot", chosen_at="max", rejected_at="mu-2sigma")
ANNOTATED = AnnotatedPairing(kind="annotated")
BY_RANK = RankedPairing(kind="ranked", take="best_worst")
RANKED_LIST = RankedPairing(kind="ranked", take="all")
WITH_SOURCE = WithSourcePairing(kind="with_source")
BY_SPPO = SppoPairing(kind="sppo")
SCORED: list[PairingPart] = [  # all that take a pair out of several scored responses
    BEST_WORST,
    SWEET_SPOT,
    WorstOfFewPairing(kind="worst_of_few", few=2),
    LengthControlledPairing(kind="length_controlled", rho=0.32, max_chosen_chars=None),
    WpoTiesPairing(kind="wpo_ties"),
    ByChoicePairing(kind="by_choice", choice="max_random", length_penalty=0.0),
    BY_SPPO,
]
NO_FILTER = NoFilter(kind="none")
MEDIAN = Threshold(by="quantile", at=0.5)
RIP = RipFilter(kind="rip", rejected_score=MEDIAN, rejected_length=MEDIAN, margin=MEDIAN, unit="tokens")
SCORE_THRESHOLD = ScoreThresholdFilter(kind="score_threshold", min_score=4.5)
LONGEST = LongestFilter(kind="longest", count=4, unit="tokens")
TOP_FRACTION = TopFractionFilter(kind="top_fraction", fraction=0.2)
LENGTH_MARGIN = LengthMarginFilter(kind="length_margin", max_excess=0, unit="chars")
MEAN_LABEL = MeanLabelFilter(kind="mean_label_probability")
NO_CONDITIONING = NoConditioning(kind="none")
HINDSIGHT = HindsightConditioning(
    kind="hindsight", helpful="Good:\n", unhelpful="Bad:\n", orders=("p", "n", "pn", "np")
)
CLASSES = ClassesConditioning(
    kind="classes", expert=Condition(system="Expert."), other=Condition(assistant_prefix="Layman: "), expert_weight=1.0,
    other_weight=0.1,
)  # fmt: skip
BY_ATTRIBUTES = AttributesConditioning(kind="attributes")
NO_NEW_PROMPTS = NoNewPrompts(kind="none")
PROMPT_RULES = PromptRules(min_words=4, max_words=150, banned=("map", "go to"), max_rouge_l=0.7, contamination_words=13)
MAKING: dict[str, Any] = {
    "per_round": None, "sampling": SAMPLING, "requests_per_batch": 3, "max_batches": 5, "rules": PROMPT_RULES,
}  # fmt: skip
SELF_INSTRUCT = SelfInstructPrompts(kind="self_instruct", seed_shots=6, made_shots=2, asked=8, **MAKING)
FROM_KEPT = FromKeptPrompts(kind="from_kept", shots=8, asked=8, **MAKING)
EVOLVE = EvolvePrompts(kind="evolve", operations=("deepen", "broaden"), review=False, **MAKING)
SKILL_MIX = SkillMixPrompts(
    kind="skill_mix", skills=("logic", "metaphor", "estimation"), query_types=("a how-to question",),
    skills_per_prompt=2, **MAKING,
)  # fmt: skip
GIVEN = GivenGeneration(kind="given")
DEMONSTRATIONS = DemonstrationsPairing(kind="demonstrations")
GIVEN_JUDGED = JudgePrompts(kind="judgments", of="given", form="additive")
DISPUTED = JudgePrompts(kind="judgments", of="disputed", form="additive")
SCORES_JUDGED = JudgePrompts(kind="judgments", of="scored", form="expected_score")
PAIRS_JUDGED = JudgePrompts(kind="judgments", of="pairs", form="mt_bench")
SELECTION = SelectionConfig(every_steps=10, metric="loss", patience=3)

NO_REFERENCE = ReferenceConfig(policy="none", logps="recompute")
PREVIOUS = ReferenceConfig(policy="previous", logps="recompute")
INITIAL = ReferenceConfig(policy="initial", logps="recompute")
CREAM = CreamObjective(kind="cream", beta=0.1, reference=PREVIOUS)
DPO = DpoObjective(kind="dpo", beta=0.1, reference=PREVIOUS)
CUT = CutObjective(kind="cut", threshold=1.1, weight=1.0)
# What CUT wants of the rest of a base configuration.
CRITIQUES: dict[str, Any] = {"judge": CRITIQUE, "pairing": CRITIQUED}
REWARD_MODEL = RewardModelObjective(kind="reward_model", centring=0.0, margin="none")
PPO = PpoObjective(
    kind="ppo", clip=0.2, kl_coefficient=0.0067, missing_eos_penalty=0.0, missing_eos_reward=None, reference=INITIAL,
    kl_estimator="k1", kl_clamp_min=0.0, gamma=1.0, lam=1.0, value_clip=0.2, value_weight=0.1, whiten_rewards=True,
    critic="separate",
)  # fmt: skip
GRPO = GrpoObjective(
    kind="grpo", clip=0.2, kl_coefficient=0.0, missing_eos_penalty=0.0, missing_eos_reward=None, scale="group",
    normaliser="dapo",
)  # fmt: skip
RLOO = RlooObjective(
    kind="rloo", clip=0.2, kl_coefficient=0.05, missing_eos_penalty=0.0, missing_eos_reward=None, reference=INITIAL
)
# CREAM's parts, which go together.
ALL_CREAM: dict[str, Any] = {"judge": BY_CREAM, "pairing": CreamPairing(kind="cream"), "objective": CREAM}
# What a policy gradient wants of the rest of a base configuration.
POLICY_GRADIENT: dict[str, Any] = {"pairing": GROUP, "generation__sampling": ON_POLICY}


# What a shipped recipe leaves to the user.
RECIPE_NEEDS = {"cdr": ("judge.strong=/models/dpo", "judge.weak=/models/sft")}


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
            seed=SeedSource(path=None, split="train", responses=("completion",)),
            prompt_column="prompt",
            id_column=None,
            system=None,
        ),
        model=ModelConfig(path="m", package=None, dtype="float32", max_model_len=256, trust_remote_code=False),
        new_prompts=NO_NEW_PROMPTS,
        generation=PLAIN,
        judge=EXPECTED,
        pairing=BEST_WORST,
        filter=NO_FILTER,
        conditioning=NO_CONDITIONING,
        objective=DPO,
        learner=LearnerConfig(
            start="previous",
            data="this_round",
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
            optimizer="fresh",
            checkpoint_every_steps=None,
            selection=None,
            extrapolation=None,
            average_rounds=None,
            lora=None,
        ),
        phases={},
        evaluation=EvaluationConfig(
            num_prompts=8,
            sampling=SAMPLING,
            condition=None,
            judge=EXPECTED,
            samples_shown=3,
            canaries=CanariesConfig(prompts=4, action="warn"),
            drift_prompts=4,
            min_parse_rate=0.5,
            min_swap_consistency=None,
        ),
        cluster=ClusterConfig(
            address=None,
            num_cpus=2,
            device="cpu",
            rollout=RolloutActors(
                actors=1,
                cpus=1,
                gpus=0,
                tensor_parallel_size=1,
                memory_fraction=0.9,
                kv_cache_gib=1,
                max_num_seqs=8,
                speculative="{}",
            ),
            learner=LearnerActors(ranks=2, cpus=1, gpus=0, threads=None),
            scorer=ScorerActors(actors=1, cpus=1, gpus=0),
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


def phase(config: Config | None = None, *, rounds: int | None = None, prompts: int | None = None, **changes: Any):
    """A phase that has what stands at the top of `config`, but for `changes`."""
    top = config or base()
    whole = PhaseConfig(
        rounds=rounds,
        prompts_per_round=prompts,
        new_prompts=top.new_prompts,
        generation=top.generation,
        judge=top.judge,
        pairing=top.pairing,
        filter=top.filter,
        conditioning=top.conditioning,
        objective=top.objective,
        learner=top.learner,
    )
    made: PhaseConfig = changed(whole, **changes)
    return made


def with_phases(**phases: PhaseConfig) -> Config:
    """A run of several phases over `base`."""
    config: Config = changed(base(), phases=phases)
    return config
