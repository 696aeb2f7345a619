"""The sandbox's tasks, whose truth is known: what is asked, what is right, what is nearly right."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice

from roundelay.orchestrator.data.records import Message, Prompt, Rollout
from roundelay.orchestrator.data.seeds import derive_seed
from roundelay.recipes.judges.expected_score import RUBRIC_SCORES, expected_score_case
from roundelay.recipes.judges.rendering import shown_response

LETTERS = "abcdefghijkl"
FILLER = "ok"  # says nothing: what may follow an answer, so that lengths differ where answers do not
RIGHT, WRONG = "a right answer", "a wrong answer"


def _listed(items: Sequence[str]) -> str:
    return " ".join(items)


def _different(drawn: random.Random) -> str:
    return _listed(drawn.sample(LETTERS, drawn.randint(2, 6)))


def _repeating(drawn: random.Random) -> str:
    return _listed(drawn.choices(LETTERS[:4], k=drawn.randint(2, 6)))


def _sum(drawn: random.Random) -> str:
    return f"{_listed(str(drawn.randrange(50)))} + {drawn.randrange(10)}"


def _added(shown: str) -> str:
    one, other = shown.replace(" ", "").split("+")
    return _listed(str(int(one) + int(other)))


# By its word: what a task shows, and the answer to it.
KINDS: Mapping[str, tuple[Callable[[random.Random], str], Callable[[str], str]]] = {
    "copy": (_different, lambda shown: shown),
    "reverse": (_different, lambda shown: _listed(shown.split()[::-1])),
    "sort": (_different, lambda shown: _listed(sorted(shown.split()))),
    "count": (_repeating, lambda shown: str(shown.split().count(shown[0]))),  # how often the first letter is there
    "add": (_sum, _added),
}


def tasks(seed: str) -> Iterator[str]:
    """Tasks without end, of all kinds in turn.

    Example:
        >>> list(islice(tasks("0"), 2))
        ['copy : b e f d', 'reverse : b a']
    """
    drawn = random.Random(seed)
    while True:
        for kind, (show, _) in KINDS.items():
            yield f"{kind} : {show(drawn)}"


def solution(task: str) -> str:
    """The right answer.

    Example:
        >>> solution("sort : c a b")
        'a b c'
    """
    kind, shown = task.split(" : ")
    return KINDS[kind][1](shown)


def is_right(task: str, response: str) -> bool:
    """Whether the response is the answer, with filler after it or without."""
    words = response.split()
    while words and words[-1] == FILLER:
        words.pop()
    return _listed(words) == solution(task)


def wrong_answer(task: str, drawn: random.Random) -> str:
    """Near the right answer, and not it: a symbol changed, added or left out, or two neighbours swapped."""
    words = solution(task).split()
    symbols = "0123456789" if words[0].isdigit() else LETTERS
    while True:
        changed = list(words)
        match drawn.randrange(4):
            case 0:
                changed[drawn.randrange(len(changed))] = drawn.choice(symbols)
            case 1 if len(changed) > 1:
                place = drawn.randrange(len(changed) - 1)
                changed[place : place + 2] = changed[place : place + 2][::-1]
            case 2 if len(changed) > 1:
                changed.pop(drawn.randrange(len(changed)))
            case _:
                changed.insert(drawn.randrange(len(changed) + 1), drawn.choice(symbols))
        if changed != words:
            return _listed(changed)


def any_answer(task: str, drawn: random.Random) -> str:
    """The right answer (half of the time), one near it, or the answer to another task."""
    chance = drawn.random()
    if chance < 0.5:
        return solution(task)
    if chance < 0.75:
        return wrong_answer(task, drawn)
    return solution(f"copy : {KINDS['copy'][0](drawn)}")


def points(task: str, answer: str) -> int:
    """What a good judge gives: 5 for the right answer, else up to 4 by the share of its places that are right."""
    right, given = solution(task).split(), answer.split()
    if given == right:
        return 5
    same = sum(one == other for one, other in zip(right, given, strict=False))
    return 4 * same // max(len(right), len(given))


def with_filler(answer: str, drawn: random.Random) -> str:
    return _listed([answer, *[FILLER] * drawn.choice((0, 1, 2, 2))])


def judging_text(task: str, response: str) -> str:
    """What `judge=expected_score` asks of a response."""
    prompt = Prompt(id="", messages=(Message(role="user", content=task),))
    (message,) = expected_score_case(prompt, shown_response(prompt, 0, response), RUBRIC_SCORES)
    return message.content


def demonstrations(seed: str, number: int, without: frozenset[str]) -> list[dict[str, str]]:
    """What the model learns first, on tasks other than those of `without`: to answer (two fifths), to score answers,
    right or wrong (two fifths), and to answer after an affix that asks for a right or a wrong answer (one fifth)."""
    drawn, rows = random.Random(f"responses-{seed}"), []
    fresh = (task for task in tasks(f"demonstrations-{seed}") if task not in without)
    for index, task in enumerate(islice(fresh, number)):
        answer = any_answer(task, drawn)
        match drawn.randrange(5):
            case 0 | 1:
                prompt, response = task, with_filler(solution(task), drawn)
            case 2 | 3:
                prompt = judging_text(task, with_filler(answer, drawn))
                response = f"Score: {points(task, answer)}"
            case _:
                affix = RIGHT if answer == solution(task) else WRONG
                prompt, response = task, f"({affix}): {with_filler(answer, drawn)}"
        rows.append({"id": f"demonstration-{index}", "prompt": prompt, "response": response})
    return rows


def random_score(prompt: Prompt, rollout: Rollout) -> float:
    """The control's judge, which knows nothing: a number that hangs on the words alone."""
    return derive_seed("random judge", prompt.id, rollout.text) / 2**31


def true_score(prompt: Prompt, rollout: Rollout) -> float:
    """A judge that is always right: what a recipe could come to."""
    return float(is_right(prompt.messages[-1].content, rollout.text))
