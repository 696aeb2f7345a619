"""What judges are tried on: prompts, responses, and a scripted engine that answers as a test says."""

from collections.abc import Callable, Sequence

from roundelay.orchestrator.data.records import (
    FinishReason,
    Generation,
    GenerationRequest,
    Message,
    Prompt,
    Rollout,
    Shard,
    Variant,
)


def prompt(identity: str, *contents: str) -> Prompt:
    """Turns alternate, and the user's is the last."""
    roles = ("user", "assistant")
    last = len(contents) - 1
    return Prompt(
        id=identity,
        messages=tuple(Message(role=roles[(last - i) % 2], content=text) for i, text in enumerate(contents)),
    )


def rollout(
    prompt_id: str, sample: int, text: str, *, finish: FinishReason = "stop", variant: Variant = "plain"
) -> Rollout:
    return Rollout(
        prompt_id=prompt_id,
        sample=sample,
        variant=variant,
        prompt_token_ids=(1,),
        sampler_token_ids=(1,),
        token_ids=(2,),
        logprobs=(-1.0,),
        text=text,
        finish_reason=finish,
        policy_version=0,
        seed=0,
    )


def said(text: str, finish_reason: str = "stop", choice_logprobs: Sequence[float] = ()) -> Generation:
    return Generation(
        prompt_token_ids=(1,),
        plain_token_ids=(),
        token_ids=(2,),
        logprobs=(-1.0,),
        text=text,
        finish_reason=finish_reason,  # pyright: ignore[reportArgumentType]
        choice_logprobs=tuple(choice_logprobs),
    )


class Judge:
    """A scripted engine that keeps what it was asked, one list a call."""

    def __init__(self, answer: Callable[[GenerationRequest], Generation]):
        self.answer = answer
        self.calls: list[list[GenerationRequest]] = []

    async def __call__(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        self.calls.append(list(requests))
        return [self.answer(request) for request in requests]

    @property
    def asked(self) -> list[str]:
        """The contents of the first call's requests."""
        return [request.messages[-1].content for request in self.calls[0]]


def shard(*prompts: Prompt) -> Shard:
    return Shard(round=1, index=0, prompts=prompts, split="train")
