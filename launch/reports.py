"""Figures in words: how the evaluation commands print them."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from ..orchestrator.printable import printable

DASH = "–"


def plain(text: str, style: str = "") -> Text:
    r"""Text of anybody's for the terminal: its brackets are no markup, and its control characters are shown.

    Example:
        >>> plain("[bold]\x1b[1m").plain
        '[bold]\\x1b[1m'
    """
    return Text(printable(text), style=style)


def figures(rows: Sequence[tuple[str, str]]) -> Table:
    """Names and values, one a line."""
    table = Table(show_header=False)
    table.add_column()
    table.add_column()
    for name, value in rows:
        table.add_row(plain(name), plain(value))
    return table


def percent(share: float | None) -> str:
    """A share of 1.

    Example:
        >>> percent(0.625), percent(None)
        ('62.5%', '–')
    """
    return DASH if share is None else f"{100 * share:.1f}%"


def between(interval: tuple[float, float] | None) -> str:
    """An interval of shares of 1.

    Example:
        >>> between((0.5, 0.75))
        '50.0% to 75.0%'
    """
    return DASH if interval is None else f"{percent(interval[0])} to {percent(interval[1])}"


def signed(share: float | None) -> str:
    """A difference of shares, in percentage points.

    Example:
        >>> signed(0.125)
        '+12.5 points (0: no bias)'
    """
    return DASH if share is None else f"{100 * share:+.1f} points (0: no bias)"


def number(count: int) -> str:
    return f"{count:,}"


def chars(mean: float) -> str:
    return f"{mean:,.1f}"


def decimal(value: float | None) -> str:
    return DASH if value is None else f"{value:.3f}"
