"""vLLM's engine in this process, stepped by one thread: requests from any coroutine share its running batch.

Owns the thread and the order of calls, not what is asked (see `rollout`). Runs vLLM in process
(`VLLM_ENABLE_V1_MULTIPROCESSING=0`): a killed actor leaves no engine behind, and weights arrive without a copy through
a socket.
"""

import asyncio
import itertools
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from vllm import SamplingParams
from vllm.engine.arg_utils import EngineArgs
from vllm.outputs import RequestOutput
from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine.llm_engine import LLMEngine

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Request:
    token_ids: tuple[int, ...]
    params: SamplingParams
    future: "Future[RequestOutput]" = field(default_factory=Future)


@dataclass(frozen=True, slots=True)
class _Call:
    """A function to run on the engine while no request is in flight."""

    function: Callable[[LLMEngine], Any]
    future: "Future[Any]" = field(default_factory=Future)


class EngineThread:
    """One vLLM engine and the thread that owns it.

    Args:
        args: vLLM's own engine arguments.
    """

    def __init__(self, args: EngineArgs):
        self.engine = LLMEngine.from_engine_args(args)
        self._inbox: queue.SimpleQueue[_Request | _Call] = queue.SimpleQueue()
        self._running: dict[str, _Request] = {}
        self._ids = itertools.count()
        threading.Thread(target=self._serve, name="vllm-engine", daemon=True).start()

    async def generate(self, token_ids: tuple[int, ...], params: SamplingParams) -> RequestOutput:
        """Sample from `token_ids`; resolves when the request is finished."""
        params.output_kind = RequestOutputKind.FINAL_ONLY
        request = _Request(token_ids, params)
        self._inbox.put(request)
        return await asyncio.wrap_future(request.future)

    async def call(self, function: Callable[[LLMEngine], T]) -> T:
        """Run `function` on the engine between requests (weights never change under a running request)."""
        call = _Call(function)
        self._inbox.put(call)
        return await asyncio.wrap_future(call.future)

    def _serve(self) -> None:
        try:
            while True:
                item = self._next()
                if isinstance(item, _Call):
                    self._finish_running()
                    self._run(item)
                else:
                    self._add(item)
        except BaseException as error:  # the thread ends here: every waiter must hear of it
            self._fail(error)
            raise

    def _next(self) -> "_Request | _Call":
        """The next item to handle; the engine steps while there is none."""
        while self._running and self._inbox.empty():
            self._step()
        return self._inbox.get()

    def _step(self) -> None:
        for output in self.engine.step():
            assert isinstance(output, RequestOutput)
            self._running.pop(output.request_id).future.set_result(output)

    def _finish_running(self) -> None:
        while self._running:
            self._step()

    def _run(self, call: _Call) -> None:
        if not call.future.set_running_or_notify_cancel():
            return
        try:
            call.future.set_result(call.function(self.engine))
        except Exception as error:
            call.future.set_exception(error)

    def _add(self, request: _Request) -> None:
        if not request.future.set_running_or_notify_cancel():  # its waiter is gone
            return
        request_id = str(next(self._ids))
        try:
            self.engine.add_request(request_id, {"prompt_token_ids": list(request.token_ids)}, request.params)
        except Exception as error:
            request.future.set_exception(error)
        else:
            self._running[request_id] = request

    def _fail(self, error: BaseException) -> None:
        for request in self._running.values():
            request.future.set_exception(error)
        while not self._inbox.empty():
            self._inbox.get().future.set_exception(error)
