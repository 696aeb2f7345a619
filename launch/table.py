"""The table of a run's rounds, and sample responses: what `run`, `resume` and `show` print."""

from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from ..orchestrator.ledger import Ledger
from ..orchestrator.prompts import PromptStore
from ..orchestrator.records import Rollout

DASH = "–"


def rounds_table(ledger: Ledger) -> Table:
    """One column a finished round; round 0 is the initial policy."""
    manifests = [ledger.manifest(round) for round in ledger.finished_rounds()]
    table = Table()
    table.add_column("")
    for manifest in manifests:
        table.add_column(_heading(manifest), justify="right")
    for label, cell in _ROWS:
        if label is None:
            table.add_section()
            continue
        cells = [cell(manifest) for manifest in manifests]
        if any(text != DASH for text in cells):
            table.add_row(label, *cells)
    return table


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
    """The table, a few samples, and where the trained policy is."""
    header, finished = ledger.header(), ledger.finished_rounds()
    done, planned = max(len(finished) - 1, 0), header["config"]["run"]["rounds"]
    console.print(Text(f"{ledger.url}: {done} of {planned} rounds"), soft_wrap=True)
    if finished:
        console.print(rounds_table(ledger))
    console.print(samples(ledger, header["config"]["evaluation"]["samples_shown"]))
    if finished and finished[-1] > 0:
        made = ledger.manifest(finished[-1])
        console.print(Text(f"\ntrained policy: {made['policy']['path']}"), soft_wrap=True)
        if made["reward_model"]:
            console.print(Text(f"reward model: {made['reward_model']['path']}"), soft_wrap=True)


def _responses(ledger: Ledger, round: int, count: int) -> dict[str, str]:
    found: dict[str, str] = {}
    for rollout in ledger.read_stage(round, "eval-rollouts", Rollout):
        if len(found) == count:
            break
        found[rollout.prompt_id] = rollout.text
    return found


def one_line(text: str) -> str:
    """Text of models and data sets as one printable line: nothing in it reaches the terminal as a command."""
    flat = "".join(character for character in " ".join(text.split()) if character.isprintable())
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


def _dropped(manifest: dict[str, Any]) -> str:
    dropped = manifest.get("data", {}).get("dropped")
    if dropped is None:
        return DASH
    return "\n".join(f"{reason} {count}" for reason, count in dropped.items()) or "0"


def _votes(manifest: dict[str, Any]) -> str:
    judge = manifest.get("data", {}).get("judge")
    return f"{judge['votes']:,}" if judge else DASH


def _histogram(manifest: dict[str, Any]) -> str:
    counts = manifest.get("data", {}).get("judge", {}).get("score_histogram")
    return " ".join(map(str, counts)) if counts else DASH


def _seconds(*stages: str):
    def cell(manifest: dict[str, Any]) -> str:
        seconds = manifest["seconds"]
        values = [seconds[stage] for stage in stages if stage in seconds]
        return f"{sum(values):.0f}" if values else DASH

    return cell


_ROWS: tuple[tuple[str | None, Any], ...] = (
    ("prompts in", _number("data", "prompts")),
    ("rollouts", _number("data", "rollouts")),
    ("  truncated", _number("data", "truncated")),
    ("judged (votes)", _votes),
    ("dropped, by reason", _dropped),
    ("pairs", _nonzero("data", "pairs")),
    ("groups", _nonzero("data", "groups")),
    ("  score margin", _number("data", "score_margin")),
    ("  length gap (tokens)", _number("data", "length_gap_tokens", digits=1)),
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
    ("judge: parse rate", _number("data", "judge", "parse_rate", percent=True)),
    ("judge: tie rate", _number("data", "judge", "tie_rate", percent=True)),
    ("judge: scores 0|1|2|3|4|5", _histogram),
    ("judge: score–length corr.", _number("data", "judge", "score_length_correlation", digits=2)),
    ("judge: mass on scores", _number("data", "judge", "choice_mass", percent=True)),
    ("judge: same both ways round", _number("data", "judge", "swap_consistency", percent=True)),
    ("judge: prefers the first", _number("data", "judge", "prefers_first", percent=True)),
    ("judge: agrees with the generator", _number("data", "judge", "agreement_rate", percent=True)),
    (None, None),
    ("held-out: judge score", _number("evaluation", "judge", "score_mean")),
    ("held-out: judge agrees", _number("evaluation", "judge", "agreement_rate", percent=True)),
    ("held-out: mean length", _number("evaluation", "length_mean", digits=1)),
    ("held-out: distinct-1", _number("evaluation", "distinct_1")),
    ("held-out: distinct-2", _number("evaluation", "distinct_2")),
    ("held-out: pairs", _number("evaluation", "heldout_pairs")),
    ("held-out: implicit accuracy", _number("evaluation", "implicit_accuracy", percent=True)),
    ("held-out: implicit margin", _number("evaluation", "implicit_margin")),
    (None, None),
    ("seconds: sample", _seconds("rollouts")),
    ("seconds: judge", _seconds("judgments")),
    ("seconds: learn", _seconds("prepare", "learn", "select", "save")),
    ("seconds: sync", _seconds("sync")),
    ("seconds: evaluate", _seconds("evaluate")),
    ("seconds: round", _seconds("round")),
)
