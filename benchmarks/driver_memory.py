"""The driver's peak memory for a round of N prompts, with a scripted engine instead of vLLM and DeepSpeed.

    python benchmarks/driver_memory.py 1000 100000

Each N runs in a process of its own. Everything on the driver's side is real: prompt store, shards, stages, recipe
functions, ledger. Only what answers is scripted.
"""

import asyncio
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from roundelay.launch.config.loading import config_values, load_config
from roundelay.launch.phases import build_phase
from roundelay.orchestrator.data.records import (
    Generation,
    GenerationRequest,
    PolicyRef,
    TokenSequence,
    TrainingExample,
    UpdateStart,
)
from roundelay.orchestrator.driver import RoundDriver
from roundelay.orchestrator.ledger.ledger import Ledger
from roundelay.orchestrator.prompts.store import PromptStore, freeze_prompts
from roundelay.orchestrator.round.stages import Stages

RESPONSE = tuple(range(100, 132))


class ScriptedRollouts:
    """Answers at once: 32 tokens that depend on the seed."""

    policy_version = 0

    async def generate(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        return [self._answer(request) for request in requests]

    async def score(self, sequences: Sequence[TokenSequence]) -> list[list[list[float]]]:
        return [[[-1.0] * len(sequence.token_ids) for sequence in sequences]]

    async def load(self, weights: Any, policy: PolicyRef) -> None:
        self.policy_version = policy.version

    async def sleep(self) -> None: ...

    async def wake(self) -> None: ...

    async def busy_seconds(self) -> dict[str, float]:
        return {}

    def _answer(self, request: GenerationRequest) -> Generation:
        return Generation(
            prompt_token_ids=RESPONSE[:16],
            plain_token_ids=RESPONSE[:16],
            token_ids=(request.seed % 1000, *RESPONSE[1:]),
            logprobs=(-1.0,) * len(RESPONSE),
            text=f"answer {request.seed}",
            finish_reason="stop",
            choice_logprobs=tuple(-1.0 - (request.seed % 7) * i for i in range(len(request.choices))),
        )


class ScriptedLearner:
    """Counts pairs and steps on every eighth."""

    def __init__(self) -> None:
        self.pairs = 0

    async def hold(self, policy: PolicyRef) -> None: ...

    async def begin(self, start: UpdateStart) -> None: ...

    async def restore(self, start: UpdateStart, checkpoint: PolicyRef) -> str: ...

    async def prepare(self, examples: Sequence[TrainingExample], *, last: bool) -> None: ...

    async def checkpoint(self, round: int, path: str) -> PolicyRef: ...

    async def update(self, examples: Sequence[TrainingExample], *, flush: bool) -> list[dict[str, float]]:
        self.pairs += len(examples)
        step = {"step": self.pairs // 8, "pairs": 8, "loss": 0.5, "learning_rate": 1e-6}
        return [step] * (len(examples) // 8)

    async def measure(self, examples: Sequence[TrainingExample]) -> dict[str, float]: ...

    async def logps(self, sequences: Sequence[TokenSequence]) -> list[list[float]]:
        return [[-1.0] * len(sequence.token_ids) for sequence in sequences]

    async def scores(self, sequences: Sequence[TokenSequence]) -> list[list[float]]: ...

    async def weights(self) -> Any: ...

    async def save(self, version: int, name: str = "policy") -> PolicyRef:
        return PolicyRef(version=version, path="scripted", sha256="0" * 64)

    async def save_reward_model(self, version: int) -> PolicyRef: ...

    async def save_critic(self, version: int) -> PolicyRef: ...

    async def save_mixture(self, version: int, name: str, parts: Sequence[tuple[PolicyRef, float]]) -> PolicyRef: ...

    async def busy_seconds(self) -> dict[str, float]:
        return {}


class Silent:
    """An observer that looks away."""

    def stage(self, *_: Any, **__: Any) -> None: ...

    def metrics(self, *_: Any, **__: Any) -> None: ...

    def pairs(self, *_: Any, **__: Any) -> None: ...

    def note(self, text: str) -> None: ...


def run_round(num_prompts: int, directory: Path) -> dict[str, float]:
    """One round over `num_prompts` prompts.

    Returns:
        the process's peak memory in MiB, and the number of pairs that the learner got.
    """
    source, heldout = directory / "prompts.jsonl", directory / "heldout.jsonl"
    with source.open("w") as file:
        for index in range(num_prompts):
            file.write(json.dumps({"prompt": f"Question {index}: what comes after {index}?"}) + "\n")
    heldout.write_text("".join(json.dumps({"prompt": f"Held out {index}"}) + "\n" for index in range(16)))
    config = load_config(
        [
            "recipe=rlcd_dpo",
            "prompts=file",
            f"prompts.train.path={source}",
            f"prompts.heldout.path={heldout}",
            f"run.prompts_per_round={num_prompts}",
            "run.prompts_per_shard=50",
            "run.rounds=1",
            "evaluation.num_prompts=16",
            "cluster.colocated=false",
        ],
        default_name="memory",
    )
    ledger = Ledger(str(directory / "run"))
    for name, prompts in (("train", config.prompts.train), ("heldout", config.prompts.heldout)):
        freeze_prompts(ledger, config.prompts, field=name, source=prompts, name=name)
    ledger.create({"config": config_values(config), "initial_policy": {"path": "scripted", "sha256": "0" * 64}})
    rollouts, learner = ScriptedRollouts(), ScriptedLearner()
    driver = RoundDriver(
        config=config,
        build=partial(build_phase, scorers=None),
        ledger=ledger,
        train={"train": PromptStore(ledger, "train")},
        heldout=PromptStore(ledger, "heldout"),
        stages=Stages(ledger=ledger, rollouts=rollouts, observer=Silent()),
        rollouts=rollouts,
        learner=learner,
        scorers=None,
    )
    asyncio.run(driver.run())
    return {"peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "pairs": learner.pairs}


def main() -> None:
    if sys.argv[1] == "--one":
        with tempfile.TemporaryDirectory() as directory:
            print(json.dumps(run_round(int(sys.argv[2]), Path(directory))))
        return
    for count in sys.argv[1:]:
        done = subprocess.run([sys.executable, __file__, "--one", count], check=True, capture_output=True, text=True)
        result = json.loads(done.stdout.splitlines()[-1])
        print(f"{int(count):>9,} prompts: {result['pairs']:>9,} pairs, peak {result['peak_mib']:7.1f} MiB", flush=True)


if __name__ == "__main__":
    main()
