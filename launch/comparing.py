"""`roundelay compare`: policies against each other on the held-out prompts that they answered in their own runs."""

from collections.abc import Sequence
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from ..orchestrator.errors import ConfigError
from ..orchestrator.protocols import Observer
from ..recipes.evaluation.comparisons import Comparison
from .comparison_reports import match_report, ranking_report, third_party_report
from .judging import JudgeSetup, judge_setup
from .kept_comparisons import judged_once
from .matches import match_of, report_on
from .rounds import FinishedRound, finished_round, finished_rounds, kept_policy, run_and_round

DIRECTORY = "comparisons"


def compare(
    policies: Sequence[str],
    overrides: Sequence[str],
    *,
    judge_model: str | None,
    third_party: str | None,
    config_dir: Path | None,
    num_prompts: int | None,
    draw: int,
    observer: Observer,
) -> list[Text | Table]:
    """Judge what is not judged yet, and keep it in the first run's directory. `third_party` is a model that judges two
    policies once more: how far does the judge prefer what is of its own family?

    Returns:
        the figures, to be printed.

    Raises:
        ConfigError: the policies cannot be compared, or an override is wrong.
    """
    meetings = _meetings(policies)
    first = meetings[0][0].ledger
    weights = judge_model or kept_policy(finished_rounds(first.url)[0])
    judge = judge_setup(first, overrides, weights=weights, config_dir=config_dir)
    third = judge_setup(first, overrides, weights=third_party, config_dir=config_dir) if third_party else None
    matches = [match_of(a, b, num_prompts, draw) for a, b in meetings]

    def compared_by(judge: JudgeSetup) -> list[list[Comparison]]:
        def report(index: int, comparisons: Sequence[Comparison]) -> dict[str, Any]:
            match = matches[index]
            figures = report_on(match, comparisons, graded=judge.graded)
            return {"a": match.a.name, "b": match.b.name, **asdict(figures)}

        batches = [match.pairs for match in matches]
        return judged_once(batches, judge, observer, ledger=first, directory=DIRECTORY, report=report)

    if len(policies) == 1:
        if third is not None:
            raise ConfigError(
                f"--third-party {third_party} with the rounds of one run: it is asked about two policies",
                "name two policies as RUN:ROUND RUN:ROUND, or leave it out",
            )
        parts = ranking_report(matches, compared_by(judge), judge)
    else:
        parts = match_report(matches[0], compared_by(judge)[0], judge)
        if third is not None:
            parts += third_party_report(compared_by(judge)[0], compared_by(third)[0], third)
    return [*parts, Text(f"every comparison: {first.url}/{DIRECTORY}")]


def _meetings(policies: Sequence[str]) -> list[tuple[FinishedRound, FinishedRound]]:
    """Two policies, as they are named; or of one run every round against every one before it."""
    if len(policies) == 2:
        return [(finished_round(policies[0]), finished_round(policies[1]))]
    if len(policies) == 1 and run_and_round(policies[0])[1] is None:
        rounds = finished_rounds(policies[0])
        if len(rounds) > 1:
            return [(later, earlier) for earlier, later in combinations(rounds, 2)]
        raise ConfigError(f"only the initial policy of {policies[0]} is evaluated", "finish a round of it first")
    raise ConfigError(
        f"{' '.join(policies) or 'nothing'}: cannot be compared",
        "give two policies as RUN[:ROUND] RUN[:ROUND], or one RUN for all of its rounds",
    )
