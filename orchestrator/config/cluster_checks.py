"""What actors cannot be given: shares of GPUs, and settings of DeepSpeed's and vLLM's own that these would not take."""

import difflib
import json
from typing import Any

from ..errors import ConfigError
from .schema import Config

# What DeepSpeed's configuration calls what has a field of its own here.
DEEPSPEED_KEYS = {
    "train_batch_size": "learner.pairs_per_step",
    "train_micro_batch_size_per_gpu": "learner.tokens_per_device",
    "gradient_accumulation_steps": "learner.pairs_per_step",
    "gradient_clipping": "learner.max_grad_norm",
    "bf16": "model.dtype",
    "fp16": "model.dtype",
    "optimizer": "learner.learning_rate",
    "scheduler": "learner.schedule",
    "stage": "learner.zero_stage",
}

# What else stands at the top of DeepSpeed 0.19's configuration.
DEEPSPEED_OWN = (
    "activation_checkpointing", "aio", "amp", "autotuning", "checkpoint", "comet", "communication_data_type",
    "comms_logger", "compile", "compression_training", "csv_monitor", "curriculum_learning", "data_efficiency",
    "data_types", "dataloader_drop_last", "disable_allgather", "disable_python_gc", "dump_state", "eigenvalue",
    "elasticity", "flops_profiler", "gradient_allreduce_op", "gradient_predivide_factor", "graph_harvesting",
    "hybrid_engine", "legacy_fusion", "memory_breakdown", "nebula", "pipeline", "prescale_gradients",
    "progressive_layer_drop", "quantize_training", "seq_parallel_communication_data_type", "sequence_parallel_size",
    "sparse_attention", "sparse_gradients", "steps_per_print", "tensor_parallel", "tensorboard", "timers",
    "torch_autocast", "use_data_before_expert_parallelism", "use_node_local_storage", "wall_clock_breakdown", "wandb",
    "weight_quantization", "zero_allow_untested_optimizer", "zero_force_ds_cpu_optimizer", "zero_optimization",
)  # fmt: skip
DEEPSPEED_BLOCKS = (
    "activation_checkpointing", "aio", "amp", "autotuning", "checkpoint", "comms_logger", "compile",
    "compression_training", "data_efficiency", "data_types", "elasticity", "flops_profiler", "hybrid_engine",
    "pipeline", "tensor_parallel", "tensorboard", "timers", "torch_autocast", "wandb", "zero_optimization",
)  # fmt: skip


def check_deepspeed(text: str) -> None:
    """Refuse further keys of DeepSpeed's configuration that are a field's of ours, or nobody's: DeepSpeed takes no
    notice of a key that it does not know.

    Raises:
        ConfigError: naming the key.
    """
    further: dict[str, Any] = json.loads(text)
    for key, value in further.items():
        if key not in DEEPSPEED_OWN and key not in DEEPSPEED_KEYS:
            close = difflib.get_close_matches(key, DEEPSPEED_OWN, n=1, cutoff=0.5)
            raise ConfigError(
                f"learner.deepspeed.{key}={value!r}: DeepSpeed has no such key",
                f"did you mean {close[0]}?" if close else f"known: {', '.join(DEEPSPEED_OWN)}",
            )
        if key in DEEPSPEED_BLOCKS and not isinstance(value, dict):
            raise ConfigError(f"learner.deepspeed.{key}={value!r} is no mapping", "give it keys of its own")
    for key, field in DEEPSPEED_KEYS.items():
        if key in {*further, *further.get("zero_optimization", {})}:
            raise ConfigError(f"learner.deepspeed sets {key}, which is {field}'s", f"set {field} instead")


def check_cluster(config: Config) -> None:
    """Refuse shares of GPUs, and ways of decoding, that engines cannot have.

    Raises:
        ConfigError: naming the fields, their values and the remedy.
    """
    cluster = config.cluster
    if cluster.device == "gpu" and (cluster.rollout.gpus == 0 or cluster.learner.gpus == 0):
        raise ConfigError(
            f"cluster.device=gpu with cluster.rollout.gpus={cluster.rollout.gpus} and cluster.learner.gpus="
            f"{cluster.learner.gpus}",
            "give both at least a share of a GPU, or set cluster.device=cpu",
        )
    if cluster.device == "gpu" and config.needs_scorer and cluster.scorer.gpus == 0:
        raise ConfigError(
            "cluster.device=gpu with cluster.scorer.gpus=0, and a reward model or another policy judges",
            "give it a share of a GPU (0.1, beside a learner's rank), or set cluster.device=cpu",
        )
    if cluster.device == "cpu" and cluster.rollout.tensor_parallel_size > 1:
        raise ConfigError(
            f"cluster.rollout.tensor_parallel_size={cluster.rollout.tensor_parallel_size} with cluster.device=cpu",
            "set cluster.rollout.tensor_parallel_size=1 and raise cluster.rollout.actors instead",
        )
    if cluster.device == "gpu" and 1 < cluster.rollout.tensor_parallel_size > cluster.rollout.gpus:
        raise ConfigError(
            f"cluster.rollout.tensor_parallel_size={cluster.rollout.tensor_parallel_size} with cluster.rollout.gpus="
            f"{cluster.rollout.gpus:g}: an engine would be shared among more GPUs than it has",
            "set cluster.rollout.gpus to as many (GPUs of one engine), or lower cluster.rollout.tensor_parallel_size",
        )
    if cluster.device == "cpu" and json.loads(cluster.rollout.speculative):
        raise ConfigError(
            f"cluster.rollout.speculative={cluster.rollout.speculative} with cluster.device=cpu: there, vLLM's "
            "speculation gives a repeated request other tokens in spite of its seed, and no log-probs of choices",
            "set cluster.rollout.speculative=null",
        )
    _check_speculative(cluster.rollout.speculative)


def _check_speculative(text: str) -> None:
    """What vLLM needs of a `speculative_config`, whatever the method."""
    settings: dict[str, Any] = json.loads(text)
    if not settings:
        return
    tokens = settings.get("num_speculative_tokens")
    if "method" not in settings and "model" not in settings:
        raise ConfigError(
            f"cluster.rollout.speculative={text} names neither method nor model",
            "set cluster.rollout.speculative.method (such as ngram) or .model, or cluster.rollout.speculative=null",
        )
    if (tokens is not None or settings.get("method") == "ngram") and (type(tokens) is not int or tokens < 1):
        raise ConfigError(
            f"cluster.rollout.speculative.num_speculative_tokens={tokens!r} is no whole number from 1",
            "set how many tokens are drafted at once, such as 4",
        )
    for key in ("method", "model"):
        if settings.get(key) is not None and not isinstance(settings[key], str):
            raise ConfigError(f"cluster.rollout.speculative.{key}={settings[key]!r} is no text", "name it")
