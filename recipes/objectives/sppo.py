"""Self-Play Preference Optimization."""

from typing import ClassVar, Literal

from ...orchestrator.fields import PositiveFloat
from ...orchestrator.parts.objective import Examples, Needed, ObjectivePart
from ...orchestrator.parts.registry import part


@part("objective")
class SppoObjective(ObjectivePart):
    """SPPO (arXiv 2405.00675): a response's log-ratio to the reference moves towards its win probability minus a
    half, over β."""

    kind: Literal["sppo"]
    beta: PositiveFloat
    probabilities: Literal["hard", "soft"]  # 1 and 0, or the pair's own win probabilities
    loss: ClassVar[str] = ".micro_batches:sppo"
    examples: ClassVar[Examples] = "contests"
    needs_reference: ClassVar[Needed] = "always"

    def pairs_with(self) -> Literal["win_probabilities"] | None:
        return "win_probabilities" if self.probabilities == "soft" else None

    def sentence(self) -> str:
        return (
            f"SPPO: a response's log-ratio to the reference moves towards its {self.probabilities} win probability "
            f"minus a half, over beta {self.beta:g}."
        )
