"""Engines and a learner that only keep account, for tests of the driver alone: whose weights answered, what was learnt.

A policy is known by where it lies. Answers say whose weights gave them; so does what is learnt, saved and mixed.
"""

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from roundelay.launch.phases import build_phase
from roundelay.orchestrator.config.schema import Config
from roundelay.orchestrator.data.records import (
    Generation,
    GenerationRequest,
    PolicyRef,
    TokenSequence,
    TrainingExample,
    UpdateStart,
)
from roundelay.orchestrator.driver import RoundDriver
from roundelay.orchestrator.ledger.checksums import model_files, weights_hash
from roundelay.orchestrator.ledger.ledger import Ledger
from roundelay.orchestrator.ledger.retention import drop_unfinished_metrics
from roundelay.orchestrator.prompts.store import PromptStore, freeze_prompts
from roundelay.orchestrator.round.stages import Stages
from roundelay.recipes.schedules import learning_rate_factor

from .configs import changed
from .observers import Notes


class Stopped(Exception):
    """The power went."""


class ScriptedRollouts:
    """Answers by weights and seed. `stop_after` calls the power goes."""

    def __init__(self, policy: PolicyRef, stop_after: int | None = None):
        self.policy_version, self.held = policy.version, policy.path
        self.calls_left, self.loads, self.votes = stop_after, [], Counter[str]()

    async def generate(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        if self.calls_left is not None:
            self.calls_left -= 1
            if self.calls_left < 0:
                raise Stopped
        await asyncio.sleep(0)
        return [self._answer(request) for request in requests]

    async def score(self, sequences: Sequence[TokenSequence]) -> list[list[list[float]]]:
        return [[[-1.0] * len(sequence.token_ids) for sequence in sequences]]

    async def load(self, weights: str, policy: PolicyRef) -> None:
        assert weights == policy.path, "the learner holds another policy than it should give"
        self.policy_version, self.held = policy.version, policy.path
        self.loads.append(policy.path)

    async def sleep(self) -> None: ...

    async def wake(self) -> None: ...

    async def busy_seconds(self) -> dict[str, float]:
        return {}

    def _answer(self, request: GenerationRequest) -> Generation:
        if request.choices:
            self.votes[self.held] += 1  # by whose weights
        mass = (len(str(request.messages)) + sum(map(ord, request.messages[-1].content))) % 7
        text = f"{Path(self.held).name}: {request.seed}"
        token = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=2).digest(), "big")
        return Generation(
            prompt_token_ids=(1, 2),
            plain_token_ids=(1, 2),
            token_ids=(token, 2),
            logprobs=(-1.0, -1.0),
            text=text,
            finish_reason="stop",
            choice_logprobs=tuple(-1.0 - mass * i for i in range(len(request.choices))),
        )


