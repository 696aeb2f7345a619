"""The schema of the `judge` group: who labels responses, and how it is asked."""

from dataclasses import replace
from itertools import chain
from typing import Annotated, Literal, TypeAlias

from pydantic import Field
from pydantic.dataclasses import dataclass

from .config_types import STRICT, BelowHalf, Frozen, FrozenMapping, PositiveFloat, PositiveInt
from .sampling_config import SamplingConfig
from .user_functions import FunctionName


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
class RatingJudge:
    """The policy as judge: MT-bench's single rating from 1 to 10 (arXiv 2306.05685), `votes` answers averaged."""

    kind: Literal["rating"]
    votes: PositiveInt
    sampling: SamplingConfig
    constrain_last_line: bool  # decode the digit after "[[" among 1–9 only


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class ChecklistJudge:
    """The policy as judge: it writes a checklist for the prompt and scores responses by it (WildBench, 2406.04770)."""

    kind: Literal["checklist"]
    votes: PositiveInt
    checklist: SamplingConfig  # how the checklist is written, once a prompt
    sampling: SamplingConfig
    constrain_last_line: bool  # decode the digit after "Score:" among 1–9 only


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class CritiqueJudge:
    """The policy as judge: a judgment in words and a score from 1 to 10, for CUT (arXiv 2312.14591)."""

    kind: Literal["critique"]
    sampling: SamplingConfig
    constrain_last_line: bool  # decode the digit after "Score:" among 1–9 only


VerdictFormat: TypeAlias = Literal["pandalm", "mt_bench", "wildbench", "arena"]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class PairwiseJudge:
    """The policy as judge of two responses, in words: a verdict in the form of PandaLM, MT-bench, WildBench or
    Arena-Hard v2."""

    kind: Literal["pairwise"]
    format: VerdictFormat
    orders: Literal["one", "both"]  # whether each vote asks a second time, the other way round
    votes: PositiveInt
    sampling: SamplingConfig


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class AbJudge:
    """The policy as judge of two responses: the probabilities of the options (A) and (B), as RLAIF in the RLCD paper.

    A prompt's instruction is drawn by seed with the index of its contrast affix: as many instructions as affixes ask of
    a pair what it was made to differ in.
    """

    kind: Literal["ab"]
    instructions: Annotated[tuple[str, ...], Field(min_length=1)]  # each completes "Which response is …?"
    orders: Literal["one", "both"]  # whether each pair is asked about a second time, the other way round
    assistant_prefix: str


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class RewardModelJudge:
    """The run's newest reward model, which an earlier phase has trained, scores every response."""

    kind: Literal["reward_model"]


# Where the policy's log-probs come from: the engine that sampled; or, recomputed, the code that the other models' come
# from. In float32 they are the same; in bfloat16 the engines' rounding differs, by more than near responses do.
JudgedLogps: TypeAlias = Literal["rollout", "recompute"]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class ImplicitRewardJudge:
    """What the policy has learnt says what is good: β·(log π − log π_ref) of every response (SPA, arXiv 2406.04412).

    With the policy before it as a second voter it says how far both agree (CREAM, arXiv 2410.12735; pairing=cream).
    """

    kind: Literal["implicit_reward"]
    beta: PositiveFloat
    reference: Literal["initial", "previous", "none"]  # of the judging; the objective has one of its own
    tokens: Literal["sum", "mean"]  # of a response's log-probs
    voters: Literal["policy", "policy_and_previous"]
    logps: JudgedLogps = "rollout"


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class DensityRatioJudge:
    """log π_strong − log π_weak of every response (Dr.SoW, arXiv 2411.02481).

    Each is a model directory (or hub name) whose tokens are the policy's, or `initial`, `previous` or `policy`.
    """

    kind: Literal["density_ratio"]
    strong: Annotated[str, Field(min_length=1)]
    weak: Annotated[str, Field(min_length=1)]
    tokens: Literal["sum", "mean"]  # of a response's log-probs
    instruction: str | None  # put before the conversation when the models are asked, never when the policy is trained
    logps: JudgedLogps = "rollout"


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class FunctionJudge:
    """A Python function of yours scores every response: `(prompt: Prompt, rollout: Rollout) -> float`.

    It is imported and called on the driver: name only code that you trust.
    """

    kind: Literal["function"]
    function: FunctionName


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class ValidatorJudge:
    """The policy as validator of its own responses, by the probability of yes against no (as GV-consistency,
    arXiv 2310.01846)."""

    kind: Literal["validator"]
    answers: tuple[str, str]  # yes and no, each a single token after the prefix
    assistant_prefix: str


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class TruthJudge:
    """What is known of the judged responses, where the prompts are judging prompts and the responses judgments."""

    kind: Literal["truth"]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class AttributesJudge:
    """The policy as judge of several attributes from 0 to 4 (HelpSteer, arXiv 2311.09528); the score is their weighted
    sum."""

    kind: Literal["attributes"]
    weights: Annotated[Frozen[float], Field(min_length=1)]  # of the attributes in the score, by name and in order
    read: Literal["words", "expected"]  # lines of an answer, or next-token probabilities, an attribute at a time
    votes: PositiveInt  # answers in words
    sampling: SamplingConfig  # of answers in words


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class AttributeModelJudge:
    """The run's newest reward model of several attributes, which an earlier phase has trained on what people say
    (SteerLM, arXiv 2310.05344), gives every response their values; the score is their weighted sum."""

    kind: Literal["attribute_model"]
    weights: Annotated[Frozen[float], Field(min_length=1)]  # as `prompts.seed.attributes` names and orders them


