"""What ways of generation make impossible, alone or with a pairing rule: refused before any actor starts."""

from .config import Config
from .errors import ConfigError
from .generation_config import (
    AlteredInstructionGeneration,
    ContrastGeneration,
    GivenAndSampledGeneration,
    GivenGeneration,
    LadderGeneration,
    MixtureGeneration,
    PlainGeneration,
    ReviseGeneration,
    SystemMessagesGeneration,
)

# Ways of generation that make a positive and a negative response to a prompt.
CONTRASTING = (
    ContrastGeneration, SystemMessagesGeneration, ReviseGeneration, GivenAndSampledGeneration,
    AlteredInstructionGeneration,
)  # fmt: skip


def check_generation(config: Config) -> None:
    """Refuse a way of generation that cannot run, and pairing by construction of what is not made for it.

    Raises:
        ConfigError: naming the fields, their values and the remedy.
    """
    generation = config.generation
    if isinstance(generation, LadderGeneration):
        _check_different("generation.levels", generation.levels)
    if isinstance(generation, SystemMessagesGeneration):
        _check_different("generation.system_messages", generation.system_messages)
    if isinstance(generation, MixtureGeneration):
        _check_mixture(generation)
    _check_construction(config)


def check_reference(config: Config) -> None:
    """Refuse log-probs of the sampler's where it had none, or had them under another prompt.

    Raises:
        ConfigError: naming the fields, their values and the remedy.
    """
    generation = config.generation
    given = isinstance(generation, GivenGeneration | GivenAndSampledGeneration)
    if config.objective.reference.logps == "rollout" and given:
        raise ConfigError(
            f"objective.reference.logps=rollout with generation.kind={generation.kind}: nobody sampled given responses",
            "set objective.reference.logps=recompute",
        )
    plain = isinstance(generation, PlainGeneration) and generation.condition is None
    if config.objective.reference.logps == "rollout" and not plain:
        asked = (
            "generation.condition" if isinstance(generation, PlainGeneration) else f"generation.kind={generation.kind}"
        )
        raise ConfigError(
            f"objective.reference.logps=rollout with {asked}: the sampler's log-probs "
            "were taken under another prompt than the one that is trained on",
            "set objective.reference.logps=recompute",
        )


def _check_construction(config: Config) -> None:
    generation, pairing = config.generation, config.pairing
    if pairing.takes == "sides" and not isinstance(generation, CONTRASTING):
        raise ConfigError(
            f"pairing.kind={pairing.kind} needs a positive and a negative response, but generation.kind="
            f"{generation.kind}",
            "choose generation=contrast, system_messages, revise or given_and_sampled (or altered_instruction), or "
            "pairing=best_worst",
        )
    if pairing.takes == "ranks" and not isinstance(generation, LadderGeneration | GivenGeneration):
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


def _check_different(field: str, texts: tuple[str, ...]) -> None:
    for index, text in enumerate(texts):
        if text in texts[:index]:
            raise ConfigError(
                f"{field} holds {text!r} twice: responses to one request cannot be told apart by what it asked for",
                "leave one out",
            )


def _check_mixture(generation: MixtureGeneration) -> None:
    window = generation.window
    if window is None:
        return
    if window.carried >= window.size:
        raise ConfigError(
            f"generation.window.carried={window.carried} leaves no place in generation.window.size={window.size} for "
            "a new proposal",
            "make the window larger",
        )
    if generation.layers > 1:
        raise ConfigError(
            f"generation.window with generation.layers={generation.layers}: a window takes the place of layers",
            "set generation.layers=1, or generation.window=null",
        )
