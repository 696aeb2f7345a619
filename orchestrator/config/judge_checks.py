"""What makes a judge impossible, alone or in its place: refused before any actor starts, with value and remedy."""

from ..errors import ConfigError
from ..parts.judge import JudgePart, judges_in
from ..parts.registry import Place
from .schema import Config

SCORES = "judge=expected_score, judge=additive, judge=rating, judge=reward_model or judge=function"


def check_judge(field: str, config: Config, judge: JudgePart) -> None:
    """Refuse a judge that can never run, or never mean anything, at `field`.

    Raises:
        ConfigError: naming the fields, their values and the remedy.
    """
    if field == "evaluation.judge":
        judge.check_evaluating(Place(field=field, config=config))
    judges = judges_in(judge, field)
    elsewhere = {  # an endpoint's model has a length of its own
        inner for name, one in judges.items() if one.answers_elsewhere for inner in judges_in(one, name)
    }
    for name, one in reversed(judges.items()):  # a panel's members before the panel
        if name not in elsewhere:
            for sampled, sampling in one.samplings().items():
                check_budget(f"{name}.{sampled}.max_tokens", sampling.max_tokens, config)
        one.check(Place(field=name, config=config))


def check_compared(config: Config) -> None:
    """Refuse comparisons without two responses, or without a judge that compares.

    Raises:
        ConfigError: naming the fields, their values and the remedy.
    """
    pairing, generation, judge = config.pairing, config.generation, config.judge.asked()
    if not judge.compares:
        raise ConfigError(
            f"pairing.kind={pairing.kind} needs a probability that one response is better, but judge.kind={judge.kind}",
            "choose judge=ab or judge=pairwise",
        )
    if not generation.comparable:
        raise ConfigError(
            f"pairing.kind={pairing.kind} compares two responses, but generation.kind={generation.kind} brings others",
            "choose generation=plain or contrast",
        )
    if generation.responses().number != 2:
        raise ConfigError(
            f"pairing.kind={pairing.kind} compares two responses, but generation.samples_per_prompt="
            f"{generation.samples_each()}",
            "set generation.samples_per_prompt=2, or 1 of two samplers",
        )
    for field, one in judges_in(config.judge).items():
        if pairing.both_orders and one.asked_once():
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
