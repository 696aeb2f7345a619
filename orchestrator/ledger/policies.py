"""Which policy is which: identities come from the ledger, so a resumed run has the same policies and references."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ..config.schema import Config
from ..data.records import PolicyRef
from ..errors import DamagedFile
from ..parts.objective import ReferenceConfig
from .checksums import weights_hash
from .ledger import GONE, Ledger, round_name
from .model_files import local_copy

# Where a model that a round made lies, in whatever directory the run was when it was made.
_OF_ROUND = re.compile(r"(?:.*/)?(rounds/(\d{3,})/\w+)")


def named(ledger: Ledger, model: PolicyRef) -> dict[str, Any]:
    """A model as the ledger names it: version, path (relative in the run directory) and hash."""
    return {"version": model.version, "path": ledger.relative(model.path), "sha256": model.sha256}


def recorded(ledger: Ledger, model: PolicyRef) -> dict[str, Any]:
    """A model as the ledger records it where it was made: `named`, with its files' hashes."""
    return {**named(ledger, model), "files": dict(model.files)}


def read_ref(ledger: Ledger, values: Mapping[str, Any]) -> PolicyRef:
    """The model that `named` or `recorded` wrote. Runs of format 1 wrote absolute paths: a model that a round of the
    run made is looked up where the run is now."""
    path, version = values["path"], values["version"]
    of_round = _OF_ROUND.fullmatch(path)
    if of_round and version == int(of_round[2]) > 0:
        path = of_round[1]
    return PolicyRef(
        version=version, path=ledger.absolute(path), sha256=values["sha256"], files=values.get("files", {})
    )


def initial_policy(ledger: Ledger) -> PolicyRef:
    """The model the run started from."""
    return read_ref(ledger, {"version": 0, **ledger.header()["initial_policy"]})


def policy_of(ledger: Ledger, round: int) -> PolicyRef | None:
    """The policy that round `round` made, or None if its update is not finished."""
    if round == 0:
        return initial_policy(ledger)
    learnt = learned(ledger, round)
    return read_ref(ledger, learnt["policy"]) if learnt else None


def learned(ledger: Ledger, round: int) -> dict[str, Any] | None:
    """What round `round`'s update made and reported, or None if it is not finished.

    Raises:
        DamagedFile: learn.json is not what was written, or it is gone from a finished round.
    """
    name = round_name(round)
    if ledger.exists(name, "learn.json"):
        return ledger.read_json(name, "learn.json")
    if ledger.exists(name, "manifest.json"):
        raise DamagedFile.at(ledger.path(name, "learn.json"), GONE)
    return None


def round_policy(config: Config, ledger: Ledger, round: int) -> PolicyRef:
    """What round `round` begins with: what samples, judges and is the previous policy. `config` is the whole run's."""
    goes_back = round > 1 and config.at(round).learner.start == "before_previous"
    policy = policy_of(ledger, max(0, round - 2 if goes_back else round - 1))
    assert policy is not None, "a round starts after those before it"
    return policy


def newest_policy(ledger: Ledger) -> PolicyRef:
    """The policy to go on with: of the newest round whose update is finished, whether or not it is evaluated."""
    finished = ledger.finished_rounds()
    last = finished[-1] if finished else 0
    policy = policy_of(ledger, last + 1) or policy_of(ledger, last)
    assert policy is not None, "a finished round has a policy"
    return policy


def reference_of(ledger: Ledger, config: ReferenceConfig, round: int) -> PolicyRef | None:
    """The reference of round `round`'s update, by identity: never a snapshot of what happens to be loaded."""
    if config.policy == "none":
        return None
    if config.policy == "average" and (average := _made(ledger, round - 1, "average")):
        return average
    reference = policy_of(ledger, round - 1 if config.policy == "previous" else 0)
    assert reference is not None, "a round starts after the one before it"
    return reference


def reward_model_of(ledger: Ledger, round: int) -> PolicyRef | None:
    """The newest reward model that rounds up to `round` trained, or None."""
    return next((model for r in range(round, 0, -1) if (model := _made(ledger, r, "reward_model"))), None)


def judging_models(ledger: Ledger, names: Iterable[str], policy: PolicyRef, round: int) -> dict[str, PolicyRef]:
    """The models that judges name (see `parts.judge`): beside `policy`, as they are after the update of `round`.

    A reward model that is not trained yet is left out. The initial policy was learnt from none: its previous one is
    itself.
    """
    found: dict[str, PolicyRef | None] = {}
    for name in names:
        match name:
            case "reward_model":
                found[name] = reward_model_of(ledger, round)
            case "policy":
                found[name] = policy
            case "previous":
                found[name] = policy_of(ledger, max(0, policy.version - 1))
            case "initial":
                found[name] = initial_policy(ledger)
            case _:
                found[name] = read_ref(ledger, {"version": 0, **ledger.header()["models"][name]})
    return {name: model for name, model in found.items() if model is not None}


def critic_of(ledger: Ledger, round: int) -> PolicyRef | None:
    """What round `round`'s critic starts from: the critic of the round before, else the newest reward model."""
    return _made(ledger, round - 1, "critic") or reward_model_of(ledger, round - 1)


def optimizer_of(ledger: Ledger, config: Config, round: int) -> PolicyRef | None:
    """The optimizer that round `round` goes on with, None for a new one: a phase begins a new one too."""
    same_phase = round > 1 and config.phase_name(round) == config.phase_name(round - 1)
    if config.at(round).learner.optimizer == "fresh" or not same_phase:
        return None
    optimizer = ledger.read_json(round_name(round - 1), "learn.json")["optimizer"]
    if isinstance(optimizer, str):  # format 1
        return unrecorded(ledger.model_path(round - 1, "optimizer"), round - 1)
    return read_ref(ledger, optimizer)


def checkpoint_of(ledger: Ledger, round: int, steps: int) -> PolicyRef:
    """The checkpoint of round `round`'s unfinished update after `steps` optimizer steps."""
    path, recorded = ledger.checkpoint_path(round, steps), ledger.checkpoints(round)
    if str(steps) not in recorded:  # format 1
        return unrecorded(path, round)
    return PolicyRef(version=round, path=path, **recorded[str(steps)])


def unrecorded(path: str, version: int) -> PolicyRef:
    """What lies at `path`, of which a run of format 1 recorded no hash."""
    return PolicyRef(version=version, path=path, sha256=weights_hash(local_copy(path)))


def _made(ledger: Ledger, round: int, name: str) -> PolicyRef | None:
    """A model that a round's update made beside its policy."""
    learnt = learned(ledger, round) if round > 0 else None
    model = learnt[name] if learnt else None
    return read_ref(ledger, model) if model else None