class ScriptedLearner:
    """Steps on every `pairs_per_step` examples. A saved policy is a file that lists what it was made of."""

    def __init__(self, ledger: Ledger, config: Config, measures: dict[str, dict[str, float]] | None = None):
        self.ledger, self.size, self.measures = ledger, config.learner.pairs_per_step, measures or {}
        self.warmup_fraction = config.learner.warmup_fraction
        self.held = ""  # where the policy lies whose weights are loaded
        self.starts: list[UpdateStart] = []
        self.learnt: list[TrainingExample] = []  # in this update, in order
        self.updates: dict[int, list[TrainingExample]] = {}  # by round
        self.pending: list[TrainingExample] = []
        self.mixtures: list[tuple[int, str, list[tuple[str, float]]]] = []

    async def hold(self, policy: PolicyRef) -> None:
        self.held = policy.path

    async def begin(self, start: UpdateStart) -> None:
        self.starts.append(start)
        self.held, self.learnt, self.pending = start.policy.path, [], []
        self.updates.setdefault(start.round, self.learnt)

    async def restore(self, start: UpdateStart, checkpoint: PolicyRef) -> str:
        await self.begin(start)
        self.updates[start.round] = self.learnt
        return "restored"

    async def prepare(self, examples: Sequence[TrainingExample], *, last: bool) -> None: ...

    async def checkpoint(self, round: int, path: str) -> PolicyRef:
        Path(path).mkdir(parents=True, exist_ok=True)
        return PolicyRef(version=round, path=path, sha256="0")

    async def update(self, examples: Sequence[TrainingExample], *, flush: bool) -> list[dict[str, float]]:
        self.pending.extend(examples)
        steps = []
        while len(self.pending) >= self.size or (flush and self.pending):
            step, self.pending = self.pending[: self.size], self.pending[self.size :]
            self.learnt.extend(step)
            rate = learning_rate_factor(
                step[0].progress, end=step[-1].progress + step[-1].share, schedule="constant",
                warmup_fraction=self.warmup_fraction, final_fraction=1.0,
            )  # fmt: skip
            measured = {"loss": 0.5, "learning_rate": rate, "tokens_per_s": 1.0}
            steps.append({"step": len(self.learnt), "pairs": len(step), **measured})
        return steps

    async def measure(self, examples: Sequence[TrainingExample]) -> dict[str, float]:
        assert examples
        return self.measures[Path(self.held, "made-of.json").read_text()]

    async def logps(self, sequences: Sequence[TokenSequence]) -> list[list[float]]:
        return [[-1.0] * len(sequence.token_ids) for sequence in sequences]

    async def scores(self, sequences: Sequence[TokenSequence]) -> list[list[float]]: ...

    async def weights(self) -> str:
        return self.held

    async def save(self, version: int, name: str = "policy") -> PolicyRef:
        return self._write(version, name, [example.id for example in self.learnt])

    async def save_reward_model(self, version: int) -> PolicyRef:
        return self._write(version, "reward_model", [])

    async def save_critic(self, version: int) -> PolicyRef: ...

    async def save_mixture(self, version: int, name: str, parts: Sequence[tuple[PolicyRef, float]]) -> PolicyRef:
        held = self.held
        made_of = [(str(Path(policy.path).relative_to(self.ledger.root)), share) for policy, share in parts]
        self.mixtures.append((version, name, made_of))
        assert all(Path(policy.path).exists() for policy, _ in parts), "a part is gone"
        policy, self.held = self._write(version, name, made_of), held
        return policy

    def _write(self, version: int, name: str, made_of: Any) -> PolicyRef:
        path = self.ledger.model_path(version, name)
        Path(path).mkdir(parents=True, exist_ok=True)
        text = json.dumps(made_of)
        Path(path, "made-of.json").write_text(text)
        self.held = path
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        return PolicyRef(version=version, path=path, sha256=sha256, files=model_files(path))

    async def busy_seconds(self) -> dict[str, float]:
        return {}


class ScriptedRun:
    """A run in `directory` over twelve prompts and `heldout` held-out ones, four of them fixed."""

    def __init__(
        self,
        config: Config,
        directory: Path,
        *,
        heldout: int = 4,
        measures: dict[str, dict[str, float]] | None = None,
    ):
        self.config: Config = changed(
            config,
            run__root=str(directory),
            evaluation__num_prompts=4,
            evaluation__canaries__prompts=0,
            evaluation__drift_prompts=0,
        )
        self.ledger = Ledger(str(directory / "run"))
        inputs: dict[str, Any] = {}
        for name, count in (("train", 12), ("heldout", heldout)):
            rows = [{"prompt": f"{name} {index}", "id": f"{name}-{index}"} for index in range(count)]
            (directory / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
            prompts = changed(
                self.config.prompts, id_column="id", **{f"{name}__path": str(directory / f"{name}.jsonl")}
            )
            source = getattr(prompts, name)
            inputs[name] = freeze_prompts(self.ledger, prompts, field=name, source=source, name=name)
        initial = directory / "run" / "initial"
        initial.mkdir()
        policy = {"path": str(initial), "sha256": weights_hash(initial)}
        self.ledger.create({"initial_policy": policy, "sources": {}, "inputs": inputs})
        self.measures = measures or {}
        self.notes = Notes()
        self.rollouts: ScriptedRollouts
        self.learner: ScriptedLearner

    def go_on(self, stop_after: int | None = None) -> None:
        """Start a driver, with engines and a learner that hold the newest policy as after a crash."""
        from roundelay.orchestrator.ledger.policies import newest_policy

        drop_unfinished_metrics(self.ledger)
        policy = newest_policy(self.ledger)
        self.rollouts = ScriptedRollouts(policy, stop_after)
        self.learner = ScriptedLearner(self.ledger, self.config, self.measures)
        driver = RoundDriver(
            config=self.config,
            build=partial(build_phase, scorers=None),
            ledger=self.ledger,
            train={"train": PromptStore(self.ledger, "train")},
            heldout=PromptStore(self.ledger, "heldout"),
            stages=Stages(ledger=self.ledger, rollouts=self.rollouts, observer=self.notes),
            rollouts=self.rollouts,
            learner=self.learner,
            scorers=None,
        )
        asyncio.run(driver.run())
