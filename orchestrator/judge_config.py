"""The schema of the `judge` group: who labels responses, and how it is asked."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field
from pydantic.dataclasses import dataclass

from .config_types import STRICT, PositiveInt
from .generation_config import SamplingConfig
from .user_functions import FunctionName


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class NoJudge:
    """Nothing is scored: the pairs are labelled by construction."""

    kind: Literal["none"]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class ExpectedScoreJudge:
    """The policy as judge: Σ s·p(s) over the next-token probabilities of the scores, renormalised."""

    kind: Literal["expected_score"]
    scores: Annotated[tuple[str, ...], Field(min_length=2)]
    assistant_prefix: str


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class AdditiveJudge:
    """The policy as judge: Self-Rewarding's additive 0–5 rubric (arXiv 2401.10020), `votes` answers averaged."""

    kind: Literal["additive"]
    votes: PositiveInt
    sampling: SamplingConfig
    constrain_last_line: bool  # decode the digit after "Score:" among 0–5 only


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class AbJudge:
    """The policy as judge of two responses: the probabilities of the options (A) and (B), as RLAIF in the RLCD paper.

    A prompt's instruction is drawn by seed with the index of its contrast affix: as many instructions as affixes ask of
    a pair what it was made to differ in.
    """

    kind: Literal["ab"]
    instructions: Annotated[tuple[str, ...], Field(min_length=1)]  # each completes "Which response is …?"
    orders: Literal["one", "both"]  # whether each pair is asked about a second time, the other way round
    assistant_prefix: str


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class RewardModelJudge:
    """The run's newest reward model, which an earlier phase has trained, scores every response."""

    kind: Literal["reward_model"]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class FunctionJudge:
    """A Python function of yours scores every response: `(prompt: Prompt, rollout: Rollout) -> float`.

    It is imported and called on the driver: name only code that you trust.
    """

    kind: Literal["function"]
    function: FunctionName


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class ValidatorJudge:
    """The policy as validator of its own responses, by the probability of yes against no (as GV-consistency,
    arXiv 2310.01846)."""

    kind: Literal["validator"]
    answers: tuple[str, str]  # yes and no, each a single token after the prefix
    assistant_prefix: str


JudgeConfig: TypeAlias = Annotated[
    NoJudge | ExpectedScoreJudge | AdditiveJudge | AbJudge | RewardModelJudge | FunctionJudge | ValidatorJudge,
    Field(discriminator="kind"),
]
