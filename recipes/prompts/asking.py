"""What a kind of new prompts asks the policy for, what it shows of other prompts, and how their answers are read."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from ...orchestrator.data.records import GenerationRequest, Message, Prompt
from ...orchestrator.parts.sampling import SamplingConfig
from ..generation.requests import request_for
from ..judges.rendering import escape_delimiters

OPENING, CLOSING = "<prompt>\n", "</prompt>"

_NUMBER = re.compile(r"(?:^|\n)[ \t]*\d{1,3}[ \t]?[.)](?=\s|$)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Pool:
    """Prompts that may be shown: those of the data (the training file's, or survivors) and new ones.

    Example:
        Pool(seeds=[prompt], made=[])
    """

    seeds: Sequence[Prompt]
    made: Sequence[Prompt]


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A request for new prompts. `shown` are the ids of the prompts in it, or what else was drawn; `origin` is the one
    that a new prompt is made of.

    Example:
        Asked(request=request, how="deepen", shown=("maths-001",), origin=prompt)
    """

    request: GenerationRequest
    how: str
    shown: tuple[str, ...]
    origin: Prompt | None = None


Ask: TypeAlias = Callable[[Pool, int], Asked]  # drawn by a seed
Read: TypeAlias = Callable[[str], list[str]]  # the prompts in an answer; none: it cannot be read


def is_single(prompt: Prompt) -> bool:
    """Whether a prompt is one message of the user: only such ones are shown."""
    return sum(turn.role != "system" for turn in prompt.messages) == 1


def text_of(prompt: Prompt) -> str:
    """What a prompt says, without the system message that many share."""
    return "\n".join(turn.content for turn in prompt.messages if turn.role != "system")


def drawn(prompts: Sequence[Prompt], count: int, seed: int) -> list[Prompt]:
    """`count` of the prompts by seed, without repeats; all, where there are fewer."""
    chosen = np.random.default_rng(seed).choice(len(prompts), size=min(count, len(prompts)), replace=False)
    return [prompts[int(index)] for index in chosen]


def ask_list(shots: Sequence[Prompt], asked: int, sampling: SamplingConfig, seed: int, how: str) -> Asked:
    """A numbered list of `shots`, to be continued by `asked` prompts; the number after theirs ends the answer. Each
    shot stands on one line, so that none adds a number of its own."""
    lines = "\n".join(f"{number}. {' '.join(text_of(shot).split())}" for number, shot in enumerate(shots, start=1))
    text = (
        f"Below is a numbered list of requests that people made of an assistant. Continue it with {asked} further "
        "requests of your own, numbered, each on a line of its own. Vary topic, form, length and difficulty, repeat "
        "nothing of the list, and ask for nothing that cannot be answered in text alone. Write the requests only, not "
        f"their answers.\n\n{lines}"
    )
    messages = (Message(role="user", content=text),)
    stop = (f"\n{len(shots) + asked + 1}.",)
    request = request_for(messages, sampling, seed, assistant_prefix=f"{len(shots) + 1}.", stop=stop)
    return Asked(request=request, how=how, shown=tuple(shot.id for shot in shots))


def read_list(text: str) -> list[str]:
    """The prompts in the continuation of a numbered list, the first of which has its number already.

    A prompt reaches to the next number or to an empty line, and its white space is made single spaces, as in
    Self-Instruct's code. (That code also lowers all letters after the first one; here they stay.)

    Example:
        >>> read_list(" Plan a picnic.\\n10. Explain\\ntides.\\n\\nDo you want more?")
        ['Plan a picnic.', 'Explain tides.']
    """
    items = [re.split(r"\n[ \t]*\n", item.strip(), maxsplit=1)[0] for item in _NUMBER.split(text)]
    return [" ".join(item.split()) for item in items if item.strip()]


def ask_one(
    task: str, sampling: SamplingConfig, seed: int, how: str, shown: Iterable[str], origin: Prompt | None = None
) -> Asked:
    """A task whose answer is one prompt: its opening tag is given, and its closing tag ends it."""
    messages = (Message(role="user", content=f"{task}\nWrite the new prompt only, between <prompt> and </prompt>."),)
    request = request_for(messages, sampling, seed, assistant_prefix=OPENING, stop=(CLOSING,))
    return Asked(request=request, how=how, shown=tuple(shown), origin=origin)


def read_one(text: str) -> list[str]:
    """The prompt that follows the opening tag.

    Example:
        >>> read_one("Plan a picnic for ten.\\n")
        ['Plan a picnic for ten.']
    """
    prompt = text.partition(CLOSING)[0].strip()
    return [prompt] if prompt else []


def shown_prompt(prompt: Prompt) -> str:
    """A prompt between tags that are escaped inside it."""
    return f"{OPENING}{escape_delimiters(text_of(prompt))}\n{CLOSING}\n"
