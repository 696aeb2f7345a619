"""What responses are learnt under, as token ids: asked of a rollout engine, which samples nothing for it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ...orchestrator.data.filtering import part_of
from ...orchestrator.data.records import Generation, GenerationRequest, Message, PairingOutcome, Rollout, TokenSequence
from ...orchestrator.protocols import Generate
from ..pairing.candidates import dropped


@dataclass(frozen=True, kw_only=True, slots=True)
class Lesson:
    """A response, the conversation and the opening of the assistant's turn that it is learnt under, and the weight of
    its tokens.

    Example:
        Lesson(messages=prompt.messages, assistant_prefix="Expert: ", rollout=rollout, weight=1.0)
    """

    messages: tuple[Message, ...]
    assistant_prefix: str
    rollout: Rollout
    weight: float


async def learnt(
    outcomes: Sequence[PairingOutcome],
    generate: Generate,
    lessons_of: Callable[[PairingOutcome], Sequence[Lesson]],
    *,
    max_tokens: int,
) -> list[PairingOutcome]:
    """The outcomes with what is learnt of them: of every response (chosen and rejected, or a group's in its order) the
    lesson that `lessons_of` has for it.

    What exceeds `max_tokens` with its prompt is left out, of a group's responses too; where nothing is left, the prompt
    is dropped as `too_long`.
    """
    lessons = [list(lessons_of(outcome)) for outcome in outcomes]
    asked = [encoding(lesson.messages, lesson.assistant_prefix) for own in lessons for lesson in own]
    encoded = iter(await generate(asked))
    return [
        _with(outcome, [_sequence(lesson, next(encoded)) for lesson in own], max_tokens)
        for outcome, own in zip(outcomes, lessons, strict=True)
    ]


def encoding(messages: Sequence[Message], assistant_prefix: str, text: str = "") -> GenerationRequest:
    """Asks for the token ids of a conversation whose assistant's turn is opened, and of `text` by itself."""
    return GenerationRequest(
        messages=tuple(messages),
        seed=0,
        temperature=0.0,
        top_p=1.0,
        max_tokens=1,
        assistant_prefix=assistant_prefix,
        response=text,
        response_ended=False,
    )


def _sequence(lesson: Lesson, encoded: Generation) -> TokenSequence:
    """An engine gives the ids of a prompt even where it does not fit."""
    token_ids = lesson.rollout.token_ids
    return TokenSequence(
        prompt_token_ids=encoded.prompt_token_ids, token_ids=token_ids, weights=(lesson.weight,) * len(token_ids)
    )


def _with(outcome: PairingOutcome, sequences: Sequence[TokenSequence], max_tokens: int) -> PairingOutcome:
    made = outcome.pair or outcome.group
    if made is None:
        return outcome
    fitting = [index for index, sequence in enumerate(sequences) if sequence.num_tokens <= max_tokens]
    if not fitting:
        return dropped(made.prompt, "too_long")
    group = None if outcome.group is None else part_of(outcome.group, fitting)
    return replace(outcome, group=group, sequences=tuple(sequences[index] for index in fitting))
