"""The schema of the `prompts` group: which prompts there are, and where they are read."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from ..fields import STRICT
from .formats import Format


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class PromptSource:
    """Where prompts are read: a .jsonl, .csv or .parquet file, or the name of a data set for `datasets`.

    Columns and format that are null are those of `PromptsConfig`. Held-out prompts without a path are taken out of the
    training ones.
    """

    path: str | None
    split: str = "train"  # of a `datasets` name
    prompt_column: str | None = None
    id_column: str | None = None
    format: Format | None = None


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
    prompt_column: str | None = None
    id_column: str | None = None
    format: Format | None = None

    @property
    def source(self) -> PromptSource:
        """The same without what is said of responses."""
        return PromptSource(
            path=self.path,
            split=self.split,
            prompt_column=self.prompt_column,
            id_column=self.id_column,
            format=self.format,
        )


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class PromptsConfig:
    """Training and held-out prompts, and which columns hold them. Without `id_column`, ids are hashes of the text.

    `malformed` says what becomes of rows that cannot be read, and `near_duplicates` of training prompts that are near
    an earlier or a held-out one (see `data.near`); the latter are never kept.
    """

    train: PromptSource
    heldout: PromptSource
    seed: SeedSource
    prompt_column: str
    id_column: str | None
    system: str | None  # a system message put before prompts that have none
    format: Format | None = None  # how published data sets are read (see `data.formats`); null: by the columns' names
    malformed: Literal["refuse", "drop"] = "refuse"
    near_duplicates: Literal["refuse", "drop", "keep"] = "refuse"
