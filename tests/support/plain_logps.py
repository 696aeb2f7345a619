"""Log-probs of responses in plain transformers, one sequence at a time: what judges that compare models must find."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from roundelay.orchestrator.data.records import Message, Rollout


def plain_logps(
    path: str | Path, rollouts: Sequence[Rollout], prompts: Sequence[Sequence[int]] | None = None
) -> list[list[float]]:
    """Of every response's tokens after its plain prompt, or after other `prompts`' token ids."""
    model: Any = AutoModelForCausalLM.from_pretrained(path)
    found = []
    for rollout, prompt in zip(rollouts, prompts or [one.prompt_token_ids for one in rollouts], strict=True):
        with torch.no_grad():
            logits = model(torch.tensor([[*prompt, *rollout.token_ids]])).logits[0]
        logps = logits.log_softmax(-1)
        found.append([float(logps[len(prompt) - 1 + place, token]) for place, token in enumerate(rollout.token_ids)])
    return found


def chat_ids(path: str | Path, messages: Sequence[Message]) -> list[int]:
    """The token ids of a conversation with the assistant's turn opened."""
    tokenizer = AutoTokenizer.from_pretrained(path)
    turns = [{"role": message.role, "content": message.content} for message in messages]
    text = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    return tokenizer(text, add_special_tokens=False)["input_ids"]
