"""What a campaign found: counts for a table, and every case in which something was wrong."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from .commands import Outcome

HELD, NAMED, WRONG = "held", "named error", "WRONG"


@dataclass(kw_only=True, slots=True)
class Report:
    """Counts by row and verdict.

    Example:
        Report(log=Path("faults.log"))
    """

    log: Path
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def add(self, row: str, verdict: str, case: str, outcome: Outcome | None = None) -> None:
        """Count a case: "held", "named", or in words what is wrong."""
        column = {"held": HELD, "named": NAMED}.get(verdict, WRONG)
        self.counts.setdefault(row, Counter())[column] += 1
        if column == WRONG:
            self.wrong.append(f"{case}: {verdict}")
            with self.log.open("a") as file:
                said = "" if outcome is None else f"\n    exit {outcome.code}: {outcome.output[-700:]!r}"
                file.write(f"{row} | {case}: {verdict}{said}\n")

    def table(self) -> str:
        """In Markdown."""
        lines = ["| fault | held | named error | WRONG |", "|---|---:|---:|---:|"]
        for row, counts in self.counts.items():
            lines.append(f"| {row} | {counts[HELD]} | {counts[NAMED]} | {counts[WRONG]} |")
        total = sum(self.counts.values(), Counter())
        lines.append(f"| all | {total[HELD]} | {total[NAMED]} | {total[WRONG]} |")
        return "\n".join(lines)
