"""The sandbox's tables and plot: who is in them, in what order, and with what."""

from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console
from sandbox_figures import LINES, STAGES, Figures, plot, tables


def figures(name: str, *, seed: int, right: dict[str, float]) -> list[Figures]:
    return [
        Figures(seed=seed, name=name, stage=stage, true_accuracy=share, judge_accuracy=0.75, tokens=6.0 + seed)
        for stage, share in right.items()
    ]


SHOWN = [
    *figures("sppo", seed=0, right={"start": 0.5, "1": 0.52, "2": 0.54, "3": 0.56}),
    *figures("spa", seed=0, right={"start": 0.5, "prepared": 0.55, "1": 0.58, "2": 0.6, "3": 0.62}),
    *figures("spa", seed=1, right={"start": 0.4, "prepared": 0.45, "1": 0.5, "2": 0.5, "3": 0.52}),
    *figures("random judge", seed=0, right={"start": 0.5, "1": 0.5, "2": 0.5, "3": 0.49}),
]


def printed(*shown: object) -> list[str]:
    console = Console(width=160)
    with console.capture() as capture:
        console.print(*shown)
    return capture.get().splitlines()


def cells(lines: list[str]) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines if line.startswith("│")]


def test_the_first_seeds_table_has_every_contestant_best_first() -> None:
    first, _ = tables(SHOWN, every_seed=["spa"])
    assert cells(printed(first)) == [
        ["spa", "50.0", "55.0", "58.0", "60.0", "62.0", "75.0", "75.0", "75.0", "6.0", "6.0"],
        ["sppo", "50.0", "–", "52.0", "54.0", "56.0", "75.0", "–", "75.0", "6.0", "6.0"],
        ["random judge", "50.0", "–", "50.0", "50.0", "49.0", "75.0", "–", "75.0", "6.0", "6.0"],
    ]


def test_the_table_of_every_seed_has_means_and_deviations() -> None:
    """Of 50 and 40: 45, and 10 / √2."""
    _, again = tables(SHOWN, every_seed=["spa"])
    (row,) = cells(printed(again))
    assert row[:2] == ["spa", "45.0 ± 7.1"]
    assert row[-1] == "6.5 ± 0.7"


def test_one_seed_makes_one_table() -> None:
    assert len(tables([one for one in SHOWN if one.seed == 0], every_seed=["spa"])) == 1


@pytest.mark.parametrize("recipes", [1, 12])
def test_the_plot_names_everyone(tmp_path: Path, recipes: int) -> None:
    from matplotlib import pyplot

    many = [
        one for index in range(recipes) for one in figures(f"recipe-{index}", seed=0, right=dict.fromkeys(STAGES, 0.5))
    ]
    controls = [one for name in LINES for one in figures(name, seed=0, right=dict.fromkeys(STAGES, 0.4))]
    with pyplot.rc_context({"svg.fonttype": "none"}):
        plot([*many, *controls], every_seed=[], path=tmp_path / "drawn.svg")
    words = "".join(ElementTree.parse(tmp_path / "drawn.svg").getroot().itertext())
    for name in dict.fromkeys(one.name for one in (*many, *controls)):
        assert name in words
