"""Whether models from outside of the run can sample for it: they are loaded into the policy's own rollout engines."""

from pathlib import Path

from ...orchestrator.config.schema import Config
from ...orchestrator.errors import ConfigError
from ...orchestrator.round.samplers import model_samplers
from .model_checks import check_model


def check_sources(config: Config, model_path: str) -> None:
    """Refuse samplers that are no model, or one that the policy's engines and tokenizer do not fit.

    Raises:
        ConfigError: naming the sampler and what differs.
    """
    for path in model_samplers(config):
        if not (Path(path) / "config.json").is_file() or not list(Path(path).glob("*.safetensors")):
            raise ConfigError(
                f"generation.samplers: {path} is no model directory (config.json and safetensors)",
                "name policy, initial, previous, round-N, or a model's directory",
            )
        check_model(Path(path), config.model, "generation.samplers")
        from ...workers.compatibility import (
            differences,  # transformers takes seconds to import: only where it is needed
        )

        different = differences(model_path, path, trust_remote_code=config.model.trust_remote_code)
        if different:
            raise ConfigError(
                f"generation.samplers: {path} differs from the policy in {', '.join(different)}: the rollout engines "
                "cannot take its weights, or its token ids mean other text",
                "name a model of the policy's architecture and tokenizer; responses of others can be given with the "
                "prompts (generation=given), but not to a mixture or pairing=with_source",
            )
