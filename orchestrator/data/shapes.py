"""Published data sets by their columns: what a row that is taken as it is would silently lose, and which override
reads it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..errors import ConfigError
from .formats import INPUTS, SYSTEMS, Row
from .messages import transcript_format

AS_IT_IS = "; prompts.format=columns takes the columns as they are"


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """A data set that has all of `columns`, and the override that reads it."""

    name: str
    columns: frozenset[str]
    remedy: str


def _shape(name: str, columns: str, remedy: str) -> Shape:
    return Shape(name=name, columns=frozenset(columns.split()), remedy=remedy)


SHAPES = (
    _shape("OASST", "message_id parent_id role text", "set prompts.format=oasst: the first messages of its trees"),
    _shape("PKU-SafeRLHF", "response_0 response_1 better_response_id", "set prompts.format=pku (or pku_safer)"),
    _shape("Nectar", "prompt answers good_natured", "set prompts.format=nectar"),
    _shape("UltraFeedback", "instruction completions", "set prompts.prompt_column=instruction for its prompts; for its "
           "responses take ultrafeedback_binarized, which has chosen and rejected"),
    _shape("Chatbot Arena", "conversation_a conversation_b winner",
           "write prompt, chosen and rejected by its winner"),
    _shape("SHP", "history human_ref_A human_ref_B labels", "write prompt, chosen and rejected by its labels"),
    _shape("WebGPT's comparisons", "question answer_0 answer_1 score_0 score_1",
           "write prompt, chosen and rejected by its scores"),
    _shape("OpenAI's summarization comparisons", "info summaries choice",
           "write prompt, chosen and rejected by its choice"),
    _shape("HelpSteer2's preferences", "response_1 response_2 preference_strength",
           "write prompt, chosen and rejected by preference_strength"),
    _shape("HelpSteer", "prompt response helpfulness verbosity", "set prompts.seed.responses=[response]"),
    _shape("ShareGPT", "conversations", "set prompts.format=conversation"),
    _shape("UltraChat", "messages", "set prompts.format=conversation"),
    _shape("UltraChat", "id data", "set prompts.format=conversation"),
    _shape("a chat log", "conversation", "set prompts.format=conversation"),
    _shape("argilla's Orca pairs", "system input chosen rejected", "set prompts.format=orca"),
    _shape("Orca", "system question chosen rejected", "set prompts.format=orca"),
    _shape("Orca", "system_prompt question response", "set prompts.format=orca"),
    _shape("Alpaca", "instruction input output", "set prompts.format=alpaca"),
    _shape("Dolly", "instruction context response", "set prompts.format=alpaca"),
    _shape("instructions", "instruction", "set prompts.prompt_column=instruction"),
)  # fmt: skip
# Which of several responses is the better one, where the order of their columns does not say it.
VERDICTS = ("better_response_id", "winner", "winner_model_a", "choice", "labels", "preference", "preference_strength",
            "score_0")  # fmt: skip


def shape_of(row: Row) -> Shape | None:
    """The data set that a row's columns are of."""
    if isinstance(chosen := row.get("chosen"), str) and transcript_format(chosen) == "hh":
        return Shape(name="HH", columns=frozenset(), remedy="set prompts.format=hh")
    return next((shape for shape in SHAPES if shape.columns <= {*map(str, row)}), None)


def check_plain(row: Row, column: str, responses: Sequence[str], where: str, keys: str) -> None:
    """Refuse a row that would lose part of what is asked, or the order of its responses, taken as it is.

    Args:
        keys: what the keys of the source begin with: `prompts`, or `prompts.seed`.

    Raises:
        ConfigError: with the data set, if its columns are known, and the format that reads it.
    """
    for problem in (_one_message_of_many, _unjoined, _unordered, _undesirable):
        if found := problem(row, column, responses):
            what, remedy = found
            shape = shape_of(row)
            name = f" (these are the columns of {shape.name})" if shape else ""
            if shape and "format=" in shape.remedy:
                remedy = shape.remedy
            raise ConfigError(f"{where}: {what}{name}", of_source(remedy + AS_IT_IS, keys))


def of_source(remedy: str, keys: str) -> str:
    """A remedy with the keys of one source.

    Example:
        >>> of_source("set prompts.format=hh", "prompts.seed")
        'set prompts.seed.format=hh'
    """
    return remedy.replace("prompts.format", f"{keys}.format").replace("prompts.prompt_column", f"{keys}.prompt_column")


Problem = Callable[[Row, str, Sequence[str]], tuple[str, str] | None]


def _one_message_of_many(row: Row, column: str, responses: Sequence[str]) -> tuple[str, str] | None:
    """Transcripts, which would be one user message, and OASST's messages, which are not all prompts."""
    if {"message_id", "parent_id", "role"} <= {*map(str, row)}:
        return "a row is one message of a tree, and most are no prompts", "set prompts.format=oasst"
    for name in (column, *responses):
        value = row.get(name)
        if isinstance(value, str) and (format := transcript_format(value)):
            return f"column {name!r} holds a transcript of several turns", f"set prompts.format={format} to split it"
    return None


def _unjoined(row: Row, column: str, responses: Sequence[str]) -> tuple[str, str] | None:
    """Columns that say what is asked beside the prompt's, which would be dropped."""
    if not isinstance(row.get(column), str):
        return None
    for names, format in ((INPUTS, "alpaca"), (SYSTEMS, "orca")):
        for name in names:
            value = row.get(name)
            if name == column or name in responses or not isinstance(value, str) or not value.strip():
                continue
            if value.strip().casefold() != "<noinput>":
                return f"column {name!r} belongs to the prompt and would be dropped", f"set prompts.format={format}"
    return None


def _unordered(row: Row, column: str, responses: Sequence[str]) -> tuple[str, str] | None:
    """Responses whose order a column says row by row, where `prompts.seed.responses` says one order for all."""
    if len(responses) < 2 or {*responses} & {"chosen", "rejected"}:
        return None
    said = next((name for name in VERDICTS if row.get(name) is not None), None)
    if said is None:
        return None
    shape = shape_of(row)
    return (
        f"column {said!r} says which response is the better one, and the order of prompts.seed.responses does not",
        shape.remedy if shape else f"write prompt, chosen and rejected by {said}",
    )


def _undesirable(row: Row, column: str, responses: Sequence[str]) -> tuple[str, str] | None:
    """TRL's unpaired preferences: a response that `label` calls bad would be learnt as a good one."""
    if len(responses) == 1 and (row.get("label") is False or str(row.get("label")).casefold() == "false"):
        return f"`label` calls the response in column {responses[0]!r} a bad one", "keep the rows whose label is true"
    return None
