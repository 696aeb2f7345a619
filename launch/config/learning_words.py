"""How a round is learnt, in sentences; what a part does, it says itself."""

from ...orchestrator.config.schema import LearnerConfig
from ...orchestrator.parts.pairing import PairingPart
from ...orchestrator.parts.wording import counted


def taught(learner: LearnerConfig, pairing: PairingPart) -> str:
    """How the learner goes over what `pairing` makes."""
    warmup = f", warm-up over {learner.warmup_fraction:.0%}" if learner.warmup_fraction else ""
    optimizer = "each round with a fresh optimizer" if learner.optimizer == "fresh" else "the optimizer is carried on"
    lora = f", LoRA of rank {learner.lora.rank}" if learner.lora else ""
    steps = (
        f"{counted(learner.epochs, 'epoch')}, {learner.pairs_per_step} {pairing.units()} a step, learning rate "
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
