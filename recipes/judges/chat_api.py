"""What servers behind OpenAI's chat completions say, each in its own way: what they refuse, and what an answer is.

Their words are matched, not promised anywhere: those of OpenAI, vLLM, SGLang, TGI, llama.cpp, Mistral, Anthropic and
Gemini. Whatever a judging model itself is to blame for is a status, never an error: see `answer_of`.
"""

import json
import re
from collections.abc import Collection, Sequence
from typing import Any, Literal

from ...orchestrator.data.records import GenerationRequest

OPTIONAL = ("temperature", "top_p", "seed", "stop")  # what a request can go without
LENGTH, NEWER_LENGTH = "max_tokens", "max_completion_tokens"
REFUSALS = (400, 413, 422)
TEXT_PARTS = ("text", "output_text")
ENDS = ("stop", "eos_token", "stop_sequence", "end_turn", "eos")  # of a whole answer, in small letters

_TOO_LONG = re.compile(
    r"context[ _]?length|maximum context|(?:exceeds?|exceeded|available) (?:the )?(?:available )?context"
    r"|exceed_context_size|context[ _](?:window|size|limit)|maximum model length|max_model_len"
    r"|\b(?:prompt|input)\b[^.\n]{0,40}\btoo long|too many (?:input )?tokens|input token count"
    r"|inputs?`? tokens|`?inputs`? must have less than",
    re.IGNORECASE,
)
_MENTIONS = {
    # "stop" is a word, too: as a parameter it stands in quotes.
    name: re.compile(rf"[\"'`]{name}[\"'`]" if name == "stop" else rf"\b{name}\b")
    for name in OPTIONAL
}
_REFUSED = re.compile(
    r"unsupported|not support|not permitted|not allowed|unrecogni[sz]ed|unknown|unexpected|forbidden|deprecated|cannot"
    r"|must be|only the default|invalid",
    re.IGNORECASE,
)


def payload_of(request: GenerationRequest, model: str, refused: Collection[str]) -> dict[str, Any]:
    """The body of a request, without the parameters that the endpoint has `refused` before; its limit on tokens by the
    newer name where the older one is among them."""
    assert not (request.assistant_prefix or request.choices or request.plain_messages or request.response), (
        "an endpoint is asked for text alone"
    )
    wanted = {
        "temperature": request.temperature,
        "top_p": request.top_p,
        NEWER_LENGTH if LENGTH in refused else LENGTH: request.max_tokens,
        "seed": request.seed,
        **({"stop": list(request.stop)} if request.stop else {}),
    }
    return {
        "model": model,
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
        **{name: value for name, value in wanted.items() if name not in refused},
    }


def is_too_long(status: int, body: str) -> bool:
    """Whether a refusal says that the prompt does not fit the model."""
    return status in REFUSALS and _TOO_LONG.search(body) is not None


def refused_parameters(status: int, body: str, payload: dict[str, Any]) -> frozenset[str]:
    """Which parameters of a request a refusal is about: of those that it can go without, or that have another name.

    Example:
        >>> body = "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead."
        >>> sorted(refused_parameters(400, body, {"max_tokens": 9, "seed": 1}))
        ['max_tokens']
    """
    if status not in REFUSALS or not _REFUSED.search(body):
        return frozenset()
    if LENGTH in payload and NEWER_LENGTH in body:
        return frozenset({LENGTH})
    # A server that names the parameter in a field of its own means that one.
    field = re.search(r'"param" ?: ?"(\w{1,40})"', body)
    named = {field[1]} if field else {name for name, mention in _MENTIONS.items() if mention.search(body)}
    if {"temperature", "top_p"} <= named and re.search(r"\bboth\b", body):
        named.remove("temperature")  # of two that exclude each other the one that matters more is kept
    return frozenset(name for name in OPTIONAL if name in payload and name in named)


def answer_of(body: str, stop: Sequence[str]) -> tuple[str, Literal["stop", "length"]]:
    """What a chat completion says, up to the first of `stop`, and whether it is a whole answer: whatever else ended it
    (a length, a content filter) cut it.

    Only what was said is read: neither `reasoning_content` nor `reasoning`, and of a list of parts only text. Content
    of another kind (a number, an object, lists without end, half of a surrogate pair) is the judge's fault: it says
    nothing that could be read, so the text is empty.

    Raises:
        ValueError: it is no chat completion.
    """
    try:
        completion = json.loads(body)
    except json.JSONDecodeError:
        raise
    except (ValueError, RecursionError):  # a number of thousands of digits, lists in lists in lists
        return "", "stop"
    try:
        (choice,) = completion["choices"]
        message, reason = choice["message"], choice["finish_reason"]
        content = message.get("content")
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(type(error).__name__) from None
    text = _text_of(content)
    for string in stop:
        text = text.partition(string)[0]
    return text, "stop" if isinstance(reason, str) and reason.lower() in ENDS else "length"


def _text_of(content: Any) -> str:
    parts = content if isinstance(content, list) else [content]
    said = [_part(part) for part in parts]
    text = "".join(part for part in said if part is not None)
    return "" if None in said or any("\ud800" <= character <= "\udfff" for character in text) else text


def _part(part: Any) -> str | None:
    """The text of a part, nothing of a thought or an absent one; None of what is neither."""
    if part is None or isinstance(part, str):
        return part or ""
    if not isinstance(part, dict):
        return None
    if part.get("type") in ("thinking", "reasoning"):
        return ""
    text = part.get("text")
    return text if part.get("type") in TEXT_PARTS and isinstance(text, str) else None
