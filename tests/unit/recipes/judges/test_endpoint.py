"""A judge in words over HTTP: what is sent, what is tried again, and that the key shows nowhere.

The server is a small local one; vLLM's own answers in tests/integration/test_endpoint.py.
"""

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
from support.chat_server import ChatServer, Reply, chat_server, completion
from support.configs import ENDPOINT, PAIRWISE, RATING, changed
from support.judging import Judge, prompt, rollout, shard

from roundelay.orchestrator.errors import ConfigError, RunError
from roundelay.orchestrator.judge_config import EndpointJudge
from roundelay.orchestrator.records import Generation, GenerationRequest, Message
from roundelay.recipes.judges.endpoint import Endpoint, api_key, judge_by_endpoint
from roundelay.recipes.judges.pairwise import judge_pairwise
from roundelay.recipes.judges.rating import judge_rating

KEY = "no-real-key-0123456789"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def request(text: str, *, stop: tuple[str, ...] = ()) -> GenerationRequest:
    return GenerationRequest(
        messages=(Message(role="user", content=text),), seed=7, temperature=0.5, top_p=0.9, max_tokens=11, stop=stop
    )


def ask(server: ChatServer, texts: Sequence[str], *, key: str | None = None, **changes: Any) -> list[Generation]:
    config: EndpointJudge = changed(ENDPOINT, base_url=server.url, **changes)
    return asyncio.run(Endpoint(config=config, key=key)([request(text) for text in texts]))


# -------------------------------------------------------------------------------------------------- what goes and comes


def test_a_request_is_sent_as_it_is_and_answered_in_order() -> None:
    """The later the request, the sooner its answer."""
    texts = [str(number) for number in range(6)]

    def answer(payload: dict[str, Any], before: int) -> Reply:
        text = payload["messages"][-1]["content"]
        reply = completion(f"to {text}", "length" if text == "3" else "stop")
        return Reply(body=reply.body, delay_s=0.02 * (6 - int(text)))

    with chat_server(answer) as server:
        config = changed(ENDPOINT, base_url=server.url + "/", concurrency=6)
        answers = asyncio.run(Endpoint(config=config, key=None)([request(text, stop=("end",)) for text in texts]))
    assert [a.text for a in answers] == [f"to {text}" for text in texts]
    assert [a.finish_reason for a in answers] == ["stop"] * 3 + ["length"] + ["stop"] * 2
    assert {a.token_ids for a in answers} == {()}
    first = next(payload for payload in server.asked if payload["messages"][-1]["content"] == "0")
    assert first == {
        "path": "/v1/chat/completions", "model": "m", "messages": [{"role": "user", "content": "0"}],
        "temperature": 0.5, "top_p": 0.9, "max_tokens": 11, "seed": 7, "stop": ["end"],
    }  # fmt: skip
    assert all("Authorization" not in headers for headers in server.headers)


def test_no_more_requests_are_out_at_once_than_are_allowed_over_all_shards() -> None:
    async def two_shards(endpoint: Endpoint) -> None:
        await asyncio.gather(*(endpoint([request(f"{part}{n}") for n in range(6)]) for part in "ab"))

    with chat_server(lambda payload, before: Reply(body=completion("x").body, delay_s=0.03)) as server:
        asyncio.run(two_shards(Endpoint(config=changed(ENDPOINT, base_url=server.url, concurrency=3), key=None)))
    assert len(server.asked) == 12 and server.most_at_once == 3


@pytest.mark.parametrize(("content", "reason"), [(None, "stop"), ("half", "content_filter")])
def test_an_answer_without_text_or_end_is_never_a_whole_one(content: str | None, reason: str) -> None:
    """A judge reads no score from it: empty text is unparsable, what a filter ended counts as cut."""
    with chat_server(lambda payload, before: completion(content, reason)) as server:
        (answer,) = ask(server, ["Hi"])
    assert (answer.text, answer.finish_reason) == (content or "", "stop" if reason == "stop" else "length")


@pytest.mark.parametrize("words", ['{"code": "context_length_exceeded"}', "This model's maximum context length is 8."])
def test_a_prompt_that_does_not_fit_is_a_status_as_with_an_engine(words: str) -> None:
    with chat_server(lambda payload, before: Reply(status=400, body=words)) as server:
        (answer,) = ask(server, ["Hi"])
    assert (answer.text, answer.finish_reason) == ("", "prompt_too_long")
    assert len(server.asked) == 1


# ------------------------------------------------------------------------------------------------- what is tried again


@pytest.mark.parametrize("trouble", [Reply(status=429), Reply(status=500), Reply(status=503), Reply(delay_s=0.6)])
def test_passing_trouble_is_tried_again_and_leaves_no_trace_in_the_answer(trouble: Reply) -> None:
    """429, 5xx and timeouts; twice, then an answer."""
    with chat_server(lambda payload, before: trouble if before < 2 else completion("well")) as server:
        (answer,) = ask(server, ["Hi"], attempts=3, timeout_s=0.2)
    assert (answer.text, len(server.asked)) == ("well", 3)


def test_waits_double_from_attempt_to_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """0.01 s, 0.02 s, 0.04 s."""
    waits: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        waits.append(seconds)
        await sleep(0)

    monkeypatch.setattr("roundelay.recipes.judges.endpoint.asyncio.sleep", noted)
    with chat_server(lambda payload, before: Reply(status=503) if before < 3 else completion("well")) as server:
        ask(server, ["Hi"], attempts=4)
    assert waits == [0.01, 0.02, 0.04]


