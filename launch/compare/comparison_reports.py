"""What `roundelay compare` prints: the figures of one match, or all rounds of a run on one scale."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from ...recipes.evaluation.bias import repeated_responses, self_preference
from ...recipes.evaluation.comparisons import Comparison, points, verdicts
from ...recipes.evaluation.length_controlled import LengthControlled
from ...recipes.evaluation.ranking import Battle, rate
from ...recipes.evaluation.win_rate import WinRate, win_rate
from ..reports import between, chars, figures, number, percent, plain, signed
from ..show.rounds import FinishedRound
from .judging import JudgeSetup
from .matches import Figuring, Match, MatchReport, Side, in_words, report_on
from .prompt_files import OutputsFile


def match_report(
    match: Match, comparisons: Sequence[Comparison], judge: JudgeSetup, figuring: Figuring
) -> list[Text | Table]:
    """The figures of one match."""
    report = report_on(match, comparisons, figuring)
    head = plain("\n".join([f"a: {match.a.name}", f"b: {match.b.name}", f"judge: {judge.description}", *_notes(match)]))
    rate = report.win_rate
    if rate is None:
        return [head, Text(f"none of {len(comparisons)} comparisons could be read: choose another judge")]
    rows = [
        ("prompts that both answered", number(rate.comparisons)),
        *([("prompts left out", in_words(match.left_out))] if match.left_out else []),
        ("a wins", f"{percent(rate.win_rate)} (95% interval {between((rate.low, rate.high))})"),
        ("  wins, ties, losses", f"{rate.wins}, {rate.ties}, {rate.losses}"),
        (f"  {_named(figuring)}", _controlled(report.length_controlled, figuring)),
        *_judges_own(report, rate, judge, figuring),
        ("characters a, b", f"{chars(report.chars_a)}, {chars(report.chars_b)}"),
        ("judge: parse rate", percent(1.0 - rate.unparsable / rate.comparisons)),
        *_orders(rate, judge),
        ("judge: prefers the longer", percent(report.length_preference)),
        ("judge: prefers the list", percent(report.list_preference)),
    ]
    return [head, figures(rows)]


def third_party_report(
    own: Sequence[Comparison], by_third_party: Sequence[Comparison], third_party: JudgeSetup
) -> list[Text | Table]:
    """How much more often a wins by the judge than by a model of another family."""
    rate = win_rate(by_third_party)
    rows = [
        ("a wins by the third party", percent(rate.win_rate if rate else None)),
        ("  95% interval", between((rate.low, rate.high) if rate else None)),
        ("judge: self-preference", signed(self_preference(own, by_third_party))),
    ]
    return [plain(f"third party: weights of {third_party.policy.path}"), figures(rows)]


def ranking_report(
    run: str,
    matches: Sequence[Match],
    compared: Sequence[Sequence[Comparison]],
    judge: JudgeSetup,
    figuring: Figuring,
) -> list[Text | Table]:
    """All rounds on one scale, and each against the initial policy."""
    played = list(zip(matches, compared, strict=True))
    head = plain(f"{run}\njudge: {judge.description}")
    battles = [
        Battle(a=_player(match.a), b=_player(match.b), points=points(verdict), group=one.prompt_id)
        for match, comparisons in played
        for one, verdict in verdicts(comparisons)
    ]
    if not battles:
        return [head, Text("no comparison could be read: choose another judge")]
    against_initial = {
        _player(match.a): report_on(match, comparisons, figuring)
        for match, comparisons in played
        if isinstance(match.b, FinishedRound) and match.b.round == 0
    }
    table = Table()
    for column in (
        "",
        "Bradley-Terry",
        "95% interval",
        "Elo",
        "95% interval",
        "wins against initial",
        _named(figuring),
    ):
        table.add_column(column)
    for row in rate(battles):
        report = against_initial.get(row.player)
        wins, controlled = (report.win_rate, report.length_controlled) if report else (None, None)
        table.add_row(
            plain(row.player),
            f"{row.rating:.0f}",
            f"{row.low:.0f} to {row.high:.0f}",
            f"{row.elo:.0f}",
            f"{row.elo_low:.0f} to {row.elo_high:.0f}",
            percent(wins.win_rate if wins else None),
            percent(controlled.win_rate if controlled else None),
        )
    total = sum(map(len, compared))
    left_out = sum(sum(match.left_out.values()) for match in matches)
    foot = f"{total} comparisons, {total - len(battles)} unparsable, {left_out} left out (empty or truncated responses)"
    return [head, table, Text(f"{foot}\nlength control {_missing(figuring)}")]


def _player(side: Side) -> str:
    if isinstance(side, OutputsFile):
        return side.name
    return "initial" if side.round == 0 else f"round {side.round}"


def _missing(figuring: Figuring) -> str:
    """Which of AlpacaEval's length control's inputs are there."""
    if figuring.gamed:
        return f"with {len(figuring.gamed)} rows of gamed baselines"
    without = "" if figuring.difficulties else "without prompt difficulties (ψ = 0) and "
    return f"{without}without rows of gamed baselines"


def _named(figuring: Figuring) -> str:
    """Without difficulties the figure is not what AlpacaEval calls by this name."""
    return "length-controlled" if figuring.difficulties else "LC (no difficulties)"


def _controlled(controlled: LengthControlled | None, figuring: Figuring) -> str:
    if controlled is None:
        return "too few readable comparisons"
    fitted = "" if controlled.psi is None else f"prompt difficulties, ψ = {controlled.psi:+.2f}; "
    return f"{percent(controlled.win_rate)} ({fitted}{_missing(figuring)})"


def _judges_own(report: MatchReport, rate: WinRate, judge: JudgeSetup, figuring: Figuring) -> list[tuple[str, str]]:
    """What is made of the judge's own numbers, rather than of who wins."""
    rows = [("  mean probability", percent(rate.mean_probability))] if judge.compares else []
    if report.wb_reward is not None:
        k = "off" if figuring.length_rule is None else f"{figuring.length_rule} characters"
        rows.append(("  WB-Reward", f"{report.wb_reward:+.3f} (length rule: {k})"))
    if report.scores is not None:
        rows.append(("  mean scores a, b, where texts differ", f"{report.scores[0]:.3f}, {report.scores[1]:.3f}"))
    return rows


