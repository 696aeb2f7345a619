"""The table of a run's rounds, and sample responses: what `run`, `resume` and `show` print."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from ...orchestrator.data.records import Rollout
from ...orchestrator.ledger.checking import check_manifests
from ...orchestrator.ledger.ledger import Ledger
from ...orchestrator.ledger.policies import read_ref
from ...orchestrator.printable import printable
from ...orchestrator.prompts.store import PromptStore
from ...recipes.judges.canaries import CANARIES
from ..reports import DASH, plain

_BORDERS = "│  │"  # what a column adds to its text; neighbours share one
_BINS_A_LINE = 6


def rounds_tables(ledger: Ledger, width: int) -> list[Table]:
    """One column a finished round, in as many tables as `width` needs; round 0 is the initial policy."""
    manifests = [ledger.manifest(round) for round in ledger.finished_rounds()]
    rows = [(label, [cell(manifest) for manifest in manifests] if label else []) for label, cell in _ROWS]
    rows = [(label, cells) for label, cells in rows if label is None or any(text != DASH for text in cells)]
    columns = [[_heading(manifest), *column] for manifest, column in zip(manifests, _columns(rows), strict=True)]
    left = width - max(len(label or "") for label, _ in rows) - len(_BORDERS)
    return [_table(rows, manifests, chosen) for chosen in _fitting([_width(column) for column in columns], left)]


def _columns(rows: Sequence[tuple[str | None, Sequence[str | Text]]]) -> list[tuple[str | Text, ...]]:
    return list(zip(*(cells for _, cells in rows if cells), strict=True))


def _width(cells: Sequence[str | Text]) -> int:
    return max(len(line) for cell in cells for line in str(cell).split("\n")) + len(_BORDERS) - 1


def _fitting(widths: Sequence[int], left: int) -> list[list[int]]:
    """Places of columns, in order, in groups of which each has room; a column that has none stands alone."""
    groups: list[list[int]] = [[]]
    for place, width in enumerate(widths):
        if groups[-1] and sum(widths[other] for other in groups[-1]) + width > left:
            groups.append([])
        groups[-1].append(place)
    return groups


def _table(
    rows: Sequence[tuple[str | None, Sequence[str | Text]]], manifests: Sequence[dict[str, Any]], chosen: Sequence[int]
) -> Table:
    table = Table()
    table.add_column("", no_wrap=True)
    for place in chosen:
        table.add_column(plain(_heading(manifests[place])), justify="right")
    for label, cells in rows:
        if label is None:
            table.add_section()
        else:
            table.add_row(label, *map(_shown, (cells[place] for place in chosen)))
    return table


def _shown(cell: str | Text) -> Text:
    return cell if isinstance(cell, Text) else plain(cell)


def alarms(ledger: Ledger) -> Group:
    """What the finished rounds' figures say against their judges."""
    manifests = [ledger.manifest(round) for round in ledger.finished_rounds()]
    return Group(
        *(
            plain(f"{_heading(manifest).splitlines()[0]}: {alarm}", "yellow")
            for manifest in manifests
            for alarm in manifest.get("judge_alarms", ())
        )
    )


def samples(ledger: Ledger, count: int) -> Group:
    """Responses of the first and the last round to the same held-out prompts."""
    finished = ledger.finished_rounds()
    parts: list[Any] = []
    if count == 0 or not finished:
        return Group()
    prompts = PromptStore(ledger, "heldout", limit=count)
    texts = {round: _responses(ledger, round, count) for round in (finished[0], finished[-1])}
    for prompt in prompts:
        parts.append(Text(f"\n{one_line(prompt.messages[-1].content)}", style="bold"))
        for round, by_prompt in texts.items():
            name = "initial" if round == 0 else f"round {round}"
            parts.append(Text.assemble((f"  {name}: ", "cyan"), one_line(by_prompt.get(prompt.id, DASH))))
    return Group(*parts)


def print_run(console: Console, ledger: Ledger) -> None:
    """The table, a few samples, and where the trained policy is.

    Raises:
        DamagedFile: a file is not what the run wrote, or it is gone.
    """
    header, finished = ledger.header(), ledger.finished_rounds()
    check_manifests(ledger)
    done, planned = max(len(finished) - 1, 0), header["config"]["run"]["rounds"]
    console.print(plain(f"{ledger.url}: {done} of {planned} rounds"), soft_wrap=True)
    if finished:
        console.print(*rounds_tables(ledger, console.width))
        console.print(alarms(ledger))
    console.print(samples(ledger, header["config"]["evaluation"]["samples_shown"]))
    if finished and finished[-1] > 0:
        made = ledger.manifest(finished[-1])
        console.print(plain(f"\ntrained policy: {read_ref(ledger, made['policy']).path}"), soft_wrap=True)
        if made["reward_model"]:
            console.print(plain(f"reward model: {read_ref(ledger, made['reward_model']).path}"), soft_wrap=True)


