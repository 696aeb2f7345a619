"""The sentences that a recipe's configuration is told in."""

from collections.abc import Callable
from operator import methodcaller
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter
from support.configs import (
    AB,
    ADDITIVE,
    BY_FUNCTION,
    CONTRAST,
    DPO,
    GROUP,
    INITIAL,
    NO_REFERENCE,
    PLAIN,
    PPO,
    REWARD_MODEL,
    SWEET_SPOT,
    base,
    changed,
)

from roundelay.launch.config.learning_words import taught
from roundelay.launch.config.loading import CONFIG_ROOT
from roundelay.orchestrator.config.schema import LoraConfig
from roundelay.orchestrator.parts.conditioning import AnyConditioning
from roundelay.orchestrator.parts.conditions import Condition
from roundelay.orchestrator.parts.generation import AnyGeneration
from roundelay.orchestrator.parts.judge import AnyJudge
from roundelay.orchestrator.parts.new_prompts import AnyNewPrompts
from roundelay.orchestrator.parts.objective import AnyObjective, ObjectivePart, ReferenceConfig, Term
from roundelay.orchestrator.parts.pairing import AnyPairing
from roundelay.recipes.objectives.hinge import HingeObjective
from roundelay.recipes.objectives.reward_model import RewardModelObjective
from roundelay.recipes.objectives.sft import SftObjective
from roundelay.recipes.pairing.contrast import ContrastPairing
from roundelay.recipes.pairing.length_controlled import LengthControlledPairing

SENTENCE = methodcaller("sentence")


def learnt(objective: ObjectivePart) -> str:
    """As `roundelay recipes NAME` has it."""
    return f"{objective.sentence()} {objective.reference.sentence()}"


GROUPS: dict[str, tuple[Any, Callable[[Any], str]]] = {
    "new_prompts": (AnyNewPrompts, SENTENCE),
    "generation": (AnyGeneration, SENTENCE),
    "judge": (AnyJudge, SENTENCE),
    "pairing": (AnyPairing, SENTENCE),
    "conditioning": (AnyConditioning, SENTENCE),
    "objective": (AnyObjective, learnt),
}


def members(group: str) -> dict[str, Any]:
    """The shipped members of a group that stand for themselves, by file."""
    kind, _ = GROUPS[group]
    values = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((CONFIG_ROOT / group).glob("*.yaml"))}
    return {
        name: TypeAdapter(kind).validate_python(
            {key: "mine:own" if value == "???" else value for key, value in one.items()}
        )
        for name, one in values.items()
        if "defaults" not in one
    }


@pytest.mark.parametrize("group", GROUPS)
def test_every_shipped_member_of_a_group_has_a_sentence_of_its_own(group: str) -> None:
    """Whole sentences; two kinds are never told in the same words."""
    _, words = GROUPS[group]
    told = {name: words(config) for name, config in members(group).items()}
    assert len(told) >= 2 and len(set(told.values())) == len(told)
    for sentence in told.values():
        assert sentence[0] == sentence[0].upper() and sentence.endswith(".")
        assert not set("{}<>") & set(sentence) and "None" not in sentence


