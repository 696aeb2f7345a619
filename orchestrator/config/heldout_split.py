"""What chooses among policies by held-out pairs, and whether each part of the held-out prompts is large enough."""

from ..errors import ConfigError
from .schema import Config, LearnerConfig

LEAST = 2  # prompts of a part


def chooses(learner: LearnerConfig) -> str | None:
    """The field by which an update chooses among policies by held-out pairs; None if it does not."""
    if learner.selection is not None:
        return "learner.selection"
    if learner.extrapolation is not None and len(learner.extrapolation.alphas) > 1:
        return "learner.extrapolation"
    return None


def check_split(phase: Config, config: Config) -> None:
    """Refuse a phase that chooses where either part would hold too few prompts. `config` is the whole run's.

    Raises:
        ConfigError: naming the fields, their values and the remedy.
    """
    field, share, prompts = chooses(phase.learner), config.evaluation.selection_share, config.evaluation.num_prompts
    if field is None or share is None:
        return
    choosing = round(share * prompts)
    if min(choosing, prompts - choosing) < LEAST:
        raise ConfigError(
            f"{field} chooses by {choosing} of evaluation.num_prompts={prompts} held-out prompts, and "
            f"{prompts - choosing} are reported (evaluation.selection_share={share:g}); each part needs {LEAST}",
            f"raise evaluation.num_prompts, set evaluation.selection_share nearer to 0.5, or set {field}=null",
        )
