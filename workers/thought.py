"""The marks of thought that an engine's text leaves out, so that a judge's thought is known as such."""

from collections.abc import Sequence
from typing import Any

from ..recipes.judges.thought import marks_thought, opened_thought

PROMPT_END_TOKENS = 16  # an open mark of thought is the last thing of a prompt


def marked_text(tokenizer: Any, prompt_token_ids: Sequence[int], token_ids: Sequence[int], text: str) -> str:
    """`text` with the marks of thought that it lacks: a mark that the chat template opens at the prompt's end, and
    special tokens, which decoding drops. Empty where it lacks none."""
    opened = opened_thought(tokenizer.decode(list(prompt_token_ids[-PROMPT_END_TOKENS:]), skip_special_tokens=False))
    special = {name for name in tokenizer.all_special_tokens if marks_thought(name)}
    dropped = special and special.intersection(tokenizer.convert_ids_to_tokens(list(token_ids)))
    whole = tokenizer.decode(list(token_ids), skip_special_tokens=False) if dropped else text
    return opened + whole if opened or dropped else ""