def test_trouble_that_does_not_pass_stops_the_run_after_the_attempts() -> None:
    with chat_server(lambda payload, before: Reply(status=503, body="busy")) as server:
        with pytest.raises(RunError, match=r"failed 3 times, the last time with 503 Service Unavailable: busy"):
            ask(server, ["Hi"], attempts=3)
        assert len(server.asked) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 302])
def test_a_refusal_is_not_tried_again(status: int) -> None:
    """Nor is a redirect followed: the key would go elsewhere."""
    elsewhere = (("Location", "http://127.0.0.1:9/v1"),) if status == 302 else ()
    with chat_server(lambda payload, before: Reply(status=status, body="no", headers=elsewhere)) as server:
        with pytest.raises(RunError, match=f"answered {status} "):
            ask(server, ["Hi"])
        assert len(server.asked) == 1


@pytest.mark.parametrize("body", ["<html>", "{}", '{"choices": []}', '{"choices": [{"message": null}]}', "[1]"])
def test_what_is_no_chat_completion_stops_the_run(body: str) -> None:
    with (
        chat_server(lambda payload, before: Reply(body=body)) as server,
        pytest.raises(RunError, match="no chat completion"),
    ):
        ask(server, ["Hi"])


@pytest.mark.parametrize("status", [200, 404, 503])
def test_terminal_escapes_in_an_endpoints_words_are_shown(status: int) -> None:
    """They stand in the error as text: nothing that a server answers reaches the terminal as an order."""
    with (
        chat_server(lambda payload, before: Reply(status=status, body="\x1b[2J\x1b]0;mine\x07")) as server,
        pytest.raises(RunError) as caught,
    ):
        ask(server, ["Hi"], attempts=1)
    assert r"\x1b[2J\x1b]0;mine\x07" in str(caught.value) and "\x1b" not in str(caught.value)


def test_an_endpoint_that_is_not_there_stops_the_run_by_its_address() -> None:
    with chat_server(lambda payload, before: completion("x")) as server:
        pass
    with pytest.raises(RunError, match=r"endpoint http://127\.0\.0\.1:\d+/v1 cannot be asked \(ConnectError"):
        ask(server, ["Hi"])


def test_a_shards_questions_have_a_deadline() -> None:
    with (
        chat_server(lambda payload, before: Reply(body=completion("x").body, delay_s=0.5)) as server,
        pytest.raises(RunError, match=r"did not answer 2 requests within judge\.deadline_s=0\.1"),
    ):
        ask(server, ["a", "b"], deadline_s=0.1)


# -------------------------------------------------------------------------------------------------------------- the key


def test_the_key_goes_into_the_header_and_nowhere_else(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Not even when the endpoint itself repeats it, as some do with a wrong one."""
    with (
        caplog.at_level(logging.DEBUG),
        chat_server(lambda payload, before: Reply(status=401, body=f"bad key {KEY}")) as server,
        pytest.raises(RunError) as caught,
    ):
        ask(server, ["Hi"], key=KEY)
    assert [headers["Authorization"] for headers in server.headers] == [f"Bearer {KEY}"]
    assert "401" in str(caught.value) and "bad key ***" in str(caught.value)
    assert KEY not in str(caught.value) + str(server.asked) + caplog.text + "".join(capfd.readouterr())
    assert KEY not in repr(Endpoint(config=ENDPOINT, key=KEY))


def test_the_key_is_read_from_the_named_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    config = changed(ENDPOINT, api_key_env="JUDGE_KEY")
    monkeypatch.setenv("JUDGE_KEY", KEY)
    assert api_key(config) == KEY and api_key(ENDPOINT) is None
    monkeypatch.setenv("JUDGE_KEY", "")
    with pytest.raises(ConfigError, match=r"evaluation\.judge\.api_key_env=JUDGE_KEY, but") as caught:
        api_key(config, "evaluation.judge")
    assert "export JUDGE_KEY" in caught.value.remedy


# ----------------------------------------------------------------------------------------------------- judges behind it


def test_a_judge_asks_the_endpoint_and_not_the_policys_engine() -> None:
    """Ratings as an engine would have given them; a cut answer stays a status."""
    policy = Judge(lambda request: pytest.fail("the policy was asked"))

    def answer(payload: dict[str, Any], before: int) -> Reply:
        return completion("Rating: [[7]]") if "good" in payload["messages"][-1]["content"] else completion("", "length")

    with chat_server(answer) as server:
        endpoint = Endpoint(config=changed(ENDPOINT, base_url=server.url), key=None)
        rating = partial(judge_rating, config=changed(RATING, votes=1), seed_parts=(0, "judge"))
        rollouts = [rollout("p", 0, "good"), rollout("p", 1, "bad")]
        case = shard(prompt("p", "Hi"))
        judged = asyncio.run(judge_by_endpoint(case, rollouts, policy, judge=rating, endpoint=endpoint))
        comparing = partial(judge_pairwise, config=PAIRWISE, seed_parts=(0, "judge"))
        asyncio.run(judge_by_endpoint(case, rollouts, policy, judge=comparing, endpoint=endpoint))
    assert [(j.sample, j.status, j.score) for j in judged] == [(0, "parsed", 7.0), (1, "truncated", None)]
    assert len({payload["seed"] for payload in server.asked}) == 4
