"""A judge in words over HTTP: what is sent, what is tried again, and that the key shows nowhere.

The server is a small local one; vLLM's own answers in tests/integration/test_endpoint.py.
"""

import asyncio
import json
import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
from support.chat_server import ChatServer, Reply, chat_server, completion
from support.configs import ENDPOINT, PAIRWISE, RATING, changed
from support.judging import Judge, prompt, rollout, shard

from roundelay.orchestrator.data.records import Generation, GenerationRequest, Message
from roundelay.orchestrator.errors import ConfigError, RunError
from roundelay.recipes.judges.endpoint import Endpoint, EndpointJudge, api_key, judge_by_endpoint
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


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, '{"code": "context_length_exceeded"}'),
        (400, "This model's maximum context length is 8 tokens. However, you requested 9 tokens."),
        (400, "The decoder prompt (length 9) is longer than the maximum model length of 8."),
        (400, "The input (9 tokens) is longer than the model's context length (8 tokens)."),
        (422, '{"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8. Given: 9"}'),
        (422, "Input validation error: `inputs` must have less than 8 tokens. Given: 9"),
        (
            400,
            '{"error": {"type": "exceed_context_size_error", "message": "the request exceeds the available context"}}',
        ),
        (400, "Requested tokens (9) exceed context window of 8"),
        (400, "prompt is too long: 9 tokens > 8 maximum"),
        (413, "Input is too long for requested model."),
        (400, "input length and `max_tokens` exceed context limit: 5 + 4 > 8"),
        (400, "The input token count (9) exceeds the maximum number of tokens allowed (8)."),
        (400, "too many tokens: the prompt cannot exceed 8"),
        (400, "Your input exceeds the context window of this model."),
    ],
)
def test_a_prompt_that_does_not_fit_is_a_status_as_with_an_engine(status: int, words: str) -> None:
    """In the words of OpenAI, vLLM, SGLang, TGI, llama.cpp, Anthropic, Bedrock, Gemini and Cohere."""
    with chat_server(lambda payload, before: Reply(status=status, body=words)) as server:
        (answer,) = ask(server, ["Hi"])
    assert (answer.text, answer.finish_reason) == ("", "prompt_too_long")
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "words", ["Request too large: limit of 8 tokens per minute", "the stop is near", "no such model"]
)
def test_another_refusal_is_no_prompt_that_does_not_fit(words: str) -> None:
    with (
        chat_server(lambda payload, before: Reply(status=413, body=words)) as server,
        pytest.raises(RunError, match="answered 413 "),
    ):
        ask(server, ["Hi"])


# -------------------------------------------------------------------------------------------------- what models refuse

NEWER = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
REFUSALS = {
    "max_tokens": (400, json.dumps({"error": {"message": NEWER, "param": "max_tokens"}})),
    "temperature": (
        400, "Unsupported value: 'temperature' does not support 0.5 with this model. Only the default (1) is supported."
    ),
    "top_p": (400, "`temperature` and `top_p` cannot both be specified for this model. Please use only one."),
    "seed": (422, '{"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]}'),
    "stop": (400, json.dumps({"error": {"message": "Not supported with this model.", "param": "stop"}})),
}  # fmt: skip


def test_what_a_model_refuses_by_name_is_left_out_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """One refusal a parameter, then all requests go without; two shards ask. The limit on tokens has its newer name."""

    def answer(payload: dict[str, Any], before: int) -> Reply:
        for name, (status, body) in REFUSALS.items():
            if name in payload:
                return Reply(status=status, body=body)
        return completion("well end of it")

    async def two_shards(endpoint: Endpoint) -> list[Generation]:
        return [*await endpoint([request("a", stop=("end",))]), *await endpoint([request("b", stop=("end",))])]

    with caplog.at_level(logging.WARNING), chat_server(answer) as server:
        answers = asyncio.run(two_shards(Endpoint(config=changed(ENDPOINT, base_url=server.url), key=None)))
    assert [(one.text, one.finish_reason) for one in answers] == [("well ", "stop")] * 2  # ends where it was to stop
    assert len(server.asked) == 5 + 1 + 1
    assert server.asked[-1] == {
        "path": "/v1/chat/completions", "model": "m", "messages": [{"role": "user", "content": "b"}],
        "max_completion_tokens": 11,
    }  # fmt: skip
    said = [record.getMessage() for record in caplog.records if "takes no" in record.getMessage()]
    assert [text.split("takes no ")[1].split(" ")[0] for text in said] == list(REFUSALS)
    assert "max_completion_tokens is sent in its place" in said[0]


