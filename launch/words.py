"""What a phase does, in sentences: one function a config group, one sentence a kind.

A kind without a sentence is an error of types (`assert_never`), not a gap in what is printed.
"""

from typing import assert_never

from ..orchestrator.config import LearnerConfig
from ..orchestrator.new_prompts_config import (
    EvolvePrompts,
    FromKeptPrompts,
    JudgePrompts,
    NewPromptsConfig,
    NoNewPrompts,
    SelfInstructPrompts,
    SkillMixPrompts,
)
from ..orchestrator.parts.pairing import PairingPart
from ..orchestrator.wording import counted


def written(made: NewPromptsConfig) -> str:
    """Where a round's prompts come from, where that is not the training file alone."""
    match made:
        case NoNewPrompts():
            return "All are the training file's."
        case JudgePrompts(of=of, form=form):
            what = {
                "given": "the responses of prompts.seed, whose order is known",
                "pairs": "the pairs of the newest round before, whose order is known",
                "disputed": "the response to each prompt of the newest round before whose judgments differ most",
                "scored": "the responses of the newest round before, each answered with its expected score",
            }[of]
            return f"Questions to a judge about {what}, in the form of {form}."
        case SelfInstructPrompts(seed_shots=seeds, made_shots=new):
            how = f"continues lists of {counted(seeds, 'prompt')} of the training file and {counted(new, 'new one')}"
        case FromKeptPrompts(shots=shots):
            how = f"continues lists of {counted(shots, 'prompt')} that were learnt from in earlier rounds"
        case EvolvePrompts(operations=operations, review=review):
            reviewed = " and reviews what comes of it" if review else ""
            how = f"rewrites a prompt by one of {counted(len(operations), 'operation')} drawn by seed{reviewed}"
        case SkillMixPrompts(skills=skills, skills_per_prompt=mixed):
            how = f"is asked for prompts that need {counted(mixed, 'skill')} at once, drawn by seed from {len(skills)}"
        case _:
            assert_never(made)
    many = "All are" if made.per_round is None else f"{made.per_round} of them are"
    return f"{many} written by the policy, which {how}; {made.sampling.words()}."


def taught(learner: LearnerConfig, pairing: PairingPart) -> str:
    """How the learner goes over what `pairing` makes."""
    warmup = f", warm-up over {learner.warmup_fraction:.0%}" if learner.warmup_fraction else ""
    optimizer = "each round with a fresh optimizer" if learner.optimizer == "fresh" else "the optimizer is carried on"
    lora = f", LoRA of rank {learner.lora.rank}" if learner.lora else ""
    steps = (
        f"{counted(learner.epochs, 'epoch')}, {learner.pairs_per_step} {pairing.unit} a step, learning rate "
        f"{learner.learning_rate:g} ({learner.schedule}{warmup}), {optimizer}{lora}."
    )
    return steps + _started(learner) + _published(learner)


def _started(learner: LearnerConfig) -> str:
    """What an update starts from and learns from, where that is not the policy and the data of the round alone."""
    start = {
        "previous": "",
        "initial": " Every update starts from the initial policy.",
        "before_previous": " The round goes back to the policy that the round before it began with.",
    }[learner.start]
    data = {
        "this_round": "",
        "with_previous": " It learns from the round before, too.",
        "all_rounds": " It learns from all rounds so far.",
    }[learner.data]
    return start + data


def _published(learner: LearnerConfig) -> str:
    """What a round publishes, where that is not what its update ended with."""
    if (further := learner.extrapolation) is not None:
        alphas = " or ".join(f"{alpha:g}" for alpha in further.alphas)
        origin = {"start": "its start", "initial": "the initial policy"}[further.origin]
        return f" What is published lies further from {origin} by {alphas} of the way (ExPO)."
    if learner.average_rounds is not None:
        return f" What is published is the mean of {learner.average_rounds} rounds' policies."
    return ""
