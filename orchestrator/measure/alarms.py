"""What a round's figures say against its judge, in words; whether that stops the run is the configuration's."""

from collections.abc import Iterator
from typing import Any

from ..config.schema import EvaluationConfig
from ..errors import RunError
from ..ledger.layout import EVAL_JUDGMENTS, HELDOUT_JUDGMENTS, JUDGMENTS
from ..ledger.ledger import Ledger, round_name
from ..protocols import Observer

# Where a manifest holds a judge's health, and which judgments it is of.
HEALTH = (
    (("data", "judge"), JUDGMENTS),
    (("evaluation", "pairs_judge"), HELDOUT_JUDGMENTS),
    (("evaluation", "judge"), EVAL_JUDGMENTS),
)


def judge_alarms(manifest: dict[str, Any], evaluation: EvaluationConfig) -> list[str]:
    """A sentence for every canary that wins, and for every figure under its threshold."""
    return [*_canaries(manifest), *_figures(manifest, evaluation)]


def heed_alarms(round: int, evaluation: EvaluationConfig, ledger: Ledger, observer: Observer) -> None:
    """Say what a finished round's figures say against its judge.

    Raises:
        RunError: there is something, and `evaluation.canaries.action` is to stop.
    """
    alarms = judge_alarms(ledger.manifest(round), evaluation)
    if alarms and evaluation.canaries.action == "stop":
        raise RunError(
            f"round {round}: {'; '.join(alarms)}",
            f"read the judgments in {ledger.path(round_name(round))}, and choose another judge in a new run; to go on "
            "with this one all the same, resume with evaluation.canaries.action=warn",
        )
    for alarm in alarms:
        observer.note(f"round {round}: {alarm}")


def _canaries(manifest: dict[str, Any]) -> Iterator[str]:
    for name, seen in manifest["evaluation"].get("canaries", {}).items():
        if seen["wins"]:
            how = (
                f"in {seen['win_rate']:.0%} of comparisons"
                if seen["score"] is None
                else f"with a mean score of {seen['score']:.3g} against {seen['policy_score']:.3g}"
            )
            yield f"the judge prefers the canary {name} to the policy's responses, {how} on {seen['prompts']} prompts"


def _figures(manifest: dict[str, Any], evaluation: EvaluationConfig) -> Iterator[str]:
    thresholds = {
        "parse_rate": ("parse rate", "evaluation.min_parse_rate", evaluation.min_parse_rate),
        "swap_consistency": ("swap consistency", "evaluation.min_swap_consistency", evaluation.min_swap_consistency),
    }
    for path, stage in HEALTH:
        health: Any = manifest
        for key in path:
            health = health.get(key) or {}
        for figure, (words, field, threshold) in thresholds.items():
            value = health.get(figure)
            if threshold is not None and value is not None and value < threshold:
                yield f"the judge's {words} in {stage.name} is {value:.1%}, under {field}={threshold:g}"
