"""What judges that go by next-token probabilities, or decode among a few forms, need of a tokenizer."""

from collections.abc import Sequence

from ...orchestrator.errors import ConfigError
from ...orchestrator.parts.registry import Place
from ...orchestrator.protocols import Encoder


def check_choices(at: Place, encoder: Encoder, assistant_prefix: str, choices: Sequence[str]) -> None:
    """Refuse choices that are no single tokens after the prefix.

    Raises:
        ConfigError: naming the judge.
    """
    try:
        encoder.choice_ids(assistant_prefix, choices)
    except ConfigError as error:
        raise ConfigError(f"{at}: {error.what}", error.remedy) from error


def check_last_line(at: Place, encoder: Encoder, opening: str, choices: Sequence[str]) -> None:
    """Refuse a last line whose forms are no single tokens.

    Raises:
        ConfigError: naming the field.
    """
    try:
        encoder.choice_ids(opening, choices)
    except ConfigError as error:
        raise ConfigError(
            f"{at}.constrain_last_line=true: {error.what}", f"set {at}.constrain_last_line=false"
        ) from error
