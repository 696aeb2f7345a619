"""Many short runs over one rollout engine and one learner process: the real driver, the real engines, started once."""

import asyncio
import os
from pathlib import Path
from typing import Any

from roundelay.launch.run.composition import start_rollouts, torch_env
from roundelay.launch.run.identity import model_identity
from roundelay.launch.run.runs import create_run, make_driver
from roundelay.orchestrator.cluster.pools import LearnerGroup, RolloutPool, ScorerPool
from roundelay.orchestrator.cluster.ray import Actor, Cluster, Host
from roundelay.orchestrator.config.schema import Config
from roundelay.orchestrator.data.records import PolicyRef
from roundelay.orchestrator.ledger.ledger import Ledger
from roundelay.orchestrator.ledger.policies import initial_policy
from roundelay.orchestrator.protocols import Observer
from support.observers import Notes


class Numbered(Actor):
    """One of the learners of a `LearnerHost` actor."""

    def __init__(self, host: Actor, number: int):
        super().__init__(host.name, host.handle, host.timeout_s)
        self.number = number

    async def call(self, method: str, *args: Any, timeout_s: float | None = None) -> Any:
        return await super().call("call", self.number, method, *args, timeout_s=timeout_s)

    def call_ref(self, method: str, *args: Any) -> Any:
        return super().call_ref("call", self.number, method, *args)


class OneEngine:
    """A cluster with one rollout engine, one learner process and one scorer, for one run after the other. `close` ends
    it. Learners compute with so many threads."""

    def __init__(self, config: Config, folder: Path | None = None, threads: int = 1):
        # The learner process imports the tests' support, and what a user would have on the path.
        folders = [str(Path(__file__).parents[1]), str(folder or ""), os.environ.get("PYTHONPATH", "")]
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, folders))
        self.threads = threads
        self.cluster = Cluster(config.cluster, scorers=True)
        asyncio.run(self._start(config))

    async def _start(self, config: Config) -> None:
        await self.cluster.place()
        pool = start_rollouts(config, self.cluster, PolicyRef(version=0, **model_identity(config.model.path)))
        env = torch_env(config, self.threads)
        self.host = self.cluster.spawn(Host, "support.learner_host:LearnerHost", "learner-0", env)
        self.scorer = self.cluster.spawn(Host, "roundelay.workers.scorer:Scorer", "scorer-0", env, config, self.threads)
        await pool.ready()
        await self.host.call("meet", 0, 1, await self.host.call("address"))
        (self.engine,) = pool.alive
        self.learners, self.notes = 0, Notes()

    def run(self, config: Config, observer: Observer | None = None) -> Ledger:
        """A whole run, from its initial policy."""
        with create_run(config) as (config, ledger):
            self.go_on(config, ledger, observer)
        return ledger

    def go_on(self, config: Config, ledger: Ledger, observer: Observer | None = None) -> None:
        """What is left of a run that has trained nothing yet. `notes` has what the user of it would be told, where no
        observer is."""
        self.notes = Notes()
        asyncio.run(self._run(config, ledger, observer or self.notes))

    async def _run(self, config: Config, ledger: Ledger, observer: Observer) -> None:
        await self.host.call("create", config, 0, 1, self.threads)
        policy, number = initial_policy(ledger), self.learners
        self.learners += 1
        learner = LearnerGroup(config.cluster, [Numbered(self.host, number)], ledger)
        rollouts = RolloutPool(config.cluster, lambda index, policy: self.engine, policy)
        await learner.hold(policy)
        await rollouts.load(await learner.weights(), policy)
        scorers = ScorerPool([self.scorer]) if config.needs_scorer else None
        await make_driver(config, ledger, observer, rollouts=rollouts, learner=learner, scorers=scorers).run()

    def close(self) -> None:
        self.cluster.close()
