"""Two responses by RLHFlow's `choose_type`."""

from collections.abc import Sequence
from functools import partial
from typing import ClassVar, Literal, TypeAlias, assert_never

from ...orchestrator.data.records import Judgment, PairingOutcome, Prompt, Rollout
from ...orchestrator.fields import NonNegativeFloat
from ...orchestrator.parts.pairing import Pair, PairingContext, PairingPart
from ...orchestrator.parts.registry import part
from .candidates import MEAN_DECIMALS, Scored, best_of, drawn, paired, worst_of

Choice: TypeAlias = Literal["random", "max_random", "max_min", "max_max", "max_min_p"]


@part("pairing")
class ByChoicePairing(PairingPart):
    """Two responses by RLHFlow's `choose_type` (arXiv 2405.07863): random, max_random, max_min, max_max or
    max_min_p."""

    kind: Literal["by_choice"]
    choice: Choice
    length_penalty: NonNegativeFloat  # of max_min_p: scores a character
    version: ClassVar[int] = 2  # no empty response comes into a pair or a group

    def sentence(self) -> str:
        return f"Two of a prompt's scored responses, by the rule {self.choice}."

    def build(self, context: PairingContext) -> Pair:
        return partial(
            pair_by_choice,
            choice=self.choice,
            length_penalty=self.length_penalty,
            seed=context.seed,
            drop_truncated=context.drop_truncated,
        )


def pair_by_choice(
    prompt: Prompt,
    rollouts: Sequence[Rollout],
    judgments: Sequence[Judgment],
    *,
    choice: Choice,
    length_penalty: float,
    seed: int,
    drop_truncated: bool,
) -> PairingOutcome:
    """Two responses by RLHFlow's `choose_type`, the higher-scored one chosen: RLHF Workflow, arXiv 2405.07863.

    - random: any two; max_random: the best and any other; max_min: the best and the worst;
    - max_max: the best and the second best, a tie where two score best;
    - max_min_p: the best and the worst by score − `length_penalty` · characters. As in the official code, the penalty
      only says which two: the label follows the score itself, even against the penalised order.

    Where the official code takes the first responses sampled for any, here `seed` draws them.
    """

    def pick(scored: Sequence[Scored]) -> tuple[Scored, Scored]:
        best = best_of(scored)
        others = [one for one in scored if one is not best]
        match choice:
            case "random":
                first, second = drawn(prompt, scored, 2, seed)
            case "max_random":
                first, second = best, *drawn(prompt, others, 1, seed)
            case "max_min":
                first, second = best, worst_of(scored)
            case "max_max":
                first, second = best, best_of(others)
            case "max_min_p":
                penalised = [round(one.score - length_penalty * one.chars, MEAN_DECIMALS) for one in scored]
                first = scored[penalised.index(max(penalised))]
                second = scored[penalised.index(min(penalised))]
            case _:
                assert_never(choice)
        return (first, second) if first.score >= second.score else (second, first)

    return paired(prompt, rollouts, judgments, drop_truncated, pick)
