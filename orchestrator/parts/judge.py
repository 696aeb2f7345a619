"""What the core asks of a judge: who labels responses, and how it is asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass as plain_dataclass
from dataclasses import replace
from typing import Annotated, ClassVar, Self, TypeAlias

from pydantic.dataclasses import dataclass

from ..data.records import JudgingForm, Judgment, Message
from ..errors import ConfigError
from ..fields import STRICT
from ..protocols import Encoder, Judge, Reading, Scorers
from .counts import Count
from .registry import AnyKind, Place
from .sampling import SamplingConfig

# Models of the run by what they are to it; any other name of a model is a directory or hub name of the user's.
REWARD_MODEL = "reward_model"  # the newest one
RUN_POLICIES = ("policy", "previous", "initial")  # the one that samples, the one that it was learnt from, the first


@plain_dataclass(frozen=True, kw_only=True, slots=True)
class JudgeContext:
    """What a judge's function is bound to beside its configuration.

    Example:
        JudgeContext(seed=0, purpose=("evaluate",), scorers=None, own_logps=True)
    """

    seed: int  # the run's
    purpose: tuple[str, ...]  # keeps apart the seeds of judges that are asked about the same responses
    scorers: Scorers | None  # the models beside the policy, in runs that have any
    own_logps: bool  # what is judged was sampled from the plain prompts: its log-probs are the policy's own

    @property
    def seed_parts(self) -> tuple[int | str, ...]:
        return (self.seed, *self.purpose)

    def of(self, member: str) -> "JudgeContext":
        """That of one judge among several."""
        return replace(self, purpose=(*self.purpose, member))


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class JudgePart:
    """The traits of a judge, with their defaults: those of the policy that scores single responses."""

    kind: str
    version: ClassVar[int] = 1  # rises when the same input comes to mean something else
    judges: ClassVar[bool] = True  # False: nobody says anything
    compares: ClassVar[bool] = False  # says which of two responses is better; else it scores each
    joins_panels: ClassVar[bool] = False  # its scores may count beside other judges'
    annotates: ClassVar[bool] = False  # may compare as one of several annotators
    text_alone: ClassVar[bool] = False  # asks for text and nothing else: any chat model can answer
    answers_elsewhere: ClassVar[bool] = False  # not an engine of the run's, but another model answers
    of_responses: ClassVar[bool] = True  # says something of responses to a user's prompt
    of_form: ClassVar[JudgingForm | None] = None  # compares judgments, which are written in this form
    knows_truth: ClassVar[bool] = False  # holds judgments against what is known of their judging prompts
    validates: ClassVar[bool] = False  # says yes or no to each response, in words that can be learnt
    critiques: ClassVar[bool] = False  # says words to learn from beside its score
    expects_scores: ClassVar[bool] = False  # its score is the mean of what it would say next, and can be taught to it
    trained_by: ClassVar[str | None] = None  # the kind of objective that trains the model which it asks
    without_models: ClassVar[str | None] = None  # what to set for it to compare a model with none
    only_in_runs: ClassVar[tuple[str, str] | None] = None  # why it does not judge outside of a run, and what does
    resumable: ClassVar[tuple[str, ...]] = ()  # fields that a resume may change: no judgment depends on them

    def check(self, at: Place) -> None:
        """Refuse what can never run, or never mean anything.

        Raises:
            ConfigError: naming field, value and remedy.
        """

    def check_evaluating(self, at: Place) -> None:
        """Refuse to judge the one response to a held-out prompt, where that says nothing.

        Raises:
            ConfigError: naming field, value and remedy.
        """
        if self.asked().compares or self.of_form is not None:
            raise ConfigError(
                f"{at}.kind={self.kind} compares two responses, but one a prompt is evaluated",
                f"choose judge@{at}=expected_score",
            )

    def check_models(self, at: Place) -> None:
        """Refuse names of models that it cannot ask.

        Raises:
            ConfigError: naming field, value and remedy.
        """

    def check_weights(self, at: Place, paths: Mapping[str, str]) -> None:
        """Refuse models that are the same, of those whose directories are known by name.

        Raises:
            ConfigError: naming fields, values and remedy.
        """

    def check_needs(self, at: Place, encoder: Encoder) -> None:
        """Refuse where what it needs beside the configuration is not there: tokens, a function, a key.

        Raises:
            ConfigError: naming field, value and remedy.
        """

    def inner(self) -> Mapping[str, "JudgePart"]:
        """The judges that it is made of, by their field."""
        return {}

    def asked(self) -> "JudgePart":
        """What is asked, whoever answers."""
        return self

    def gives_scores(self) -> bool:
        """Whether responses have scores by it."""
        return self.judges and not self.asked().compares

    def by_policy(self) -> bool:
        """Whether the policy judges, at least in part: a judge that moves as it learns."""
        return not self.inner() or any(one.by_policy() for one in self.inner().values())

    def samplings(self) -> Mapping[str, SamplingConfig]:
        """How its answers in words are sampled, by field."""
        return {}

    def constrained(self) -> bool:
        """Whether answers in words are decoded among a few forms."""
        return False

    def asked_once(self) -> bool:
        """Whether two responses are compared in one order alone."""
        return False

    def both_ways(self) -> Self:
        """It, comparing in both orders: what wins by its place alone then wins half of the time."""
        return self

    def votes_on_response(self) -> int | None:
        """How many answers score a response, where they may differ."""
        return None

    def score_points(self) -> tuple[float, ...] | None:
        """The points of the scale that its scores run over, lowest first. None where it has no such scale: its scores
        have no limits, are shares, or the user knows them alone."""
        return None

    def scale(self) -> str:
        """What its scores run over, in words."""
        points = self.score_points()
        return "without limits" if points is None else f"{points[0]:g} to {points[-1]:g}"

    def graded(self) -> bool:
        """Whether a verdict says how much better: one of WildBench's five grades."""
        return False

    def attributes(self) -> tuple[str, ...]:
        """The names of the attributes whose values it gives, in order."""
        return ()

    def voting(self) -> str:
        """Whose rankings it gives: "policy", "policy_and_previous", or "none" in particular."""
        return "none"

    def models(self, *, own_logps: bool) -> tuple[str, ...]:
        """The models that it asks beside the rollout engines, by name.

        With `own_logps` responses come with the policy's log-probs of them under the plain prompt: it is asked for
        none, unless the judge has them recomputed.
        """
        asked = [one.models(own_logps=own_logps) for one in self.inner().values()]
        return tuple(dict.fromkeys(name for names in asked for name in names))

    def user_models(self) -> Mapping[str, str]:
        """Those that are none of the run's: directories or hub names, by field."""
        return {}

    def compared_models(self) -> Sequence[tuple[str, str]]:
        """Every two of which it takes the difference."""
        return ()

    def conversations(self, messages: tuple[Message, ...]) -> Sequence[tuple[Message, ...]]:
        """What a response to `messages` is taken to follow, beside them."""
        return ()

    def judgments_of(self, responses: Count) -> Count:
        """How many judgments the responses to a prompt get, every vote and every order by itself."""
        return responses

    def conclude(self, judgments: Sequence[Judgment]) -> list[Judgment]:
        """Its judgments as it means them, so that a response's score is the mean of its parsed ones: whatever goes by
        scores goes by these. The ledger keeps every vote."""
        return list(judgments)

    def reading(self) -> Reading:
        """How its judgments are read."""
        return Reading(conclude=self.conclude, points=self.score_points())

    def labels(self, judgments: Sequence[Judgment], seed: int) -> list[Judgment]:
        """What training takes the concluded judgments on one prompt for."""
        return list(judgments)

    def description(self) -> str:
        """Who judges, in a few words."""
        return self.kind

    def sentence(self) -> str:
        """Who says what is good, and how it is asked."""
        raise NotImplementedError

    def build(self, context: JudgeContext) -> Judge | None:
        """Its function; None where nobody judges."""
        raise NotImplementedError


AnyJudge: TypeAlias = Annotated[JudgePart, AnyKind("judge")]


def judges_in(judge: JudgePart, field: str = "judge") -> dict[str, JudgePart]:
    """A judge and the judges it is made of, by their field.

    Example: a panel at "judge" with a member "strict" that is an endpoint's additive judge gives "judge",
    "judge.members.strict" and "judge.members.strict.judge".
    """
    found = {field: judge}
    for name, one in judge.inner().items():
        found |= judges_in(one, f"{field}.{name}")
    return found
