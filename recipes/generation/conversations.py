"""Conversations that ask for more than the user did: a further system message, a described answer, a further turn."""

from collections.abc import Sequence

from ...orchestrator.data.records import Message
from ...orchestrator.errors import ConfigError
from ...orchestrator.parts.conditions import Condition


def with_system(messages: Sequence[Message], text: str) -> tuple[Message, ...]:
    """The conversation with `text` as its system message, or at the end of the one that it has.

    Example:
        >>> with_system([Message(role="user", content="Hi")], "Be brief.")
        (Message(role='system', content='Be brief.'), Message(role='user', content='Hi'))
    """
    if messages[0].role == "system":
        return (Message(role="system", content=f"{messages[0].content}\n{text}"), *messages[1:])
    return (Message(role="system", content=text), *messages)


def under(messages: Sequence[Message], condition: Condition | None) -> tuple[tuple[Message, ...], str]:
    """The conversation and the opening of the assistant's turn that ask under a condition.

    Example:
        >>> under([Message(role="user", content="Hi")], Condition(assistant_prefix="Briefly: "))
        ((Message(role='user', content='Hi'),), 'Briefly: ')
    """
    if condition is None:
        return tuple(messages), ""
    asked = with_system(messages, condition.system) if condition.system else tuple(messages)
    return asked, condition.assistant_prefix or ""


def described(messages: Sequence[Message], description: str, placement: str) -> tuple[tuple[Message, ...], str]:
    """The conversation and the opening of the assistant's turn that ask for an answer of that description.

    `placement` "in_turn" opens the assistant's turn with the description; "system" puts it into the system message,
    which instruct models follow better.

    Example:
        >>> described([Message(role="user", content="Hi")], "a short answer", "in_turn")
        ((Message(role='user', content='Hi'),), '(a short answer) ')
    """
    if placement == "in_turn":
        return tuple(messages), f"({description}) "
    return with_system(messages, f"You are an assistant {description}."), ""


def answered(messages: Sequence[Message], answer: str, request: str) -> tuple[Message, ...]:
    """The conversation, the assistant's `answer` to it, and the user's further `request`."""
    return (*messages, Message(role="assistant", content=answer), Message(role="user", content=request))


def check_different(field: str, texts: Sequence[str]) -> None:
    """Refuse a text that stands twice.

    Raises:
        ConfigError: naming the field and the text.
    """
    for index, text in enumerate(texts):
        if text in texts[:index]:
            raise ConfigError(
                f"{field} holds {text!r} twice: responses to one request cannot be told apart by what it asked for",
                "leave one out",
            )
