"""vLLM's arguments, of what a configuration asks for, and its parameters, of what a request does."""

from dataclasses import replace
from pathlib import Path

import pytest

from roundelay.launch.config.loading import load_config
from roundelay.orchestrator.data.records import GenerationRequest, Message


def test_speculation_reaches_vllm_as_it_was_given(tiny_model: Path):
    from roundelay.workers.rollout import engine_args

    words = ["model=local", f"model.path={tiny_model}", "cluster=one_gpu_shared"]
    given = load_config(
        [*words, "cluster.rollout.speculative={method: ngram, num_speculative_tokens: 4}"], default_name="test"
    )
    assert engine_args(given.model, given.cluster, str(tiny_model)).speculative_config == {
        "method": "ngram",
        "num_speculative_tokens": 4,
    }
    none = load_config(words, default_name="test")
    assert engine_args(none.model, none.cluster, str(tiny_model)).speculative_config is None


REQUEST = GenerationRequest(
    messages=(Message(role="user", content="Hi"),),
    seed=2**31 - 1,
    temperature=0.01,
    top_p=0.9,
    max_tokens=48,
    stop=("#",),
)


@pytest.mark.parametrize("temperature", [0.0, 0.01, 0.7, 2.0])
def test_vllm_samples_by_what_the_ledger_has(temperature: float):
    """Temperature, top-p, seed and token limit, as far as the model has room; and it stops where a turn ends."""
    from roundelay.workers.rollout import sampling_params

    request = replace(REQUEST, temperature=temperature)
    made = sampling_params(request, room=20, stop_ids=(2, 7), choice_ids=())
    assert (made.temperature, made.seed, made.max_tokens) == (temperature, 2**31 - 1, 20)
    assert made.top_p == (0.9 if temperature else 1.0), "greedily, there is nothing to leave out"
    assert (made.stop, made.stop_token_ids, made.include_stop_str_in_output) == (["#"], [2, 7], False)
    assert (made.min_tokens, made.top_k, made.min_p, made.ignore_eos) == (0, 0, 0.0, False)


@pytest.mark.parametrize("changes", [{"temperature": 0.001}, {"seed": 2**32 + 7}, {"seed": -1}])
def test_a_request_that_vllm_would_change_is_never_made(changes: dict[str, float]):
    """It samples at 0.01 for 0.001, draws by the low 32 bits of a seed, and without one for -1."""
    from roundelay.workers.rollout import sampling_params

    with pytest.raises(AssertionError, match="vLLM samples at"):
        sampling_params(replace(REQUEST, **changes), room=20, stop_ids=(2,), choice_ids=())  # pyright: ignore[reportArgumentType]
