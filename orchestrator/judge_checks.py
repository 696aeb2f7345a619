"""What makes a judge impossible, alone or in its place: refused before any actor starts, with value and remedy."""

import re

from .config import Config
from .errors import ConfigError
from .generation_config import ContrastGeneration, PlainGeneration
from .judge_config import (
    AbJudge,
    AdditiveJudge,
    AnnotatorsJudge,
    AttributesJudge,
    ChecklistJudge,
    CritiqueJudge,
    EndpointJudge,
    ExpectedScoreJudge,
    FunctionJudge,
    JudgeConfig,
    MetaJudge,
    NoJudge,
    PairwiseJudge,
    PanelJudge,
    RatingJudge,
    TruthJudge,
    asked,
    judges_in,
    score_points,
)

SCORES = "judge=expected_score, judge=additive, judge=rating, judge=reward_model or judge=function"

# Judges whose verdicts are sampled.
IN_WORDS = (
    AdditiveJudge, RatingJudge, ChecklistJudge, CritiqueJudge, PairwiseJudge, AttributesJudge, MetaJudge,
)  # fmt: skip


def gives_scores(judge: JudgeConfig) -> bool:
    return not isinstance(judge, NoJudge) and not gives_probabilities(judge)


def gives_probabilities(judge: JudgeConfig) -> bool:
    """Whether a judge compares two responses."""
    return isinstance(asked(judge), AbJudge | PairwiseJudge | AnnotatorsJudge)


def check_judge(field: str, config: Config, judge: JudgeConfig) -> None:
    """Refuse a judge that can never run, or never mean anything, at `field`.

    Raises:
        ConfigError: naming the fields, their values and the remedy.
    """
    if (gives_probabilities(judge) or isinstance(judge, MetaJudge)) and field == "evaluation.judge":
        raise ConfigError(
            f"evaluation.judge.kind={judge.kind} compares two responses, but one a prompt is evaluated",
            "choose judge@evaluation.judge=expected_score",
        )
    if isinstance(judge, PanelJudge) and judge.aggregate == "majority" and field == "evaluation.judge":
        raise ConfigError(
            "evaluation.judge.aggregate=majority says how a prompt's responses compare, but one a prompt is evaluated",
            "set evaluation.judge.aggregate=median, of members of one scale, or choose "
            "judge@evaluation.judge=expected_score",
        )
    if isinstance(judge, TruthJudge) and field == "evaluation.judge":
        raise ConfigError(
            "evaluation.judge.kind=truth: nothing is known of the responses to held-out prompts",
            "choose judge@evaluation.judge=expected_score",
        )
    judges = judges_in(judge, field)
    remote = {f"{name}.judge" for name, one in judges.items() if isinstance(one, EndpointJudge)}
    for name, one in reversed(judges.items()):  # a panel's members before the panel
        if name not in remote:  # an endpoint's model has a length of its own
            _check_lengths(name, one, config)
        if isinstance(one, ExpectedScoreJudge):
            _check_scores(name, one)
        if isinstance(one, AttributesJudge):
            _check_attributes(name, one)
        if isinstance(one, EndpointJudge):
            _check_endpoint(name, one)
        if isinstance(one, PanelJudge):
            _check_panel(name, one)
        if isinstance(one, AnnotatorsJudge):
            _check_annotators(name, one)


def check_compared(config: Config) -> None:
    """Refuse comparisons without two responses, or without a judge that compares.

    Raises:
        ConfigError: naming the fields, their values and the remedy.
    """
    pairing, generation, judge = config.pairing, config.generation, asked(config.judge)
    if not gives_probabilities(judge):
        raise ConfigError(
            f"pairing.kind={pairing.kind} needs a probability that one response is better, but judge.kind={judge.kind}",
            "choose judge=ab or judge=pairwise",
        )
    if not isinstance(generation, PlainGeneration | ContrastGeneration):
        raise ConfigError(
            f"pairing.kind={pairing.kind} compares two responses, but generation.kind={generation.kind} brings others",
            "choose generation=plain or contrast",
        )
    if isinstance(generation, PlainGeneration) and generation.samples_per_prompt * len(generation.samplers) != 2:
        raise ConfigError(
            f"pairing.kind={pairing.kind} compares two responses, but generation.samples_per_prompt="
            f"{generation.samples_per_prompt}",
            "set generation.samples_per_prompt=2, or 1 of two samplers",
        )
    for field, one in judges_in(config.judge).items():
        asked_once = isinstance(one, AbJudge | PairwiseJudge) and one.orders == "one"
        if pairing.both_orders and asked_once:
            raise ConfigError(
                f"pairing.kind={pairing.kind} compares the two orders of asking, but {field}.orders=one",
                f"set {field}.orders=both, or choose pairing=soft",
            )