# What an endpoint can be asked: text, and nothing of next-token probabilities or token ids.
TextJudge: TypeAlias = Annotated[
    AdditiveJudge | RatingJudge | ChecklistJudge | PairwiseJudge, Field(discriminator="kind")
]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class EndpointJudge:
    """A judge in words whose questions another model answers, behind an OpenAI-compatible HTTP endpoint.

    The key is read from an environment variable; it is in no configuration, ledger or log.
    """

    kind: Literal["endpoint"]
    judge: TextJudge
    base_url: Annotated[str, Field(pattern=r"^https?://[^@?#\s]+$")]  # up to and with /v1; no user, no password
    model: Annotated[str, Field(min_length=1)]
    api_key_env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None  # null: no key
    concurrency: PositiveInt  # requests at once
    attempts: PositiveInt  # a request; only 429, 5xx and timeouts are tried again
    backoff_s: PositiveFloat  # before the second attempt, doubled before each later one
    timeout_s: PositiveFloat  # of one attempt
    deadline_s: PositiveFloat  # for all that a shard asks at once


Aggregate: TypeAlias = Literal["mean", "median", "majority"]
# What gives every response a score, apart from a panel.
ScoringJudge: TypeAlias = Annotated[
    ExpectedScoreJudge | AdditiveJudge | RatingJudge | ChecklistJudge | RewardModelJudge | FunctionJudge
    | EndpointJudge,
    Field(discriminator="kind"),
]  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class PanelJudge:
    """Several judges by name. Each scores every response; mean, median or majority makes one score of theirs."""

    kind: Literal["panel"]
    members: Annotated[Frozen[ScoringJudge], Field(min_length=2)]
    aggregate: Aggregate


# What compares two responses, one to one.
ComparingJudge: TypeAlias = Annotated[AbJudge | PairwiseJudge | EndpointJudge, Field(discriminator="kind")]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class AnnotatorsJudge:
    """Simulated annotators, inspired by AlpacaFarm (arXiv 2305.14387): every prompt's two responses are compared by one
    of several judges, drawn by seed, and training learns the opposite of some prompts' labels."""

    kind: Literal["annotators"]
    members: Annotated[Frozen[ComparingJudge], Field(min_length=2)]
    flipped_fraction: BelowHalf  # of the training prompts, drawn by seed


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class MetaJudge:
    """The policy as judge of judgments: of every two to a judging prompt it says, in words and in both orders, which is
    the better one (Meta-Rewarding, arXiv 2407.19594)."""

    kind: Literal["meta"]
    sampling: SamplingConfig
    constrain_last_line: bool  # decode the letter after "[[" among A, B and C only


JudgeConfig: TypeAlias = Annotated[
    NoJudge | ExpectedScoreJudge | AdditiveJudge | RatingJudge | ChecklistJudge | CritiqueJudge | AbJudge
    | PairwiseJudge | RewardModelJudge | ImplicitRewardJudge | DensityRatioJudge | FunctionJudge | EndpointJudge
    | PanelJudge | ValidatorJudge | TruthJudge | AnnotatorsJudge | MetaJudge | AttributesJudge | AttributeModelJudge,
    Field(discriminator="kind"),
]  # fmt: skip


def judges_in(judge: JudgeConfig, field: str = "judge") -> dict[str, JudgeConfig]:
    """A judge and the judges it is made of, by their field.

    Example: a panel at "judge" with a member "strict" that is an endpoint's additive judge gives "judge",
    "judge.members.strict" and "judge.members.strict.judge".
    """
    inner: dict[str, JudgeConfig] = {}
    if isinstance(judge, PanelJudge | AnnotatorsJudge):
        inner = {f"{field}.members.{name}": member for name, member in judge.members.items()}
    if isinstance(judge, EndpointJudge):
        inner = {f"{field}.judge": judge.judge}
    found: dict[str, JudgeConfig] = {field: judge}
    for name, one in inner.items():
        found |= judges_in(one, name)
    return found


