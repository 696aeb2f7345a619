"""The rollout actor: one vLLM engine that samples, judges and scores. Owns no policy on what is asked of it."""

import asyncio
import json
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from vllm import SamplingParams
from vllm.config.weight_transfer import WeightTransferConfig
from vllm.engine.arg_utils import EngineArgs
from vllm.outputs import RequestOutput
from vllm.v1.engine.llm_engine import LLMEngine

from ..orchestrator.config.schema import ClusterConfig, ModelConfig
from ..orchestrator.data.records import Generation, GenerationRequest, PolicyRef, TokenSequence
from ..orchestrator.ledger.model_files import verified_copy
from .encoding import ChatEncoder
from .engine import EngineThread
from .thought import marked_text
from .weight_sync import EXTENSION, HostWeights


def engine_args(model: ModelConfig, cluster: ClusterConfig, policy_path: str) -> EngineArgs:
    """vLLM's arguments for a rollout engine that starts from `policy_path`.

    Chunked prefill is off on CPU: a seeded request whose prompt is prefilled in chunks kills the CPU engine, so the
    token budget of a step must hold the longest prompt. Log-probs are taken before temperature and top-p.
    """
    on_gpu = cluster.device == "gpu"
    return EngineArgs(
        model=policy_path,
        tokenizer=model.path,
        load_format="safetensors",  # never unpickle what a user hands us
        dtype=model.dtype,
        max_model_len=model.max_model_len,
        trust_remote_code=model.trust_remote_code,
        max_num_seqs=cluster.rollout.max_num_seqs,
        enable_prefix_caching=True,
        enforce_eager=not on_gpu,
        enable_chunked_prefill=on_gpu,
        max_num_batched_tokens=max(4096, model.max_model_len),
        logprobs_mode="raw_logprobs",
        generation_config="vllm",
        worker_extension_cls=EXTENSION,
        tensor_parallel_size=cluster.rollout.tensor_parallel_size,
        gpu_memory_utilization=cluster.rollout.memory_fraction,
        enable_sleep_mode=on_gpu and cluster.colocated,
        weight_transfer_config=WeightTransferConfig(backend="nccl") if on_gpu and not cluster.colocated else None,
        speculative_config=json.loads(cluster.rollout.speculative) or None,
        disable_log_stats=True,
    )


def sampling_params(
    request: GenerationRequest, *, room: int, stop_ids: Sequence[int], choice_ids: Sequence[int]
) -> SamplingParams:
    """vLLM's parameters for a request that has room for `room` tokens.

    The answer ends at a token of `stop_ids`, at the token limit, or with the token that completes a string of
    `request.stop`: that string's tokens are in the answer, as sampled, and its text ends before it.

    Raises:
        AssertionError: vLLM would sample by other values than the ledger has.
    """
    params = SamplingParams(
        temperature=request.temperature,
        top_p=request.top_p,
        max_tokens=min(request.max_tokens, room),
        stop=list(request.stop),
        stop_token_ids=list(stop_ids),
        seed=request.seed,
        logprobs=None if choice_ids else 0,
        logprob_token_ids=list(choice_ids) or None,
        allowed_token_ids=list(choice_ids) if request.constrain_to_choices else None,
    )
    # vLLM draws by a seed's low 32 bits, takes -1 for none, and raises temperatures next to 0.
    assert params.temperature == request.temperature and 0 <= request.seed < 2**32 and params.seed == request.seed, (
        f"vLLM samples at temperature {params.temperature} with seed {params.seed}, not as {request} asks"
    )
    assert params.top_p == request.top_p or request.temperature == 0, f"vLLM samples at top_p {params.top_p}"
    return params