@pytest.mark.parametrize(
    ("words", "config", "expected"),
    [
        (SENTENCE, changed(PLAIN, samples_per_prompt=1, sampling__temperature=0.0),
         "1 response to each prompt; greedily, up to 48 tokens."),
        (SENTENCE, changed(PLAIN, condition=Condition(system="Be kind.", assistant_prefix="Well:\n")),
         "4 responses to each prompt, under the system message “Be kind.” and the opening “Well:”; temperature 0.7, "
         "top_p 0.9, up to 48 tokens."),
        (SENTENCE, changed(PLAIN, truncated="drop"),
         "4 responses to each prompt; temperature 0.7, top_p 0.9, up to 48 tokens. Responses that are cut there stay "
         "out."),
        (SENTENCE, CONTRAST,
         "Two responses to each prompt: one under a positive and one under a negative description of the answer "
         "(1 pair, one drawn by seed), which stands in the system message; temperature 0.7, top_p 0.9, up to 48 "
         "tokens."),
        (SENTENCE, ADDITIVE,
         "The policy, in words, by a rubric that adds up points from 0 to 5: the mean of 3 votes; what cannot be "
         "parsed does not count."),
        (SENTENCE, changed(AB, orders="one"),
         "The policy, on which of two responses is better: the probabilities of its answers (A) and (B), asked once, "
         "in an order drawn by seed."),
        (SENTENCE, BY_FUNCTION, "The Python function mine.rewards:length, by what it returns."),
        (SENTENCE, LengthControlledPairing(kind="length_controlled", rho=0.0, max_chosen_chars=1100),
         "The shortest of the best-scored responses over the longest of the worst-scored. Left out where the chosen "
         "one has more than 1100 characters."),
        (SENTENCE, SWEET_SPOT,
         "The response whose score is nearest to the highest over the one nearest to two standard deviations below the "
         "mean."),
        (SENTENCE, ContrastPairing(kind="contrast", shuffle_labels=True),
         "The two responses with labels drawn by lot: a control, from which nothing can be learnt."),
        (SENTENCE, changed(GROUP, ties="drop"),
         "No pairs: all scored responses to a prompt, best first (2 or more); a group of equal scores is dropped."),
        (learnt, DPO, "DPO, beta 0.1. Reference: the policy before the round."),
        (learnt, changed(DPO, reference__logps="rollout"),
         "DPO, beta 0.1. Reference: the policy before the round, by the sampler's log-probs."),
        (learnt, changed(DPO, reference=ReferenceConfig(policy="average", logps="recompute", decay=0.9)),
         "DPO, beta 0.1. Reference: the moving average of the policies, decay 0.9."),
        (learnt, HingeObjective(kind="hinge", beta=0.5, reference=NO_REFERENCE),
         "A hinge on DPO's margin, beta 0.5. No reference."),
        (learnt, PPO,
         "PPO, clip 0.2, KL 0.0067 taken from a token's reward, separate critic. Reference: the initial policy."),
        (learnt, REWARD_MODEL,
         "A reward model, not the policy: the chosen response scores higher than the rejected one. No reference."),
        (learnt, RewardModelObjective(kind="reward_model", centring=0.0, margin="score"),
         "A reward model, not the policy: the chosen response scores higher than the rejected one, ahead by the margin "
         "of their scores. No reference."),
    ],
)  # fmt: skip
def test_a_sentence_says_what_the_configuration_says(words: Callable[[Any], str], config: Any, expected: str) -> None:
    assert words(config) == expected


def test_weights_and_further_losses_are_said() -> None:
    terms = (
        Term(weight=0.2, loss=SftObjective(kind="sft")),
        Term(weight=3.0, loss=HingeObjective(kind="hinge", beta=0.5)),
    )
    assert learnt(changed(DPO, weighting="wpo", plus=terms, reference=INITIAL)) == (
        "DPO, beta 0.1. Pairs weigh as much as the policy would sample them, at most 1 (WPO). Added: 0.2 × NLL of the "
        "chosen response; 3 × a hinge on DPO's margin, beta 0.5. Reference: the initial policy."
    )


def test_an_update_is_said_with_what_a_step_counts() -> None:
    learner = base().learner
    assert taught(learner, SWEET_SPOT) == (
        "1 epoch, 8 pairs a step, learning rate 1e-06 (cosine), each round with a fresh optimizer."
    )
    lora = LoraConfig(rank=16, alpha=32, target_modules=())
    other = changed(learner, epochs=2, warmup_fraction=0.1, optimizer="carried", schedule="linear")
    assert taught(other, GROUP) == (
        "2 epochs, 8 groups of responses a step, learning rate 1e-06 (linear, warm-up over 10%), the optimizer is "
        "carried on."
    )
    assert taught(changed(learner, lora=lora), SWEET_SPOT).endswith("fresh optimizer, LoRA of rank 16.")