def asked(judge: JudgeConfig) -> JudgeConfig:
    """What is asked of a judge, whoever answers: an endpoint's own judge."""
    return judge.judge if isinstance(judge, EndpointJudge) else judge


def votes_of(judge: ScoringJudge) -> int:
    """How many votes a judge casts on a response."""
    inner = asked(judge)
    return inner.votes if isinstance(inner, AdditiveJudge | RatingJudge | ChecklistJudge) else 1


def score_points(judge: JudgeConfig) -> tuple[float, ...] | None:
    """The points of the scale that a judge's scores run over, lowest first. None where it has no such scale: its scores
    have no limits, are shares, or the user knows them alone.

    Example: a rating has 1 to 10, and so has the median of two; a majority's score is a share of responses.
    """
    match asked(judge):
        case ExpectedScoreJudge(scores=scores):
            return tuple(sorted({float(score) for score in scores}))
        case AdditiveJudge() | TruthJudge():  # the truth of a rubric's score is that score; of a verdict it is 0 or 1
            return tuple(map(float, range(6)))
        case RatingJudge() | CritiqueJudge():
            return tuple(map(float, range(1, 11)))
        case ChecklistJudge():
            return tuple(map(float, range(-8, 11, 2)))  # (s − 5)·2 of 1 to 10
        case PanelJudge(members=members, aggregate="mean" | "median"):
            of_members = [score_points(member) for member in members.values()]
            known = [points for points in of_members if points is not None]
            return tuple(sorted({*chain(*known)})) if len(known) == len(of_members) else None
    return None


# Models of the run by what they are to it; any other name of a model is a directory or hub name of the user's.
REWARD_MODEL = "reward_model"  # the newest one
RUN_POLICIES = ("policy", "previous", "initial")  # the one that samples, the one that it was learnt from, the first


def models_of(judge: JudgeConfig, *, own_logps: bool) -> tuple[str, ...]:
    """The models that a judge asks beside the rollout engines, by name.

    With `own_logps` responses come with the policy's log-probs of them under the plain prompt: it is asked for none,
    unless the judge has them recomputed.

    Example:
        >>> spa = ImplicitRewardJudge(kind="implicit_reward", beta=0.1, reference="initial", tokens="sum",
        ...                           voters="policy")
        >>> models_of(spa, own_logps=True), models_of(spa, own_logps=False)
        (('initial',), ('policy', 'initial'))
    """
    match judge:
        case RewardModelJudge() | AttributeModelJudge():
            return (REWARD_MODEL,)
        case ImplicitRewardJudge():
            previous = judge.reference == "previous" or judge.voters == "policy_and_previous"
            own = own_logps and judge.logps == "rollout"
            needed = {"policy": not own, "previous": previous, "initial": judge.reference == "initial"}
            return tuple(name for name in RUN_POLICIES if needed[name])
        case DensityRatioJudge():
            own = own_logps and judge.logps == "rollout" and judge.instruction is None
            return tuple(name for name in (judge.strong, judge.weak) if not (own and name == "policy"))
        case PanelJudge():
            asked = [models_of(member, own_logps=own_logps) for member in judge.members.values()]
            return tuple(dict.fromkeys(name for names in asked for name in names))
    return ()


def user_models(judge: JudgeConfig) -> dict[str, str]:
    """The models among a judge's that are none of the run's: directories or hub names, by the judge's field."""
    if not isinstance(judge, DensityRatioJudge):
        return {}
    return {field: name for field, name in (("strong", judge.strong), ("weak", judge.weak)) if name not in RUN_POLICIES}


def is_policy(judge: JudgeConfig) -> bool:
    """Whether the policy judges: a judge that moves as it learns."""
    match judge:
        case ImplicitRewardJudge():
            return True
        case DensityRatioJudge(strong=strong, weak=weak):
            return "policy" in (strong, weak)
        case PanelJudge(members=members) | AnnotatorsJudge(members=members):
            return any(map(is_policy, members.values()))
        case NoJudge() | RewardModelJudge() | AttributeModelJudge() | FunctionJudge() | EndpointJudge() | TruthJudge():
            return False
        case _:
            return True


def asked_both_ways(judge: JudgeConfig) -> JudgeConfig:
    """A judge that compares, asked in both orders: what wins by its place alone then wins half of the time."""
    match judge:
        case AbJudge() | PairwiseJudge():
            return replace(judge, orders="both")
        case EndpointJudge(judge=PairwiseJudge() as compares):
            return replace(judge, judge=replace(compares, orders="both"))
        case AnnotatorsJudge(members=members):
            both = {name: asked_both_ways(member) for name, member in members.items()}
            return replace(judge, members=FrozenMapping(both))
    return judge
