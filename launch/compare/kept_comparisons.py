"""What was judged is kept in the run directory under a hash of all that it depends on: nothing is judged twice."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter

from ...orchestrator.ledger.ledger import Ledger
from ...orchestrator.protocols import Observer
from ...recipes.evaluation.comparisons import Comparison
from .judging import JudgeSetup, ResponsePair, judge_batches

_COMPARISONS = TypeAdapter(list[Comparison])


def judged_once(
    batches: Sequence[Sequence[ResponsePair]],
    setup: JudgeSetup,
    observer: Observer,
    *,
    ledger: Ledger,
    directory: str,
    report: Callable[[int, Sequence[Comparison]], dict[str, Any]],
) -> list[list[Comparison]]:
    """The comparisons of every batch. Those in `directory` of the run are read back; the others are judged by one
    engine, and written with the `report` on them as soon as their batch is through."""
    files = [f"{fingerprint(_identity(pairs, setup))[:16]}.json" for pairs in batches]
    missing = [index for index, file in enumerate(files) if not ledger.exists(directory, file)]

    def finished(number: int, comparisons: list[Comparison]) -> None:
        index = missing[number]
        kept = {
            "of": _identity(batches[index], setup),
            "report": report(index, comparisons),
            "comparisons": [asdict(one) for one in comparisons],
        }
        ledger.write_json(kept, directory, files[index])

    if missing:
        judge_batches([batches[index] for index in missing], setup, observer, finished)
    return [_COMPARISONS.validate_python(ledger.read_json(directory, file)["comparisons"]) for file in files]


def fingerprint(value: Any) -> str:
    """A hash of plain containers.

    Example:
        >>> fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
        True
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _identity(pairs: Sequence[ResponsePair], setup: JudgeSetup) -> dict[str, Any]:
    """What comparisons depend on: prompts and responses in order, and the judge."""
    return {"pairs": fingerprint([asdict(pair) for pair in pairs]), "judge": setup.identity}
