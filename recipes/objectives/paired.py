"""What losses on chosen and rejected responses share."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic.dataclasses import dataclass

from ...orchestrator.errors import ConfigError
from ...orchestrator.fields import STRICT
from ...orchestrator.parts.objective import ObjectivePart, Taken, Term, own_fields
from ...orchestrator.parts.registry import Place

_WEIGHED = {
    "none": "",
    "wpo": " Pairs weigh as much as the policy would sample them, at most 1 (WPO).",
    "wpo_unclipped": " Pairs weigh as much as the policy would sample them (WPO).",
}


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class PairObjective(ObjectivePart):
    """WPO's weights (arXiv 2406.11827), clipped at 1 or not, and further losses on the same pairs: another on the same
    pair and reference, or the chosen response's NLL."""

    weighting: Literal["none", "wpo", "wpo_unclipped"] = "none"
    plus: tuple[Term, ...] = ()
    takes: ClassVar[Taken] = "pairs"
    may_be_added: ClassVar[bool] = True

    def check(self, at: Place) -> None:
        """A further loss has the reference of the main one, and no further losses of its own."""
        for index, term in enumerate(self.plus):
            self._check_term(f"{at}.plus.{index}.loss", term.loss)

    def _check_term(self, field: str, loss: ObjectivePart) -> None:
        if loss.reference.policy != "none":
            raise ConfigError(
                f"{field}.reference.policy={loss.reference.policy}: a further loss has the reference of the main one",
                f"leave {field}.reference out, and set objective.reference",
            )
        if loss.further():
            raise ConfigError(f"{field}.plus: a further loss has none of its own", "list it in objective.plus")
        if loss.needs_reference == "always" and self.reference.policy == "none":
            raise ConfigError(
                f"{field}.kind={loss.kind} is defined by its reference, but objective.reference.policy=none",
                "set objective.reference.policy=previous or initial",
            )
        if self.needs_reference == "never" and loss.needs_reference != "never":
            raise ConfigError(
                f"{field}.kind={loss.kind} is measured against a reference, but objective.kind={self.kind} "
                "has none to share",
                f"make {loss.kind} the objective, and {self.kind} a further loss",
            )

    def hyperparameters(self) -> Mapping[str, Any]:
        return own_fields(self, PairObjective)

    def further(self) -> tuple[Term, ...]:
        return self.plus

    def extras(self) -> tuple[str, ...]:
        return () if self.weighting == "none" else ("log_collision",)

    def sentence(self) -> str:
        said = self.phrase()
        parts = [f"{term.weight:g} × {term.loss.phrase()}" for term in self.plus]
        added = f" Added: {'; '.join(parts)}." if parts else ""
        return f"{said[0].upper()}{said[1:]}.{_WEIGHED[self.weighting]}{added}"
