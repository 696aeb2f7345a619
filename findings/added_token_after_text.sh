#!/usr/bin/env bash
# A token that is added to a Llama-2-style tokenizer with defaults is found at the text's start and after a space, never
# right behind a letter or a line feed, which is where a chat template writes it.
#
# One would guess that `tokenizer.add_tokens(["<|end|>"])` makes "<|end|>" one token wherever it stands. But a token that
# is not flagged special is looked for in normalised text, and Llama 2's normaliser (Prepend "▁", then " " to "▁") is
# applied to the token as well: what is looked for is "▁<|end|>". The vocabulary has the token, `convert_tokens_to_ids`
# gives its id, and yet a conversation holds none but where it begins.
#
# It matters to whoever trains on a chat template: turns end in pieces of text instead of the token that generation
# stops at. Roundelay therefore tries the end of a turn behind text, and refuses a model whose tokenizer does not know it
# there. `AddedToken(…, normalized=False)` is the remedy, and so is `special_tokens=True`.
#
# Exit code 0: the behaviour is as described. 1: it has changed.
set -euo pipefail
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
python3 -m venv "$here/venv"
"$here/venv/bin/pip" install --quiet --disable-pip-version-check transformers==5.19.0 tokenizers==0.23.3 jinja2
"$here/venv/bin/python" - <<'PYTHON'
import sys

import tokenizers
import transformers
from tokenizers import AddedToken, Tokenizer, models, normalizers
from transformers import PreTrainedTokenizerFast

TEMPLATE = "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}<|end|>\n{% endfor %}"
MARKS = ["<|user|>", "<|assistant|>", "<|end|>"]
CHAT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]


def marks_found(marks):
    """How many of the conversation's four marks are tokens of their own, with these added."""
    letters = {letter: number for number, letter in enumerate(["<unk>", "▁", "\n", *map(chr, range(33, 127))])}
    core = Tokenizer(models.BPE(vocab=letters, merges=[], unk_token="<unk>"))
    core.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])  # Llama 2's
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>", chat_template=TEMPLATE)
    tokenizer.add_tokens(marks)
    text = tokenizer.apply_chat_template(CHAT, tokenize=False)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    return sum(ids.count(tokenizer.convert_tokens_to_ids(mark)) for mark in MARKS)


default = marks_found(MARKS)
raw = marks_found([AddedToken(mark, normalized=False) for mark in MARKS])
print(f"transformers {transformers.__version__}, tokenizers {tokenizers.__version__}")
print(f"added with defaults: {default} of 4 marks are tokens; with normalized=False: {raw} of 4")
sys.exit(0 if (default, raw) == (1, 4) else 1)
PYTHON
