"""What judges share that score a response in words, by the mean of several votes."""

from collections.abc import Mapping
from typing import ClassVar

from ...orchestrator.parts.counts import Count
from ...orchestrator.parts.judge import JudgePart
from ...orchestrator.parts.registry import Place
from ...orchestrator.parts.sampling import SamplingConfig
from ...orchestrator.protocols import Encoder
from .score_line import ScoreForm
from .single_tokens import check_last_line


class VotedJudge(JudgePart):
    """A judge that is asked `votes` times for a score of one form. (Each kind names its fields itself, where a
    configuration file has them.)"""

    __slots__ = ()
    votes: int
    sampling: SamplingConfig
    constrain_last_line: bool
    form: ClassVar[ScoreForm]
    joins_panels: ClassVar[bool] = True
    text_alone: ClassVar[bool] = True

    def check_needs(self, at: Place, encoder: Encoder) -> None:
        """The score's digits are single tokens where they are decoded."""
        if self.constrain_last_line:
            check_last_line(at, encoder, self.form.opening, self.form.digits)

    def samplings(self) -> Mapping[str, SamplingConfig]:
        return {"sampling": self.sampling}

    def constrained(self) -> bool:
        return self.constrain_last_line

    def votes_on_response(self) -> int:
        return self.votes

    def judgments_of(self, responses: Count) -> Count:
        return responses.times(self.votes)

    def score_points(self) -> tuple[float, ...]:
        return tuple(map(float, range(self.form.lowest, self.form.highest + 1)))
