"""An answer, the policy's own review of it in words, and a revised answer, until a review asks for no more."""

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import ClassVar, Literal

from ...orchestrator.data.records import Generation, GenerationRequest, JudgmentStatus, Message, Prompt, Rollout, Shard
from ...orchestrator.data.seeds import derive_seed
from ...orchestrator.fields import PositiveInt
from ...orchestrator.parts.counts import AT_MOST, Count
from ...orchestrator.parts.generation import SampledGeneration, Way
from ...orchestrator.parts.registry import part
from ...orchestrator.parts.sampling import SamplingConfig
from ...orchestrator.parts.wording import counted
from ...orchestrator.protocols import Generate, Sample
from ..judges.last_line import with_last_line
from ..judges.thought import spoken, words_of
from .conversations import answered
from .plain import sample_plain
from .requests import by_policy, request_for, rollout_of

VERDICT_LINE = "Needs revision: "
VERDICTS = ("0", "1")
REVIEW_REQUEST = (
    "Review your answer above. In a few sentences, name what is wrong, missing or unclear in it, if anything is.\n"
    "Then end with one last line of exactly this form:\n"
    "Needs revision: <1 if it should be written again, 0 if it is good as it is>"
)
REVISION_REQUEST = "Write the answer again, with everything mended that your review names. Give the new answer alone."

_VERDICT = re.compile(r"[ \t*_]*needs revision[ \t*_]*:[ \t*_]*(?P<verdict>[01])[ \t*_.]*", re.IGNORECASE)


@part("generation")
class ReviseGeneration(SampledGeneration):
    """An answer, the policy's own review of it in words, and a revised answer, until a review asks for no more (in the
    style of SelFee). For pairing=contrast or demonstrations."""

    kind: Literal["revise"]
    revisions: PositiveInt  # at most
    constrain_verdict: bool  # decode the last line of a review among its two forms only
    sampling: SamplingConfig  # of answers and reviews
    truncated: Literal["keep", "drop"]
    version: ClassVar[int] = 2  # one grammar of score lines and verdicts, in which no thought is read
    contrasts: ClassVar[bool] = True
    paired_by: ClassVar[str | None] = "contrast"

    def responses(self) -> Count:
        return Count(number=2, bound=AT_MOST)

    def texts(self) -> Count:
        return Count(number=1 + 2 * self.revisions, bound=AT_MOST)

    def later_ways(self, messages: tuple[Message, ...]) -> list[Way]:
        return [(answered(messages, "An answer.", REVIEW_REQUEST), "")]

    def what(self) -> str:
        return f"A response to each prompt, reviewed and revised by the policy up to {counted(self.revisions, 'time')}"

    def build(self, seed: int) -> Sample:
        return by_policy(partial(sample_revise, config=self), seed)


@dataclasses.dataclass(kw_only=True, slots=True)
class Thread:
    """A prompt, and the answers and reviews of them that were made in turn, each with its place as its sample.

    Example:
        Thread(prompt=prompt, made=[answer, review, revised])
    """

    prompt: Prompt
    made: list[Rollout]

    @property
    def open(self) -> bool:
        """Whether generation goes on with the last text."""
        return not self.made[-1].remark

    def close(self, remark: str) -> None:
        self.made[-1] = replace(self.made[-1], remark=remark)

    def rollouts(self) -> list[Rollout]:
        """Everything that was made, the first and the last answer as what they are."""
        made = [replace(rollout, variant="interim") for rollout in self.made]
        last = (len(made) - 1) // 2 * 2
        if last > 0:
            made[0] = replace(made[0], variant="negative")
        if last > 0 or made[-1].remark == "nothing_to_mend":
            made[last] = replace(made[last], variant="positive")
        return made