class RolloutWorker:
    """A Ray actor around one engine.

    Args:
        model: the model group of the configuration.
        cluster: the cluster group.
        policy: what to start from.
    """

    def __init__(self, model: ModelConfig, cluster: ClusterConfig, policy: PolicyRef):
        self.encoder = ChatEncoder(model.path, trust_remote_code=model.trust_remote_code, date=model.date)
        # The samples of a prompt come one after the other: it is encoded once for all of them.
        self._encode = lru_cache(maxsize=256)(self.encoder.encode)
        self.engine = EngineThread(engine_args(model, cluster, verified_copy(policy)))
        self.max_model_len = model.max_model_len
        self.policy_version = policy.version
        self._choice_ids: dict[tuple[str, tuple[str, ...]], tuple[int, ...]] = {}
        self._active, self._busy_s, self._busy_since = 0, 0.0, 0.0

    async def ready(self) -> int:
        """The version of the weights that are loaded."""
        return self.policy_version

    async def generate(self, requests: Sequence[GenerationRequest], policy_version: int) -> list[Generation]:
        """Answer every request, in order.

        Raises:
            RuntimeError: the engine holds other weights than the caller thinks.
        """
        if policy_version != self.policy_version:
            raise RuntimeError(
                f"asked to sample from policy {policy_version}, but policy {self.policy_version} is loaded"
            )
        self._enter()
        try:
            return list(await asyncio.gather(*(self._generate(request) for request in requests)))
        finally:
            self._leave()

    async def score(self, sequences: Sequence[TokenSequence]) -> list[list[float]]:
        """Log-probs of each sequence's response tokens, given what stands before them."""
        params = [SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=0) for _ in sequences]
        outputs = await asyncio.gather(
            *(
                self.engine.generate(sequence.prompt_token_ids + sequence.token_ids, param)
                for sequence, param in zip(sequences, params, strict=True)
            )
        )
        return [_response_logprobs(output, sequence) for output, sequence in zip(outputs, sequences, strict=True)]

    async def load_weights(self, weights: HostWeights, policy_version: int) -> None:
        """Replace the weights between requests, and forget every cached prefix of the old ones."""

        def load(engine: LLMEngine) -> None:
            engine.collective_rpc("load_host_weights", args=(weights,))
            engine.reset_prefix_cache()

        await self.engine.call(load)
        self.policy_version = policy_version

    # vLLM's own weight transfer, between GPUs: the learner's `nccl_sync.RolloutClient` calls these ------------------

    async def init_weight_transfer(self, init_info: dict[str, Any]) -> None:
        await self.engine.call(lambda e: e.collective_rpc("init_weight_transfer_engine", args=(init_info,)))

    async def shutdown_weight_transfer(self) -> None:
        await self.engine.call(lambda e: e.collective_rpc("shutdown_weight_transfer_engine"))

    async def start_weight_update(self) -> None:
        await self.engine.call(lambda e: e.collective_rpc("start_weight_update"))

    async def update_weights(self, update_info: dict[str, Any]) -> None:
        await self.engine.call(lambda e: e.collective_rpc("update_weights", args=(update_info,)))

    async def finish_weight_update(self) -> None:
        await self.engine.call(lambda e: e.collective_rpc("finish_weight_update"))

    async def finish_transfer(self, policy_version: int) -> None:
        """All weights have arrived: forget the old ones' prefixes."""
        await self.engine.call(lambda e: e.reset_prefix_cache())
        self.policy_version = policy_version

    async def sleep(self) -> None:
        """Give the GPU's memory to the learner (level 1: weights wait in host memory)."""
        await self.engine.call(lambda engine: engine.sleep(level=1))

    async def wake(self) -> None:
        await self.engine.call(lambda engine: engine.wake_up())

    async def busy_seconds(self) -> float:
        """Seconds so far in which at least one request was being served."""
        return self._busy_s + (time.monotonic() - self._busy_since if self._active else 0.0)

    async def _generate(self, request: GenerationRequest) -> Generation:
        prompt = self._encode(request.messages, request.assistant_prefix)
        plain = self._encode(request.plain_messages) if request.plain_messages else ()
        given, text = self._given(request)
        too_long = len(prompt) + len(given) > self.max_model_len if given else len(prompt) >= self.max_model_len
        if request.response is not None or too_long:
            return Generation(
                prompt_token_ids=prompt,
                plain_token_ids=plain,
                token_ids=() if too_long else given,
                logprobs=(),
                text="" if too_long else text,
                finish_reason="prompt_too_long" if too_long else "stop",
                choice_logprobs=(),
            )
        choice_ids = self._choices(request)
        params = sampling_params(
            request, room=self.max_model_len - len(prompt), stop_ids=self.encoder.stop_ids, choice_ids=choice_ids
        )
        output = (await self.engine.generate(prompt, params)).outputs[0]
        assert output.logprobs is not None and output.finish_reason in ("stop", "length"), output.finish_reason
        token_ids = tuple(output.token_ids)
        return Generation(
            prompt_token_ids=prompt,
            plain_token_ids=plain,
            token_ids=token_ids,
            logprobs=() if choice_ids else _sampled_logprobs(output.logprobs, token_ids),
            text=output.text,
            finish_reason=output.finish_reason,
            choice_logprobs=tuple(output.logprobs[0][token].logprob for token in choice_ids),
            marked=marked_text(self.encoder.tokenizer, prompt, token_ids, output.text),
        )

    def _given(self, request: GenerationRequest) -> tuple[tuple[int, ...], str]:
        """A given response's token ids and its text, which has no end of turn in words."""
        if request.response is None:
            return (), ""
        given = self.encoder.encode_response(request.response, ended=request.response_ended)
        return given, self.encoder.without_end(request.response) if request.response_ended else request.response

    def _choices(self, request: GenerationRequest) -> tuple[int, ...]:
        if not request.choices:
            return ()
        # A long prefix ends in the line that the choices continue: that line decides how they are tokenised.
        key = (request.assistant_prefix.rpartition("\n")[2], request.choices)
        if key not in self._choice_ids:
            self._choice_ids[key] = self.encoder.choice_ids(*key)
        return self._choice_ids[key]

    def _enter(self) -> None:
        if self._active == 0:
            self._busy_since = time.monotonic()
        self._active += 1

    def _leave(self) -> None:
        self._active -= 1
        if self._active == 0:
            self._busy_s += time.monotonic() - self._busy_since


def _sampled_logprobs(logprobs, token_ids: tuple[int, ...]) -> tuple[float, ...]:
    return tuple(step[token].logprob for step, token in zip(logprobs, token_ids, strict=True))


def _response_logprobs(output: RequestOutput, sequence: TokenSequence) -> list[float]:
    assert output.prompt_logprobs is not None
    start = len(sequence.prompt_token_ids)
    steps = output.prompt_logprobs[start:]
    return [_logprob(step, token) for step, token in zip(steps, sequence.token_ids, strict=True)]


def _logprob(step, token: int) -> float:
    assert step is not None
    return step[token].logprob