def check_budget(field: str, max_tokens: int, config: Config) -> None:
    """Refuse answers that leave no room for what is asked.

    Raises:
        ConfigError: naming the field.
    """
    if max_tokens >= config.model.max_model_len:
        raise ConfigError(
            f"{field}={max_tokens} leaves no room for a prompt in model.max_model_len={config.model.max_model_len}",
            f"lower {field} or raise model.max_model_len",
        )


def _check_lengths(field: str, judge: JudgeConfig, config: Config) -> None:
    if isinstance(judge, IN_WORDS):
        check_budget(f"{field}.sampling.max_tokens", judge.sampling.max_tokens, config)
    if isinstance(judge, ChecklistJudge):
        check_budget(f"{field}.checklist.max_tokens", judge.checklist.max_tokens, config)


def _check_scores(field: str, judge: ExpectedScoreJudge) -> None:
    for score in judge.scores:
        if not score.isascii() or not score.isdecimal():
            raise ConfigError(f"{field}.scores: {score!r} is no whole number", "list numbers, such as 0 to 5")


def _check_attributes(field: str, judge: AttributesJudge) -> None:
    for name in judge.weights:
        if re.fullmatch("[a-z]+", name) is None:
            raise ConfigError(
                f"{field}.weights: {name!r} is no name that a judge could write before its value",
                "name attributes by single words in small letters, such as helpfulness",
            )
    if judge.read == "expected" and judge.votes > 1:
        raise ConfigError(
            f"{field}.read=expected with {field}.votes={judge.votes}: probabilities are the same every time",
            f"set {field}.votes=1, or {field}.read=words",
        )


def _check_endpoint(field: str, judge: EndpointJudge) -> None:
    if not isinstance(judge.judge, PairwiseJudge) and judge.judge.constrain_last_line:
        raise ConfigError(
            f"{field}.judge.constrain_last_line=true: an endpoint is asked for text, and decodes it its own way",
            f"set {field}.judge.constrain_last_line=false",
        )


def _check_panel(field: str, judge: PanelJudge) -> None:
    for name, member in judge.members.items():
        if gives_probabilities(member):
            raise ConfigError(
                f"{field}.members.{name} compares two responses, but a panel's members score each",
                f"choose another one, such as judge@{field}.members.{name}=rating",
            )
    scales = {name: _scale(member) for name, member in judge.members.items()}
    if judge.aggregate != "majority" and len(set(scales.values())) > 1:
        listed = ", ".join(f"{name} {scale}" for name, scale in scales.items())
        raise ConfigError(
            f"{field}.aggregate={judge.aggregate} of scores on different scales: {listed}",
            f"set {field}.aggregate=majority, or take members of one scale",
        )


def _check_annotators(field: str, judge: AnnotatorsJudge) -> None:
    for name, member in judge.members.items():
        if not gives_probabilities(member):
            raise ConfigError(
                f"{field}.members.{name} scores single responses, but annotators compare two",
                f"set {field}.members.{name}.judge to one of kind pairwise",
            )


def _scale(judge: JudgeConfig) -> str:
    """What a judge's scores run over; the user sees to that for functions of the user's own."""
    points = score_points(judge)
    if points is not None:
        return f"{points[0]:g} to {points[-1]:g}"
    return "by a function" if isinstance(judge, FunctionJudge) else "without limits"
