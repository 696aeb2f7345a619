"""The learning rates that the steps of a round have, as its configuration says: before any prompt drops."""

from roundelay.orchestrator.config.schema import Config
from roundelay.recipes.schedules import learning_rate_factor


def planned_rates(config: Config) -> list[float]:
    """One rate a step of a round that learns one example of every prompt. `config` is a single phase's."""
    learner, prompts = config.learner, config.run.prompts_per_round
    return [
        learner.learning_rate
        * learning_rate_factor(
            (epoch + first / prompts) / learner.epochs,
            end=(epoch + min(prompts, first + learner.pairs_per_step) / prompts) / learner.epochs,
            schedule=learner.schedule,
            warmup_fraction=learner.warmup_fraction,
            final_fraction=learner.final_lr_fraction,
        )
        for epoch in range(learner.epochs)
        for first in range(0, prompts, learner.pairs_per_step)
    ]
