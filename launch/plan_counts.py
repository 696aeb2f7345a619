"""How many responses and judgments a round of a phase has: what the plan says before anything is asked."""

from ..orchestrator.config import Config
from ..orchestrator.counts import Count


def judgments_of_round(config: Config) -> Count:
    """The judgments of a round of a phase."""
    return config.judge.judgments_of(config.generation.responses()).times(config.run.prompts_per_round)
