"""A loss on pairs that is a Python function of yours."""

from collections.abc import Mapping
from typing import Literal

from ...orchestrator.fields import Frozen
from ...orchestrator.parts.registry import Place, part
from ...orchestrator.parts.user_functions import FunctionName, check_arguments, load_function
from .paired import PairObjective


@part("objective")
class FunctionObjective(PairObjective):
    """A Python function of yours, called in the learner as those of `recipes.losses.pairwise` are: `(pairs: PairBatch,
    **parameters) -> (losses, metrics)`."""

    kind: Literal["function"]
    function: FunctionName
    parameters: Frozen[float]

    def check_available(self, at: Place) -> None:
        function = load_function(self.function, f"{at}.function")
        check_arguments(function, f"{at}.function={self.function}", 1, tuple(self.parameters))

    def formula(self) -> str:
        return self.function

    def hyperparameters(self) -> Mapping[str, float]:
        return self.parameters

    def phrase(self) -> str:
        numbers = "".join(f", {name} {value:g}" for name, value in self.parameters.items())
        return f"the Python function {self.function}{numbers}"
