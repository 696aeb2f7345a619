"""Judges that compare models: combinations that can never run, or that would find every response alike."""

from .config import Config
from .errors import ConfigError
from .judge_config import REWARD_MODEL, DensityRatioJudge, ImplicitRewardJudge, JudgeConfig, models_of
from .objective_config import CreamObjective, NoObjective, trains_reward_model


def check_judge_models(config: Config) -> None:
    """Refuse judges whose models are not there, or are the same model, when they judge.

    Raises:
        ConfigError: naming the judge, its models and the remedy.
    """
    for where, judge in config.judges.items():
        _check_names(where, judge)
    _check_kept(config)
    if isinstance(config.evaluation.judge, ImplicitRewardJudge) and config.evaluation.judge.voters != "policy":
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
        keeps = trains_reward_model(phase.objective) or isinstance(phase.objective, NoObjective)
        made += 0 if keeps else rounds or 0


def check_voters(config: Config) -> None:
    """Refuse two voters whose rankings are not compared, and a comparison of rankings without two voters.

    Raises:
        ConfigError: naming the fields, their values and the remedy.
    """
    judge, pairing = config.judge, config.pairing
    voters = judge.voters if isinstance(judge, ImplicitRewardJudge) else "none"
    if (voters == "policy_and_previous") != pairing.by_voter:
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
    if isinstance(objective, CreamObjective) != (pairing.beside == "consistency"):
        raise ConfigError(
            f"objective.kind={objective.kind} with pairing.kind={pairing.kind}: CREAM's loss weighs both labels by the "
            "consistency that pairing=cream finds, and nothing else does",
            "choose objective=cream with pairing=cream and judge=cream, or none of them",
        )


def _check_names(where: str, judge: JudgeConfig) -> None:
    if not isinstance(judge, DensityRatioJudge):
        return
    for field, name in (("strong", judge.strong), ("weak", judge.weak)):
        if name == REWARD_MODEL:
            raise ConfigError(
                f"{where}.{field}={name}: a reward model has no log-probs",
                "name policy, previous, initial or a model directory, or choose judge=reward_model",
            )
    if judge.strong == judge.weak:
        raise ConfigError(
            f"{where}.strong={judge.strong} is also {where}.weak: every ratio would be 0", "name two different models"
        )


def _check_kept(config: Config) -> None:
    if config.run.keep_policies != 1:
        return
    for where, judge in config.judges.items():
        if "previous" in models_of(judge, own_logps=True):
            raise ConfigError(
                f"{where} compares with the previous policy, but run.keep_policies=1 deletes it",
                "set run.keep_policies=2 (or more, or null)",
            )


def _check_apart(where: str, judge: JudgeConfig, *, policies: int, when: str, remedy: str) -> None:
    """What a judge compares must be two models by then: after `policies` updates of the initial one."""
    ages = {"policy": policies, "previous": max(0, policies - 1), "initial": 0}
    for one, other in _compared(judge):
        if one in ages and other in ages and ages[one] == ages[other]:
            raise ConfigError(
                f"{where}.kind={judge.kind} compares `{one}` with `{other}`, but {when} they are one model, and every "
                "reward is 0",
                f"{remedy}, or set reference=none" if isinstance(judge, ImplicitRewardJudge) else remedy,
            )


def _compared(judge: JudgeConfig) -> list[tuple[str, str]]:
    if isinstance(judge, DensityRatioJudge):
        return [(judge.strong, judge.weak)]
    if isinstance(judge, ImplicitRewardJudge) and judge.reference != "none":
        voters = ("policy",) if judge.voters == "policy" else ("policy", "previous")
        return [(voter, judge.reference) for voter in voters]
    return []
