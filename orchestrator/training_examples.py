"""What a shard's pairing outcomes become for the learner: one kind of example an objective."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

from .objective_config import ObjectiveConfig, PolicyGradientObjective, SftObjective
from .records import PairingOutcome, PreferencePair, ResponseGroup, Rollout, TokenSequence, TrainingExample

Build: TypeAlias = Callable[[Sequence[tuple[PreferencePair, float]]], list[TrainingExample]]


def training_examples(
    outcomes: Sequence[PairingOutcome],
    objective: ObjectiveConfig,
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
    objective: ObjectiveConfig,
    first: int,
    num_prompts: int,
    epoch: int,
    epochs: int,
) -> list[TrainingExample]:
    """The examples with their progress."""
    placed = [(outcome, (epoch + (first + offset) / num_prompts) / epochs) for offset, outcome in enumerate(outcomes)]
    pairs = [(outcome.pair, progress) for outcome, progress in placed if outcome.pair is not None]
    groups = [(outcome.group, progress) for outcome, progress in placed if outcome.group is not None]
    if isinstance(objective, SftObjective):
        conditioned = [example for outcome, progress in placed for example in _conditioned(outcome, progress)]
        return conditioned or _demonstrations(pairs, groups)
    if objective.kind == "attribute_regression":
        return [_described(group, progress) for group, progress in groups]
    if objective.kind == "cut":
        return [example for group, progress in groups for example in _critiqued(group, progress)]
    if groups:
        return [_group(group, progress, objective) for group, progress in groups]
    return _BUILDERS.get(objective.kind, _preferences)(pairs)


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
    """SPPO's: (chosen, rejected) with their win probabilities."""
    return [
        replace(example, scores=pair.win_probabilities or ())
        for example, (pair, _) in zip(_preferences(pairs), pairs, strict=True)
    ]


def _sourced(pairs: Sequence[tuple[PreferencePair, float]]) -> list[TrainingExample]:
    """WRPO's: (source, chosen, rejected)."""
    examples = []
    for example, (pair, _) in zip(_preferences(pairs), pairs, strict=True):
        assert pair.source is not None, "pairing puts a source's response beside WRPO's pairs"
        examples.append(replace(example, sequences=(_sequence(pair.source), *example.sequences), scores=()))
    return examples


def _labelled(pairs: Sequence[tuple[PreferencePair, float]]) -> list[TrainingExample]:
    """KTO's: chosen responses are desirable, rejected ones are not. Each comes with the response to another prompt of
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


def _group(group: ResponseGroup, progress: float, objective: ObjectiveConfig) -> TrainingExample:
    """All responses to a prompt with their scores; a policy gradient has its own for some (see there)."""
    scores = group.scores
    if isinstance(objective, PolicyGradientObjective):
        scores = tuple(
            _reward(rollout, score, objective) for rollout, score in zip(group.responses, scores, strict=True)
        )
    return TrainingExample(
        id=group.prompt.id,
        sequences=tuple(_sequence(rollout) for rollout in group.responses),
        scores=scores,
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
    """CUT's: every response under the plain prompt, and the same response after its judgment. A good response stands
    after the plain prompt twice: no token is inappropriate then, and the loss is its NLL."""
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


def _reward(rollout: Rollout, score: float, objective: PolicyGradientObjective) -> float:
    """The score, but for a response without an end, or, to AlpacaFarm's rule, one that says nothing before it."""
    if objective.missing_eos_reward is not None:
        return objective.missing_eos_reward if rollout.truncated or not rollout.text.strip() else score
    return score - objective.missing_eos_penalty if rollout.truncated else score


def _sequence(rollout: Rollout) -> TokenSequence:
    return TokenSequence(
        prompt_token_ids=rollout.prompt_token_ids,
        token_ids=rollout.token_ids,
        sampler_logps=rollout.logprobs or None,
    )


_BUILDERS: dict[str, Build] = {"kto": _labelled, "sppo": _contests, "wrpo": _sourced}
