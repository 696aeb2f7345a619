"""Another model, behind an OpenAI-compatible HTTP endpoint, in the engine's place for a judge in words."""

import asyncio
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass as plain_dataclass
from dataclasses import field, replace
from functools import partial
from operator import attrgetter
from typing import Annotated, Any, ClassVar, Literal, Self

import httpx
from pydantic import Field

from ...orchestrator.data.records import Generation, GenerationRequest, Judgment, Rollout, Shard
from ...orchestrator.errors import ConfigError, RunError
from ...orchestrator.fields import PositiveFloat, PositiveInt
from ...orchestrator.parts.counts import Count
from ...orchestrator.parts.judge import JudgeContext, JudgePart
from ...orchestrator.parts.registry import AnyKind, Place, part
from ...orchestrator.protocols import Encoder, Generate, Judge
from .chat_api import LENGTH, NEWER_LENGTH, answer_of, is_too_long, payload_of, refused_parameters


@part("judge")
class EndpointJudge(JudgePart):
    """A judge in words (`judge@judge.judge=rating`, say) whose questions another model answers, behind an
    OpenAI-compatible HTTP endpoint.

    It can be asked for text, and for nothing of next-token probabilities or token ids. The key is read from an
    environment variable; it is in no configuration, ledger or log.
    """

    kind: Literal["endpoint"]
    judge: Annotated[JudgePart, AnyKind("judge", where=attrgetter("text_alone"))]
    base_url: Annotated[str, Field(pattern=r"^https?://[^@?#\s]+$")]  # up to and with /v1; no user, no password
    model: Annotated[str, Field(min_length=1)]
    api_key_env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None  # null: no key
    concurrency: PositiveInt  # requests at once
    attempts: PositiveInt  # a request; only 429, 5xx and timeouts are tried again
    backoff_s: PositiveFloat  # before the second attempt, doubled before each later one
    timeout_s: PositiveFloat  # of one attempt
    deadline_s: PositiveFloat  # for all that a shard asks at once
    version: ClassVar[int] = 2  # one grammar of score lines and verdicts, in which no thought is read
    joins_panels: ClassVar[bool] = True
    annotates: ClassVar[bool] = True
    answers_elsewhere: ClassVar[bool] = True
    # Where it is and how it is asked, but not which model answers.
    resumable: ClassVar[tuple[str, ...]] = (
        "base_url", "api_key_env", "concurrency", "attempts", "backoff_s", "timeout_s", "deadline_s",
    )  # fmt: skip

    def check(self, at: Place) -> None:
        """Nothing is decoded among a few forms."""
        if self.judge.constrained():
            raise ConfigError(
                f"{at}.judge.constrain_last_line=true: an endpoint is asked for text, and decodes it its own way",
                f"set {at}.judge.constrain_last_line=false",
            )

    def check_needs(self, at: Place, encoder: Encoder) -> None:
        """The key is there."""
        api_key(self, at.field)

    def inner(self) -> Mapping[str, JudgePart]:
        return {"judge": self.judge}

    def asked(self) -> JudgePart:
        return self.judge

    def by_policy(self) -> bool:
        return False

    def both_ways(self) -> Self:
        return replace(self, judge=self.judge.both_ways())

    def votes_on_response(self) -> int | None:
        return self.judge.votes_on_response()

    def score_points(self) -> tuple[float, ...] | None:
        return self.judge.score_points()

    def graded(self) -> bool:
        return self.judge.graded()

    def judgments_of(self, responses: Count) -> Count:
        return self.judge.judgments_of(responses)

    def conclude(self, judgments: Sequence[Judgment]) -> list[Judgment]:
        return self.judge.conclude(judgments)

    def description(self) -> str:
        return f"{self.judge.kind}, {self.model} at {self.base_url}"

    def sentence(self) -> str:
        return f"The model {self.model} behind an endpoint, asked as the policy would be. {self.judge.sentence()}"

    def build(self, context: JudgeContext) -> Judge:
        judge = self.judge.build(context)
        assert judge is not None, "a judge in words judges"
        return partial(judge_by_endpoint, judge=judge, endpoint=Endpoint(config=self, key=api_key(self)))


log = logging.getLogger(__name__)
MAX_SHOWN = 300  # characters of an endpoint's own words in an error
LONGEST_BACKOFF_S = 60.0


async def judge_by_endpoint(
    shard: Shard, rollouts: Sequence[Rollout], generate: Generate, *, judge: Judge, endpoint: "Endpoint"
) -> list[Judgment]:
    """What `judge` makes of the endpoint's answers."""
    return await judge(shard, rollouts, endpoint)


def api_key(config: EndpointJudge, field: str = "judge") -> str | None:
    """The endpoint's key, from the environment; None where it needs none.

    Raises:
        ConfigError: the variable is not set.
    """
    if config.api_key_env is None:
        return None
    key = os.environ.get(config.api_key_env)
    if not key:
        raise ConfigError(
            f"{field}.api_key_env={config.api_key_env}, but that environment variable is not set",
            f"export {config.api_key_env}=… where the driver runs, or set {field}.api_key_env=null",
        )
    return key


