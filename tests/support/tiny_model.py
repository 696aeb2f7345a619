"""A real model of a few ten thousand parameters with a real tokenizer and chat template, made in a second."""

import json
from functools import cache
from pathlib import Path
from typing import Literal

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

STARTER = Path(__file__).parents[2] / "configs" / "prompts" / "starter" / "train.jsonl"
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def write_tiny_model(
    path: Path, *, architecture: Literal["llama", "qwen2"] = "llama", tied: bool = True, seed: int = 0
) -> Path:
    """A randomly initialised two-layer model with a 600-token byte-level BPE vocabulary, saved as safetensors."""
    tokenizer = _tokenizer()
    torch.manual_seed(seed)
    config = {"llama": LlamaConfig, "qwen2": Qwen2Config}[architecture](
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=1024,
        tie_word_embeddings=tied,
        initializer_range=0.25,  # wide: responses differ from each other, and judges' scores too
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = {"llama": LlamaForCausalLM, "qwen2": Qwen2ForCausalLM}[architecture](config)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def write_tiny_tokenizer(path: Path) -> Path:
    """The tokenizer of `write_tiny_model` without its template and its special tokens."""
    plain = json.loads(_trained()) | {"added_tokens": []}
    PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(plain))).save_pretrained(path)
    return path


def write_moved(source: Path, path: Path, *, scale: float, seed: int) -> Path:
    """The model at `source` with noise of `scale` on all weights: near it, as a policy is to its reference."""
    model = AutoModelForCausalLM.from_pretrained(source)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += scale * torch.randn(parameter.shape, generator=generator)
    model.save_pretrained(path)
    PreTrainedTokenizerFast.from_pretrained(source).save_pretrained(path)
    return path


def _tokenizer() -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_trained()),
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=CHAT_TEMPLATE,
    )


@cache
def _trained() -> str:
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    core.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    rows = [json.loads(line)["prompt"] for line in STARTER.read_text().splitlines()]
    core.train_from_iterator([row for row in rows if isinstance(row, str)], trainer)
    return core.to_str()
