"""What pairing rules are tried on: one prompt, responses to it, and votes on them."""

from roundelay.orchestrator.data.records import (
    FinishReason,
    Judgment,
    Message,
    PairingOutcome,
    PreferencePair,
    Prompt,
    Rollout,
    Variant,
)
from support import judging

PROMPT = Prompt(id="p", messages=(Message(role="user", content="Hi"),))


def rollout(
    sample: int, text: str | None = None, *, finish: FinishReason = "stop", variant: Variant = "plain"
) -> Rollout:
    said = f"response {sample}" if text is None else text
    return judging.rollout(PROMPT.id, sample, said, finish=finish, variant=variant)


def vote(sample: int, score: float | None, number: int = 0) -> Judgment:
    """A parsed vote, or a failed one where `score` is None."""
    return Judgment(
        prompt_id=PROMPT.id,
        sample=sample,
        vote=number,
        status="unparsable" if score is None else "parsed",
        score=score,
        choice_mass=None,
        text="",
    )


def pair_of(outcome: PairingOutcome) -> PreferencePair:
    assert outcome.pair is not None and outcome.dropped is None and outcome.group is None
    return outcome.pair
