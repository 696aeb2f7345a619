"""Several judges of every response, as one. The ledger keeps every member's votes (see `conclude`)."""

import asyncio
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import accumulate, chain
from operator import attrgetter
from statistics import fmean, median
from typing import Annotated, ClassVar, Literal, TypeAlias, assert_never

from pydantic import Field

from ...orchestrator.data.records import Judgment, Rollout, Shard
from ...orchestrator.errors import ConfigError
from ...orchestrator.fields import Frozen
from ...orchestrator.parts.counts import Count
from ...orchestrator.parts.judge import JudgeContext, JudgePart
from ...orchestrator.parts.registry import AnyKind, Place, part
from ...orchestrator.protocols import Generate, Judge
from .verdicts import by_prompt, summed_up

Aggregate: TypeAlias = Literal["mean", "median", "majority"]


@part("judge")
class PanelJudge(JudgePart):
    """Several judges by name (`members`). Each scores every response; mean, median or majority makes one score of
    theirs."""

    kind: Literal["panel"]
    members: Annotated[
        Frozen[Annotated[JudgePart, AnyKind("judge", where=attrgetter("joins_panels"))]], Field(min_length=2)
    ]
    aggregate: Aggregate
    version: ClassVar[int] = 2  # one grammar of score lines and verdicts, in which no thought is read

    def check(self, at: Place) -> None:
        """Members score, and on one scale where their scores are averaged."""
        for name, member in self.members.items():
            if not member.gives_scores():
                raise ConfigError(
                    f"{at}.members.{name} compares two responses, but a panel's members score each",
                    f"choose another one, such as judge@{at}.members.{name}=rating",
                )
        scales = {name: member.scale() for name, member in self.members.items()}
        if self.aggregate != "majority" and len(set(scales.values())) > 1:
            listed = ", ".join(f"{name} {scale}" for name, scale in scales.items())
            raise ConfigError(
                f"{at}.aggregate={self.aggregate} of scores on different scales: {listed}",
                f"set {at}.aggregate=majority, or take members of one scale",
            )

    def check_evaluating(self, at: Place) -> None:
        """A majority is one of comparisons."""
        if self.aggregate == "majority":
            raise ConfigError(
                f"{at}.aggregate=majority says how a prompt's responses compare, but one a prompt is evaluated",
                f"set {at}.aggregate=median, of members of one scale, or choose judge@{at}=expected_score",
            )

    def inner(self) -> Mapping[str, JudgePart]:
        return {f"members.{name}": member for name, member in self.members.items()}

    def score_points(self) -> tuple[float, ...] | None:
        """Of a mean or a median all points of its members' scales; a majority's score is a share of responses."""
        of_members = [member.score_points() for member in self.members.values()]
        known = [points for points in of_members if points is not None]
        if self.aggregate == "majority" or len(known) < len(of_members):
            return None
        return tuple(sorted({*chain(*known)}))

    def judgments_of(self, responses: Count) -> Count:
        number = sum(member.judgments_of(responses).number for member in self.members.values())
        return Count(number=number, bound=responses.bound)

    def conclude(self, judgments: Sequence[Judgment]) -> list[Judgment]:
        """One a response, of its members' votes, whose scales may differ; none of what no member could read."""
        return [
            said
            for of_prompt in by_prompt(judgments)
            for said in panel_judgments(of_prompt, votes=self.votes(), aggregate=self.aggregate)
        ]

    def votes(self) -> list[int]:
        """How many each member casts on a response."""
        return [member.votes_on_response() or 1 for member in self.members.values()]

    def sentence(self) -> str:
        return f"A panel of {', '.join(self.members)}, by their {self.aggregate}."

    def build(self, context: JudgeContext) -> Judge:
        built = [member.build(context.of(name)) for name, member in self.members.items()]
        members = [member for member in built if member is not None]
        return partial(judge_panel, members=members, votes=self.votes())


MemberScores: TypeAlias = Mapping[int, Mapping[int, float]]  # by member, by sample


async def judge_panel(
    shard: Shard, rollouts: Sequence[Rollout], generate: Generate, *, members: Sequence[Judge], votes: Sequence[int]
) -> list[Judgment]:
    """Every member's judgments, its votes counted on after those of the members before it. `votes` says how many each
    member casts on a response."""
    judged = await asyncio.gather(*(judge(shard, rollouts, generate) for judge in members))
    before = [0, *accumulate(votes)][:-1]
    return [
        replace(judgment, vote=first + judgment.vote)
        for first, judgments in zip(before, judged, strict=True)
        for judgment in judgments
    ]


def panel_judgments(judgments: Sequence[Judgment], *, votes: Sequence[int], aggregate: Aggregate) -> list[Judgment]:
    """One judgment a response to one prompt, of the members' (see `judge_panel`).

    A member's score of a response is the mean of its parsed votes; without any, the member is left out for that
    response. A response that no member scored gets no judgment.

    - mean, median: of the members' scores, which have to be on one scale. With the median of three, one member cannot
      move a response's score out of the range of the two others' scores. So it cannot turn the order of two responses
      whose ranges are apart (for both others, every score of the one is above every score of the other). Where those
      ranges overlap it can, even if both others agree on the order. Where another member is left out it is half a mean.
    - majority: the share of the other responses that more members prefer it to than not (Copeland's rule; an even
      comparison is half, and two responses that no member has scored both of are not compared). Scales do not matter.
      One of three members cannot change how any two responses compare on whose order the two others agree: if they
      agree on the whole order it is the panel's, and a response that both find better (or worse) than every other is
      the panel's best (or worst), whatever the third says.
    """
    of_member = _member_scores(judgments, votes)
    match aggregate:
        case "mean" | "median":
            middle = fmean if aggregate == "mean" else median
            samples = sorted({sample for scores in of_member.values() for sample in scores})
            totals = {
                sample: middle([scores[sample] for scores in of_member.values() if sample in scores])
                for sample in samples
            }
        case "majority":
            totals = _shares_beaten(of_member)
        case _:
            assert_never(aggregate)
    return [summed_up(judgments, sample, score) for sample, score in totals.items()]


def _member_scores(judgments: Sequence[Judgment], votes: Sequence[int]) -> MemberScores:
    ends = list(accumulate(votes))
    parsed: dict[int, dict[int, list[float]]] = {}
    for judgment in judgments:
        if judgment.score is not None:
            member = bisect_right(ends, judgment.vote)
            parsed.setdefault(member, {}).setdefault(judgment.sample, []).append(judgment.score)
    return {
        member: {sample: fmean(scores) for sample, scores in by_sample.items()} for member, by_sample in parsed.items()
    }


def _shares_beaten(of_member: MemberScores) -> dict[int, float]:
    """Of every response that is compared with others, the share of these that it beats."""
    samples = sorted({sample for scores in of_member.values() for sample in scores})
    shares: dict[int, float] = {}
    for one in samples:
        beaten = [_beats(of_member, one, other) for other in samples if other != one]
        compared = [share for share in beaten if share is not None]
        if compared:
            shares[one] = fmean(compared)
    return shares


def _beats(of_member: MemberScores, one: int, other: int) -> float | None:
    """1 where more members score `one` higher than lower, 1/2 where as many, else 0; None where none scores both."""
    gaps = [scores[one] - scores[other] for scores in of_member.values() if one in scores and other in scores]
    if not gaps:
        return None
    lead = sum(gap > 0 for gap in gaps) - sum(gap < 0 for gap in gaps)
    return 0.5 if lead == 0 else float(lead > 0)