async def sample_revise(
    shard: Shard,
    policy_version: int,
    generate: Generate,
    *,
    config: ReviseGeneration,
    seed_parts: tuple[int | str, ...],
) -> list[Rollout]:
    """An answer to every prompt, and up to `revisions` times a review of it and a revised answer, in the style
    of SelFee (2023, no arXiv paper; its texts and form of verdict are not verified).

    The last of several answers is "positive", the first "negative". An only answer is "positive" where its review finds
    nothing to mend, "interim" where it has no review that can be read. Reviews and answers in between are "interim".
    What a thread ended on has a remark that says why: `nothing_to_mend`, `review_unparsable`, `review_truncated`, or
    `too_long` where the next request does not fit the model; none where `revisions` were made.
    """
    first = await sample_plain(
        shard, policy_version, generate, sampling=config.sampling, samples=range(1), seed_parts=seed_parts
    )
    threads = [Thread(prompt=prompt, made=[answer]) for prompt, answer in zip(shard.prompts, first, strict=True)]
    for _ in range(config.revisions):
        reviewed = [thread for thread in threads if thread.open]
        requests = [_review_request(thread, config, seed_parts) for thread in reviewed]
        reviews = await generate(requests)
        if config.constrain_verdict:
            reviews = await with_last_line(requests, reviews, generate, opening=VERDICT_LINE, choices=VERDICTS)
        _take(reviewed, requests, reviews, policy_version)
        for thread, review in zip(reviewed, reviews, strict=True):
            if thread.open:
                thread.close(_remark(review))
        revised = [thread for thread in reviewed if thread.open]
        requests = [_revision_request(thread, config, seed_parts) for thread in revised]
        _take(revised, requests, await generate(requests), policy_version)
    return [rollout for thread in threads for rollout in thread.rollouts()]


def parse_verdict(text: str, *, complete: bool) -> tuple[JudgmentStatus, bool | None]:
    """Whether a review asks for a revision: the last line that was said and is not blank decides. Nothing of a thought
    (see `judges.thought`).

    A line of any other form is unparsable, a review that was cut (`complete` False) is truncated.

    Example:
        >>> parse_verdict("The year is wrong.\\nNeeds revision: 1", complete=True)
        ('parsed', True)
        >>> parse_verdict("Needs revision: 1, I think", complete=True)
        ('unparsable', None)
    """
    if not complete:
        return "truncated", None
    said = spoken(text)
    verdict = None if said.in_thought else _VERDICT.fullmatch(said.text.rstrip().rpartition("\n")[2])
    return ("parsed", verdict["verdict"] == "1") if verdict else ("unparsable", None)


def _review_request(thread: Thread, config: ReviseGeneration, seed_parts: tuple[int | str, ...]) -> GenerationRequest:
    messages = answered(thread.prompt.messages, thread.made[-1].text, REVIEW_REQUEST)
    seed = derive_seed(*seed_parts, thread.prompt.id, len(thread.made))
    request = request_for(messages, config.sampling, seed, plain_messages=thread.prompt.messages)
    return replace(request, stop=(*request.stop, VERDICT_LINE.strip())) if config.constrain_verdict else request


def _revision_request(thread: Thread, config: ReviseGeneration, seed_parts: tuple[int | str, ...]) -> GenerationRequest:
    answer, review = thread.made[-2:]
    messages = answered(thread.prompt.messages, answer.text, REVIEW_REQUEST)
    messages = answered(messages, review.text, REVISION_REQUEST)
    seed = derive_seed(*seed_parts, thread.prompt.id, len(thread.made))
    return request_for(messages, config.sampling, seed, plain_messages=thread.prompt.messages)


def _take(
    threads: Sequence[Thread],
    requests: Sequence[GenerationRequest],
    answers: Sequence[Generation],
    policy_version: int,
) -> None:
    """Put every thread's next text into it; close those whose request did not fit the model."""
    for thread, request, answer in zip(threads, requests, answers, strict=True):
        if answer.finish_reason == "prompt_too_long":
            thread.close("too_long")
            continue
        sample, trained_under = len(thread.made), answer.plain_token_ids
        thread.made.append(rollout_of(thread.prompt, sample, "interim", request, answer, trained_under, policy_version))


def _remark(review: Generation) -> str:
    """Why a thread goes no further after this review; nothing where it does."""
    status, revise = parse_verdict(words_of(review), complete=review.finish_reason == "stop")
    if status != "parsed":
        return f"review_{status}"
    return "" if revise else "nothing_to_mend"
