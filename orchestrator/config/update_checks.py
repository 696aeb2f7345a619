"""What a round's update may start from, learn from and publish, and who may sample for it: refused where it can never
run."""

from ..errors import ConfigError
from ..parts.sampling import EARLIER_ROUND, POLICY
from .schema import Config


def check_phases(config: Config) -> None:
    """Check what depends on the order of phases. `config` is the whole run's.

    Raises:
        ConfigError: as `check_update`.
    """
    names = list(config.phases)
    if config.run.repeat_phases and not (names and all(config.phases[name].rounds for name in names)):
        raise ConfigError(
            "run.repeat_phases=true, but not every phase has its number of rounds", "give phases, and each its rounds"
        )
    for index, name in enumerate(names or [None]):
        phase = config.in_phase(name)
        again, goes_back = phase.generation.is_again(), phase.learner.start == "before_previous"
        guided = phase.pairing.goes_on
        if not (again or goes_back or guided):
            continue
        where = f"phases.{name}" if name else "the configuration"
        if not (again and goes_back and guided):
            raise ConfigError(
                f"{where} has generation.again={again}, learner.start={phase.learner.start} and pairing.kind="
                f"{phase.pairing.kind}: a round takes up the one before it from the policy before that, or not at all",
                "set generation.again=true, learner.start=before_previous and pairing=future_guided together",
            )
        before = config.in_phase(names[index - 1]) if name and index else None
        if before is None or before.generation.is_again() or config.phases[names[index]].rounds != 1:
            raise ConfigError(
                f"{where} takes up the round before it, but is not one round after another phase",
                "put it after the phase that makes its pairs, with rounds: 1",
            )
        if not before.pairing.scores_pairs:
            raise ConfigError(
                f"{where} takes up scored pairs, but the phase before it has pairing.kind={before.pairing.kind}",
                "give that phase pairing=anchored",
            )
        if not before.filter.keeps_all:
            raise ConfigError(
                f"{where} takes up all pairs of the phase before it, but that one has filter.kind={before.filter.kind}",
                "set filter=none there",
            )
        if (before.run.prompts_per_round, before.judge) != (phase.run.prompts_per_round, phase.judge):
            raise ConfigError(
                f"{where} takes up the prompts and scores of the phase before it, which has other prompts_per_round or "
                "another judge",
                "give both phases the same",
            )


def check_update(config: Config, first_round: int) -> None:
    """Check a phase whose first round is `first_round`.

    Raises:
        ConfigError: naming the fields, their values and the remedy.
    """
    _check_samplers(config.generation.sampled_by(), first_round)
    _check_pairing(config)
    _check_on_policy(config)
    _check_publishing(config)
    _check_nothing_learnt(config)


def _check_samplers(samplers: tuple[str, ...], first_round: int) -> None:
    if len(set(samplers)) < len(samplers):
        raise ConfigError(
            f"generation.samplers=[{', '.join(samplers)}] names one twice",
            "raise generation.samples_per_prompt instead",
        )
    for sampler in samplers:
        earlier = EARLIER_ROUND.fullmatch(sampler)
        if earlier and int(earlier[1]) >= first_round:
            raise ConfigError(
                f"generation.samplers has {sampler}, but the phase begins with round {first_round}",
                "name a round before it, or previous",
            )


