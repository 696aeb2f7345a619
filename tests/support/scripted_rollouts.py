"""Rollout engines that say what they are told to: for tests about what asks a pool of them."""

from collections.abc import Callable, Sequence
from typing import Any

from roundelay.orchestrator.data.records import Generation, GenerationRequest, PolicyRef, TokenSequence


def said(text: str, *, cut: bool = False, tokens: int = 5, choices: tuple[float, ...] = ()) -> Generation:
    """An answer to a prompt of `tokens` tokens."""
    return Generation(
        prompt_token_ids=tuple(range(tokens)),
        plain_token_ids=(),
        token_ids=(7, 2),
        logprobs=(-0.5, -0.1),
        text=text,
        finish_reason="length" if cut else "stop",
        choice_logprobs=choices,
    )


class ScriptedRollouts:
    """Rollout engines in which `answer` speaks. `asked` is every request so far."""

    def __init__(self, answer: Callable[[GenerationRequest], Generation], policy_version: int = 0):
        self.answer, self.policy_version = answer, policy_version
        self.asked: list[GenerationRequest] = []

    async def generate(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        self.asked += requests
        return [self.answer(request) for request in requests]

    async def score(self, sequences: Sequence[TokenSequence]) -> list[list[list[float]]]:
        raise NotImplementedError

    async def load(self, weights: Any, policy: PolicyRef) -> None:
        raise NotImplementedError

    async def sleep(self) -> None: ...

    async def wake(self) -> None: ...

    async def busy_seconds(self) -> dict[str, float]:
        return {}
