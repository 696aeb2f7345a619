"""What `roundelay compare` prints: the figures of one match, or all rounds of a run on one scale."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from ..orchestrator.seeds import derive_seed
from ..recipes.evaluation.bias import repeated_responses, self_preference
from ..recipes.evaluation.comparisons import Comparison, points, verdicts
from ..recipes.evaluation.length_controlled import LengthControlled
from ..recipes.evaluation.ranking import Battle, elo, rate
from ..recipes.evaluation.win_rate import win_rate
from .judging import JudgeSetup
from .matches import Match, report_on
from .reports import chars, figures, number, percent, signed
from .rounds import FinishedRound

WITHOUT_DIFFICULTIES = "without prompt difficulties: ψ = 0"


def match_report(match: Match, comparisons: Sequence[Comparison], judge: JudgeSetup) -> list[Text | Table]:
    """The figures of one match."""
    report = report_on(match, comparisons, graded=judge.graded)
    head = Text("\n".join([f"a: {match.a.name}", f"b: {match.b.name}", _judge_line(judge), *_notes(match)]))
    rate = report.win_rate
    if rate is None:
        return [head, Text(f"none of {len(comparisons)} comparisons could be read: choose another judge")]
    rows = [
        ("prompts that both answered", number(rate.comparisons)),
        ("a wins", f"{percent(rate.win_rate)} (95% interval {percent(rate.low)} to {percent(rate.high)})"),
        ("  wins, ties, losses", f"{rate.wins}, {rate.ties}, {rate.losses}"),
        ("  length-controlled", _controlled(report.length_controlled)),
        ("  mean probability", percent(rate.mean_probability)),
        *([("  WB-Reward", f"{report.wb_reward:+.3f}")] if report.wb_reward is not None else []),
        ("characters a, b", f"{chars(report.chars_a)}, {chars(report.chars_b)}"),
        ("judge: parse rate", percent(1.0 - rate.unparsable / rate.comparisons)),
        ("judge: same both ways round", percent(rate.swap_consistency)),
        ("judge: prefers the first", signed(rate.prefers_first)),
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
        ("judge: self-preference", signed(self_preference(own, by_third_party))),
    ]
    return [Text(f"third party: weights of {third_party.policy.path}"), figures(rows)]


def ranking_report(
    matches: Sequence[Match], compared: Sequence[Sequence[Comparison]], judge: JudgeSetup
) -> list[Text | Table]:
    """All rounds on one scale, and each against the initial policy."""
    head = Text(f"{matches[0].a.ledger.url}\n{_judge_line(judge)}")
    battles = [
        Battle(a=_round(match.a), b=_round(match.b), points=points(verdict), group=one.prompt_id)
        for match, comparisons in zip(matches, compared, strict=True)
        for one, verdict in verdicts(comparisons)
    ]
    if not battles:
        return [head, Text("no comparison could be read: choose another judge")]
    # Elo hangs on the order of the battles, which here means nothing: by lot, the same each time.
    sequential = elo(sorted(battles, key=lambda one: derive_seed(0, "elo", one.group, one.a, one.b)))
    against_initial = {
        _round(match.a): report_on(match, comparisons, graded=judge.graded)
        for match, comparisons in zip(matches, compared, strict=True)
        if match.b.round == 0
    }
    table = Table()
    for column in ("", "Bradley-Terry", "95% interval", "Elo", "wins against initial", "length-controlled"):
        table.add_column(column)
    for row in rate(battles):
        report = against_initial.get(row.player)
        wins, controlled = (report.win_rate, report.length_controlled) if report else (None, None)
        table.add_row(
            row.player,
            f"{row.rating:.0f}",
            f"{row.low:.0f} to {row.high:.0f}",
            f"{sequential[row.player]:.0f}",
            percent(wins.win_rate if wins else None),
            percent(controlled.win_rate if controlled else None),
        )
    total = sum(map(len, compared))
    foot = f"{total} comparisons, {total - len(battles)} unparsable; length control {WITHOUT_DIFFICULTIES}"
    return [head, table, Text(foot)]


def _round(of: FinishedRound) -> str:
    return "initial" if of.round == 0 else f"round {of.round}"


def _controlled(controlled: LengthControlled | None) -> str:
    if controlled is None:
        return "too few readable comparisons"
    return f"{percent(controlled.win_rate)} ({WITHOUT_DIFFICULTIES})"


def _judge_line(judge: JudgeSetup) -> str:
    return f"judge: {judge.config.judge.kind}, weights of {judge.policy.path}"


def _notes(match: Match) -> list[str]:
    """What else the sides differ in than their policies, and responses that look like cheating."""
    sampling = [of.ledger.header()["config"]["evaluation"]["sampling"] for of in (match.a, match.b)]
    seeds = [of.ledger.header()["config"]["run"]["seed"] for of in (match.a, match.b)]
    notes = []
    if sampling[0] != sampling[1]:
        notes.append(f"note: the responses were sampled differently: {sampling[0]} and {sampling[1]}")
    if seeds[0] != seeds[1]:
        notes.append(f"note: the responses were sampled with different run.seed: {seeds[0]} and {seeds[1]}")
    for side, texts in (("a", [pair.a for pair in match.pairs]), ("b", [pair.b for pair in match.pairs])):
        if repeated := repeated_responses(texts):
            notes.append(f"note: {repeated} of {len(texts)} responses of {side} are given to several prompts")
    return notes
