"""What a run deletes: models beyond those that it keeps, an update's working files, what a crash left behind.

Nothing that a resume needs: a model goes when a newer round is committed, a checkpoint when a newer one is named.
"""

import math
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from ..data.records import PolicyRef
from .durable import PARTIAL
from .ledger import CHECKPOINT, Ledger, round_name
from .metrics_rows import text_of


def prune(ledger: Ledger, keep: int | None, needed: Collection[int] = ()) -> list[int]:
    """Delete committed policies and reward models beyond the newest `keep` of each (None keeps all), and working state
    that a newer round has taken up. The policies of rounds `needed` stay.

    Only rounds older than the newest manifest are touched, so the run stays resumable at any moment.

    Returns:
        the rounds whose policies are gone.
    """
    finished = ledger.finished_rounds()
    for name in ("critic", "optimizer"):
        _remove(ledger, finished[:-1], name)
    if keep is None:
        return []
    policies, reward_models = (
        [round for round in finished if ledger.exists(round_name(round), name)][:-keep]
        for name in ("policy", "reward_model")
    )
    policies = [round for round in policies if round not in needed]
    _remove(ledger, policies, "average")
    _remove(ledger, policies, "policy")
    _remove(ledger, reward_models, "reward_model")
    return policies


def name_checkpoint(
    ledger: Ledger, round: int, steps: Sequence[dict[str, float]], written: Mapping[int, PolicyRef]
) -> None:
    """Name the checkpoint after `steps` as the newest of an update, and delete those that it cannot go back to.

    Args:
        written: the checkpoints that it may go back to, by their steps; their files are written.
    """
    hashes = {str(number): {"sha256": one.sha256, "files": dict(one.files)} for number, one in written.items()}
    ledger.sync_metrics()
    ledger.write_json({"steps": list(steps), "checkpoints": hashes}, round_name(round), CHECKPOINT)
    keep_checkpoints(ledger, round, written.keys())


def keep_checkpoints(ledger: Ledger, round: int, kept: Collection[int | None]) -> None:
    """Delete an update's checkpoints but for those after `kept` steps."""
    for name in ledger.names(round_name(round), "checkpoint"):
        if int(name) not in kept:
            ledger.remove(round_name(round), "checkpoint", name)


def remove_update_files(ledger: Ledger, round: int) -> None:
    """The round's policy is written: nothing will go on from within its update, or from what it was made of."""
    for name in (CHECKPOINT, "checkpoint", "trained", "candidate"):
        ledger.remove(round_name(round), name)


def remove_leftovers(ledger: Ledger) -> None:
    """Delete what a killed driver left: files half written, and the working files of updates that are finished."""
    for name in ledger.names("rounds"):
        if ledger.exists("rounds", name, "learn.json"):
            remove_update_files(ledger, int(name))
    if ledger.local:
        for partial in Path(ledger.root).rglob(f"*{PARTIAL}*"):
            if partial.is_dir():
                shutil.rmtree(partial, ignore_errors=True)
            else:
                partial.unlink(missing_ok=True)


def drop_unfinished_metrics(ledger: Ledger) -> None:
    """On resume, forget the rows that will be written again, so that no step appears twice: those of rounds without a
    manifest, but for the steps of a finished update and those up to an update's checkpoint.

    Raises:
        DamagedFile: metrics.jsonl is not what was written.
    """
    lines = ledger.metrics()
    if not lines:
        return
    finished = set(ledger.finished_rounds())
    steps = {round: _steps_that_stay(ledger, round) for round in {row["round"] for _, row in lines} - finished}
    kept = [
        (line, row)
        for line, row in lines
        if row["round"] in finished or (row["stage"] == "learn" and row["step"] <= steps[row["round"]])
    ]
    ledger.write_bytes(text_of(kept), "metrics.jsonl")


def _steps_that_stay(ledger: Ledger, round: int) -> float:
    """How many of an unfinished round's steps are not made again."""
    if ledger.exists(round_name(round), "learn.json"):
        return math.inf
    return len(ledger.checkpointed_steps(round))


def _remove(ledger: Ledger, rounds: Sequence[int], name: str) -> None:
    for round in rounds:
        ledger.remove(round_name(round), name)
