"""Conversations to token ids, the one way for every worker: chat template, assistant prefix, choices.

Text from data sets and models is data: a special token spelled out in a message's text is broken up before the
template is applied, so that it can never close a turn or open one.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from transformers import AutoTokenizer

from ..orchestrator.errors import ConfigError
from ..orchestrator.records import Message, TokenSequence

ZERO_WIDTH_SPACE = "\u200b"


class ChatEncoder:
    """A tokenizer with its chat template.

    Args:
        path: the model directory or hub name.
        trust_remote_code: whether the model's own Python may run.

    Raises:
        ConfigError: the directory has no tokenizer, or the tokenizer no chat template.
    """

    def __init__(self, path: str, *, trust_remote_code: bool = False):
        self.tokenizer: Any = _tokenizer(path, trust_remote_code)
        if not self.tokenizer.chat_template:
            raise ConfigError(
                f"model.path={path} has a tokenizer without a chat template",
                "use an instruct model, or put a chat_template.jinja into the directory",
            )

    @cached_property
    def _special(self) -> tuple[str, ...]:
        added = [token.content for token in self.tokenizer.added_tokens_decoder.values() if token.special]
        return tuple(sorted({*self.tokenizer.all_special_tokens, *added}, key=len, reverse=True))

    def neutralise(self, text: str) -> str:
        """`text` with every special token broken up by a zero-width space after its first character."""
        for token in self._special:
            if token in text:
                text = text.replace(token, token[0] + ZERO_WIDTH_SPACE + token[1:])
        return text

    def encode(self, messages: Sequence[Message], assistant_prefix: str = "") -> tuple[int, ...]:
        """Token ids of a conversation with the assistant's turn opened, and `assistant_prefix` in it."""
        turns = [{"role": message.role, "content": self.neutralise(message.content)} for message in messages]
        text = self.tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
        return self._ids(text + self.neutralise(assistant_prefix))

    def encode_response(self, text: str) -> tuple[int, ...]:
        """Token ids of a given response, ended as the policy ends its own: by the end-of-turn token.

        Raises:
            ConfigError: the tokenizer has none.
        """
        return (*self._ids(self.neutralise(text)), self._end)

    def ended(self, sequence: TokenSequence) -> TokenSequence:
        """`sequence` up to the end-of-turn token, which is put behind a response that was cut before it.

        A reward model reads there: what it sees in the middle of a sentence says little of the response.

        Raises:
            ConfigError: the tokenizer has none.
        """
        if sequence.token_ids[-1:] == (self._end,):
            return sequence
        return TokenSequence(prompt_token_ids=sequence.prompt_token_ids, token_ids=(*sequence.token_ids, self._end))

    def choice_ids(self, assistant_prefix: str, choices: Sequence[str]) -> tuple[int, ...]:
        """The single token with which each choice continues `assistant_prefix`.

        Raises:
            ConfigError: a choice is not one token there, or two choices share one: their next-token probabilities
                would not be theirs.
        """
        before = self._ids(assistant_prefix)
        ids = []
        for choice in choices:
            after = self._ids(assistant_prefix + choice)
            if len(after) != len(before) + 1 or after[: len(before)] != before:
                raise ConfigError(
                    f"the judge's {choice!r} after {assistant_prefix!r} is not a single token of this tokenizer",
                    "change the judge's assistant_prefix (with or without the space), or use judge=additive",
                )
            ids.append(after[-1])
        if len(set(ids)) != len(ids):
            raise ConfigError(f"the judge's {tuple(choices)} share tokens", "use judge=additive")
        return tuple(ids)

    @property
    def _end(self) -> int:
        if self.tokenizer.eos_token_id is None:
            raise ConfigError(
                "the model's tokenizer has no eos_token, and a response could not end",
                "set eos_token in its tokenizer_config.json to the token that ends the assistant's turn",
            )
        return self.tokenizer.eos_token_id

    def _ids(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])


def check_same_tokens(path: str, other: str, *, field: str, trust_remote_code: bool) -> None:
    """Refuse a model whose token ids mean something else than the policy's, at `other`.

    Raises:
        ConfigError: naming what differs: the vocabulary, or a special token.
    """
    theirs, ours = (_tokenizer(where, trust_remote_code, field) for where in (path, other))
    remedy = "compare models with the policy's own tokenizer: its token ids are what they are given"
    if (vocabulary := theirs.get_vocab()) != (own := ours.get_vocab()):
        example = min({*vocabulary.items()} ^ {*own.items()})[0]
        raise ConfigError(
            f"{field}={path} has another vocabulary than model.path ({example!r} is token {vocabulary.get(example)} "
            f"there and {own.get(example)} here)",
            remedy,
        )
    for role in ("bos_token", "eos_token"):  # nothing is padded or unknown: the policy's ids are given
        if getattr(theirs, role) != getattr(ours, role):
            raise ConfigError(
                f"{field}={path} has the {role} {getattr(theirs, role)!r}, and model.path {getattr(ours, role)!r}",
                remedy,
            )


def _tokenizer(path: str, trust_remote_code: bool, field: str = "model.path") -> Any:
    try:
        return AutoTokenizer.from_pretrained(path, trust_remote_code=trust_remote_code)
    except Exception as error:  # transformers raises OSError, ValueError, KeyError, … for the same user mistake
        raise ConfigError(
            f"{field}={path} has no tokenizer that loads ({type(error).__name__}: {_first_line(error)})",
            "give a directory (or hub name) with config.json, safetensors and tokenizer files",
        ) from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else ""
