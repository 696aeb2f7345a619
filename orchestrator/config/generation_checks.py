"""What ways of generation make impossible, alone or with a pairing rule: refused before any actor starts."""

from ..errors import ConfigError
from ..parts.registry import Place
from .schema import Config


def check_generation(config: Config) -> None:
    """Refuse a way of generation that cannot run, and pairing by construction of what is not made for it.

    Raises:
        ConfigError: naming the fields, their values and the remedy.
    """
    config.generation.check(Place(field="generation", config=config))
    _check_construction(config)


def check_reference(config: Config) -> None:
    """Refuse log-probs of the sampler's where it had none, or had them under another prompt.

    Raises:
        ConfigError: naming the fields, their values and the remedy.
    """
    generation = config.generation
    if config.objective.reference.logps != "rollout":
        return
    if generation.takes_given:
        raise ConfigError(
            f"objective.reference.logps=rollout with generation.kind={generation.kind}: nobody sampled given responses",
            "set objective.reference.logps=recompute",
        )
    if not generation.asks_plainly or generation.asked_under() is not None:
        asked = "generation.condition" if generation.asks_plainly else f"generation.kind={generation.kind}"
        raise ConfigError(
            f"objective.reference.logps=rollout with {asked}: the sampler's log-probs "
            "were taken under another prompt than the one that is trained on",
            "set objective.reference.logps=recompute",
        )


def _check_construction(config: Config) -> None:
    generation, pairing = config.generation, config.pairing
    if pairing.takes == "sides" and not generation.contrasts:
        raise ConfigError(
            f"pairing.kind={pairing.kind} needs a positive and a negative response, but generation.kind="
            f"{generation.kind}",
            "choose generation=contrast, system_messages, revise or given_and_sampled (or altered_instruction), or "
            "pairing=best_worst",
        )
    if pairing.takes == "ranks" and not generation.ranks:
        raise ConfigError(
            f"pairing.kind={pairing.kind} needs ranked responses, but generation.kind={generation.kind}",
            "choose generation=ladder or given, or pairing=best_worst",
        )
    if pairing.takes in ("sides", "ranks") and config.judge.judges:
        raise ConfigError(
            f"pairing.kind={pairing.kind} labels responses by construction, but judge.kind={config.judge.kind} would "
            "score them for nothing",
            "choose judge=none",
        )
