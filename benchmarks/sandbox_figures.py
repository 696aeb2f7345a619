"""What the sandbox measures of every policy, as tables in a terminal and as a plot."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

from rich.table import Table

ROUNDS = 3
# What a policy has behind it: nothing, the phase before a recipe's rounds (few have one), so many rounds.
STAGES = ("start", "prepared", *map(str, range(1, ROUNDS + 1)))
# The colour and line of what is no recipe; a recipe has a colour of its own, and a whole line.
LINES: Mapping[str, tuple[str, str]] = {
    "true judge": ("black", "-"), "random judge": ("black", "--"), "random EFT and judge": ("black", ":"),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """One policy's. Shares are of 1, `tokens` the mean length of a held-out response."""

    seed: int
    name: str
    stage: str  # one of STAGES
    true_accuracy: float
    judge_accuracy: float
    tokens: float
    answers: tuple[int, ...] = ()  # of every held-out task, whether it is answered rightly
    judgments: tuple[int, ...] = ()  # and how many of its pairs are judged rightly


def tables(figures: Sequence[Figures], every_seed: Collection[str]) -> list[Table]:
    """All contestants on the first seed, and those that were played on every seed."""
    first = [one for one in figures if one.seed == 0]
    again = [one for one in figures if one.name in every_seed]
    seeds = len({one.seed for one in again})
    shown = [table(first, "seed 0")] if first else []
    if seeds > 1:
        shown.append(table(again, f"up to {seeds} seeds, each its own start and held-out tasks"))
    return shown


def table(figures: Sequence[Figures], title: str) -> Table:
    """A row a contestant, best first: means over its seeds, and ± the standard deviation over them."""
    shown = Table(title=title)
    for heading in ("", "true accuracy", *STAGES[1:], "judge accuracy", STAGES[1], STAGES[-1], "tokens", STAGES[-1]):
        shown.add_column(heading)

    def values(name: str, stage: str, field: str) -> list[float]:
        return [getattr(one, field) for one in figures if (one.name, one.stage) == (name, stage)]

    def cell(name: str, stage: str, field: str) -> str:
        found, scale = values(name, stage, field), 1 if field == "tokens" else 100
        spread = f" ± {scale * stdev(found):.1f}" if len(found) > 1 else ""
        return f"{scale * fmean(found):.1f}{spread}" if found else "–"

    names = dict.fromkeys(one.name for one in figures)
    for name in sorted(names, key=lambda name: -fmean(values(name, STAGES[-1], "true_accuracy"))):
        accuracies = [cell(name, stage, "true_accuracy") for stage in STAGES]
        judgments = [cell(name, stage, "judge_accuracy") for stage in (*STAGES[:2], STAGES[-1])]
        lengths = [cell(name, stage, "tokens") for stage in (STAGES[0], STAGES[-1])]
        shown.add_row(name, *accuracies, *judgments, *lengths)
    return shown


def plot(figures: Sequence[Figures], every_seed: Collection[str], path: Path) -> None:
    """By stage: true and judge accuracy of all contestants on the first seed, and of some on every seed."""
    from matplotlib import pyplot

    chart, axes = pyplot.subplots(2, 2, figsize=(12, 8.4), sharex=True, sharey="row")
    recipes = [name for name in dict.fromkeys(one.name for one in figures) if name not in LINES]
    lines = {**{name: (f"C{index}", "-") for index, name in enumerate(recipes)}, **LINES}
    first = [one for one in figures if one.seed == 0]
    again = [one for one in figures if one.name in every_seed]
    measures = (("right answers", "true_accuracy"), ("right judgments", "judge_accuracy"))
    for row, (title, field) in zip(axes, measures, strict=True):
        for axis, shown, seeds in zip(row, (first, again), ("seed 0", "every seed"), strict=True):
            for name, seed in dict.fromkeys((one.name, one.seed) for one in shown):
                own = sorted(
                    (one for one in shown if (one.name, one.seed) == (name, seed)),
                    key=lambda one: STAGES.index(one.stage),
                )
                places = [STAGES.index(one.stage) for one in own]
                percents = [100 * getattr(one, field) for one in own]
                colour, style = lines[name]
                axis.plot(places, percents, style, color=colour, label=name)
            axis.set_title(f"{title}, {seeds} (%)")
            axis.set_xticks(range(len(STAGES)), [f"round {stage}" if stage.isdigit() else stage for stage in STAGES])
    handles, labels = axes[0][0].get_legend_handles_labels()
    chart.legend(handles, labels, loc="center right")
    chart.tight_layout(rect=(0, 0, 0.815, 1))
    chart.savefig(path)
