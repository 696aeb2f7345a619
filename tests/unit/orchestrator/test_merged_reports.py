"""One step's metrics over all ranks."""

from math import nan

import pytest

from roundelay.orchestrator.cluster.pools import merge_reports
from roundelay.orchestrator.cluster.step_report import StepReport


def report(*rows: dict[str, float], seconds: float = 1.0, tokens: int = 100) -> StepReport:
    return StepReport(step=7, learning_rate=1e-3, grad_norm=2.5, seconds=seconds, tokens=tokens, rows=rows)


def test_means_are_over_examples_and_not_over_ranks() -> None:
    """Losses 1, 2, 3 on one rank and 10 on the other: 16/4, where the mean of means is 6. Tokens add up over ranks, and
    the step took as long as its slowest rank: 300 tokens in 2 s."""
    merged = merge_reports(
        [
            report({"loss": 1.0}, {"loss": 2.0}, {"loss": 3.0}, seconds=2.0, tokens=240),
            report({"loss": 10.0}, seconds=0.5, tokens=60),
        ]
    )
    assert merged == {
        "step": 7,
        "pairs": 4,
        "learning_rate": 1e-3,
        "grad_norm": 2.5,
        "tokens_per_s": 150.0,
        "loss": 4.0,
    }


def test_a_metric_is_a_mean_over_the_examples_that_it_applies_to() -> None:
    """NaN is "not applicable": two desirable responses with rewards 1 and 3, one undesirable one with -4."""
    merged = merge_reports(
        [
            report({"loss": 0.5, "rewards/chosen": 1.0, "rewards/rejected": nan}),
            report(
                {"loss": 0.5, "rewards/chosen": nan, "rewards/rejected": -4.0},
                {"loss": 0.2, "rewards/chosen": 3.0, "rewards/rejected": nan},
            ),
        ]
    )
    assert merged["rewards/chosen"] == 2.0
    assert merged["rewards/rejected"] == -4.0
    assert merged["loss"] == pytest.approx(0.4)
    assert merged["pairs"] == 3


def test_a_metric_that_applies_to_no_example_is_left_out_and_not_a_number() -> None:
    merged = merge_reports([report({"loss": 0.5, "rewards/rejected": nan})])
    assert "rewards/rejected" not in merged
    assert merged["loss"] == 0.5


def test_a_rank_without_examples_has_a_part_in_the_time_only() -> None:
    """The last step of an epoch may leave a rank with nothing."""
    merged = merge_reports([report({"loss": 3.0}, seconds=1.0, tokens=30), report(seconds=1.5, tokens=0)])
    assert (merged["pairs"], merged["loss"], merged["tokens_per_s"]) == (1, 3.0, 20.0)