@plain_dataclass(kw_only=True, slots=True)
class Endpoint:
    """Answers requests as an engine does (it is a `Generate`), by chat completions over HTTP.

    Its answers have no token ids and no log-probs. At most `config.concurrency` requests are out at once, over all
    shards. The key is sent to `config.base_url` alone: redirects are not followed.

    Some models take no `temperature`, `top_p`, `seed` or `stop`, or want `max_completion_tokens`. What is refused by
    name is left out of that request and of all that follow, and a warning says so once. Where stop strings are left
    out, answers end at them all the same.

    Example:
        Endpoint(config=judge, key=api_key(judge))
    """

    config: EndpointJudge
    key: str | None = field(repr=False)
    _slots: asyncio.Semaphore = field(init=False, repr=False)
    _refused: set[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._slots = asyncio.Semaphore(self.config.concurrency)
        self._refused = set()

    async def __call__(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        """Answers in order.

        Raises:
            RunError: the endpoint refused a request, failed `config.attempts` times, or took longer than the deadline.
        """
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        try:
            async with (
                asyncio.timeout(self.config.deadline_s),
                httpx.AsyncClient(headers=headers, timeout=self.config.timeout_s) as client,
                asyncio.TaskGroup() as group,
            ):
                tasks = [group.create_task(self._answer(client, request)) for request in requests]
        except TimeoutError:
            raise self._error(
                f"did not answer {len(requests)} requests within judge.deadline_s={self.config.deadline_s:g}",
                "raise judge.deadline_s or judge.concurrency, then resume the run",
            ) from None
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return [task.result() for task in tasks]

    async def _answer(self, client: httpx.AsyncClient, request: GenerationRequest) -> Generation:
        async with self._slots:
            response = await self._accepted(client, request)
        if is_too_long(response.status_code, response.text):
            return _generation("", "prompt_too_long")
        if response.status_code != 200:
            raise self._error(
                f"answered {response.status_code} {response.reason_phrase}: {self._shown(response.text)}",
                "look at judge.model, judge.base_url and the key, then resume the run",
            )
        try:
            return _generation(*answer_of(response.text, request.stop))
        except ValueError as error:
            raise self._error(
                f"answered what is no chat completion ({error}): {self._shown(response.text)}",
                "give the address of an OpenAI-compatible endpoint, up to and with /v1",
            ) from None

    async def _accepted(self, client: httpx.AsyncClient, request: GenerationRequest) -> httpx.Response:
        """The answer to a request with nothing in it that the endpoint refuses by name."""
        while True:
            payload = payload_of(request, self.config.model, self._refused)
            response = await self._post(client, payload)
            status, body = response.status_code, response.text
            if is_too_long(status, body) or not (refused := refused_parameters(status, body, payload)):
                return response
            for name in sorted(refused - self._refused):
                instead = f"; {NEWER_LENGTH} is sent in its place" if name == LENGTH else ""
                log.warning(
                    "the judge's endpoint %s takes no %s for %s: it is left out from here on%s (%s)",
                    self.config.base_url, name, self.config.model, instead, self._shown(body),
                )  # fmt: skip
            self._refused |= refused

    async def _post(self, client: httpx.AsyncClient, payload: dict[str, Any]) -> httpx.Response:
        """The first answer that is no passing trouble: 429, 5xx and timeouts are tried again."""
        trouble = ""
        for attempt in range(self.config.attempts):
            if attempt:
                await asyncio.sleep(min(self.config.backoff_s * 2 ** (attempt - 1), LONGEST_BACKOFF_S))
            try:
                response = await client.post(f"{self.config.base_url.rstrip('/')}/chat/completions", json=payload)
            except httpx.TimeoutException:
                trouble = f"no answer within judge.timeout_s={self.config.timeout_s:g}"
                continue
            except httpx.HTTPError as error:
                raise self._error(
                    f"cannot be asked ({type(error).__name__}: {self._shown(str(error))})",
                    "see that it is up and judge.base_url is right, then resume the run",
                ) from None
            if response.status_code != 429 and response.status_code < 500:
                return response
            trouble = f"{response.status_code} {response.reason_phrase}: {self._shown(response.text)}"
        raise self._error(
            f"failed {self.config.attempts} times, the last time with {trouble}",
            "see that it is well, lower judge.concurrency or raise judge.attempts, then resume the run",
        )

    def _error(self, what: str, remedy: str) -> RunError:
        return RunError(f"the judge's endpoint {self.config.base_url} {what}", remedy)

    def _shown(self, text: str) -> str:
        """An endpoint's own words, without the key: some repeat it."""
        return (text.replace(self.key, "***") if self.key else text)[:MAX_SHOWN]


def _generation(text: str, finish_reason: Literal["stop", "length", "prompt_too_long"]) -> Generation:
    return Generation(
        prompt_token_ids=(),
        plain_token_ids=(),
        token_ids=(),
        logprobs=(),
        text=text,
        finish_reason=finish_reason,
        choice_logprobs=(),
    )
