"""`roundelay compare`: policies against each other on the held-out prompts that they answered in their own runs, or
against the responses of a model from elsewhere."""

from collections.abc import Sequence
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from ...orchestrator.data.records import Prompt
from ...orchestrator.errors import ConfigError
from ...orchestrator.protocols import Observer
from ...recipes.evaluation.comparisons import Comparison
from ...recipes.evaluation.wildbench import LENGTH_RULE_CHARS
from ..reports import plain
from ..show.rounds import FinishedRound, finished_round, finished_rounds, heldout_responses, kept_policy, run_and_round
from .comparison_reports import match_report, ranking_report, third_party_report
from .judging import JudgeSetup, judge_setup
from .kept_comparisons import judged_once
from .matches import Figuring, Match, Side, match_of, report_on
from .prompt_files import SUFFIXES, read_difficulties, read_gamed, read_outputs

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
    keep_truncated: bool,
    length_rule: int | None,
    difficulties: Path | None,
    gamed: Path | None,
    observer: Observer,
) -> list[Text | Table]:
    """Judge what is not judged yet, and keep it in the first run's directory. `third_party` is a model that judges two
    policies once more: how far does the judge prefer what is of its own family?

    Args:
        keep_truncated: judge also responses that the token limit cut.
        length_rule: WildBench's K in characters, -1 for off; None where nobody says.
        difficulties: a file with the difficulty of every prompt, for the length-controlled win rate.
        gamed: a file with rows of gamed baselines, for the same.

    Returns:
        the figures, to be printed.

    Raises:
        ConfigError: the policies cannot be compared, or an override is wrong.
    """
    _check_two_sided(policies, third_party, length_rule)
    meetings = _meetings(policies)
    first = next(side for side in meetings[0] if isinstance(side, FinishedRound)).ledger
    weights = judge_model or kept_policy(finished_rounds(first.url)[0])
    judge = judge_setup(first, overrides, weights=weights, config_dir=config_dir)
    third = judge_setup(first, overrides, weights=third_party, config_dir=config_dir) if third_party else None
    matches = [match_of(a, b, num_prompts, draw, keep_truncated=keep_truncated) for a, b in meetings]
    figuring = _figuring(judge, length_rule, difficulties, gamed, matches)

    def compared_by(judge: JudgeSetup) -> list[list[Comparison]]:
        def report(index: int, comparisons: Sequence[Comparison]) -> dict[str, Any]:
            match = matches[index]
            return {
                "a": match.a.name,
                "b": match.b.name,
                "left_out": dict(match.left_out),
                "length_rule": figuring.length_rule,
                **asdict(report_on(match, comparisons, figuring)),
            }

        batches = [match.pairs for match in matches]
        return judged_once(batches, judge, observer, ledger=first, directory=DIRECTORY, report=report)

    if len(policies) == 1:
        parts = ranking_report(first.url, matches, compared_by(judge), judge, figuring)
    else:
        parts = match_report(matches[0], compared_by(judge)[0], judge, figuring)
        if third is not None:
            parts += third_party_report(compared_by(judge)[0], compared_by(third)[0], third)
    return [*parts, plain(f"every comparison: {first.url}/{DIRECTORY}")]


def _check_two_sided(policies: Sequence[str], third_party: str | None, length_rule: int | None) -> None:
    """Refuse what is a figure of two policies where all rounds of a run are named.

    Raises:
        ConfigError: naming the option.
    """
    if len(policies) != 1:
        return
    for option, value in (("--third-party", third_party), ("--length-rule", length_rule)):
        if value is not None:
            raise ConfigError(
                f"{option} {value} with the rounds of one run: it is a figure of two policies",
                "name two policies as RUN:ROUND RUN:ROUND, or leave it out",
            )


def _meetings(policies: Sequence[str]) -> list[tuple[Side, Side]]:
    """Two policies, as they are named; or of one run every round against every one before it."""
    match [(text, Path(text).suffix in SUFFIXES) for text in policies]:
        case [(a, False), (b, False)]:
            return [(finished_round(a), finished_round(b))]
        case [(a, True), (b, False)]:
            other = finished_round(b)
            return [(read_outputs(Path(a), _answered(other)), other)]
        case [(a, False), (b, True)]:
            other = finished_round(a)
            return [(other, read_outputs(Path(b), _answered(other)))]
        case [(run, False)] if run_and_round(run)[1] is None:
            rounds = finished_rounds(run)
            if len(rounds) > 1:
                return [(later, earlier) for earlier, later in combinations(rounds, 2)]
            raise ConfigError(f"only the initial policy of {run} is evaluated", "finish a round of it first")
    raise ConfigError(
        f"{' '.join(policies) or 'nothing'}: cannot be compared",
        "give two policies as RUN[:ROUND] RUN[:ROUND], a policy and a file of responses, or one RUN for all of its "
        "rounds",
    )


def _answered(of: FinishedRound) -> list[Prompt]:
    return [prompt for prompt, _ in heldout_responses(of).values()]


def _figuring(
    judge: JudgeSetup,
    length_rule: int | None,
    difficulties: Path | None,
    gamed: Path | None,
    matches: Sequence[Match],
) -> Figuring:
    """What the figures depend on.

    Raises:
        ConfigError: the length rule would do nothing, the difficulties do not fit the prompts, or gamed rows come
            without any.
    """
    if gamed is not None and difficulties is None:
        raise ConfigError(
            f"--gamed {gamed} without --difficulties: its rows have difficulties, and the prompts need theirs",
            "give both, or leave --gamed out",
        )
    if length_rule is not None and not judge.graded:
        raise ConfigError(
            f"--length-rule {length_rule} would do nothing: it is WB-Reward's, of a judge with grades",
            "add judge=pairwise judge.format=wildbench judge.votes=1, or leave it out",
        )
    prompts = {pair.prompt.id: pair.prompt for match in matches for pair in match.pairs}
    rule = LENGTH_RULE_CHARS if length_rule is None else length_rule
    return Figuring(
        graded=judge.graded,
        length_rule=None if rule < 0 else rule,
        difficulties=read_difficulties(difficulties, list(prompts.values())) if difficulties else None,
        gamed=read_gamed(gamed) if gamed else (),
    )
