"""Two rounds' policies side by side: what both answered, and the figures of its comparisons."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..orchestrator.errors import ConfigError
from ..orchestrator.subset import fresh_subset
from ..recipes.evaluation.bias import length_preference, list_preference
from ..recipes.evaluation.comparisons import Comparison
from ..recipes.evaluation.length_controlled import EVEN, LengthControlled, length_controlled
from ..recipes.evaluation.wildbench import mean_wb_reward
from ..recipes.evaluation.win_rate import WinRate, win_rate
from .judging import ResponsePair
from .rounds import FinishedRound, heldout_responses


@dataclass(frozen=True, kw_only=True, slots=True)
class Match:
    """Two policies, and their responses to the prompts that both answered.

    Example:
        Match(a=one, b=other, pairs=(pair,))
    """

    a: FinishedRound
    b: FinishedRound
    pairs: tuple[ResponsePair, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class MatchReport:
    """The figures of one match, all as shares; lengths are means in characters.

    Example:
        MatchReport(win_rate=rate, length_controlled=controlled, wb_reward=None, length_preference=0.6,
                    list_preference=None, chars_a=310.5, chars_b=280.0)
    """

    win_rate: WinRate | None
    length_controlled: LengthControlled | None
    wb_reward: float | None
    length_preference: float | None
    list_preference: float | None
    chars_a: float
    chars_b: float


def report_on(match: Match, comparisons: Sequence[Comparison], *, graded: bool) -> MatchReport:
    """The figures of a match. A policy against itself has a length-controlled win rate of exactly a half; WB-Reward is
    of judges whose verdicts are `graded`."""
    texts = {pair.prompt.id: (pair.a, pair.b) for pair in match.pairs}
    itself = match.a.policy.sha256 == match.b.policy.sha256
    return MatchReport(
        win_rate=win_rate(comparisons),
        length_controlled=EVEN if itself else length_controlled(comparisons),
        wb_reward=mean_wb_reward(comparisons) if graded else None,
        length_preference=length_preference(comparisons),
        list_preference=list_preference(comparisons, texts),
        chars_a=sum(one.chars_a for one in comparisons) / len(comparisons),
        chars_b=sum(one.chars_b for one in comparisons) / len(comparisons),
    )


def match_of(a: FinishedRound, b: FinishedRound, num_prompts: int | None, draw: int) -> Match:
    """The prompts that both rounds answered, or draw number `draw` of `num_prompts` of them.

    Raises:
        ConfigError: there are none, or fewer than `num_prompts`.
    """
    of_a, of_b = heldout_responses(a), heldout_responses(b)
    shared = [asked for asked in of_a if asked in of_b]
    if not shared:
        raise ConfigError(
            f"{a.name} and {b.name} answered no held-out prompt in common",
            "compare runs with the same prompts.heldout and prompts.system",
        )
    pairs = {
        of_a[asked][0].id: ResponsePair(prompt=of_a[asked][0], a=of_a[asked][1].text, b=of_b[asked][1].text)
        for asked in shared
    }
    if num_prompts is None:
        return Match(a=a, b=b, pairs=tuple(pairs.values()))
    if num_prompts > len(pairs):
        raise ConfigError(
            f"--num-prompts {num_prompts}, but {a.name} and {b.name} share {len(pairs)} answered held-out prompts",
            "give fewer, or leave it out",
        )
    chosen = fresh_subset(list(pairs), size=num_prompts, draw=draw, seed=0)
    return Match(a=a, b=b, pairs=tuple(pairs[identity] for identity in chosen))
