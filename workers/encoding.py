"""Conversations to token ids, the one way for every worker: chat template, assistant prefix, choices.

Text from data sets and models is data: what the template writes as a mark (see `turns`) is broken up in a message's
text before the template is applied, so that it can never close a turn or open one.
"""

import datetime
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from transformers import AutoTokenizer, GenerationConfig, PretrainedConfig

from ..orchestrator.data.records import Message, TokenSequence
from ..orchestrator.errors import ConfigError
from .turns import Marks, Rendered, end_of_turn, rendered, text_marks, token_marks

THOUGHT = ("<think>", "</think>")  # a template may write these; an assistant's own text may hold them all the same


class ChatEncoder:
    """A tokenizer with its chat template.

    Args:
        path: the model directory or hub name.
        trust_remote_code: whether the model's own Python may run.
        date: what a template takes for today; without one, a template that asks is refused.

    `stop_ids` are the tokens that stop an engine: the template's end of a turn, and what the model's files say.

    Raises:
        ConfigError: the directory has no tokenizer, or the tokenizer no chat template; or the template leaves out a
            user's message, or ends an assistant's turn with what is no token.
    """

    def __init__(self, path: str, *, trust_remote_code: bool = False, date: datetime.date | None = None):
        self.path, self.date = path, date
        self.tokenizer: Any = _tokenizer(path, trust_remote_code)
        if not self.tokenizer.chat_template:
            raise ConfigError(
                f"model.path={path} has a tokenizer without a chat template",
                "use an instruct model, or put a chat_template.jinja into the directory",
            )
        end = (self.end_ids[-1],) if self._end is not None else ()
        self.stop_ids: tuple[int, ...] = tuple(sorted({*self._models_stops, *end}))

    @cached_property
    def _added(self) -> tuple[str, ...]:
        """The tokens of the tokenizer's own list but for blank ones (runs of spaces), which content is full of."""
        added = {token.content for token in self.tokenizer.added_tokens_decoder.values()}
        return tuple(sorted(token for token in added | {*self.tokenizer.all_special_tokens} if token.strip()))

    @cached_property
    def _conversations(self) -> list[Rendered]:
        conversations = rendered(self.tokenizer)
        if not conversations:
            raise ConfigError(
                f"the chat template of model.path={self.path} does not write a user's message as it is"
                f"{self._refusal()}",
                "use a model whose template takes messages of plain text, or mend the model's chat_template.jinja",
            )
        return conversations

    def _refusal(self) -> str:
        """What the template says to a user's message, where it raises."""
        try:
            self.tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False)
        except Exception as error:  # a template raises what it likes
            return f" ({type(error).__name__}: {_first_line(error)})"
        return ""

    @cached_property
    def _marks(self) -> Marks:
        special = {token.content for token in self.tokenizer.added_tokens_decoder.values() if token.special}
        special = {token for token in special | {*self.tokenizer.all_special_tokens} if token.strip()}
        backend = self.tokenizer.backend_tokenizer if self.tokenizer.is_fast else None
        return Marks(
            special | token_marks(self._conversations, self._added),
            text_marks(self._conversations, self._added, self.tokenizer.bos_token or ""),
            backend.normalizer.normalize_str if backend is not None and backend.normalizer is not None else None,
        )

    @cached_property
    def _assistants_marks(self) -> Marks:
        marks = self._marks
        texts = {mark for mark in marks.texts if mark.text not in THOUGHT}
        return Marks(marks.tokens - {*THOUGHT}, texts, marks.normalise)

    def neutralise(self, text: str, role: str = "user") -> str:
        """`text` of a message of `role` with every mark of the template broken up; as it is where it holds none."""
        return (self._assistants_marks if role == "assistant" else self._marks).broken(text)

    def encode(self, messages: Sequence[Message], assistant_prefix: str = "") -> tuple[int, ...]:
        """Token ids of a conversation with the assistant's turn opened, and `assistant_prefix` in it.

        Raises:
            ConfigError: the template cannot write a conversation.
        """
        return self._ids(self.render(messages) + self.neutralise(assistant_prefix, "assistant"))

    def render(self, messages: Sequence[Message], *, opened: bool = True) -> str:
        """A conversation as the chat template writes it, by default with the assistant's turn opened.

        Raises:
            ConfigError: the template refuses the conversation, or asks for the date (other tokens tomorrow).
        """
        turns = [{"role": one.role, "content": self.neutralise(one.content, one.role)} for one in messages]
        try:
            return self.tokenizer.apply_chat_template(
                turns, add_generation_prompt=opened, tokenize=False, strftime_now=self._today
            )
        except ConfigError:
            raise
        except Exception as error:  # jinja's own, and whatever an expression in a template raises
            raise ConfigError(
                f"the chat template of model.path={self.path} refuses a conversation of {_turns(messages)} "
                f"({type(error).__name__}: {_first_line(error)})",
                "leave such prompts out (or the part that asks so), or mend the model's chat_template.jinja",
            ) from error

    def _today(self, format: str) -> str:
        if self.date is not None:
            return self.date.strftime(format)
        raise ConfigError(
            f"the chat template of model.path={self.path} writes the date (strftime_now({format!r})): the same "
            "conversation would be other tokens tomorrow, also in a resumed run",
            "a new run keeps the day on which it begins (model.date); finish an older one with the version that began "
            "it",
        )

    def encode_response(self, text: str, *, ended: bool = True) -> tuple[int, ...]:
        """Token ids of a given response, ended as the template ends an assistant's turn, once; or without an end.

        Raises:
            ConfigError: the tokenizer has no token to end it with.
        """
        if not ended:
            return self._ids(self.neutralise(text, "assistant"))
        return (*self._ids(self.neutralise(self.without_end(text), "assistant")), *self.end_ids)

    def without_end(self, text: str) -> str:
        """A given response without the end of turn (or another token that stops an engine) that its text has.

        Example:
            >>> encoder.without_end("A prime: 7.<|im_end|>\\n")
            'A prime: 7.'
        """
        tokens = {*self.tokenizer.convert_ids_to_tokens(list(self.stop_ids)), self._end or self.tokenizer.eos_token}
        ends = tuple(sorted((token for token in tokens if token), key=len, reverse=True))
        while (rest := text.rstrip()).endswith(ends):
            text = rest.removesuffix(next(end for end in ends if rest.endswith(end)))
        return text

    def ended(self, sequence: TokenSequence) -> TokenSequence:
        """`sequence` up to the end of turn, which is put behind a response that was cut before it, and in the place of
        another token that stopped an engine.

        A reward model reads there: what it sees in the middle of a sentence says little of the response.

        Raises:
            ConfigError: the tokenizer has no token to end it with.
        """
        end, token_ids = self.end_ids, sequence.token_ids
        if token_ids[-len(end) :] == end:
            return sequence
        while token_ids and token_ids[-1] in self.stop_ids:
            token_ids = token_ids[:-1]
        return TokenSequence(prompt_token_ids=sequence.prompt_token_ids, token_ids=(*token_ids, *end))

    @cached_property
    def end_ids(self) -> tuple[int, ...]:
        """What ends an assistant's turn: what the template ends it with, or `eos_token` where it writes nothing.

        Raises:
            ConfigError: there is neither, or what the template writes holds no token that could stop an engine.
        """
        end = self._end or self.tokenizer.eos_token
        if end is None:
            raise ConfigError(
                "the model's tokenizer has no eos_token, and a response could not end",
                "set eos_token in its tokenizer_config.json to the token that ends the assistant's turn",
            )
        ids = (self.tokenizer.convert_tokens_to_ids(end),) if end in self._added else self._ids(end)
        # A token may be listed and yet not be found behind text, which is where the template writes it.
        if self._end is not None and not (end.endswith(self._added) and self._ids(f"q{end}")[-len(ids) :] == ids):
            raise ConfigError(
                f"model.path={self.path} has a chat template that ends the assistant's turn with {end!r}, which is no "
                "token of its tokenizer behind text: no response would stop there",
                "add it to the tokenizer as a token with normalized=False (and its row to the model), or end turns "
                "with eos_token in the template",
            )
        return ids

    @cached_property
    def _end(self) -> str | None:
        """What the template itself ends an assistant's turn with."""
        return end_of_turn(
            self._conversations, self._added, self.tokenizer.convert_ids_to_tokens(list(self._models_stops))
        )

    @cached_property
    def _models_stops(self) -> tuple[int, ...]:
        """Where the model's own files let an engine stop: vLLM takes the tokenizer's eos_token and generation_config's,
        or config.json's where there is no generation_config."""
        try:
            eos = GenerationConfig.from_pretrained(self.path).eos_token_id
        except ValueError as error:
            raise ConfigError(
                f"model.path={self.path}: its generation_config.json is invalid ({_first_line(error)})",
                "mend or delete the file",
            ) from error
        except OSError:
            try:
                eos = PretrainedConfig.get_config_dict(self.path)[0].get("eos_token_id")
            except OSError:
                eos = None
        ids = eos if isinstance(eos, list) else [] if eos is None else [eos]
        if not all(isinstance(one, int) for one in ids):
            raise ConfigError(
                f"model.path={self.path}: its generation_config.json (or config.json) has eos_token_id={eos!r}",
                "set it to a token id, or a list of them",
            )
        own = self.tokenizer.eos_token_id
        return tuple(sorted({*ids, *([] if own is None else [own])}))

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


def _turns(messages: Sequence[Message]) -> str:
    return f"the turns {', '.join(message.role for message in messages)}"


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else ""
