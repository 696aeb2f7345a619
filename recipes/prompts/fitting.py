"""Whether prompts fit the model: only an engine has the tokenizer, so it is asked for one token of each."""

from collections.abc import Sequence

from ...orchestrator.data.records import GenerationRequest
from ...orchestrator.parts.generation import Way
from ...orchestrator.protocols import Generate


async def fitting(ways: Sequence[Way], max_tokens: int, generate: Generate) -> list[bool]:
    """Which of the conversations, each with the opening of the assistant's turn, have at most `max_tokens` tokens."""
    probes = [
        GenerationRequest(
            messages=messages, seed=0, temperature=0.0, top_p=1.0, max_tokens=1, assistant_prefix=assistant_prefix
        )
        for messages, assistant_prefix in ways
    ]
    return [len(answer.prompt_token_ids) <= max_tokens for answer in await generate(probes)]
