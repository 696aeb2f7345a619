"""Which policy is which: identities come from the ledger, so a resumed run has the same policies and references."""

import hashlib
from pathlib import Path

from .config import ReferenceConfig
from .ledger import Ledger, round_name
from .records import PolicyRef


def initial_policy(ledger: Ledger) -> PolicyRef:
    """The model the run started from."""
    return PolicyRef(version=0, **ledger.header()["initial_policy"])


def policy_of(ledger: Ledger, round: int) -> PolicyRef | None:
    """The policy that round `round` made, or None if its update is not finished."""
    if round == 0:
        return initial_policy(ledger)
    if not ledger.exists(round_name(round), "learn.json"):
        return None
    return PolicyRef(**ledger.read_json(round_name(round), "learn.json")["policy"])


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
    reference = policy_of(ledger, 0 if config.policy == "initial" else round - 1)
    assert reference is not None, "a round starts after the one before it"
    return reference


def weights_hash(path: str) -> str:
    """SHA-256 over a policy directory's safetensors files, in name order."""
    digest = hashlib.sha256()
    for file in sorted(Path(path).glob("*.safetensors")):
        digest.update(file.name.encode())
        with file.open("rb") as stream:
            while chunk := stream.read(1 << 22):
                digest.update(chunk)
    return digest.hexdigest()
