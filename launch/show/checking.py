"""`roundelay check`: what of a run is damaged, what depends on it, and what is set aside to be computed again."""

from rich.console import Console
from rich.text import Text

from ...orchestrator.ledger.checking import Damage, check_run
from ...orchestrator.ledger.healing import SET_ASIDE, can_heal, heal
from ...orchestrator.ledger.lease import held
from ...orchestrator.ledger.ledger import Ledger


def check(console: Console, errors: Console, url: str, *, mend: bool) -> bool:
    """Verify a run and print what is found; with `mend`, set aside what a resume computes again.

    Returns:
        whether the run is whole, or can be resumed now.

    Raises:
        ConfigError: there is no run, or (with `mend`) another driver is at work in it.
    """
    ledger = Ledger(url)
    if not ledger.exists("run.yaml"):
        ledger.header()  # which says so
    with errors.status("verifying") as status:
        damages = check_run(ledger, lambda part: status.update(f"verifying {part}"))
    for damage in damages:
        console.print(Text(_described(ledger, damage)), soft_wrap=True)
    if not damages:
        console.print(Text(f"{ledger.url}: every file is what the run wrote"), soft_wrap=True)
        return True
    healable = [damage for damage in damages if can_heal(ledger, damage)]
    if not mend:
        if healable:
            console.print(Text(f"set aside what can be computed again: roundelay check {url} --heal"), soft_wrap=True)
        return False
    with held(ledger.root) as lease:
        ledger.lease = lease
        moved = heal(ledger, damages)
    console.print(Text(f"moved to {ledger.path(SET_ASIDE)}: {len(moved)} files and directories"), soft_wrap=True)
    if lost := len(damages) - len(healable):
        console.print(Text(f"cannot be computed again: {lost} of {len(damages)}; restore them from a copy"))
    else:
        console.print(Text(f"go on with: roundelay resume {url}"), soft_wrap=True)
    return not lost


def _described(ledger: Ledger, damage: Damage) -> str:
    heals = "a resume computes it again once it is set aside" if can_heal(ledger, damage) else "restore it from a copy"
    return f"{ledger.absolute(damage.path)}: {damage.how}\n  depends on it: {damage.depends}\n  remedy: {heals}"
