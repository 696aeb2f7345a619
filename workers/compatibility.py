"""Whether one model's weights can take the place of another's, in the same engines and with the same tokenizer."""

import json
from typing import Any

from transformers import AutoConfig

from .encoding import ChatEncoder

# What two configurations may differ in all the same.
FREE = (
    "_name_or_path", "transformers_version", "dtype", "torch_dtype", "use_cache", "bos_token_id", "eos_token_id",
    "pad_token_id",
)  # fmt: skip
CALLERS = ("truncation", "padding")  # what the last caller left in a tokenizer's file


def differences(path: str, other: str, *, trust_remote_code: bool) -> list[str]:
    """In what the model at `other` differs from that at `path`: "tokenizer", or fields of its configuration."""
    one, two = (_tokenizer(each, trust_remote_code) for each in (path, other))
    ours, theirs = (_architecture(each, trust_remote_code) for each in (path, other))
    fields = sorted(name for name in {*ours, *theirs} - {*FREE} if ours.get(name) != theirs.get(name))
    return fields if one == two else ["tokenizer", *fields]


def _tokenizer(path: str, trust_remote_code: bool) -> tuple[dict[str, Any], Any]:
    """All that turns text into token ids: the tokenizer's own file (or vocabulary), and its chat template."""
    tokenizer = ChatEncoder(path, trust_remote_code=trust_remote_code).tokenizer
    core = json.loads(tokenizer.backend_tokenizer.to_str()) if tokenizer.is_fast else tokenizer.get_vocab()
    return {name: value for name, value in core.items() if name not in CALLERS}, tokenizer.chat_template


def _architecture(path: str, trust_remote_code: bool) -> dict[str, Any]:
    return AutoConfig.from_pretrained(path, trust_remote_code=trust_remote_code).to_dict()
