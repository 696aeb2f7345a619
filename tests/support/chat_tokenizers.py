"""Tokenizers for chat templates: a small byte-level vocabulary, with a template's own tokens and ends."""

import json
from collections.abc import Sequence
from pathlib import Path

from tokenizers import AddedToken
from transformers import PreTrainedTokenizerFast

from .tiny_model import write_tiny_tokenizer


def write_chat_tokenizer(
    path: Path,
    template: str,
    *,
    tokens: Sequence[str] = (),
    special: bool = True,
    bos: str = "<bos>",
    eos: str = "<eos>",
    stops: Sequence[str] = (),
) -> Path:
    """A tokenizer with `template`, whose tokens `tokens` are, flagged special or not. `stops` are what the model's
    generation_config.json names; without any there is no such file."""
    write_tiny_tokenizer(path)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(path, bos_token=bos, eos_token=eos, pad_token="<pad>")
    tokenizer.add_tokens([AddedToken(token, special=special, normalized=False) for token in tokens])
    tokenizer.chat_template = template
    tokenizer.save_pretrained(path)
    if stops:
        ids = tokenizer.convert_tokens_to_ids(list(stops))
        (path / "generation_config.json").write_text(json.dumps({"eos_token_id": ids}))
    return path
