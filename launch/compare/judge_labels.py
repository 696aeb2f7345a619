"""`roundelay judge-accuracy`: a round's policy as judge of pairs that are labelled."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from ...orchestrator.data.records import Message, Prompt
from ...orchestrator.errors import ConfigError
from ...orchestrator.prompts.subset import fresh_subset
from ...orchestrator.protocols import Observer
from ...recipes.evaluation.bias import length_preference, list_preference
from ...recipes.evaluation.comparisons import Comparison
from ...recipes.evaluation.judge_accuracy import JudgeAccuracy, judge_accuracy
from ...recipes.evaluation.labelled import FORMATS, UNREAD, LabelledPair, read_labelled
from ..reports import between, decimal, figures, number, percent, plain, signed
from ..show.rounds import finished_round, kept_policy
from ..show.table import one_line
from .judging import ResponsePair, judge_setup
from .kept_comparisons import judged_once
from .row_files import file_rows

DIRECTORY = "judge-accuracy"
_UNREAD = {"wrong": "which is wrong", "tie": "which is a tie", "left_out": "left out"}


def judge_labels(
    of: str,
    file: Path,
    overrides: Sequence[str],
    *,
    format: str,
    config_dir: Path | None,
    num_pairs: int | None,
    draw: int,
    observer: Observer,
) -> list[Text | Table]:
    """Let a round's policy (or an endpoint) judge the pairs of a file, and keep its answers in the run's directory.

    Returns:
        how they agree with the labels, to be printed.

    Raises:
        ConfigError: the file does not fit its format, the round has no policy any more, or an override is wrong.
    """
    if format not in FORMATS:
        raise ConfigError(f"--format {format}: no such format", f"known: {', '.join(sorted(FORMATS))}")
    side = finished_round(of)
    judge = judge_setup(side.ledger, overrides, weights=kept_policy(side), config_dir=config_dir)
    labelled = _chosen(read_labelled(file_rows(file), format), num_pairs, draw)
    pairs = [
        ResponsePair(prompt=Prompt(id=identity, messages=(Message(role="user", content=one.prompt),)), a=one.a, b=one.b)
        for identity, one in labelled.items()
    ]

    def report(_: int, comparisons: Sequence[Comparison]) -> dict[str, Any]:
        result = _accuracy(comparisons, labelled, format)
        return {
            "judge": side.name,
            "file": file.name,
            "format": format,
            "rows_noted": _noted(labelled),
            "accuracy": asdict(result) if result else None,
        }

    (comparisons,) = judged_once([pairs], judge, observer, ledger=side.ledger, directory=DIRECTORY, report=report)
    who = f"{side.name} ({judge.config.judge.kind})" if judge.needs_engine else judge.description
    head = plain(f"judge: {who}\npairs: {file} ({format})")
    noted = [f"  {count} of {len(labelled)}: {note}" for note, count in _noted(labelled).items()]
    return [
        head,
        *([plain("\n".join(("odd rows of the file:", *noted)))] if noted else []),
        _figures(comparisons, labelled, format, compares=judge.compares),
        plain(f"every comparison: {side.ledger.url}/{DIRECTORY}"),
    ]


def _chosen(pairs: Sequence[LabelledPair], num_pairs: int | None, draw: int) -> dict[str, LabelledPair]:
    """The pairs to be judged, by their number in the file."""
    numbered = {str(index): pair for index, pair in enumerate(pairs)}
    if num_pairs is None:
        return numbered
    if num_pairs > len(pairs):
        raise ConfigError(f"--num-pairs {num_pairs}, but the file holds {len(pairs)}", "give fewer, or leave it out")
    return {
        identity: numbered[identity] for identity in fresh_subset(list(numbered), size=num_pairs, draw=draw, seed=0)
    }


def _noted(labelled: dict[str, LabelledPair]) -> dict[str, int]:
    """What was odd about rows of the file, each with how many there are."""
    return dict(Counter(note for pair in labelled.values() for note in pair.notes).most_common())


def _accuracy(
    comparisons: Sequence[Comparison], labelled: dict[str, LabelledPair], format: str
) -> JudgeAccuracy | None:
    pairs = [labelled[one.prompt_id] for one in comparisons]
    labels, subsets, prompts = zip(*((pair.label, pair.subset, pair.prompt) for pair in pairs), strict=True)
    return judge_accuracy(comparisons, labels, subsets, prompts, unread=UNREAD[format])


def _figures(
    comparisons: Sequence[Comparison], labelled: dict[str, LabelledPair], format: str, *, compares: bool
) -> Text | Table:
    """A judge that scores stands in no order: nothing is said of orders then."""
    result = _accuracy(comparisons, labelled, format)
    if result is None:
        return Text(f"none of {len(comparisons)} answers could be read: choose another judge")
    texts = {identity: (pair.a, pair.b) for identity, pair in labelled.items()}
    subsets = result.by_subset if len(result.by_subset) > 1 else {}
    orders = [
        ("same both ways round", percent(result.swap_consistency)),
        ("prefers the first", signed(result.prefers_first)),
    ]
    mean = "mean of both orders" if compares else "the judge's ties half"
    rows = [
        ("pairs", number(result.pairs)),
        ("accuracy", percent(result.accuracy)),
        ("  95% interval", between(result.accuracy_interval)),
        *(
            line
            for name, share in subsets.items()
            for line in (
                (f"  {one_line(name)}", percent(share)),
                ("    95% interval", between(result.subset_intervals[name])),
            )
        ),
        (f"accuracy, {mean}, ties in the labels left out", percent(result.answer_accuracy)),
        ("  95% interval", between(result.answer_interval)),
        ("Cohen's κ", decimal(result.kappa)),
        ("parse rate", percent(result.parse_rate)),
        (f"pairs with an answer that cannot be read, {_UNREAD[result.unread]}", number(result.unparsable)),
        ("ties: judge, labels", f"{percent(result.tie_rate)}, {percent(result.label_tie_rate)}"),
        *(orders if compares else []),
        ("prefers the longer", percent(length_preference(comparisons))),
        ("prefers the list", percent(list_preference(comparisons, texts))),
    ]
    return figures(rows)
