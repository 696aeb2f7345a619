"""An answer in words whose last line is decoded among a few forms only."""

from collections.abc import Sequence
from dataclasses import replace

from ...orchestrator.data.records import Generation, GenerationRequest
from ...orchestrator.protocols import Generate
from .thought import spoken, words_of


async def with_last_line(
    requests: Sequence[GenerationRequest],
    answers: Sequence[Generation],
    generate: Generate,
    *,
    opening: str,
    choices: tuple[str, ...],
    closing: str = "",
) -> list[Generation]:
    """Append to every answer a line of `opening`, one of `choices` (each a single token, decoded) and `closing`.

    An answer that began such a line itself (`opening` among its request's stops) has it once. What did not fit stays
    as it is, and so does an answer that ends inside a thought (see `thought`): nothing was said in it, and a line in a
    thought is read by nobody. An answer whose line does not fit becomes one that did not.
    """
    fitting = [
        index
        for index, answer in enumerate(answers)
        if answer.finish_reason != "prompt_too_long" and not spoken(words_of(answer)).in_thought
    ]
    opened = {index: _before(answers[index].text, opening) for index in fitting}
    ends = await generate(
        [
            replace(
                requests[index],
                assistant_prefix=f"{opened[index]}\n{opening}",
                stop=(),
                max_tokens=1,
                choices=choices,
                constrain_to_choices=True,
            )
            for index in fitting
        ]
    )
    closed = list(answers)
    for index, end in zip(fitting, ends, strict=True):
        line, marked = f"\n{opening}{end.text}{closing}", answers[index].marked
        closed[index] = (
            end
            if end.finish_reason == "prompt_too_long"
            else replace(
                answers[index],
                text=opened[index] + line,
                marked=marked and _before(marked, opening) + line,
                finish_reason="stop",
            )
        )
    return closed


def _before(text: str, opening: str) -> str:
    """An answer without the line that it may have begun."""
    return text.removesuffix(opening.strip()).rstrip()
