"""The processes that hold the learners of all these tests, started once."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import ray
from support.learner_host import RemoteLearner, start_hosts
from support.updates import Learners

from roundelay.orchestrator.config.schema import Config
from roundelay.orchestrator.data.records import PolicyRef


@pytest.fixture(scope="package")
def hosts() -> Iterator[list[Any]]:
    """Three processes: one for the learners of a single rank, two that have met."""
    hosts = start_hosts(3)
    ray.get(hosts[0].meet.remote(0, 1, ray.get(hosts[0].address.remote())))
    master = ray.get(hosts[1].address.remote())
    ray.get([host.meet.remote(rank, 2, master) for rank, host in enumerate(hosts[1:])])
    yield hosts
    ray.shutdown()


@pytest.fixture(scope="package")
def learners(hosts: list[Any]) -> Learners:
    return Learners(hosts[0])


@pytest.fixture(scope="package")
def make_learner(hosts: list[Any]) -> Callable[[Config, PolicyRef, PolicyRef | None], RemoteLearner]:
    """A learner of one rank, at the start of an update."""

    def make(config: Config, policy: PolicyRef, reference: PolicyRef | None) -> RemoteLearner:
        return RemoteLearner(hosts[0], ray.get(hosts[0].make.remote(config, policy, reference)))

    return make
