"""Two learner ranks do what one does, under every sharding ZeRO stage: the same losses, the same policy."""

from pathlib import Path
from typing import Any

import pytest
import ray
import torch
from support.learner_host import start_of, written

from roundelay.launch.config.loading import load_config
from roundelay.orchestrator.config.schema import Config
from roundelay.orchestrator.data.records import PolicyRef, TokenSequence, TrainingExample
from roundelay.orchestrator.ledger.checksums import weights_hash

pytestmark = pytest.mark.slow

PAIRS = [
    TrainingExample(
        id=f"p{index}",
        sequences=tuple(
            TokenSequence(prompt_token_ids=tuple(range(5, 9 + index)), token_ids=(*range(first, first + length), 2))
            for first, length in ((30 + index, 6 + index), (90 + index, 3))
        ),
        desirable=index % 3 > 0,
        progress=index / 7,
    )
    for index in range(7)
]


class Group:
    """Learner ranks, one a process, called together."""

    def __init__(self, hosts: list[Any], config: Config, policy: PolicyRef):
        self.hosts = hosts
        ray.get([host.create.remote(config, rank, len(hosts)) for rank, host in enumerate(hosts)])
        self.all("begin", start_of(policy, policy))

    def all(self, method: str, *args: Any) -> list[Any]:
        return ray.get([host.call.remote(-1, method, *args) for host in self.hosts])

    def losses(self, pairs: list[TrainingExample]) -> list[float]:
        """Each step's mean loss over the pairs of all ranks."""
        by_rank = self.all("update", pairs, True)
        steps = list(zip(*by_rank, strict=True))
        self.norms = [step[0].grad_norm for step in steps]
        rows = [[row["loss"] for report in step for row in report.rows] for step in steps]
        return [sum(step) / len(step) for step in rows]

    def weights(self) -> dict[str, torch.Tensor]:
        from roundelay.workers.weight_sync import unpack

        return {name: tensor.clone() for name, tensor in unpack(self.all("export_weights")[0])}


@pytest.fixture
def policy(tiny_model: Path) -> PolicyRef:
    return PolicyRef(version=0, path=str(tiny_model), sha256=weights_hash(str(tiny_model)))


def config_of(model: Path, *overrides: str) -> Config:
    sizes = ("learner.pairs_per_step=4", "learner.learning_rate=1e-3", "learner.adam_eps=1e-2")
    return load_config(["model=local", f"model.path={model}", *sizes, *overrides], default_name="test")


@pytest.mark.parametrize("objective", ["dpo", "kto"])
@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_two_ranks_lose_and_learn_what_one_does(
    hosts: list[Any], policy: PolicyRef, tiny_model: Path, stage: int, objective: str
):
    """Seven pairs, four a step: the ranks share them unevenly, and KTO's KL is that of both ranks' examples."""
    config = config_of(tiny_model, f"learner.zero_stage={stage}", f"objective={objective}")
    alone, together = Group(hosts[:1], config, policy), Group(hosts[1:], config, policy)
    assert together.losses(PAIRS) == pytest.approx(alone.losses(PAIRS), abs=1e-5)
    assert together.norms == pytest.approx(alone.norms, rel=1e-3)
    expected = alone.weights()
    for name, tensor in together.weights().items():
        torch.testing.assert_close(tensor, expected[name], atol=1e-5, rtol=0)


def test_two_ranks_go_on_where_one_stopped(hosts: list[Any], policy: PolicyRef, tiny_model: Path, tmp_path: Path):
    """A checkpoint of one rank under ZeRO-1 is taken up by two under ZeRO-3, who say what is different."""
    alone = Group(hosts[:1], config_of(tiny_model, "learner.zero_stage=1"), policy)
    alone.losses(PAIRS[:4])
    alone.all("save_checkpoint", str(tmp_path / "checkpoint"))
    alone.losses(PAIRS[4:])
    together = Group(hosts[1:], config_of(tiny_model, "learner.zero_stage=3"), policy)
    notes = together.all("restore", start_of(policy, policy), written(tmp_path / "checkpoint"))
    assert "world_size 1 → 2, zero_stage 1 → 3: equal up to rounding" in notes[0]
    together.losses(PAIRS[4:])
    expected = alone.weights()
    for name, tensor in together.weights().items():
        torch.testing.assert_close(tensor, expected[name], atol=1e-5, rtol=0)
