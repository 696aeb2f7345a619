"""Combinations of configuration fields that can never run: refused before any actor starts, with value and remedy.

What one field may be is `config`'s; what an objective alone makes impossible is `objective_checks`'s, and what a judge
alone `judge_checks`'.
"""

from ..errors import ConfigError
from ..parts.conditions import check_condition
from ..parts.judge import JudgePart, judges_in
from ..parts.objective import ObjectivePart
from ..parts.pairing import PairingPart
from ..parts.registry import Place
from .cluster_checks import check_cluster, check_deepspeed
from .conditioning_checks import check_conditioning
from .filter_checks import check_filter
from .generation_checks import check_generation, check_reference
from .heldout_checks import check_heldout
from .heldout_split import check_split
from .imitation_checks import check_agreement, check_imitation
from .judge_checks import SCORES, check_budget, check_compared, check_judge
from .judge_training_checks import check_judge_training, check_judged_pairs
from .model_judge_checks import check_consistency, check_judge_models, check_voters
from .objective_checks import check_objective
from .schema import Config
from .update_checks import check_phases, check_update


def check_combinations(config: Config) -> None:
    """Refuse combinations that can never run, in any phase.

    Raises:
        ConfigError: naming the phase, the fields, their values and the remedy.
    """
    check_judge("evaluation.judge", config, config.evaluation.judge)
    check_budget("evaluation.sampling.max_tokens", config.evaluation.sampling.max_tokens, config)
    if config.evaluation.condition is not None:
        check_condition("evaluation.condition", config.evaluation.condition)
    check_cluster(config)
    _check_order(config)
    check_judge_models(config)
    check_phases(config)
    check_judged_pairs(config)
    if config.phases:  # the held-out pairs are made by what stands at the top
        _check_data(config)
        check_judge("judge", config, config.judge)
        _check_generation(config)
    for name in config.phases or (None,):
        try:
            _check_phase(config.in_phase(name))
            check_update(config.in_phase(name), config.first_round(name))
            check_heldout(config.in_phase(name), config)
            check_split(config.in_phase(name), config)
        except ConfigError as error:
            if name is None:
                raise
            raise ConfigError(f"in phase {name}: {error.what}", f"{error.remedy} (here: phases.{name}.…)") from error


def _check_phase(config: Config) -> None:
    check_judge_training(config)
    writing = config.new_prompts.sampled_with()
    if writing is not None and config.generation.takes_given:
        raise ConfigError(
            f"new_prompts.kind={config.new_prompts.kind} with generation.kind={config.generation.kind}: new prompts "
            "come without responses",
            "set new_prompts=none, or sample responses with generation=plain",
        )
    config.new_prompts.check(Place(field="new_prompts", config=config))
    if writing is not None:
        check_budget("new_prompts.sampling.max_tokens", writing.max_tokens, config)
    _check_data(config)
    check_judge("judge", config, config.judge)
    _check_generation(config)
    check_objective(config)
    check_imitation(config)
    check_conditioning(config)
    _check_pairing_of_objective(config)
    check_consistency(config)
    _check_scores_of_pairs(config)
    check_filter(config)
    check_reference(config)
    if config.objective.policy_gradient:
        _check_policy_gradient(config, config.objective)
    _check_learner(config)


def _check_generation(config: Config) -> None:
    if config.generation.samples:
        check_budget("generation.sampling.max_tokens", config.generation.sampled_with().max_tokens, config)


