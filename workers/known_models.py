"""What transformers says of a model's config.json and generation_config.json."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import CONFIG_MAPPING, GenerationConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CAUSAL

from ..orchestrator.errors import ConfigError


def check_architecture(directory: Path, config: Mapping[str, Any], trust_remote_code: bool, field: str) -> None:
    """Refuse an architecture that transformers does not know, or that is no causal language model.

    Raises:
        ConfigError: naming it.
    """
    kind, named = config.get("model_type"), config.get("architectures")
    of_its_own = isinstance(config.get("auto_map"), Mapping)
    if kind not in CONFIG_MAPPING:
        if of_its_own and not trust_remote_code:
            raise ConfigError(
                f"{field}={directory} comes with code of its own (config.json: auto_map), and "
                "model.trust_remote_code=false",
                "read that code, and set model.trust_remote_code=true to run it",
            )
        if not of_its_own:
            raise ConfigError(
                f"{field}={directory}: config.json says model_type={kind!r}, which transformers does not know",
                "check config.json, or install a transformers that knows the architecture",
            )
        return
    if of_its_own and trust_remote_code:
        return
    if kind not in CAUSAL:
        raise ConfigError(
            f"{field}={directory}: model_type={kind!r} (config.json) is no causal language model to transformers",
            "give a model that AutoModelForCausalLM loads",
        )
    known = {name for each in CAUSAL.values() for name in ([each] if isinstance(each, str) else each)}
    if not isinstance(named, Sequence) or isinstance(named, str) or not named:
        raise ConfigError(
            f"{field}={directory}: config.json has no architectures ({named!r}): vLLM would not know what to build",
            f'add "architectures": ["{CAUSAL[kind]}"]',
        )
    if not any(name in known or str(name).endswith(("ForCausalLM", "LMHeadModel")) for name in named):
        raise ConfigError(
            f"{field}={directory}: architectures={list(named)} (config.json) is no causal language model",
            "give a model with a language-model head, such as LlamaForCausalLM",
        )


def check_generation_config(directory: Path, values: dict[str, Any], field: str) -> None:
    """Refuse what transformers would refuse to write beside the first policy, after a whole round.

    Raises:
        ConfigError: naming what is wrong in it.
    """
    try:
        GenerationConfig.from_dict(values).validate(strict=True)
    except Exception as error:  # ValueError of its own; TypeError and others where a value's type is wrong
        said = " ".join(str(error).split())
        raise ConfigError(
            f"{field}={directory}: generation_config.json is invalid ({type(error).__name__}: {said:.300})",
            "mend or delete that file: Roundelay samples by its own settings",
        ) from error
