"""Responses and validations that agree with each other."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import ClassVar, Literal

from ...orchestrator.data.records import Judgment, PairingOutcome, Prompt, ResponseGroup, Rollout
from ...orchestrator.parts.pairing import Gives, Pair, PairingContext, PairingPart, Takes
from ...orchestrator.parts.registry import part
from .candidates import dropped, kept, lacking


@part("pairing")
class AgreementPairing(PairingPart):
    """Responses that the validator says yes to, each with the validation itself: both are imitated (objective=sft;
    inspired by GV-consistency, arXiv 2310.01846)."""

    kind: Literal["agreement"]
    version: ClassVar[int] = 2  # no empty response comes into a pair or a group
    takes: ClassVar[Takes] = "validations"
    tells_better: ClassVar[bool] = False
    inseparable: ClassVar[bool] = True

    def gives(self) -> Gives:
        return "demonstrations"

    def sentence(self) -> str:
        return "No pairs: responses that the validator agrees with, and its validations of them, to imitate."

    def build(self, context: PairingContext) -> Pair:
        return partial(pair_agreement, drop_truncated=context.drop_truncated)


def pair_agreement(
    prompt: Prompt, rollouts: Sequence[Rollout], judgments: Sequence[Judgment], *, drop_truncated: bool
) -> PairingOutcome:
    """Every response that the validator says yes to, each followed by the validation: the judging prompt with the
    validator's own answer. Inspired by the consistency fine-tuning of GV-consistency, arXiv 2310.01846, which trains on
    both where they agree; its details are not verified.

    Drop reasons, in this order: `truncated` and `empty` (no response is left), `unscored` (no validation was parsed),
    `disagreement` (the validator says yes to none, or is even).
    """
    candidates = kept(rollouts, drop_truncated)
    if not candidates:
        return dropped(prompt, lacking(rollouts, drop_truncated, at_least=1))
    validations = {judgment.sample: judgment for judgment in judgments if judgment.agrees is not None}
    validated = [(rollout, validations[rollout.sample]) for rollout in candidates if rollout.sample in validations]
    if not validated:
        return dropped(prompt, "unscored")
    responses = [
        response
        for rollout, validation in validated
        if validation.agrees
        for response in (rollout, _validation(rollout, validation))
    ]
    if not responses:
        return dropped(prompt, "disagreement")
    group = ResponseGroup(prompt=prompt, responses=tuple(responses), scores=())
    return PairingOutcome(pair=None, dropped=None, group=group)


def _validation(rollout: Rollout, validation: Judgment) -> Rollout:
    """The validator's answer as a response to its own prompt. It ends where the answer's only token does."""
    return replace(
        rollout,
        prompt_token_ids=validation.judge_prompt_token_ids,
        sampler_token_ids=validation.judge_prompt_token_ids,
        token_ids=validation.judge_token_ids,
        logprobs=(),
        text=validation.text,
        finish_reason="length",
        seed=0,
    )