def _responses(ledger: Ledger, round: int, count: int) -> dict[str, str]:
    found: dict[str, str] = {}
    for rollout in ledger.read_stage(round, "eval-rollouts", Rollout):
        if len(found) == count:
            break
        found[rollout.prompt_id] = rollout.text
    return found


def one_line(text: str) -> str:
    """Text of models and data sets as one printable line: what the terminal would obey is shown."""
    flat = printable(" ".join(text.split()))
    return flat if len(flat) <= 200 else f"{flat[:199]}…"


def _number(*path: str, digits: int = 3, percent: bool = False):
    def cell(manifest: dict[str, Any]) -> str:
        value: Any = manifest
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        if value is None:
            return DASH
        if percent:
            return f"{100 * value:.1f}%"
        return f"{value:,}" if isinstance(value, int) else f"{value:.{digits}f}"

    return cell


def _nonzero(*path: str):
    """A count of what not every objective has."""
    number = _number(*path)

    def cell(manifest: dict[str, Any]) -> str:
        text = number(manifest)
        return DASH if text == "0" else text

    return cell


def _heading(manifest: dict[str, Any]) -> str:
    if manifest["round"] == 0:
        return "initial"
    phase = manifest.get("phase")
    return f"round {manifest['round']}" + (f"\n{phase}" if phase else "")


def _parity(manifest: dict[str, Any]) -> str:
    return f"{manifest['sync_parity']:.1e}"


def _by_reason(group: str, name: str):
    def cell(manifest: dict[str, Any]) -> str:
        dropped = (manifest.get(group) or {}).get(name)
        if dropped is None:
            return DASH
        return "\n".join(f"{reason} {count}" for reason, count in dropped.items()) or "0"

    return cell


def _judged(figure: str, **style: Any):
    """A figure of the round's judge; in round 0, of who judged the held-out pairs."""
    of_round = _number("data", "judge", figure, **style)
    of_heldout_pairs = _number("evaluation", "pairs_judge", figure, **style)
    return lambda manifest: (of_round if manifest["round"] else of_heldout_pairs)(manifest)


def _canary(name: str):
    """Its mean score and the policy's, or its share of comparisons; in red where it wins."""

    def cell(manifest: dict[str, Any]) -> str | Text:
        seen = manifest["evaluation"].get("canaries", {}).get(name)
        if not seen or seen["wins"] is None:
            return DASH
        scores = (seen["score"], seen["policy_score"])
        figures = f"{100 * seen['win_rate']:.0f}% won" if None in scores else "{:.2f} : {:.2f}".format(*scores)
        return Text(f"{figures} !", style="bold red") if seen["wins"] else figures

    return cell


def _votes(manifest: dict[str, Any]) -> str:
    judge = manifest.get("data", {}).get("judge")
    return f"{judge['votes']:,}" if judge else DASH


def _histogram(manifest: dict[str, Any]) -> str:
    """The ends of the judge's scale, then how many scores are in each of its bins."""
    judge = manifest.get("data", {}).get("judge") or manifest["evaluation"].get("pairs_judge", {})
    points, counts = judge.get("score_points"), judge.get("score_histogram")
    if not points or not counts:
        return DASH
    lines = [counts[start : start + _BINS_A_LINE] for start in range(0, len(counts), _BINS_A_LINE)]
    return "\n".join([f"{points[0]:g} to {points[-1]:g}:", *(" ".join(map(str, line)) for line in lines)])


def _seconds(*stages: str):
    """Of these stages, and of what every other sampler than the policy has as its own ("rollouts-initial")."""

    def cell(manifest: dict[str, Any]) -> str:
        values = [value for stage, value in manifest["seconds"].items() if stage.split("-")[0] in stages]
        return f"{sum(values):.0f}" if values else DASH

    return cell


