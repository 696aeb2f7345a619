"""A stand-in for rollout engines where a test is about what is asked of them, and what becomes of the answers."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from roundelay.orchestrator.data.records import Generation, GenerationRequest, Message, Prompt

# What an engine says to a request: a text, or a whole generation with its finish reason.
Answer = Callable[[GenerationRequest], str | Generation]


def user(content: str) -> Message:
    return Message(role="user", content=content)


def assistant(content: str) -> Message:
    return Message(role="assistant", content=content)


def system(content: str) -> Message:
    return Message(role="system", content=content)


def prompts(*identities: str) -> list[Prompt]:
    return [Prompt(id=identity, messages=(user(f"Tell me of {identity}."),)) for identity in identities]


def encode(messages: Sequence[Message], assistant_prefix: str = "") -> tuple[int, ...]:
    """A stand-in for the tokenizer: different conversations have different ids."""
    text = "|".join(f"{message.role}:{message.content}" for message in messages) + f"|{assistant_prefix}"
    return tuple(text.encode())


def said(text: str, *, cut: bool = False) -> Generation:
    """A generation of that text, cut by the token limit or not; `Engine` puts the request's token ids into it."""
    return Generation(
        prompt_token_ids=(),
        plain_token_ids=(),
        token_ids=(7, 2),
        logprobs=(-0.5, -0.25),
        text=text,
        finish_reason="length" if cut else "stop",
        choice_logprobs=(),
    )


TOO_LONG = replace(said(""), token_ids=(), logprobs=(), finish_reason="prompt_too_long")


def by_seed(request: GenerationRequest) -> Generation:
    """Tells every request by its seed."""
    return replace(said(f"answer {request.seed}"), token_ids=(request.seed % 1000, 2))


class Engine:
    """Answers every request, and keeps what it was asked."""

    def __init__(self, answer: Answer = by_seed):
        self.answer = answer
        self.requests: list[GenerationRequest] = []

    async def __call__(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        self.requests += requests
        return [self._generation(request) for request in requests]

    def _generation(self, request: GenerationRequest) -> Generation:
        answer = self.answer(request)
        return replace(
            said(answer) if isinstance(answer, str) else answer,
            prompt_token_ids=encode(request.messages, request.assistant_prefix),
            plain_token_ids=encode(request.plain_messages) if request.plain_messages else (),
        )
