"""What a run would do, and what recipes there are, in words."""

from dataclasses import fields
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..orchestrator.cluster import bundles_of
from ..orchestrator.config import AdditiveJudge, Config, ContrastGeneration, NoJudge
from ..orchestrator.objective_config import Objective
from .config_loading import compose_dict, group_members


def print_plan(console: Console, config: Config) -> None:
    """The stages of every round with their sizes, and the actors."""
    run, generation, judge = config.run, config.generation, config.judge
    samples = 2 if isinstance(generation, ContrastGeneration) else generation.samples_per_prompt
    rollouts = run.prompts_per_round * samples
    votes = 0 if isinstance(judge, NoJudge) else rollouts * (judge.votes if isinstance(judge, AdditiveJudge) else 1)
    shards = -(-run.prompts_per_round // run.prompts_per_shard)
    reference = config.objective.reference
    rows = [
        ("sample", f"{run.prompts_per_round} prompts × {samples} = {rollouts} rollouts ({generation.kind}), "
                   f"up to {generation.sampling.max_tokens} tokens each, in {shards} shards"),
        ("judge", f"{votes} judgments ({judge.kind})" if votes else "nothing: pairs are labelled by construction"),
        ("pair", f"{config.pairing.kind}: at most {run.prompts_per_round} pairs"),
        ("learn", f"{_objective(config.objective)}, reference: {reference.policy} "
                  f"({reference.logps}); {config.learner.epochs} epoch(s), "
                  f"{config.learner.pairs_per_step} pairs a step, "
                  f"lr {config.learner.learning_rate:g}, ZeRO-{config.learner.zero_stage}"),
        ("sync", f"learner → {config.cluster.rollout.actors} rollout engine(s), verified by probe log-probs"),
        ("evaluate", f"{config.evaluation.num_prompts} held-out prompts, judge: {config.evaluation.judge.kind}"),
    ]  # fmt: skip
    table = Table(title=f"plan: baseline evaluation, then {run.rounds} × these stages", title_justify="left")
    table.add_column("stage")
    table.add_column("what")
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)
    actors = ", ".join(
        f"{name} ({', '.join(f'{amount:g} {kind}' for kind, amount in bundle.items())})"
        for name, bundle in bundles_of(config.cluster).items()
    )
    console.print(Text(f"actors: {actors}; Ray: {config.cluster.address or 'started on this machine'}"))


def print_recipes(console: Console, config_dir: Path | None) -> None:
    """Every recipe with its paper and parts."""
    table = Table(title="recipes", title_justify="left")
    for column in ("recipe", "method", "paper", "parts", "differs from the paper"):
        table.add_column(column)
    for name in group_members("recipe", config_dir):
        values = compose_dict([f"recipe={name}"], config_dir=config_dir, default_name="recipe")
        info = values.get("recipe", {})
        parts = " → ".join(values[group]["kind"] for group in ("generation", "judge", "pairing", "objective"))
        title, paper, differs = (info.get(key, "–") for key in ("title", "paper", "differs"))
        table.add_row(*map(Text, (name, title, paper, parts, differs)))
    console.print(table)


def _objective(objective: Objective) -> str:
    """An objective with its numbers, such as "dpo (beta 0.1)"."""
    values = {field.name: getattr(objective, field.name) for field in fields(objective)}
    numbers = ", ".join(f"{name} {value:g}" for name, value in values.items() if isinstance(value, float))
    return f"{values['kind']} ({numbers})" if numbers else values["kind"]
