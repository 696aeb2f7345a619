"""What actors are told of the machine they run on."""

import os

from roundelay.launch.config.loading import load_config
from roundelay.launch.run.composition import KEEP_MEMORY, torch_env, usable_cores


def test_only_the_cores_that_the_process_may_use_are_counted() -> None:
    """As under `taskset`, and in a Slurm job with a share of a node."""
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert usable_cores() == len(allowed)


def test_an_actor_of_a_gpu_computes_there_and_gives_memory_back() -> None:
    laptop, node = (
        torch_env(load_config(["model=local", "model.path=/models/some", *words], default_name="test"), threads=3)
        for words in ([], ["cluster=node_8gpu"])
    )
    assert laptop["OMP_NUM_THREADS"] == node["OMP_NUM_THREADS"] == "3"
    assert laptop["DS_ACCELERATOR"] == "cpu" and KEEP_MEMORY.items() <= laptop.items()
    assert "DS_ACCELERATOR" not in node and not KEEP_MEMORY.keys() & node.keys()