_ROWS: tuple[tuple[str | None, Any], ...] = (
    ("new prompts kept", _number("new_prompts", "kept")),
    ("  dropped, by reason", _by_reason("new_prompts", "dropped")),
    ("prompts in", _number("data", "prompts")),
    ("rollouts", _number("data", "rollouts")),
    ("  truncated", _number("data", "truncated")),
    ("  empty", _number("data", "empty")),
    ("  same across prompts", _number("data", "duplicates", percent=True)),
    ("judged (votes)", _votes),
    ("dropped, by reason", _by_reason("data", "dropped")),
    ("pairs", _nonzero("data", "pairs")),
    ("groups", _nonzero("data", "groups")),
    ("  score margin", _number("data", "score_margin")),
    ("  length gap (tokens)", _number("data", "length_gap_tokens", digits=1)),
    ("  chosen is the longer", _number("data", "prefers_longer", percent=True)),
    (None, None),
    ("loss", _number("learn", "loss", digits=4)),
    ("rewards/margins", _number("learn", "rewards/margins", digits=4)),
    ("rewards/accuracies", _number("learn", "rewards/accuracies", percent=True)),
    ("reward model: accuracy", _number("learn", "accuracy", percent=True)),
    ("reward model: held-out accuracy", _number("heldout", "accuracy", percent=True)),
    ("objective/scores", _number("learn", "objective/scores")),
    ("objective/kl (nats a response)", _number("learn", "objective/kl")),
    ("policy/entropy_avg", _number("learn", "policy/entropy_avg")),
    ("policy/clipfrac_avg", _number("learn", "policy/clipfrac_avg", percent=True)),
    ("grad norm", _number("learn", "grad_norm")),
    ("optimizer steps", _number("learn", "steps")),
    ("sync parity (nats)", _parity),
    (None, None),
    ("judge: parse rate", _judged("parse_rate", percent=True)),
    ("judge: tie rate", _judged("tie_rate", percent=True)),
    ("judge: scores, by bin", _histogram),
    ("judge: in the fullest bin", _judged("score_concentration", percent=True)),
    ("judge: score–length corr.", _judged("score_length_correlation", digits=2)),
    ("  given the log-probs", _judged("score_length_partial", digits=2)),
    ("judge: score–logp corr.", _judged("score_likelihood_correlation", digits=2)),
    ("judge: mass on scores", _judged("choice_mass", percent=True)),
    ("judge: same both ways round", _judged("swap_consistency", percent=True)),
    ("judge: prefers the first", _judged("prefers_first", percent=True)),
    ("judge: prefers neither", _judged("even_comparisons", percent=True)),
    ("judge: agrees with the generator", _judged("agreement_rate", percent=True)),
    *((f"canary {name} : policy", _canary(name)) for name in CANARIES),
    ("drift: rank correlation", _number("evaluation", "judge_drift", "spearman", digits=2)),
    ("drift: shift of mean score", _number("evaluation", "judge_drift", "mean_shift", digits=2)),
    ("labels' drift: rank correlation", _number("evaluation", "labels_judge_drift", "spearman", digits=2)),
    ("labels' drift: shift of mean", _number("evaluation", "labels_judge_drift", "mean_shift", digits=2)),
    ("labels' drift: same verdicts", _number("evaluation", "labels_judge_drift", "agreement", percent=True)),
    ("judge: self-preference", _number("evaluation", "self_preference", "self_preference", percent=True)),
    (None, None),
    ("held-out: judge score", _number("evaluation", "judge", "score_mean")),
    ("held-out: judge agrees", _number("evaluation", "judge", "agreement_rate", percent=True)),
    ("held-out: same across prompts", _number("evaluation", "duplicates", percent=True)),
    ("held-out: mean length", _number("evaluation", "length_mean", digits=1)),
    ("fresh: judge score", _number("evaluation", "fresh", "judge", "score_mean")),
    ("fresh: judge agrees", _number("evaluation", "fresh", "judge", "agreement_rate", percent=True)),
    ("fresh: mean length", _number("evaluation", "fresh", "length_mean", digits=1)),
    ("held-out: distinct-1", _number("evaluation", "distinct_1")),
    ("held-out: distinct-2", _number("evaluation", "distinct_2")),
    ("held-out: pairs", _number("evaluation", "heldout_pairs")),
    ("held-out: implicit accuracy", _number("evaluation", "implicit_accuracy", percent=True)),
    ("held-out: implicit margin", _number("evaluation", "implicit_margin")),
    (None, None),
    ("seconds: new prompts", _seconds("prompts")),
    ("seconds: sample", _seconds("rollouts")),
    ("seconds: judge", _seconds("judgments")),
    ("seconds: learn", _seconds("prepare", "learn", "select", "save")),
    ("seconds: sync", _seconds("sync")),
    ("seconds: evaluate", _seconds("evaluate")),
    ("seconds: round", _seconds("round")),
)
