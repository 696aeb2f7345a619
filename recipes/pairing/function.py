"""The pair that a Python function of the user's takes."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import ClassVar, Literal, TypeAlias

from ...orchestrator.data.records import Judgment, PairingOutcome, Prompt, Rollout
from ...orchestrator.errors import RunError
from ...orchestrator.parts.pairing import Pair, PairingContext, PairingPart, Takes
from ...orchestrator.parts.registry import Place, part
from ...orchestrator.parts.user_functions import FunctionName, calling, check_arguments, load_function
from .candidates import dropped, kept, lacking, mean_scores, pair_of, same_text, scored_candidates, scored_pair


@part("pairing")
class FunctionPairing(PairingPart):
    """A Python function of yours takes the pair: `(prompt, rollouts, scores) -> (chosen, rejected)`, two of the
    rollouts, or the reason to drop the prompt.

    `scores` are the mean votes by sample; it is called on the driver.
    """

    kind: Literal["function"]
    function: FunctionName
    version: ClassVar[int] = 2  # no empty response comes into a pair or a group
    takes: ClassVar[Takes] = "responses"

    def check_available(self, at: Place) -> None:
        function = load_function(self.function, f"{at / 'function'}")
        check_arguments(function, f"{at / 'function'}={self.function}", 3)

    def sentence(self) -> str:
        return f"The two responses that the Python function {self.function} takes."

    def build(self, context: PairingContext) -> Pair:
        function = load_function(self.function, "pairing.function")
        return partial(pair_by_function, function=function, drop_truncated=context.drop_truncated)


PairFunction: TypeAlias = Callable[
    [Prompt, Sequence[Rollout], Mapping[int, float]], tuple[Rollout, Rollout] | str
]  # (prompt, rollouts, score by sample) -> (chosen, rejected), or the reason to drop the prompt


def pair_by_function(
    prompt: Prompt,
    rollouts: Sequence[Rollout],
    judgments: Sequence[Judgment],
    *,
    function: PairFunction,
    drop_truncated: bool,
) -> PairingOutcome:
    """What `function` says. Further drop reasons: `truncated` and `empty` (fewer than two responses are left), and, of
    a pair that it takes, those of `candidates.scored_pair` (only `identical` where one of the two has no score).

    Raises:
        RunError: it raised, or returned anything but two of the rollouts it was given, or a reason.
    """
    candidates = kept(rollouts, drop_truncated)
    if len(candidates) < 2:
        return dropped(prompt, lacking(rollouts, drop_truncated, at_least=2))
    scores = mean_scores(judgments)
    with calling("pairing.function", f"prompt {prompt.id!r}"):
        said: object = function(prompt, candidates, scores)
    if isinstance(said, str) and said:
        return dropped(prompt, said)
    match said:
        case (Rollout() as chosen, Rollout() as rejected) if chosen in candidates and rejected in candidates:
            better, worse = scored_candidates([chosen], judgments), scored_candidates([rejected], judgments)
            if better and worse:
                return scored_pair(prompt, better[0], worse[0])
            if same_text(chosen, rejected):
                return dropped(prompt, "identical")
            return pair_of(prompt, chosen, rejected, None, "judge")
    raise RunError(
        f"pairing.function returned {said!r:.100} for prompt {prompt.id!r}",
        "let it return (chosen, rejected), two of the rollouts that it is given, or the reason to drop the prompt; "
        "then resume the run",
    )
