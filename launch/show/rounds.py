"""A round's policy by name, RUN[:ROUND], for the commands that look at finished rounds."""

import re
from dataclasses import dataclass

import fsspec

from ...orchestrator.data.records import Message, PolicyRef, Prompt, Rollout
from ...orchestrator.errors import ConfigError
from ...orchestrator.ledger.checking import check_manifests
from ...orchestrator.ledger.ledger import Ledger
from ...orchestrator.ledger.policies import policy_of
from ...orchestrator.prompts.store import PromptStore


@dataclass(frozen=True, kw_only=True, slots=True)
class FinishedRound:
    """A finished round of a run, and the policy that it made.

    Example:
        FinishedRound(ledger=Ledger("runs/demo"), round=2, policy=policy)
    """

    ledger: Ledger
    round: int
    policy: PolicyRef

    @property
    def name(self) -> str:
        return f"{self.ledger.url}:{self.round}"


def run_and_round(text: str) -> tuple[str, int | None]:
    """RUN and ROUND of "RUN[:ROUND]".

    Example:
        >>> run_and_round("s3://bucket/demo:2"), run_and_round("runs/demo")
        (('s3://bucket/demo', 2), ('runs/demo', None))
    """
    match = re.fullmatch(r"(.+):(\d+)", text)
    return (match[1], int(match[2])) if match else (text, None)


def finished_round(text: str) -> FinishedRound:
    """The round that `text` names, the newest finished one where it gives none.

    Raises:
        ConfigError: there is no such run or round.
    """
    url, number = run_and_round(text)
    rounds = finished_rounds(url)
    if number is None:
        return rounds[-1]
    for one in rounds:
        if one.round == number:
            return one
    raise ConfigError(
        f"round {number} of {url} is not finished",
        f"choose one of {', '.join(str(one.round) for one in rounds)}, or resume the run",
    )


def finished_rounds(url: str) -> list[FinishedRound]:
    """All finished rounds of a run, the evaluation of the initial policy (round 0) first.

    Raises:
        ConfigError: there is no run, or nothing of it is finished.
        DamagedFile: a file is not what the run wrote, or it is gone.
    """
    ledger = Ledger(url)
    ledger.header()
    check_manifests(ledger)
    found = []
    for number in ledger.finished_rounds():
        policy = policy_of(ledger, number)
        assert policy is not None, "a finished round has a policy"
        found.append(FinishedRound(ledger=ledger, round=number, policy=policy))
    if not found:
        raise ConfigError(f"no round of {url} is finished", f"go on with it: roundelay resume {url}")
    return found


def kept_policy(of: FinishedRound) -> PolicyRef:
    """The round's policy, whose files are still there.

    Raises:
        ConfigError: they are gone.
    """
    if not _exists(of.policy):
        kept = [one.round for one in finished_rounds(of.ledger.url) if _exists(one.policy)]
        raise ConfigError(
            f"the policy of {of.name} is gone from {of.policy.path}",
            (f"choose one of the rounds {', '.join(map(str, kept))}; " if kept else "")
            + "run.keep_policies says how many a run keeps",
        )
    return of.policy


def _exists(policy: PolicyRef) -> bool:
    fs, path = fsspec.core.url_to_fs(policy.path)
    return fs.exists(path)


def heldout_responses(of: FinishedRound) -> dict[tuple[Message, ...], tuple[Prompt, Rollout]]:
    """The round's response to every held-out prompt, by what was asked: ids may differ between runs."""
    prompts = {prompt.id: prompt for prompt in PromptStore(of.ledger, "heldout")}
    responses = of.ledger.read_stage(of.round, "eval-rollouts", Rollout)
    return {(prompt := prompts[rollout.prompt_id]).messages: (prompt, rollout) for rollout in responses}