def _check_order(config: Config) -> None:
    """Rounds belong to phases, and nothing is judged by a reward model that is not trained yet."""
    names = list(config.phases)
    for name in names[:-1]:
        if config.phases[name].rounds is None:
            raise ConfigError(
                f"phases.{name}.rounds=null, but {names[-1]} comes after it", f"give phases.{name} its number of rounds"
            )
    config.phase_name(config.run.rounds)
    if (first := config.at(1).new_prompts).from_learnt:
        raise ConfigError(
            f"{f'phases.{names[0]}.' if names else ''}new_prompts.kind={first.kind} in round 1: no prompt has "
            "given a pair yet",
            "put a phase before it whose prompts are the training file's",
        )
    objectives = [config.in_phase(name).objective for name in names or (None,)]
    for index, name in enumerate(names or (None,)):
        phase = config.in_phase(name)
        newest = next((one for one in reversed(objectives[:index]) if one.trains == "reward_model"), None)
        for place, judge in _by_reward_models(f"phases.{name}.judge" if name else "judge", phase.judge):
            if newest is None or newest.kind != judge.trained_by:
                raise ConfigError(
                    f"{place}.kind={judge.kind}, but no earlier phase trains one (objective.kind={judge.trained_by})"
                    + (f": the newest reward model is of objective.kind={newest.kind}" if newest else ""),
                    "put such a phase before it, or choose another judge",
                )
        if phase.objective.value_model() and newest is not None and newest.scores_attributes:
            raise ConfigError(
                f"phases.{name}.objective.kind={phase.objective.kind} after a phase with objective.kind={newest.kind}: "
                "its critic starts as the newest reward model, and that one has a score an attribute",
                "choose objective=grpo or rloo, which have no critic",
            )
    for place, judge in _by_reward_models("evaluation.judge", config.evaluation.judge):
        made = {one.kind for one in objectives if one.trains == "reward_model"}
        if made != {judge.trained_by}:
            raise ConfigError(
                f"{place}.kind={judge.kind}, but "
                + (f"its rounds have reward models of {' and '.join(sorted(made))}" if made else "no phase trains one")
                + f" (objective.kind={judge.trained_by})",
                "choose another evaluation.judge",
            )
    for place, judge in _by_reward_models("judge", config.judge) if names else ():
        raise ConfigError(
            f"{place}.kind={judge.kind} at the top, where the held-out pairs of round 0 are made: there is none yet",
            "set the judge in the phase that has a reward model",
        )


def _check_data(config: Config) -> None:
    """What pairing needs of generation and judge."""
    check_generation(config)
    pairing = config.pairing
    check_voters(config)
    if pairing.takes == "scores":
        _check_scored(config)
    pairing.check(Place(field="pairing", config=config))
    check_agreement(config)
    if pairing.takes == "comparisons":
        check_compared(config)
    if pairing.takes == "critiques" and not config.judge.critiques:
        raise ConfigError(
            f"pairing.kind={pairing.kind} needs judgments in words to learn from, but judge.kind={config.judge.kind}",
            "choose judge=critique",
        )


def _by_reward_models(field: str, judge: JudgePart) -> list[tuple[str, JudgePart]]:
    """The judges by reward models in a judge, and where they stand."""
    return [(name, one) for name, one in judges_in(judge, field).items() if one.trained_by]


def _check_scored(config: Config) -> None:
    generation, judge, pairing = config.generation, config.judge, config.pairing
    needed = pairing.least_responses()
    if generation.paired_by is not None:
        raise ConfigError(
            f"pairing.kind={pairing.kind} needs scored responses to one prompt, but generation.kind={generation.kind} "
            "says itself what its responses are worth",
            f"use pairing={generation.paired_by}, or generation=plain",
        )
    if not generation.samples:
        return _check_gives_scores(pairing, judge)
    if generation.sampled_with().temperature == 0 and needed > 1:
        raise ConfigError(
            f"pairing.kind={pairing.kind} needs responses that differ, but generation.sampling.temperature=0",
            "set generation.sampling.temperature above 0",
        )
    if generation.responses().number < needed:
        raise ConfigError(
            f"pairing.kind={pairing.kind} needs {needed} responses a prompt, but generation.samples_per_prompt="
            f"{generation.samples_each()}",
            f"set generation.samples_per_prompt to {needed} or more",
        )
    _check_gives_scores(pairing, judge)


def _check_gives_scores(pairing: PairingPart, judge: JudgePart) -> None:
    if not judge.gives_scores():
        raise ConfigError(
            f"pairing.kind={pairing.kind} needs scores, but judge.kind={judge.kind} gives none", f"choose {SCORES}"
        )


