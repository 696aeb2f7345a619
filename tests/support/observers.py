"""Who watches a run in tests."""

from collections.abc import Sequence
from typing import Any

from roundelay.orchestrator.data.records import PairingOutcome
from roundelay.orchestrator.ledger.layout import Activity, Stage


class Notes:
    """Watches without a word, and keeps what the user is told."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def stage(self, round: int, stage: Stage[Any] | Activity, done: int, total: int, tokens: int) -> None: ...

    def metrics(self, row: dict[str, Any]) -> None: ...

    def pairs(self, round: int, outcomes: Sequence[PairingOutcome]) -> None: ...

    def note(self, text: str) -> None:
        self.texts.append(text)
