"""`roundelay lm-eval`: a round's policy handed to EleutherAI's lm-eval, which runs in a process of its own."""

import importlib.util
import subprocess
import sys
from collections.abc import Sequence

from ...orchestrator.errors import ConfigError, RunError
from ...orchestrator.ledger.model_files import verified_copy
from .rounds import FinishedRound, finished_round, kept_policy


def run_harness(of: str, tasks: str, extra: Sequence[str]) -> str:
    """Evaluate a round's policy on lm-eval's `tasks`; `extra` words go to `lm-eval run` as they are.

    Returns:
        where its results are.

    Raises:
        ConfigError: lm-eval is not installed, or the round has no policy any more.
        RunError: lm-eval failed; it printed why.
    """
    side = finished_round(of)
    policy = kept_policy(side)
    if importlib.util.find_spec("lm_eval") is None:
        raise ConfigError("lm-eval is not installed", "pip install 'roundelay[eval]'")
    output = results_directory(side)
    command = harness_command(
        verified_copy(policy), tasks, output, dtype=side.ledger.header()["config"]["model"]["dtype"], extra=extra
    )
    done = subprocess.run(command, check=False)
    if done.returncode:
        raise RunError(
            f"lm-eval ended with exit code {done.returncode}",
            "read what it printed above; `lm-eval ls tasks` lists its tasks",
        )
    return output


def harness_command(policy: str, tasks: str, output: str, *, dtype: str, extra: Sequence[str]) -> list[str]:
    """The words of `lm-eval run` for a policy directory. The chat template is applied, as in training.

    Raises:
        ConfigError: the directory's name cannot be told to lm-eval.
    """
    if any(character in policy for character in ",= "):
        raise ConfigError(
            f"lm-eval splits its arguments at commas, equals signs and spaces, which {policy} holds",
            "move or rename the run's directory",
        )
    arguments = f"pretrained={policy},dtype={dtype}"
    return [
        *(sys.executable, "-m", "lm_eval", "run", "--model", "hf", "--model_args", arguments),
        *("--tasks", tasks, "--output_path", output, "--apply_chat_template", *extra),
    ]


def results_directory(of: FinishedRound) -> str:
    """Beside the run where that is local, else in the working directory."""
    name = f"lm-eval/{of.round:03d}"
    return f"{of.ledger.root}/{name}" if of.ledger.local else name
