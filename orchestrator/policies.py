"""Which policy is which: identities come from the ledger, so a resumed run has the same policies and references."""

import hashlib
import tempfile
from collections.abc import Iterable
from pathlib import Path

import fsspec

from .config import Config
from .ledger import Ledger, round_name
from .objective_config import ReferenceConfig
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
    """The models that judges name (see `judge_config`): beside `policy`, as they are after the update of `round`.

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
                found[name] = PolicyRef(version=0, **ledger.header()["models"][name])
    return {name: model for name, model in found.items() if model is not None}


def critic_of(ledger: Ledger, round: int) -> PolicyRef | None:
    """What round `round`'s critic starts from: the critic of the round before, else the newest reward model."""
    return _made(ledger, round - 1, "critic") or reward_model_of(ledger, round - 1)


def optimizer_of(ledger: Ledger, config: Config, round: int) -> str | None:
    """Where the optimizer is that round `round` goes on with, None for a new one: a phase begins a new one too."""
    same_phase = round > 1 and config.phase_name(round) == config.phase_name(round - 1)
    if config.at(round).learner.optimizer == "fresh" or not same_phase:
        return None
    return ledger.read_json(round_name(round - 1), "learn.json")["optimizer"]


def _made(ledger: Ledger, round: int, name: str) -> PolicyRef | None:
    """A model that a round's update made beside its policy."""
    if round < 1 or not ledger.exists(round_name(round), "learn.json"):
        return None
    model = ledger.read_json(round_name(round), "learn.json")[name]
    return PolicyRef(**model) if model else None


def weights_hash(path: str) -> str:
    """SHA-256 over a policy directory's safetensors files, in name order."""
    digest = hashlib.sha256()
    for file in sorted(Path(path).glob("*.safetensors")):
        digest.update(file.name.encode())
        with file.open("rb") as stream:
            while chunk := stream.read(1 << 22):
                digest.update(chunk)
    return digest.hexdigest()


def local_copy(path: str) -> str:
    """A local directory with the policy at `path`: itself, or where a URL's files were fetched to on this machine."""
    if "://" not in path:
        return path
    target = Path(tempfile.gettempdir(), "roundelay-policies", hashlib.sha256(path.encode()).hexdigest()[:16])
    fs, remote = fsspec.core.url_to_fs(path)
    target.mkdir(parents=True, exist_ok=True)
    for name in fs.ls(remote, detail=False):
        fs.get_file(name, str(target / name.rpartition("/")[2]))
    return str(target)


def publish(directory: str, path: str) -> None:
    """Copy a local policy directory to the URL `path`."""
    fs, remote = fsspec.core.url_to_fs(path)
    fs.makedirs(remote, exist_ok=True)
    for file in sorted(Path(directory).iterdir()):
        fs.put_file(str(file), f"{remote}/{file.name}")
