"""A round's new prompts, batch by batch: asked for, read, and kept or dropped with one reason each."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from ...orchestrator.data.records import Generation, Message, Prompt, PromptCandidate
from ...orchestrator.data.rows import hashed_prompt
from ...orchestrator.data.seeds import derive_seed
from ...orchestrator.parts.generation import GenerationPart
from ...orchestrator.parts.judge import JudgePart
from ...orchestrator.protocols import Generate
from ..generation.asked import asked_ways
from .asking import Ask, Asked, Pool, Read, text_of
from .contamination import HeldoutText
from .filters import KnownPrompts, PromptRules, overlap_reason, text_reason
from .fitting import fitting

Review = Callable[[Sequence[tuple[Asked, Prompt]], Generate], Awaitable[list[str | None]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class MakingRules:
    """What a new prompt has to be like.

    With a response of `generation` it has to fit into `max_model_len` tokens, also in the words that `judge` may put
    before it. `system` is the system message of all prompts; `leaks` and `review` are a kind's own rules, None where it
    has none.

    Example:
        MakingRules(rules=rules, generation=generation, judge=judge, max_model_len=2048, system=None)
    """

    rules: PromptRules
    generation: GenerationPart
    judge: JudgePart
    max_model_len: int
    system: str | None
    leaks: Callable[[str], bool] | None = None
    review: Review | None = None


@dataclass(kw_only=True, slots=True)
class Maker:
    """Writes new prompts until somebody has enough. What it shows and compares with is what it was told is kept, so
    the batches of a resumed round are those of an undisturbed one."""

    ask: Ask
    read: Read
    requests_per_batch: int
    making: MakingRules
    known: KnownPrompts
    heldout: HeldoutText
    seeds: Sequence[Prompt]
    made: list[Prompt]
    policy_version: int
    seed_parts: tuple[int | str, ...]

    def take(self, batch: Sequence[PromptCandidate]) -> None:
        """Take note of a committed batch."""
        for candidate in batch:
            if candidate.reason is None:
                self.made.append(candidate.prompt)
                self.known.add(text_of(candidate.prompt))

    async def write(self, batch: int, wanted: int, generate: Generate) -> list[PromptCandidate]:
        """The candidates of batch number `batch`, each one accounted for; those kept beyond `wanted` are `surplus`.

        An answer that was cut at the token limit is `truncated` as a whole, as in Self-Instruct; one without a prompt
        in it is `unparsable`, and one whose question did not fit the model `shots_too_long`.
        """
        pool = Pool(seeds=self.seeds, made=self.made)
        numbers = range(batch * self.requests_per_batch, (batch + 1) * self.requests_per_batch)
        asked = [self.ask(pool, derive_seed(*self.seed_parts, number)) for number in numbers]
        answers = await generate([one.request for one in asked])
        drafts = [draft for one, answer in zip(asked, answers, strict=True) for draft in self._drafts(one, answer)]
        await self._drop_misfits(drafts, generate)
        if self.making.review is not None:
            await _drop_reviewed(drafts, self.making.review, generate)
        self._drop_repeated(drafts, wanted)
        return [draft.candidate(index, self.policy_version) for index, draft in enumerate(drafts)]

    def _drafts(self, asked: Asked, answer: Generation) -> list["_Draft"]:
        """What is in one answer, with the reasons that depend on the text alone."""
        failed = {"prompt_too_long": "shots_too_long", "length": "truncated"}.get(answer.finish_reason)
        texts = [] if failed else self.read(answer.text)
        if not texts:
            return [_Draft(asked=asked, prompt=self._prompt(answer.text), reason=failed or "unparsable")]
        return [_Draft(asked=asked, prompt=self._prompt(text), reason=self._text_reason(text)) for text in texts]

    def _text_reason(self, text: str) -> str | None:
        if self.making.leaks is not None and self.making.leaks(text):
            return "leaks_task"
        return text_reason(text, self.making.rules)

    def _prompt(self, text: str) -> Prompt:
        system = () if self.making.system is None else (Message(role="system", content=self.making.system),)
        return hashed_prompt((*system, Message(role="user", content=text)))

    async def _drop_misfits(self, drafts: Sequence["_Draft"], generate: Generate) -> None:
        """`does_not_fit`: with a response of full length the prompt would be too long for the model."""
        limit = self.making.max_model_len - self.making.generation.sampled_with().max_tokens
        ways = [
            (draft, way)
            for draft in drafts
            if draft.reason is None
            for way in asked_ways(draft.prompt, self.making.generation, (self.making.judge,))
        ]
        for (draft, _), fits in zip(ways, await fitting([way for _, way in ways], limit, generate), strict=True):
            if not fits:
                draft.reason = "does_not_fit"

    def _drop_repeated(self, drafts: Iterable["_Draft"], wanted: int) -> None:
        """In order: what other prompts say already, those of this batch too; then what is not needed."""
        fresh = KnownPrompts(self.making.rules.max_rouge_l)
        for draft in drafts:
            if draft.reason is not None:
                continue
            text = text_of(draft.prompt)
            draft.reason = overlap_reason(text, (self.known, fresh), self.heldout)
            if draft.reason is None and len(fresh) == wanted:
                draft.reason = "surplus"
            if draft.reason is None:
                fresh.add(text)


@dataclass(kw_only=True, slots=True)
class _Draft:
    """A candidate on its way through the filters."""

    asked: Asked
    prompt: Prompt
    reason: str | None

    def candidate(self, index: int, policy_version: int) -> PromptCandidate:
        return PromptCandidate(
            prompt=self.prompt,
            index=index,
            how=self.asked.how,
            shown=self.asked.shown,
            seed=self.asked.request.seed,
            policy_version=policy_version,
            reason=self.reason,
        )


async def _drop_reviewed(drafts: Sequence[_Draft], review: Review, generate: Generate) -> None:
    left = [draft for draft in drafts if draft.reason is None]
    reasons = await review([(draft.asked, draft.prompt) for draft in left], generate)
    for draft, reason in zip(left, reasons, strict=True):
        draft.reason = reason