def _orders(rate: WinRate, judge: JudgeSetup) -> list[tuple[str, str]]:
    """A judge that scores is asked in no order."""
    if not judge.compares:
        return []
    return [
        ("judge: same both ways round", percent(rate.swap_consistency)),
        ("judge: prefers the first", signed(rate.prefers_first)),
    ]


def _notes(match: Match) -> list[str]:
    """What else the sides differ in than their policies, and responses that look like cheating."""
    notes = []
    for side in (match.a, match.b):
        if isinstance(side, OutputsFile):
            notes.append(f"note: how {side.name} was sampled, and whether its responses were cut, is not known")
            if side.unused:
                notes.append(f"note: {side.unused} rows of {side.name} answer none of the other side's prompts")
    runs = [side.ledger.header()["config"] for side in (match.a, match.b) if isinstance(side, FinishedRound)]
    sampling = [run["evaluation"]["sampling"] for run in runs]
    seeds = [run["run"]["seed"] for run in runs]
    if sampling[0] != sampling[-1]:
        notes.append(f"note: the responses were sampled differently: {sampling[0]} and {sampling[-1]}")
    if seeds[0] != seeds[-1]:
        notes.append(f"note: the responses were sampled with different run.seed: {seeds[0]} and {seeds[-1]}")
    for side, texts in (("a", [pair.a for pair in match.pairs]), ("b", [pair.b for pair in match.pairs])):
        if repeated := repeated_responses(texts):
            notes.append(f"note: {repeated} of {len(texts)} responses of {side} are given to several prompts")
    return notes
