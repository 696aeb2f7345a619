"""What a shard's pairing outcomes become for the learner, by the examples that an objective takes."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

from ..data.records import PairingOutcome, PreferencePair, ResponseGroup, Rollout, TokenSequence, TrainingExample
from ..parts.objective import Examples, ObjectivePart

Build: TypeAlias = Callable[[Sequence[tuple[PreferencePair, float]]], list[TrainingExample]]


def training_examples(
    outcomes: Sequence[PairingOutcome],
    objective: ObjectivePart,
    *,
    first: int,
    num_prompts: int,
    epoch: int,
    epochs: int,
) -> list[TrainingExample]:
    """The examples of a shard's outcomes, in the shard's order.

    Args:
        first: position of the shard's first prompt in the epoch.
        num_prompts: prompts of the epoch; with `epoch` and `epochs` it gives each example's progress and share.

    Example: the third of four prompts in the second of two epochs has progress (1 + 2/4) / 2 = 0.75, and its share of
    the update is 1/8.
    """
    share = 1 / (num_prompts * epochs)
    return [
        replace(example, share=share) for example in _placed(outcomes, objective, first, num_prompts, epoch, epochs)
    ]


def _placed(
    outcomes: Sequence[PairingOutcome],
    objective: ObjectivePart,
    first: int,
    num_prompts: int,
    epoch: int,
    epochs: int,
) -> list[TrainingExample]:
    """The examples with their progress."""
    placed = [(outcome, (epoch + (first + offset) / num_prompts) / epochs) for offset, outcome in enumerate(outcomes)]
    pairs = [(outcome.pair, progress) for outcome, progress in placed if outcome.pair is not None]
    groups = [(outcome.group, progress) for outcome, progress in placed if outcome.group is not None]
    if objective.examples == "demonstrations":
        conditioned = [example for outcome, progress in placed for example in _conditioned(outcome, progress)]
        return conditioned or _demonstrations(pairs, groups)
    if objective.examples == "described":
        return [_described(group, progress) for group, progress in groups]
    if objective.examples == "critiqued":
        return [example for group, progress in groups for example in _critiqued(group, progress)]
    if groups:
        return [_group(group, progress, objective) for group, progress in groups]
    return _OF_PAIRS[objective.examples](pairs)


def _conditioned(outcome: PairingOutcome, progress: float) -> list[TrainingExample]:
    """What conditioning made of a prompt's responses, each sequence by itself."""
    made = outcome.pair or outcome.group
    if made is None:
        return []
    return [
        TrainingExample(id=f"{made.prompt.id}/{index}", sequences=(sequence,), progress=progress)
        for index, sequence in enumerate(outcome.sequences)
    ]


def _preferences(pairs: Sequence[tuple[PreferencePair, float]]) -> list[TrainingExample]:
    """(chosen, rejected), with the judge's margin as the chosen one's score above the rejected one's."""
    return [
        TrainingExample(
            id=pair.prompt.id,
            sequences=(_sequence(pair.chosen), _sequence(pair.rejected)),
            scores=() if pair.margin is None else (pair.margin, 0.0),
            label_probability=pair.label_probability,
            progress=progress,
        )
        for pair, progress in pairs
    ]


def _contests(pairs: Sequence[tuple[PreferencePair, float]]) -> list[TrainingExample]:
    """(chosen, rejected) with their win probabilities: SPPO's."""
    return [
        replace(example, scores=pair.win_probabilities or ())
        for example, (pair, _) in zip(_preferences(pairs), pairs, strict=True)
    ]


def _sourced(pairs: Sequence[tuple[PreferencePair, float]]) -> list[TrainingExample]:
    """(source, chosen, rejected): WRPO's."""
    examples = []
    for example, (pair, _) in zip(_preferences(pairs), pairs, strict=True):
        assert pair.source is not None, "pairing puts a source's response beside WRPO's pairs"
        examples.append(replace(example, sequences=(_sequence(pair.source), *example.sequences), scores=()))
    return examples


def _labelled(pairs: Sequence[tuple[PreferencePair, float]]) -> list[TrainingExample]:
    """Chosen responses are desirable, rejected ones are not: KTO's. Each comes with the response to another prompt of
    the shard, which measures the step's KL; the only pair of a shard has no other, and leaves that to the rest."""
    examples = []
    for index, (pair, progress) in enumerate(pairs):
        other = pairs[index - 1][0]
        for rollout, mismatched, desirable in (
            (pair.chosen, other.chosen, True),
            (pair.rejected, other.rejected, False),
        ):
            unrelated = TokenSequence(prompt_token_ids=rollout.prompt_token_ids, token_ids=mismatched.token_ids)
            examples.append(
                TrainingExample(
                    id=f"{pair.prompt.id}/{'chosen' if desirable else 'rejected'}",
                    sequences=(_sequence(rollout), unrelated) if len(pairs) > 1 else (_sequence(rollout),),
                    desirable=desirable,
                    progress=progress,
                )
            )
    return examples


def _demonstrations(
    pairs: Sequence[tuple[PreferencePair, float]], groups: Sequence[tuple[ResponseGroup, float]]
) -> list[TrainingExample]:
    """What is imitated: the chosen responses of pairs (best of n, RAFT's local ranking), every response of a group."""
    chosen = [
        TrainingExample(id=pair.prompt.id, sequences=(_sequence(pair.chosen),), progress=progress)
        for pair, progress in pairs
    ]
    return chosen + [
        TrainingExample(id=f"{group.prompt.id}/{index}", sequences=(_sequence(response),), progress=progress)
        for group, progress in groups
        for index, response in enumerate(group.responses)
    ]


def _group(group: ResponseGroup, progress: float, objective: ObjectivePart) -> TrainingExample:
    """All responses to a prompt with what they count as; those of a ranking have no scores."""
    scored = zip(group.responses, group.scores, strict=True) if group.scores else ()
    return TrainingExample(
        id=group.prompt.id,
        sequences=tuple(_sequence(rollout) for rollout in group.responses),
        scores=tuple(objective.reward(rollout, score) for rollout, score in scored),
        progress=progress,
    )


def _described(group: ResponseGroup, progress: float) -> TrainingExample:
    """A response with what people say of it."""
    (response,) = group.responses
    return TrainingExample(
        id=group.prompt.id,
        sequences=(_sequence(response),),
        scores=tuple(math.nan if label is None else label for label in group.prompt.labels),
        progress=progress,
    )


def _critiqued(group: ResponseGroup, progress: float) -> list[TrainingExample]:
    """Every response under the plain prompt, and the same response after its judgment. A good response stands
    after the plain prompt twice: no token is inappropriate to CUT then, and the loss is its NLL."""
    return [
        TrainingExample(
            id=f"{group.prompt.id}/{rollout.sample}",
            sequences=(
                _sequence(rollout),
                TokenSequence(prompt_token_ids=prompt_token_ids, token_ids=rollout.token_ids),
            ),
            progress=progress,
        )
        for rollout, prompt_token_ids in zip(group.responses, group.critiqued_prompt_token_ids, strict=True)
    ]


def _sequence(rollout: Rollout) -> TokenSequence:
    return TokenSequence(
        prompt_token_ids=rollout.prompt_token_ids,
        token_ids=rollout.token_ids,
        sampler_logps=rollout.logprobs or None,
    )


# A list of two, as a pair has it, is one of preferences.
_OF_PAIRS: dict[Examples, Build] = {
    "preferences": _preferences, "groups": _preferences, "labelled": _labelled, "contests": _contests,
    "sourced": _sourced,
}  # fmt: skip
