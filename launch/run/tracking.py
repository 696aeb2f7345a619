"""Observers beside the terminal: wandb, and several observers as one. metrics.jsonl is the ledger's."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...orchestrator.config.schema import TrackingConfig
from ...orchestrator.data.records import PairingOutcome, pairs_of
from ...orchestrator.ledger.layout import Activity, Stage
from ...orchestrator.protocols import Observer

SECRET_WORDS = ("key", "token", "secret", "password", "credential")


class WandbTracker:
    """One wandb run across all resumes of a run; offline unless the user is logged in.

    Args:
        header: `run.yaml`. Its `tracker_run_id` makes it the same run ever after.
        directory: where offline runs are kept.
    """

    def __init__(self, config: TrackingConfig, header: dict[str, Any], directory: Path):
        import wandb

        self.config = config
        mode = os.environ.get("WANDB_MODE") or ("online" if _logged_in() else "offline")
        self._run = wandb.init(
            project=config.project,
            id=header["tracker_run_id"],
            name=header["config"]["run"]["name"],
            resume="allow",
            mode=mode,  # pyright: ignore[reportArgumentType]
            dir=str(directory),
            config=without_secrets(header["config"]),
            settings=wandb.Settings(silent=True, console="off"),
        )
        self._wandb = wandb
        self._samples: dict[int, list[Any]] = {}

    def stage(self, round: int, stage: Stage[Any] | Activity, done: int, total: int, tokens: int) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def metrics(self, row: dict[str, Any]) -> None:
        prefix = row["stage"]
        self._run.log({f"{prefix}/{name}": value for name, value in _numbers(row).items()} | {"round": row["round"]})

    def pairs(self, round: int, outcomes: Sequence[PairingOutcome]) -> None:
        """Log the first pairs of a round as a table."""
        rows = self._samples.setdefault(round, [])
        for pair in pairs_of(outcomes)[: self.config.pair_samples - len(rows)]:
            rows.append([pair.prompt.messages[-1].content, pair.chosen.text, pair.rejected.text, str(pair.margin)])
            if len(rows) == self.config.pair_samples:
                columns: list[Any] = ["prompt", "chosen", "rejected", "margin"]
                self._run.log({"pairs": self._wandb.Table(columns=columns, data=list(rows)), "round": round})

    def close(self) -> None:
        self._run.finish()


class Observers:
    """Several observers as one."""

    def __init__(self, *observers: Observer):
        self._observers = observers

    def stage(self, round: int, stage: Stage[Any] | Activity, done: int, total: int, tokens: int) -> None:
        for observer in self._observers:
            observer.stage(round, stage, done, total, tokens)

    def metrics(self, row: dict[str, Any]) -> None:
        for observer in self._observers:
            observer.metrics(row)

    def pairs(self, round: int, outcomes: Sequence[PairingOutcome]) -> None:
        for observer in self._observers:
            observer.pairs(round, outcomes)

    def note(self, text: str) -> None:
        for observer in self._observers:
            observer.note(text)


def without_secrets(values: Any) -> Any:
    """`values` without entries whose names speak of secrets, and without user:password@ in URLs.

    Example:
        >>> without_secrets({"hub_token": "x", "root": "s3://me:pw@host/b"})
        {'root': 's3://host/b'}
    """
    if isinstance(values, dict):
        return {
            name: without_secrets(value)
            for name, value in values.items()
            if not any(word == part for part in str(name).lower().split("_") for word in SECRET_WORDS)
        }
    if isinstance(values, list | tuple):
        return [without_secrets(value) for value in values]
    if isinstance(values, str):
        return re.sub(r"://[^/\s]*@", "://", values)
    return values


def _numbers(row: dict[str, Any], prefix: str = "") -> dict[str, float]:
    flat: dict[str, float] = {}
    for name, value in row.items():
        if isinstance(value, dict):
            flat |= _numbers(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            flat[f"{prefix}{name}"] = value
    return flat


def _logged_in() -> bool:
    import netrc

    import wandb

    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        host = wandb.Settings().base_url.partition("://")[2]
        return netrc.netrc().authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False