def _check_pairing_of_objective(config: Config) -> None:
    objective, pairing = config.objective, config.pairing
    if (objective.examples == "critiqued") != (pairing.gives() == "critiques"):
        raise ConfigError(
            f"objective.kind={objective.kind} with pairing.kind={pairing.kind}: CUT, and nothing else, learns from "
            "critiqued responses",
            "choose objective=cut pairing=critiqued judge=critique, or neither objective=cut nor pairing=critiqued",
        )
    if objective.policy_gradient and not pairing.scores_groups:
        raise ConfigError(
            f"objective.kind={objective.kind} learns from every scored response, but pairing.kind={pairing.kind}",
            "choose pairing=group",
        )
    takes_groups = objective.examples in ("demonstrations", "described", "groups")
    if pairing.gives() == "groups" and not takes_groups:
        raise ConfigError(
            f"pairing.kind={pairing.kind} gives lists of responses, but objective.kind={objective.kind} takes pairs",
            "choose pairing=best_worst, or objective=ppo, grpo, rloo, rrhf or pro",
        )
    if objective.ranks:
        if not pairing.scores_pairs and pairing.gives() != "groups":
            raise ConfigError(
                f"objective.kind={objective.kind} ranks by score, but pairing.kind={pairing.kind} scores nothing",
                "choose pairing=group or best_worst with a judge, or a pairwise objective",
            )
        if pairing.scores_groups and (pairing.least_responses() < 2 or pairing.keeps_ties()):
            raise ConfigError(
                f"objective.kind={objective.kind} learns from differences of score, but pairing.min_responses="
                f"{pairing.least_responses()} and pairing.ties={'keep' if pairing.keeps_ties() else 'drop'}",
                "set pairing.min_responses=2 (or more) and pairing.ties=drop",
            )


def _check_scores_of_pairs(config: Config) -> None:
    needed = config.objective.pairs_with()
    if needed == "margin" and not config.pairing.scores_pairs:
        raise ConfigError(
            f"objective.margin=score needs pairs with a score margin, but pairing.kind={config.pairing.kind} has none",
            "set objective.margin=none, or a pairing of scored responses",
        )
    if needed == "win_probabilities" and config.pairing.beside != "win_probabilities":
        raise ConfigError(
            "objective.probabilities=soft needs win probabilities against a group of responses, but pairing.kind="
            f"{config.pairing.kind} gives none",
            "set pairing=sppo, or objective.probabilities=hard",
        )


def _check_policy_gradient(config: Config, objective: ObjectivePart) -> None:
    if not config.generation.keeps_logps:
        raise ConfigError(
            f"objective.kind={objective.kind} learns from the policy's own samples, but generation.kind="
            f"{config.generation.kind}",
            "choose generation=plain",
        )
    sampling = config.generation.sampled_with()
    if (sampling.temperature, sampling.top_p) != (1.0, 1.0):
        raise ConfigError(
            f"objective.kind={objective.kind} with generation.sampling.temperature={sampling.temperature:g} and "
            f"top_p={sampling.top_p:g}: responses from another distribution than the policy's own bias its gradient",
            "set generation.sampling.temperature=1.0 and generation.sampling.top_p=1.0",
        )
    if objective.compares_samples and config.pairing.least_responses() < 2:
        raise ConfigError(
            f"objective.kind={objective.kind} compares the responses to one prompt, but pairing.min_responses="
            f"{config.pairing.least_responses()}",
            "set pairing.min_responses=2 (or more)",
        )
    if config.generation.drops_truncated() and objective.rewards_truncated():
        raise ConfigError(
            "generation.truncated=drop with a reward for truncated responses: none would ever get it",
            "set generation.truncated=keep, or objective.missing_eos_penalty=0 and missing_eos_reward=null",
        )
    if config.learner.selection is not None:
        raise ConfigError(
            f"learner.selection measures on held-out pairs, which objective.kind={objective.kind} does not take",
            "set learner.selection=null",
        )


def _check_learner(config: Config) -> None:
    learner = config.learner
    check_deepspeed(learner.deepspeed)
    keeps = learner.checkpoint_every_steps or learner.selection or learner.optimizer == "carried"
    if keeps and learner.zero_stage == 0 and config.model.dtype != "float32":
        raise ConfigError(
            f"learner.checkpoint_every_steps={learner.checkpoint_every_steps}, learner.selection or "
            f"learner.optimizer={learner.optimizer} with learner.zero_stage=0 and model.dtype={config.model.dtype}: "
            "DeepSpeed hides the float32 weights then",
            "set learner.zero_stage=1",
        )
    if learner.optimizer == "carried" and learner.lora is not None:
        raise ConfigError(
            "learner.optimizer=carried with learner.lora: every round begins new adapters, which the moments of the "
            "old ones do not fit",
            "set learner.optimizer=fresh",
        )
    if config.cluster.learner.ranks > learner.pairs_per_step:
        raise ConfigError(
            f"cluster.learner.ranks={config.cluster.learner.ranks} is more than learner.pairs_per_step="
            f"{learner.pairs_per_step}: some ranks would never see a pair",
            "lower cluster.learner.ranks or raise learner.pairs_per_step",
        )
