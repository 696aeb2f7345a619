"""What the evaluation commands meet in their tests: a scripted engine, and rounds whose responses it tells apart."""

import asyncio
import contextlib
import json
import math
import re
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

from roundelay.launch.compare import judging
from roundelay.orchestrator.data.records import Generation, GenerationRequest
from roundelay.orchestrator.ledger.ledger import Ledger
from roundelay.orchestrator.prompts.store import PromptStore
from roundelay.orchestrator.protocols import Generate

Call = Callable[..., tuple[int, str, str]]


class ScriptedEngine:
    """Answers every comparison by `logits` of the two texts, and counts what it is asked and how often it starts."""

    def __init__(self, logit: Callable[[str], float]):
        self.logit, self.starts, self.asked = logit, 0, 0

    @contextlib.asynccontextmanager
    async def __call__(self, setup: judging.JudgeSetup, observer: object) -> AsyncIterator[Generate]:
        self.starts += 1
        self.setup = setup
        yield self.generate

    async def generate(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        await asyncio.sleep(0)
        self.asked += len(requests)
        return [self.answer(request) for request in requests]

    def answer(self, request: GenerationRequest, /) -> Generation:
        texts = re.findall(r'<response option="[AB]">\n(.*?)\n</response>', request.messages[0].content, re.DOTALL)
        likings = [self.logit(text) for text in texts]
        return Generation(
            prompt_token_ids=(1,),
            plain_token_ids=(),
            token_ids=(2,),
            logprobs=(),
            text="" if request.choices else f"[[{'A' if likings[0] > likings[1] else 'B'}]]",
            finish_reason="length" if request.choices else "stop",
            choice_logprobs=tuple(-math.log1p(math.exp(-liking)) for liking in likings) if request.choices else (),
        )


def bad(prompt: str) -> str:
    return f"a bad answer to {prompt}"


def good(prompt: str) -> str:
    return f"a good answer to {prompt}"


def half(prompt: str) -> str:
    return good(prompt) if int(prompt.split()[-1]) % 2 else f"{bad(prompt)}!"


def scoring(score: Callable[[str], int | None]) -> Callable[[GenerationRequest], Generation]:
    """The answers of a judge that scores single responses, in whatever form it is asked: a checklist, the digit of a
    score, or words around it. None says nothing that can be read."""

    def answer(request: GenerationRequest) -> Generation:
        asked = request.messages[0].content
        text, logprobs = "".join(f"{n}. Is it?\n" for n in range(1, 6)), ()
        if match := re.search(r"<response>\n(.*?)\n</response>", asked, re.DOTALL):
            given = score(match[1])
            text = "I cannot say." if given is None else f"So. [[{given}]]" if "[[" in asked else f"So.\nScore: {given}"
            logprobs = tuple(-math.inf if choice != str(given) else -0.1 for choice in request.choices)
        return Generation(
            prompt_token_ids=(1,), plain_token_ids=(), token_ids=(2,), logprobs=(), text=text, finish_reason="stop",
            choice_logprobs=logprobs,
        )  # fmt: skip

    return answer


def two_or_four(text: str) -> int:
    return 4 if "good" in text else 2


def write_rows(path: Path, rows: Sequence[object]) -> str:
    path.write_text(json.dumps(rows) if path.suffix == ".json" else "".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def row(output: str, first: str) -> list[str]:
    rows = [[cell.strip() for cell in re.split("[│┃]", line)[1:-1]] for line in output.splitlines()]
    (found,) = (cells for cells in rows if cells and cells[0] == first)
    return found[1:]


def heldout_ids(run: str) -> list[str]:
    return [prompt.id for prompt in PromptStore(Ledger(run), "heldout")]


def kept(run: str) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(Path(run, "comparisons").glob("*.json"))]
