"""What can be known of a model's directory before an engine is started with it.

`check_model` reads files alone; `check_loads` asks transformers, and comes after the cheap checks of a run.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...orchestrator.config.schema import ModelConfig
from ...orchestrator.errors import ConfigError
from .safetensors_files import Weights, read_weights

if TYPE_CHECKING:
    from ...workers.encoding import ChatEncoder

ADAPTERS = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin")
QUANTIZED_FILES = ("quantize_config.json", "quant_config.json")
QUANTIZED_TENSORS = (".qweight", ".qzeros", ".weight_packed", ".weight.absmax", ".weight_scale_inv")
POSITIONS = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length", "max_sequence_length")
# Ways of scaling whose config.json already gives the scaled number of positions, as vLLM counts them.
ALREADY_SCALED = (None, "default", "su", "longrope", "llama3", "mrope", "proportional")
EMBEDDING = re.compile(r"(^|\.)(embed_tokens|wte|word_embeddings|embed_in|tok_embeddings)\.weight$")
LAYER = re.compile(r"(?:^|\.)(?:layers|h)\.(\d+)\.")
NEEDS = "give a directory with config.json, safetensors, tokenizer and chat template"


def check_model(directory: Path, model: ModelConfig, field: str) -> None:
    """Refuse a model that no engine can load whole, by its files alone.

    Raises:
        ConfigError: adapters, quantised, damaged, missing or doubled weights, or fewer positions than
            `model.max_model_len`.
    """
    config = read_object(directory / "config.json", field)
    if found := [name for name in ADAPTERS if (directory / name).exists()]:
        raise ConfigError(
            f"{field}={directory} holds {found[0]} beside a model: adapters, which transformers would put on it and "
            "vLLM would not",
            "merge them into the weights (peft's merge_and_unload, then save_pretrained), or take their files away",
        )
    weights = read_weights(directory, field)
    _check_quantization(directory, config, weights, field)
    text = text_config(config)
    _check_tensors(directory, config, text, weights, field)
    limit = positions(text)
    if limit is not None and model.max_model_len > limit:
        raise ConfigError(
            f"model.max_model_len={model.max_model_len}, but {field}={directory} has {limit} positions (its "
            "config.json)",
            f"set model.max_model_len={limit} or less",
        )


def check_loads(path: str, model: ModelConfig, encoder: "ChatEncoder", field: str = "model.path") -> None:
    """Refuse a model that transformers does not know or could not save, or whose tokenizer is another's.

    Raises:
        ConfigError: naming the file and what is in it.
    """
    directory = Path(path)
    config = read_object(directory / "config.json", field)
    from ...workers.known_models import check_architecture, check_generation_config  # transformers takes seconds

    check_architecture(directory, config, model.trust_remote_code, field)
    if (directory / "generation_config.json").exists():
        check_generation_config(directory, read_object(directory / "generation_config.json", field), field)
    vocabulary: dict[str, int] = encoder.tokenizer.get_vocab()
    rows = text_config(config).get("vocab_size")
    last = max(vocabulary, key=vocabulary.__getitem__)
    if isinstance(rows, int) and vocabulary[last] >= rows:
        raise ConfigError(
            f"{field}={directory}: its tokenizer has the token {last!r} with id {vocabulary[last]}, and the model "
            f"(config.json: vocab_size={rows}) only ids below {rows}",
            "put the model's own tokenizer files beside it",
        )
    for file in ("config.json", "generation_config.json"):
        values = read_object(directory / file, field) if (directory / file).exists() else {}
        ends = values.get("eos_token_id")
        for end in ends if isinstance(ends, list) else [ends]:
            if end is not None and (type(end) is not int or not 0 <= end < (rows or end + 1)):
                raise ConfigError(
                    f"{field}={directory}: {file} says eos_token_id={end!r}, no id of the model's {rows} tokens",
                    "set it to the id of the token that ends the assistant's turn",
                )


def check_divisible(path: str, tensor_parallel_size: int) -> None:
    """Refuse to share attention heads among a number of GPUs that does not divide them.

    Raises:
        ConfigError: naming both numbers.
    """
    heads = text_config(read_object(Path(path) / "config.json", "model.path")).get("num_attention_heads")
    if isinstance(heads, int) and heads % tensor_parallel_size:
        raise ConfigError(
            f"cluster.rollout.tensor_parallel_size={tensor_parallel_size} does not divide the {heads} attention heads "
            f"of model.path={path}",
            "choose a divisor of them",
        )


def read_object(file: Path, field: str) -> dict[str, Any]:
    """A JSON object of a model's directory.

    Raises:
        ConfigError: the file holds none.
    """
    try:
        value = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise _no_object(file, field, f" ({error})") from error
    except OSError as error:
        raise ConfigError(
            f"{field}={file.parent}: {file.name} cannot be read ({error.strerror})", "make it readable"
        ) from error
    if not isinstance(value, dict):
        raise _no_object(file, field, "")
    return value


def text_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part of a config.json that is about text."""
    nested = config.get("text_config")
    return nested if isinstance(nested, Mapping) else config


