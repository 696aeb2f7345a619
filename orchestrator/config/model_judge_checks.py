"""Judges that compare models: combinations that can never run, or that would find every response alike."""

from ..errors import ConfigError
from ..parts.judge import JudgePart
from ..parts.registry import Place
from .schema import Config

TWO_VOTERS = "policy_and_previous"


def check_judge_models(config: Config) -> None:
    """Refuse judges whose models are not there, or are the same model, when they judge.

    Raises:
        ConfigError: naming the judge, its models and the remedy.
    """
    for where, judge in config.judges.items():
        judge.check_models(Place(field=where, config=config))
    _check_kept(config)
    if config.evaluation.judge.voting() == TWO_VOTERS:
        raise ConfigError(
            "evaluation.judge.voters=policy_and_previous: one response a prompt is evaluated, and nothing is ranked",
            "set evaluation.judge.voters=policy",
        )
    if config.phases:
        when, remedy = "for the held-out pairs of round 0", "set it in a later phase, and another judge at the top"
        _check_apart("judge", config.judge, policies=0, when=when, remedy=remedy)
    made = 0  # policies that the phases so far have made
    for name in config.phases or (None,):
        phase, rounds = config.in_phase(name), config.phases[name].rounds if name else None
        where = f"phases.{name}.judge" if name else "judge"
        when = f"in the first round of phase {name}" if name else "in the first round"
        remedy = "put phases that train the policy before it (SPA: DPO on pairs labelled otherwise)"
        _check_apart(where, phase.judge, policies=made, when=when, remedy=remedy)
        if phase.objective.trains == "policy":
            made += rounds or 0


def check_voters(config: Config) -> None:
    """Refuse two voters whose rankings are not compared, and a comparison of rankings without two voters.

    Raises:
        ConfigError: naming the fields, their values and the remedy.
    """
    judge, pairing = config.judge, config.pairing
    voters = judge.voting()
    if (voters == TWO_VOTERS) != pairing.by_voter:
        raise ConfigError(
            f"pairing.kind={pairing.kind} with judge.kind={judge.kind} (judge.voters={voters}): pairing=cream compares "
            "how two policies rank the responses, and nothing else does",
            "choose judge=cream with pairing=cream, or neither",
        )


def check_consistency(config: Config) -> None:
    """Refuse CREAM's loss without its consistency, and the other way round.

    Raises:
        ConfigError: naming the fields, their values and the remedy.
    """
    objective, pairing = config.objective, config.pairing
    if (objective.pairs_with() == "consistency") != (pairing.beside == "consistency"):
        raise ConfigError(
            f"objective.kind={objective.kind} with pairing.kind={pairing.kind}: CREAM's loss weighs both labels by the "
            "consistency that pairing=cream finds, and nothing else does",
            "choose objective=cream with pairing=cream and judge=cream, or none of them",
        )


def _check_kept(config: Config) -> None:
    if config.run.keep_policies != 1:
        return
    for where, judge in config.judges.items():
        if "previous" in judge.models(own_logps=True):
            raise ConfigError(
                f"{where} compares with the previous policy, but run.keep_policies=1 deletes it",
                "set run.keep_policies=2 (or more, or null)",
            )


def _check_apart(where: str, judge: JudgePart, *, policies: int, when: str, remedy: str) -> None:
    """What a judge compares must be two models by then: after `policies` updates of the initial one."""
    ages = {"policy": policies, "previous": max(0, policies - 1), "initial": 0}
    for one, other in judge.compared_models():
        if one in ages and other in ages and ages[one] == ages[other]:
            raise ConfigError(
                f"{where}.kind={judge.kind} compares `{one}` with `{other}`, but {when} they are one model, and every "
                "reward is 0",
                f"{remedy}, or {judge.without_models}" if judge.without_models else remedy,
            )
