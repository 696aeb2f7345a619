"""What a conversation is asked under, beside the prompt that it answers."""

from pydantic.dataclasses import dataclass

from ..errors import ConfigError
from ..fields import STRICT, Text


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class Condition:
    """What a conversation is asked under: a further line of its system message, an opening of the assistant's turn."""

    system: Text | None = None
    assistant_prefix: Text | None = None


def check_condition(field: str, condition: Condition) -> None:
    """Refuse a condition that says nothing.

    Raises:
        ConfigError: naming the field.
    """
    if condition.system is None and condition.assistant_prefix is None:
        raise ConfigError(f"{field} has neither system nor assistant_prefix", f"give one of them, or set {field}=null")


def asked_under(condition: Condition | None) -> str:
    """What a prompt is asked under, as the end of a sentence; empty where it is asked as it is."""
    if condition is None:
        return ""
    parts = (("system message", condition.system), ("opening", condition.assistant_prefix))
    return f", under the {' and the '.join(f'{name} “{text.strip()}”' for name, text in parts if text)}"
