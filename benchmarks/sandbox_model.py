"""The sandbox's model, before it has learnt anything: a small Llama that has words for the sandbox's tasks alone."""

from pathlib import Path
from typing import Any

import torch
from sandbox_tasks import FILLER, KINDS, LETTERS, judging_text
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.utils.logging import disable_progress_bar

CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
HEAD_SIZE = 32
disable_progress_bar()  # one for each of a hundred policies, on which nobody waits


def write_model(path: Path, *, hidden: int, layers: int, seed: int) -> None:
    """Random weights and a tokenizer, whose vocabulary is the tasks' words and, each as one token, the fixed sentences
    of the judge's prompt: judging costs the model as much as answering."""
    tokenizer = _tokenizer()
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=-(-len(tokenizer) // 64) * 64, hidden_size=hidden, intermediate_size=3 * hidden,
        num_hidden_layers=layers, num_attention_heads=hidden // HEAD_SIZE, num_key_value_heads=hidden // HEAD_SIZE,
        # So small a model hardly learns from the usual 0.02.
        initializer_range=hidden**-0.5, max_position_embeddings=256, tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, bos_token_id=None,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(path)
    tokenizer.save_pretrained(path)


def expected_scores(path: str, judged: list[tuple[str, str]]) -> list[float]:
    """The model's score of each task's response as `judge=expected_score` has it: the mean of 0–5 under its next-token
    probabilities, computed by transformers."""
    tokenizer, model = AutoTokenizer.from_pretrained(path), AutoModelForCausalLM.from_pretrained(path)
    tokenizer.padding_side = "left"
    digits = [tokenizer.convert_tokens_to_ids(str(score)) for score in range(6)]
    texts = {
        one: tokenizer.apply_chat_template(
            [{"role": "user", "content": judging_text(*one)}], add_generation_prompt=True, tokenize=False
        )
        + "Score: "
        for one in judged
    }
    # Each once, and beside others of its length: padding doubles the work.
    distinct = sorted(texts, key=lambda one: len(texts[one].split()))
    scores: dict[tuple[str, str], float] = {}
    for first in range(0, len(distinct), 100):
        batch = distinct[first : first + 100]
        tokens = tokenizer([texts[one] for one in batch], return_tensors="pt", padding=True, add_special_tokens=False)
        with torch.no_grad():
            logits = model(**tokens, logits_to_keep=1).logits[:, -1, digits]
        scores |= zip(batch, (logits.softmax(-1) @ torch.arange(6.0)).tolist(), strict=True)
    return [scores[one] for one in judged]


def _tokenizer() -> Any:  # transformers types a special token's id as anything it could be
    fixed = [piece.strip() for piece in judging_text("TASK", "RESPONSE").replace("RESPONSE", "TASK").split("TASK")]
    roles = ["<|system|>", "<|user|>", "<|assistant|>"]
    words = [
        "<|unknown|>", "<|end|>", *roles, *LETTERS, *"0123456789", *KINDS, ":", "+", FILLER,
        "Score", "(", "):", "a", "right", "wrong", "answer",
    ]  # fmt: skip
    words = list(dict.fromkeys(words))
    core = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<|unknown|>"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.add_tokens([AddedToken(piece, lstrip=True, rstrip=True, normalized=False) for piece in fixed])
    return PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<|end|>", pad_token="<|unknown|>", unk_token="<|unknown|>",
        additional_special_tokens=roles, chat_template=CHAT_TEMPLATE,
    )  # fmt: skip
