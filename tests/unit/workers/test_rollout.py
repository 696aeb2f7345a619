"""vLLM's arguments, of what a configuration asks for."""

from pathlib import Path

from roundelay.launch.config_loading import load_config


def test_speculation_reaches_vllm_as_it_was_given(tiny_model: Path):
    from roundelay.workers.rollout import engine_args

    words = ["model=local", f"model.path={tiny_model}", "cluster=one_gpu_shared"]
    given = load_config([*words, "cluster.rollout.speculative={method: ngram}"], default_name="test")
    assert engine_args(given.model, given.cluster, str(tiny_model)).speculative_config == {"method": "ngram"}
    none = load_config(words, default_name="test")
    assert engine_args(none.model, none.cluster, str(tiny_model)).speculative_config is None
