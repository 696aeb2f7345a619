"""One damaged file of a run directory, of every kind; then `resume`, `show`, `compare` and `check`."""

import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .commands import Outcome, command
from .operations import killed
from .report import Report
from .scene import NAME, Scene, copied, difference, result

# Says nothing of the run: the lock, and what other programs or a crash leave.
NOT_KEPT = re.compile(r"run\.lock|error\.log|.*\.partial-.*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Damage:
    """What files hold after it; None where they are gone.

    Example:
        Damage(kind="emptied", files={"run.yaml": b""})
    """

    kind: str
    files: Mapping[str, bytes | None]

    def do(self, run: Path) -> None:
        for name, data in self.files.items():
            if data is None:
                (run / name).unlink()
            else:
                (run / name).write_bytes(data)

    def is_named(self, outcome: Outcome) -> bool:
        """Whether an error names a file that was damaged: of a model also by the model and the file, and a checksum by
        the shard that it is of."""
        names = {*self.files, *(re.sub(r"_(shard-\d+)\.json$", r"\1.parquet", name) for name in self.files)}
        if self.kind == "older copy" and "run.yaml" in names:
            return True  # every other file is then one of another run
        return any(
            name in outcome.output or all(part in outcome.output for part in name.rsplit("/", 1)) for name in names
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Damaged:
    """Runs to damage, and what their commands say undamaged.

    `run` was killed in round 3, in the middle of its update; `older` is the same at another seed: a backup of another
    run of that name; `place` is where copies are played.

    Example:
        Damaged(scene=scene, run=folder / "begun/run", older=folder / "older/run", place=folder / "play", said={})
    """

    scene: Scene
    run: Path
    older: Path
    place: Path
    said: dict[str, Outcome]

    def files(self) -> list[str]:
        paths = (path for path in sorted(self.run.rglob("*")) if path.is_file())
        return [name for path in paths if not NOT_KEPT.fullmatch(name := str(path.relative_to(self.run)))]

    def commands(self) -> dict[str, tuple[str, ...]]:
        run = str(self.place / NAME)
        return {"resume": ("resume", run), "show": ("show", run), "compare": ("compare", f"{run}:2", f"{run}:0")}


def prepare(scene: Scene, folder: Path) -> Damaged:
    """Play the runs that are to be damaged."""
    folder.mkdir()
    for name, more in (("begun", ()), ("older", ("run.seed=77",))):
        root = folder / name
        at = root / NAME / "rounds/003/checkpoint.json"
        changed = Scene(folder=scene.folder, words=(*scene.words, *more), calm={})
        outcome = changed.begin(root, killed(root, _after(at)))
        assert outcome.code == -9 and at.exists(), outcome.output
    damaged = Damaged(scene=scene, run=folder / "begun" / NAME, older=folder / "older" / NAME,
                      place=folder / "play", said={})  # fmt: skip
    for name, words in damaged.commands().items():
        copied(damaged.run, damaged.place / NAME)
        damaged.said[name] = outcome = command(*words)
        assert outcome.code == 0, outcome.output
    return damaged


def _after(path: Path) -> Callable[[int, str, str], bool]:
    """At the first operation in another directory after `path` is there."""
    return lambda number, kind, at: kind == "open" and path.exists() and not at.startswith(str(path.parent / "check"))


def damages(damaged: Damaged, name: str, seed: int = 0) -> Iterator[Damage]:
    """Every kind of damage that changes the file."""
    data, rng = (damaged.run / name).read_bytes(), random.Random(f"{seed} {name}")
    if data:
        position, bit = rng.randrange(len(data)), rng.randrange(8)
        flipped = data[:position] + bytes([data[position] ^ (1 << bit)]) + data[position + 1 :]
        yield Damage(kind="truncated", files={name: data[: rng.randrange(len(data))]})
        yield Damage(kind="emptied", files={name: b""})
        yield Damage(kind="zeroed", files={name: bytes(len(data))})
        yield Damage(kind="one bit flipped", files={name: flipped})
    if (sibling := _sibling(damaged, name)) is not None:
        swapped = {name: (damaged.run / sibling).read_bytes(), sibling: data}
        yield Damage(kind="swapped with a sibling", files=swapped)
    yield Damage(kind="removed", files={name: None})
    older = damaged.older / name
    if older.is_file() and older.read_bytes() != data:
        yield Damage(kind="older copy", files={name: older.read_bytes()})


def _sibling(damaged: Damaged, name: str) -> str | None:
    """A file of the same kind that holds something else: beside it, or in the same place of another round."""
    run, path = damaged.run, damaged.run / name
    beside = sorted(path.parent.glob(f"{path.name.split('-')[0]}*{path.suffix}"))
    elsewhere = sorted(run.glob(re.sub(r"rounds/\d+", "rounds/*", name)))
    for other in (*beside, *elsewhere):
        if other.is_file() and other != path and other.read_bytes() != path.read_bytes():
            return str(other.relative_to(run))
    return None


def kind_of(name: str) -> str:
    """What a file is, for the table.

    Example:
        >>> kind_of("rounds/001/pairs/_shard-00000.json")
        'checksum of a shard'
    """
    patterns = {
        r".*/_shard-\d+\.json": "checksum of a shard",
        r".*\.parquet": "shard",
        r"inputs/.*": "prompts",
        r".*/checkpoint/.*": "file of a checkpoint",
        r".*/(policy|reward_model|critic|optimizer|average)/.*safetensors": "weights",
        r".*/(policy|reward_model|critic|optimizer|average)/.*": "other file of a model",
    }
    return next((kind for pattern, kind in patterns.items() if re.fullmatch(pattern, name)), name.rpartition("/")[2])


def damage_file(damaged: Damaged, name: str, report: Report) -> None:
    """Every damage to one file, seen by every command."""
    for damage in damages(damaged, name):
        for command_name, words in damaged.commands().items():
            run = copied(damaged.run, damaged.place / NAME)
            damage.do(run)
            outcome = command(*words)
            seen = verdict(damaged, damage, command_name, outcome, run)
            report.add(f"a file {damage.kind}: {command_name}", seen, f"{damage.kind}, {name}: {command_name}", outcome)
        check_and_heal(damaged, name, damage, report)


def verdict(damaged: Damaged, damage: Damage, command_name: str, outcome: Outcome, run: Path) -> str:
    """ "held" (the same result), "named" (an error that names the file), or what is wrong."""
    if outcome.told:
        return "named" if damage.is_named(outcome) else "an error that does not name the file"
    if outcome.code != 0:
        return f"ended with {outcome.code}"
    if command_name == "resume":
        return difference(result(run), damaged.scene.calm, apart_from=damage.files) or "held"
    return "held" if outcome.output == damaged.said[command_name].output else "another output"


def check_and_heal(damaged: Damaged, name: str, damage: Damage, report: Report) -> None:
    """`check` finds the damage, and what `check --heal` sets aside a resume computes again, to the same result."""
    run = copied(damaged.run, damaged.place / NAME)
    damage.do(run)
    row, case = f"a file {damage.kind}", f"{damage.kind}, {name}"
    found = command("check", str(run))
    if found.code == 0 and damage.kind == "removed":  # as if it had not been written yet: a resume must make it again
        after = command("resume", str(run))
        seen = difference(result(run), damaged.scene.calm, apart_from=damage.files) if after.code == 0 else "no resume"
        report.add(f"{row}: check", seen or "held", f"{case}: check", after)
        return
    if found.code not in (1, 2) or "Traceback" in found.output:
        report.add(f"{row}: check", f"not found, exit {found.code}", f"{case}: check", found)
        return
    seen = "named" if damage.is_named(found) else "an error that does not name the file"
    report.add(f"{row}: check", seen, f"{case}: check", found)
    healed = command("check", str(run), "--heal")
    if "Traceback" in healed.output or healed.code not in (0, 1, 2):
        report.add(f"{row}: heal", f"ended with {healed.code}", f"{case}: heal", healed)
        return
    after = command("resume", str(run))
    end = "named" if after.told else f"ended with {after.code}"
    if after.code == 0:
        end = difference(result(run), damaged.scene.calm, apart_from=damage.files) or "held"
    report.add(f"{row}: heal, then resume", end, f"{case}: resume after heal", after)
