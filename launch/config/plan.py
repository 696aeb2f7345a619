"""What a run would do: the stages of its phases with their sizes, and its actors."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import fields

from rich.console import Console
from rich.table import Table

from ...orchestrator.cluster.ray import bundles_of
from ...orchestrator.config.schema import Config
from ...orchestrator.parts.filter import FilterPart
from ...orchestrator.parts.generation import GenerationPart
from ...orchestrator.parts.objective import ObjectivePart
from ...orchestrator.parts.sampling import POLICY
from ..reports import plain


def print_plan(console: Console, config: Config) -> None:
    """The stages of every phase's rounds with their sizes, and the actors."""
    rounds = Counter(config.phase_name(round) for round in range(1, config.run.rounds + 1))
    for name, count in rounds.items():
        _print_phase(console, config.in_phase(name), name, count)
    actors = ", ".join(
        f"{name} ({', '.join(f'{amount:g} {kind}' for kind, amount in bundle.items())})"
        for name, bundle in bundles_of(config.cluster, scorers=config.needs_scorer).items()
    )
    console.print(plain(f"actors: {actors}; Ray: {config.cluster.address or 'started on this machine'}"))


def _sampled(generation: GenerationPart, prompts: int) -> str:
    """How many texts there are, and how they come about."""
    if not generation.samples:
        return f"nothing: the responses that {prompts} prompts come with"
    texts = generation.texts()
    how, tokens = f"{generation.kind}{_by(generation)}", f"up to {generation.sampled_with().max_tokens} tokens each"
    return f"{prompts} prompts × {texts} = {prompts * texts.number} rollouts ({how}), {tokens}"


def _by(generation: GenerationPart) -> str:
    """Who samples, where that is not the policy alone."""
    samplers = generation.sampled_by()
    return "" if samplers == (POLICY,) else f" by {', '.join(samplers)}"


def phases_of(config: Config) -> Iterator[tuple[str | None, int, int]]:
    """The phases that the run reaches, by name (None for a recipe's single one), with their first and last round (of
    phases that repeat, those of the first time)."""
    first = 1
    for name in config.phases or (None,):
        rounds = config.phases[name].rounds if name else None
        last = config.run.rounds if rounds is None else min(config.run.rounds, first + rounds - 1)
        if first <= last:
            yield name, first, last
        first = last + 1


def _print_phase(console: Console, config: Config, name: str | None, rounds: int) -> None:
    run, new, generation, pairing = config.run, config.new_prompts, config.generation, config.pairing
    judgments = config.judge.judgments_of(generation.responses()).times(run.prompts_per_round)
    shards = -(-run.prompts_per_round // run.prompts_per_shard)
    reference = config.objective.reference
    result = "pairs" if pairing.gives() == "pairs" else "groups of responses"
    trains = "reward model" if config.objective.trains == "reward_model" else "policy"
    rows = [
        *([("prompts", new.planned(config.new_prompts_per_round))] if new.makes else []),
        ("sample", f"{_sampled(generation, run.prompts_per_round)}, in {shards} shards"),
        ("judge", f"{judgments} judgments ({config.judge.kind})" if judgments.number
                  else "nothing: pairs are labelled by construction"),
        ("pair", f"{pairing.kind}: at most {run.prompts_per_round} {result}"),
        *([] if config.filter.keeps_all else [("filter", _filter(config.filter))]),
        *([] if config.conditioning.says_nothing else [("condition", config.conditioning.kind)]),
        ("learn", f"{trains}: {_objective(config.objective)}, reference: {reference.policy} "
                  f"({reference.logps}); {config.learner.epochs} epoch(s), "
                  f"{config.learner.pairs_per_step} {result.split()[0]} a step, "
                  f"lr {config.learner.learning_rate:g}, {config.learner.optimizer} optimizer, "
                  f"ZeRO-{config.learner.zero_stage}"),
        ("sync", "nothing: the policy stays as it is" if config.objective.trains != "policy" else
                 f"learner → {config.cluster.rollout.actors} rollout engine(s), verified by probe log-probs"),
        ("evaluate", f"{config.evaluation.num_prompts} held-out prompts{_fresh(config)}, "
                     f"judge: {config.evaluation.judge.kind}"),
    ]  # fmt: skip
    title = f"phase {name}: {rounds} × these stages" if name else f"baseline evaluation, then {rounds} × these stages"
    table = Table(title=plain(f"plan: {title}"), title_justify="left")
    table.add_column("stage")
    table.add_column("what")
    for row in rows:
        table.add_row(*map(plain, row))
    console.print(table)


def _fresh(config: Config) -> str:
    fresh = config.evaluation.fresh_prompts
    return "" if fresh is None else f" and {fresh} fresh ones"


def _filter(filter: FilterPart) -> str:
    when = "once the whole round is paired" if filter.whole_round else "as shards come"
    return f"{filter.kind}, {when}"


def _objective(objective: ObjectivePart) -> str:
    """An objective with its numbers, such as "dpo (beta 0.1)"."""
    values = {field.name: getattr(objective, field.name) for field in fields(objective)}
    numbers = ", ".join(f"{name} {value:g}" for name, value in values.items() if isinstance(value, float))
    return f"{values['kind']} ({numbers})" if numbers else values["kind"]