def positions(config: Mapping[str, Any]) -> int | None:
    """How many tokens a model can tell the places of, by its config.json; None where that says nothing.

    Example:
        >>> positions({"max_position_embeddings": 1024, "rope_scaling": {"rope_type": "linear", "factor": 2.0}})
        2048
    """
    limits = [value for key in POSITIONS if isinstance(value := config.get(key), int)]
    if not limits:
        return None
    scaled = [_scaled(min(limits), rope) for rope in _rope_scalings(config)]
    return max([min(limits), *scaled])


def _rope_scalings(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """One for the whole model, or one a type of layer."""
    for key in ("rope_parameters", "rope_scaling"):
        if isinstance(found := config.get(key), Mapping):
            yield found
            yield from (each for each in found.values() if isinstance(each, Mapping))


def _scaled(limit: int, rope: Mapping[str, Any]) -> int:
    kind, factor = rope.get("rope_type", rope.get("type")), rope.get("factor")
    if kind in ALREADY_SCALED or not isinstance(factor, int | float):
        return limit
    original = rope.get("original_max_position_embeddings") if kind == "yarn" else None
    return int((original if isinstance(original, int) else limit) * factor)


def _check_quantization(directory: Path, config: Mapping[str, Any], weights: Weights, field: str) -> None:
    found = None
    for part in (config, text_config(config)):
        for key in ("quantization_config", "compression_config"):
            if part.get(key):
                method = part[key].get("quant_method") if isinstance(part[key], Mapping) else None
                found = f"config.json: {key}" + (f", {method}" if method else "")
    for name in QUANTIZED_FILES:
        found = found or (name if (directory / name).exists() else None)
    found = found or next((name for name in weights.shapes if name.endswith(QUANTIZED_TENSORS)), None)
    if found:
        raise ConfigError(
            f"{field}={directory} is quantised ({found}): such weights cannot be trained",
            "give the model that it was made of, in float32, bfloat16 or float16",
        )


def _check_tensors(
    directory: Path, config: Mapping[str, Any], text: Mapping[str, Any], weights: Weights, field: str
) -> None:
    """The tensors that every language model has: embeddings of the vocabulary's size, all layers, a head."""
    rows = text.get("vocab_size")
    for name, shape in weights.shapes.items():
        if EMBEDDING.search(name) and isinstance(rows, int) and shape[0] != rows:
            raise ConfigError(
                f"{field}={directory}: {name} has {shape[0]} rows, and config.json says vocab_size={rows}",
                "put the config.json and the weights of one model together",
            )
    layers = text.get("num_hidden_layers", text.get("n_layer"))
    if isinstance(layers, int) and text is config:
        held = {int(match[1]) for name in weights.shapes if (match := LAYER.search(name))}
        if held and (missing := set(range(layers)) - held):
            raise ConfigError(
                f"{field}={directory} lacks the weights of layer {min(missing)}; config.json says "
                f"num_hidden_layers={layers}",
                "copy all of the model's files again, with their index",
            )
    has_head = any(name.endswith(("lm_head.weight", "embed_out.weight", "output.weight")) for name in weights.shapes)
    if config.get("tie_word_embeddings", text.get("tie_word_embeddings")) is False and not has_head:
        raise ConfigError(
            f"{field}={directory} has no output head among its weights, and config.json says tie_word_embeddings=false",
            "give a causal language model with all of its weights (a reward model has none)",
        )


def _no_object(file: Path, field: str, why: str) -> ConfigError:
    return ConfigError(f"{field}={file.parent}: {file.name} is no JSON object{why}", "copy it again from the model")
