"""The schema of the `prompts` group: which prompts there are, and where they are read."""

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from .config_types import STRICT


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class PromptSource:
    """Where prompts are read: a .jsonl, .csv or .parquet file, or the name of a data set for `datasets`."""

    path: str
    split: str = "train"  # of a `datasets` name


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class SeedSource:
    """Where prompts with given responses are read, for phases whose generation is `given`.

    `responses` names the columns that hold them, best first: [completion], or [chosen, rejected]. A cell is text, a
    list of texts, or messages whose last one is the assistant's. `attributes` names columns of numbers, what people say
    of the response; a cell may be missing or null.
    """

    path: str | None
    split: str
    responses: Annotated[tuple[str, ...], Field(min_length=1)]
    attributes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class PromptsConfig:
    """Training and held-out prompts, and which columns hold them. Without `id_column`, ids are hashes of the text."""

    train: PromptSource
    heldout: PromptSource
    seed: SeedSource
    prompt_column: str
    id_column: str | None
    system: str | None  # a system message put before prompts that have none
