"""Whether a model's chat template gives what every round relies on: an assistant's turn that is open, and the same
tokens tomorrow."""

from itertools import pairwise

import jinja2

from ...orchestrator.data.records import Message
from ...orchestrator.errors import ConfigError
from ...workers.encoding import ChatEncoder

QUESTION, ANSWER = Message(role="user", content="Which?"), Message(role="assistant", content="MARKED")
MEND = "mend its chat_template.jinja (or chat_template in tokenizer_config.json)"


def check_template(encoder: ChatEncoder) -> None:
    """Refuse a chat template that leaves the assistant's turn closed, or draws lots.

    (One that asks for the date, or refuses a conversation, is refused where it is rendered: see `ChatEncoder.encode`.)

    Raises:
        ConfigError: naming the template's model.
    """
    template = encoder.tokenizer.get_chat_template()
    if _draws(template):
        raise ConfigError(
            f"the chat template of model.path={encoder.path} draws lots (the filter `random`): the same conversation "
            "would give other tokens each time",
            MEND,
        )
    asked, opened = (encoder.render([QUESTION], opened=flag) for flag in (False, True))
    if asked != opened:
        return
    try:
        answered = encoder.render([QUESTION, ANSWER], opened=False)
    except ConfigError:  # no assistant's turns: nothing to compare with
        return
    before = answered.partition(ANSWER.content)[0]
    if before.removeprefix(asked).strip():
        raise ConfigError(
            f"the chat template of model.path={encoder.path} has no generation prompt: add_generation_prompt opens no "
            f"assistant's turn, which begins with {before.removeprefix(asked)!r:.100}",
            f"{MEND}: it ends with {{% if add_generation_prompt %}}…{{% endif %}} in instruct models",
        )


def _draws(template: str) -> bool:
    """Whether the template uses jinja's filter `random`."""
    try:
        tokens = [(kind, value) for _, kind, value in jinja2.Environment().lex(template) if kind != "whitespace"]
    except jinja2.TemplateError:  # rendering says what is wrong with it
        return False
    return any(one == ("operator", "|") and two == ("name", "random") for one, two in pairwise(tokens))
