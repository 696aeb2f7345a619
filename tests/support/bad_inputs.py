"""Wrong input on the command line, in this process and with Ray out of reach: what every refusal has to be."""

import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from roundelay.launch import cli

BASE = (
    "model=local", "model.path=model", "prompts=file", "prompts.train.path=train.jsonl",
    "prompts.heldout.path=heldout.jsonl", "run.prompts_per_round=4", "run.prompts_per_shard=2",
    "evaluation.num_prompts=2", "run.name=attempt", "model.max_model_len=1024", "generation.sampling.max_tokens=100",
    "evaluation.sampling.max_tokens=100", "learner.epochs=1",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class BadInput:
    """Words that are wrong, and what the message says of them: field (or file), value, remedy."""

    words: Sequence[str]
    says: Sequence[str]

    def __str__(self) -> str:
        return " ".join(self.words)


def bad_inputs(table: str) -> list[BadInput]:
    """One a line: words as in a shell, and after each further bar a text of the message."""
    lines = (line for line in table.splitlines() if line.strip())
    return [
        BadInput(words=shlex.split(words), says=[text.strip() for text in says])
        for words, *says in (line.split(" | ") for line in lines)
    ]


def by_words(cases: Iterable[BadInput]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=str)


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandLine:
    """`roundelay`, called in a directory of good and bad files."""

    here: Path
    capture: pytest.CaptureFixture[str]
    patch: pytest.MonkeyPatch

    def call(self, *words: str) -> tuple[object, str]:
        """Exit code and stderr."""
        self.patch.setattr(sys, "argv", ["roundelay", *words])
        code: object = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code
        return code, self.capture.readouterr().err

    def refuses(self, case: BadInput) -> None:
        """The command ends with 2 and says what is wrong, of which field or file, and what to do."""
        code, said = self.call(*case.words)
        assert "Traceback" not in said
        assert code == 2, said
        assert said.startswith("error: ") and "\n  remedy: " in said, said
        for text in case.says:
            assert text in said, said

    def refuses_run(self, case: BadInput) -> None:
        """As `refuses`, of `run` with these overrides on top of right ones."""
        self.refuses(BadInput(words=("run", *BASE, *case.words), says=case.says))
