"""The parts of docs/your-own-parts.md, as a user would have them."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "your-own-parts.md"


def write_own_parts(folder: Path) -> None:
    """The page's files: each code block under the name that stands before it."""
    for name, code in re.findall(r"`mine/([\w/.]+)`[^`]*```(?:python|yaml)\n(.*?)```", PAGE.read_text(), re.DOTALL):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(code)
