"""What a learner rank reports of one optimizer step. It travels from actor to driver and is not kept in the ledger."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class StepReport:
    """What one optimizer step did on one rank of the learner. `rows` has metrics by name, one entry a pair of the rank.

    Example:
        StepReport(step=1, learning_rate=1e-6, grad_norm=2.5, seconds=1.2, tokens=400, rows=({"loss": 0.69},))
    """

    step: int
    learning_rate: float
    grad_norm: float
    seconds: float
    tokens: int
    rows: tuple[dict[str, float], ...]
