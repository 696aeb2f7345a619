"""A rollout engine that encodes and samples nothing: a token a byte, and 0 for the end of a turn."""

from collections.abc import Sequence

from roundelay.orchestrator.data.records import Generation, GenerationRequest


class Encoder:
    """Answers requests for given responses as `workers.rollout` does, and refuses all others."""

    def __init__(self, max_model_len: int = 10_000):
        self.max_model_len = max_model_len

    async def __call__(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        return [self._encoded(request) for request in requests]

    def _encoded(self, request: GenerationRequest) -> Generation:
        assert request.response is not None, "nothing is sampled where responses are conditioned"
        turns = "".join(f"{message.role}:{message.content}|" for message in request.messages)
        prompt, given = (
            (turns + request.assistant_prefix).encode(),
            (*request.response.encode(), *((0,) if request.response_ended else ())),
        )
        fits = len(prompt) + len(given) <= self.max_model_len
        return Generation(
            prompt_token_ids=tuple(prompt),
            plain_token_ids=(),
            token_ids=given if fits else (),
            logprobs=(),
            text=request.response if fits else "",
            finish_reason="stop" if fits else "prompt_too_long",
            choice_logprobs=(),
        )