@pytest.mark.parametrize("name", REFUSALS)
def test_only_what_is_refused_is_left_out(name: str) -> None:
    status, body = REFUSALS[name]
    with chat_server(
        lambda payload, _: Reply(status=status, body=body) if name in payload else completion("x")
    ) as server:
        config = changed(ENDPOINT, base_url=server.url)
        asyncio.run(Endpoint(config=config, key=None)([request("a", stop=("end",))]))
    sent = {"temperature", "top_p", "max_tokens", "seed", "stop", "path", "model", "messages"}
    left = sent - {name} | ({"max_completion_tokens"} if name == "max_tokens" else set())
    assert [set(asked) for asked in server.asked] == [sent, left]


def test_a_parameter_that_is_refused_for_good_stops_the_run() -> None:
    with (
        chat_server(lambda payload, before: Reply(status=400, body=REFUSALS["seed"][1])) as server,
        pytest.raises(RunError, match="answered 400"),
    ):
        ask(server, ["Hi"])
    assert ["seed" in asked for asked in server.asked] == [True, False]


# ------------------------------------------------------------------------------------------------ what an answer may be


@pytest.mark.parametrize(
    ("reason", "whole"),
    [("stop", True), ("eos_token", True), ("stop_sequence", True), ("end_turn", True), ("STOP", True),
     ("length", False), ("max_tokens", False), ("content_filter", False), ("tool_calls", False), (None, False),
     (7, False), (["stop"], False)],
)  # fmt: skip
def test_an_answer_is_whole_only_if_it_ended_by_itself(reason: Any, whole: bool) -> None:
    """TGI ends with "eos_token" or "stop_sequence", Anthropic with "end_turn"."""
    with chat_server(lambda payload, before: completion("Rating: [[7]]", reason)) as server:
        (answer,) = ask(server, ["Hi"])
    assert (answer.text, answer.finish_reason) == ("Rating: [[7]]", "stop" if whole else "length")


PART = {"type": "text", "text": "Rating: "}


@pytest.mark.parametrize(
    ("content", "fields", "text"),
    [
        ([PART, {"type": "text", "text": "[[7]]"}], {}, "Rating: [[7]]"),
        ([{"type": "thinking", "thinking": [{"type": "text", "text": "[[2]]"}]}, PART, "[[7]]"], {}, "Rating: [[7]]"),
        (["Rating: ", {"type": "output_text", "text": "[[7]]"}], {}, "Rating: [[7]]"),
        ([], {}, ""),
        ("[[7]]", {"reasoning_content": "[[2]]"}, "[[7]]"),
        ("[[7]]", {"reasoning": "[[2]]"}, "[[7]]"),
        (None, {"reasoning_content": "[[2]]"}, ""),
        (None, {"refusal": "I will not."}, ""),
    ],
)  # fmt: skip
def test_what_was_said_is_read_and_no_reasoning(content: Any, fields: dict[str, Any], text: str) -> None:
    with chat_server(lambda payload, before: completion(content, **fields)) as server:
        (answer,) = ask(server, ["Hi"])
    assert (answer.text, answer.finish_reason) == (text, "stop")


ODD: dict[str, str] = {
    "a number": "7",
    "a number of many digits": "7" * 5000,
    "true": "true",
    "an object": '{"text": "[[7]]"}',
    "a list of numbers": "[7]",
    "a list of lists": '[["[[7]]"]]',
    "an image": '[{"type": "image_url", "image_url": "x"}, {"type": "text", "text": "[[7]]"}]',
    "text that is none": '[{"type": "text", "text": 7}]',
    "half of a surrogate pair": '"[[7]] \\ud83d"',
    "lists without end": "[" * 100_000 + "]" * 100_000,
}


@pytest.mark.parametrize("kind", ODD)
def test_whatever_a_judge_puts_for_its_words_is_a_status_and_stops_no_run(kind: str) -> None:
    """Its vote is unparsable, and nothing of it can break what is written to the ledger."""
    body = f'{{"choices": [{{"message": {{"content": {ODD[kind]}}}, "finish_reason": "stop"}}]}}'
    with chat_server(lambda payload, before: Reply(body=body)) as server:
        endpoint = Endpoint(config=changed(ENDPOINT, base_url=server.url), key=None)
        rating = partial(judge_rating, config=changed(RATING, votes=1), seed_parts=(0, "judge"))
        policy = Judge(lambda request: pytest.fail("the policy was asked"))
        case = shard(prompt("p", "Hi"))
        (judgment,) = asyncio.run(
            judge_by_endpoint(case, [rollout("p", 0, "r")], policy, judge=rating, endpoint=endpoint)
        )
    assert (judgment.status, judgment.score, judgment.text) == ("unparsable", None, "")


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
