"""The same run on several nodes, and with a rollout engine lost in the middle of a round."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from ray.cluster_utils import Cluster
from support.runs import finish, pair_keys, prompt_ids, start, tiny_overrides

from roundelay.orchestrator.ledger.ledger import Ledger

pytestmark = pytest.mark.slow


@pytest.fixture
def three_nodes() -> Iterator[Cluster]:
    """Three raylets of two CPUs each on this machine."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    for _ in range(2):
        cluster.add_node(num_cpus=2)
    cluster.wait_for_nodes()
    yield cluster
    cluster.shutdown()


def rollout_processes() -> list[psutil.Process]:
    """The rollout engines' processes: Ray workers of these nodes that have vLLM's engine library loaded."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if "ray::" in " ".join(process.cmdline()) and any("vllm" in m.path for m in process.memory_maps()):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def test_three_nodes_two_engines_two_ranks_and_a_lost_engine(tiny_model: Path, tmp_path: Path, three_nodes: Cluster):
    """On 3 nodes with 2 rollout engines and 2 ZeRO-2 ranks, the pairs are those of one engine; an engine killed in the
    middle of a round has its shards repeated by the other, and the result is unchanged."""
    spread = (
        f"cluster.address={three_nodes.address}",
        "cluster.rollout.actors=2",
        "cluster.learner.ranks=2",
        "cluster.learner.threads=1",
        "cluster.placement=SPREAD",
        "cluster.shards_in_flight=3",
        "learner.zero_stage=2",
        "generation.sampling.max_tokens=96",
        "run.rounds=1",
        "run.prompts_per_round=16",
    )
    finish(start("run", *tiny_overrides(tiny_model, tmp_path, "calm", *spread)))
    calm, robbed = Ledger(str(tmp_path / "calm")), Ledger(str(tmp_path / "robbed"))

    process = start("run", *tiny_overrides(tiny_model, tmp_path, "robbed", *spread))
    first_shard = Path(robbed.root, "rounds/001/rollouts/shard-00000.parquet")
    deadline = time.monotonic() + 300
    victims: list[psutil.Process] = []
    while not first_shard.exists():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[0]
        if not victims and Path(robbed.root, "rounds/000/manifest.json").exists():
            victims = rollout_processes()
        time.sleep(0.002)
    assert len(victims) == 2, victims
    os.kill(victims[0].pid, signal.SIGKILL)
    unsampled = 8 - len(list(first_shard.parent.glob("shard-*.parquet")))
    finish(process)

    assert unsampled > 0, "the engine was killed after the round's sampling: the test showed nothing"
    assert prompt_ids(robbed, 1) == prompt_ids(calm, 1)
    assert pair_keys(robbed, 1) == pair_keys(calm, 1)
    assert robbed.manifest(1)["policy"]["sha256"] == calm.manifest(1)["policy"]["sha256"]
    assert robbed.manifest(1)["sync_parity"] < 1e-4