def _check_pairing(config: Config) -> None:
    """What a pairing of several samplers' responses needs, and what needs such a pairing."""
    pairing, samplers = config.pairing, config.generation.sampled_by()
    listed = f"generation.samplers=[{', '.join(samplers)}]"
    if pairing.samplers is not None and set(samplers) != {*pairing.samplers}:
        raise ConfigError(
            f"pairing.kind={pairing.kind} compares the policy's responses and the initial policy's, but {listed}",
            f"set generation.samplers=[{', '.join(pairing.samplers)}]",
        )
    sourced = pairing.beside == "source"
    if sourced != (config.objective.examples == "sourced"):
        raise ConfigError(
            f"pairing.kind={pairing.kind} with objective.kind={config.objective.kind}: a source's responses and WRPO "
            "belong together",
            "set both pairing=with_source and objective=wrpo, or neither",
        )
    if sourced and not (POLICY in samplers and len(samplers) > 1):
        raise ConfigError(
            f"pairing.kind={pairing.kind} needs responses of the policy and of another model, but {listed}",
            f"set generation.samplers=[{POLICY}, /path/to/a/stronger/model]",
        )
    own = config.generation.samples_each() or 0
    if sourced and own < 2:
        raise ConfigError(
            f"pairing.kind={pairing.kind} needs two responses of the policy, but generation.samples_per_prompt={own}",
            "set generation.samples_per_prompt to 2 or more",
        )


def _check_on_policy(config: Config) -> None:
    """What takes every response to be the policy's own, which the update starts from."""
    learner, objective, samplers = config.learner, config.objective, config.generation.sampled_by()
    other = [
        (f"generation.samplers=[{', '.join(samplers)}]", f"generation.samplers=[{POLICY}]", samplers != (POLICY,)),
        (f"learner.start={learner.start}", "learner.start=previous", learner.start != "previous"),
        (f"learner.data={learner.data}", "learner.data=this_round", learner.data != "this_round"),
    ]
    for what, remedy, differs in other:
        if differs and objective.policy_gradient:
            raise ConfigError(
                f"objective.kind={objective.kind} with {what}: a policy gradient learns from the responses of the "
                "policy that the update starts from",
                f"set {remedy}",
            )
        if differs and objective.reference.logps == "rollout":
            raise ConfigError(
                f"objective.reference.logps=rollout with {what}: not all responses have the log-probs of the "
                "previous policy",
                f"set objective.reference.logps=recompute, or {remedy}",
            )
    if learner.start != "previous" and learner.optimizer == "carried":
        raise ConfigError(
            f"learner.optimizer=carried with learner.start={learner.start}: the optimizer has the weights of "
            "the round before",
            "set learner.optimizer=fresh",
        )


def _check_publishing(config: Config) -> None:
    learner, extrapolation = config.learner, config.learner.extrapolation
    if extrapolation is None and learner.average_rounds is None:
        return
    field = "learner.average_rounds" if extrapolation is None else "learner.extrapolation"
    if extrapolation is not None and learner.average_rounds is not None:
        raise ConfigError(
            f"learner.extrapolation with learner.average_rounds={learner.average_rounds}: a round publishes "
            "one of them",
            "set one of them to null",
        )
    if learner.optimizer == "carried":
        raise ConfigError(
            f"learner.optimizer=carried with {field}: the optimizer has other weights than the published policy",
            "set learner.optimizer=fresh",
        )
    if config.objective.trains == "reward_model":
        raise ConfigError(
            f"{field} with objective.kind={config.objective.kind}, which leaves the policy as it is",
            f"set {field}=null",
        )
    if config.objective.policy_gradient and extrapolation and len(extrapolation.alphas) > 1:
        raise ConfigError(
            f"learner.extrapolation.alphas are compared on held-out pairs, which objective.kind="
            f"{config.objective.kind} does not take",
            "give a single one",
        )


def _check_nothing_learnt(config: Config) -> None:
    learner = config.learner
    if config.objective.trains != "nothing":
        return
    changes = {
        "start": learner.start != "previous",
        "data": learner.data != "this_round",
        "selection": learner.selection is not None,
        "extrapolation": learner.extrapolation is not None,
        "average_rounds": learner.average_rounds is not None,
        "optimizer": learner.optimizer != "fresh",
    }
    for field in (name for name, changed in changes.items() if changed):
        raise ConfigError(
            f"learner.{field} is set with objective.kind=none, which learns nothing and keeps the policy",
            f"leave learner.{field} as it is without a recipe, or choose an objective",
        )
