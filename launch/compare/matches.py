"""Two sides of a match: what both answered, and the figures of its comparisons."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TypeAlias

from ...orchestrator.data.records import Message, Prompt, Rollout
from ...orchestrator.errors import ConfigError
from ...orchestrator.prompts.subset import fresh_subset
from ...recipes.evaluation.bias import length_preference, list_preference
from ...recipes.evaluation.comparisons import Comparison
from ...recipes.evaluation.length_controlled import EVEN, GamedRow, LengthControlled, length_controlled
from ...recipes.evaluation.wildbench import mean_wb_reward
from ...recipes.evaluation.win_rate import WinRate, win_rate
from ..show.rounds import FinishedRound, heldout_responses
from .judging import ResponsePair
from .prompt_files import OutputsFile

Side: TypeAlias = FinishedRound | OutputsFile


@dataclass(frozen=True, kw_only=True, slots=True)
class Match:
    """Two sides, and their responses to the prompts that both answered. `left_out` counts those of these prompts that
    are not among the pairs, by what is wrong with the responses.

    Example:
        Match(a=one, b=other, pairs=(pair,), left_out={"a empty": 1, "a truncated, b truncated": 2})
    """

    a: Side
    b: Side
    pairs: tuple[ResponsePair, ...]
    left_out: Mapping[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Figuring:
    """What figures depend on beside comparisons: whether verdicts have WildBench's grades, its length rule (characters,
    None for off), the difficulties of prompts by id, and rows of gamed baselines, where there are some.

    Example:
        Figuring(graded=True, length_rule=500, difficulties=None)
    """

    graded: bool
    length_rule: int | None
    difficulties: Mapping[str, float] | None
    gamed: Sequence[GamedRow] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class MatchReport:
    """The figures of one match, all as shares; lengths are means in characters, and `scores` the means of a and b by a
    judge that scores (None of one that compares), over texts that differ and have both scores.

    Example:
        MatchReport(win_rate=rate, length_controlled=controlled, wb_reward=None, scores=None, length_preference=0.6,
                    list_preference=None, chars_a=310.5, chars_b=280.0)
    """

    win_rate: WinRate | None
    length_controlled: LengthControlled | None
    wb_reward: float | None
    scores: tuple[float, float] | None
    length_preference: float | None
    list_preference: float | None
    chars_a: float
    chars_b: float


def report_on(match: Match, comparisons: Sequence[Comparison], figuring: Figuring) -> MatchReport:
    """The figures of a match. A policy against itself has a length-controlled win rate of exactly a half."""
    texts = {pair.prompt.id: (pair.a, pair.b) for pair in match.pairs}
    controlled = (
        EVEN
        if _same_policy(match)
        else length_controlled(comparisons, difficulty=figuring.difficulties, gamed=figuring.gamed)
    )
    return MatchReport(
        win_rate=win_rate(comparisons),
        length_controlled=controlled,
        wb_reward=mean_wb_reward(comparisons, max_extra_chars=figuring.length_rule) if figuring.graded else None,
        scores=_mean_scores(comparisons),
        length_preference=length_preference(comparisons),
        list_preference=list_preference(comparisons, texts),
        chars_a=sum(one.chars_a for one in comparisons) / len(comparisons),
        chars_b=sum(one.chars_b for one in comparisons) / len(comparisons),
    )


def match_of(a: Side, b: Side, num_prompts: int | None, draw: int, *, keep_truncated: bool) -> Match:
    """The prompts that both sides answered, or draw number `draw` of `num_prompts` of them.

    Prompts with an empty response are left out and counted, as WildBench does (arXiv 2406.04770), and those with one
    that the token limit cut, unless `keep_truncated`.

    Raises:
        ConfigError: there are none, or fewer than `num_prompts`.
    """
    of_a, of_b = _responses(a), _responses(b)
    shared = [asked for asked in of_a if asked in of_b]
    if not shared:
        raise ConfigError(
            f"{a.name} and {b.name} answered no held-out prompt in common",
            "compare runs with the same prompts.heldout and prompts.system",
        )
    pairs: dict[str, ResponsePair] = {}
    left_out: Counter[str] = Counter()
    for asked in shared:
        prompt, sides = of_a[asked][0], {"a": of_a[asked][1], "b": of_b[asked][1]}
        reasons = {side: reason for side, one in sides.items() if (reason := _unusable(one, keep_truncated))}
        if reasons:
            left_out[", ".join(f"{side} {reason}" for side, reason in reasons.items())] += 1
        else:
            pairs[prompt.id] = ResponsePair(prompt=prompt, a=sides["a"].text, b=sides["b"].text)
    if not pairs:
        raise ConfigError(
            f"{a.name} (a) and {b.name} (b) answered no prompt both to the end; prompts left out: {in_words(left_out)}",
            "judge those that the token limit cut too: --keep-truncated (a larger evaluation.sampling.max_tokens cuts "
            "fewer)",
        )
    if num_prompts is None:
        return Match(a=a, b=b, pairs=tuple(pairs.values()), left_out=left_out)
    if num_prompts > len(pairs):
        raise ConfigError(
            f"--num-prompts {num_prompts}, but {a.name} and {b.name} share {len(pairs)} answered held-out prompts",
            "give fewer, or leave it out",
        )
    chosen = fresh_subset(list(pairs), size=num_prompts, draw=draw, seed=0)
    return Match(a=a, b=b, pairs=tuple(pairs[identity] for identity in chosen), left_out=left_out)


def in_words(left_out: Mapping[str, int]) -> str:
    """How many prompts are left out, and why.

    Example:
        >>> in_words({"b truncated": 2, "a empty": 1})
        '3 (a empty: 1; b truncated: 2)'
    """
    return f"{sum(left_out.values())} ({'; '.join(f'{reason}: {count}' for reason, count in sorted(left_out.items()))})"


def _responses(side: Side) -> Mapping[tuple[Message, ...], tuple[Prompt, Rollout]]:
    return side.responses if isinstance(side, OutputsFile) else heldout_responses(side)


def _unusable(response: Rollout, keep_truncated: bool) -> str | None:
    if not response.text.strip():
        return "empty"
    return "truncated" if response.truncated and not keep_truncated else None


def _same_policy(match: Match) -> bool:
    a, b = match.a, match.b
    return isinstance(a, FinishedRound) and isinstance(b, FinishedRound) and a.policy.sha256 == b.policy.sha256


def _mean_scores(comparisons: Sequence[Comparison]) -> tuple[float, float] | None:
    given = [one.scores for one in comparisons if one.scores is not None]
    both = [(a, b) for a, b in given if a is not None and b is not None]
    return (fmean(a for a, _ in both), fmean(b for _, b in both)) if both else None
