"""What a round publishes of its update: the policy it ended with, one extrapolated beyond it, or a mean over rounds.

A mixture goes from files to files and is read back by the learner, under every ZeRO stage and with adapters alike: what
is synced, evaluated and gone on from is what the manifest names.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..config.schema import ExtrapolationConfig, LearnerConfig
from ..data.records import PolicyRef, TrainingExample, UpdateStart
from ..ledger.ledger import Ledger
from ..ledger.policies import initial_policy, named, policy_of
from ..protocols import Learner
from .selection import goodness


async def published(
    start: UpdateStart,
    config: LearnerConfig,
    *,
    learner: Learner,
    ledger: Ledger,
    choosing: Sequence[TrainingExample],
    reported: Sequence[TrainingExample],
) -> tuple[PolicyRef, dict[str, Any]]:
    """Write the round's policy; and what the manifest says of how it was made, nothing where it is what was trained.

    The learner holds the policy afterwards. Several α are measured on the held-out pairs `choosing`; the policy of the
    best on those that choose nothing, `reported`, if there are any.
    """
    if config.extrapolation is None and config.average_rounds is None:
        return await learner.save(start.round), {}
    trained = await learner.save(start.round, "trained")
    said: dict[str, Any] = {"trained": named(ledger, trained)}
    if config.extrapolation is not None:
        origin = start.policy if config.extrapolation.origin == "start" else initial_policy(ledger)
        alpha, measured = await _best_alpha(trained, origin, start, config.extrapolation, learner, choosing)
        parts = extrapolated(trained, origin, alpha)
        said["extrapolation"] = {"alpha": alpha, "origin": named(ledger, origin), "measured": measured}
    else:
        assert config.average_rounds is not None
        averaged = [trained, *policies_before(ledger, start.round, config.average_rounds - 1)]
        parts = [(policy, 1.0 / len(averaged)) for policy in averaged]
        said["averaged"] = [named(ledger, policy) for policy in averaged]
    policy = await learner.save_mixture(start.round, "policy", parts)
    if reported:
        await learner.begin(replace(start, policy=policy, optimizer=None))
        said["extrapolation"]["reported"] = await learner.measure(reported)
    await learner.hold(policy)
    return policy, said


def extrapolated(trained: PolicyRef, origin: PolicyRef, alpha: float) -> list[tuple[PolicyRef, float]]:
    """ExPO, arXiv 2404.16792: θ₁ + α(θ₁ − θ₀) as coefficients of θ₁ and θ₀. At α = 0 exactly θ₁."""
    return [(trained, 1.0 + alpha), (origin, -alpha)]


def policies_before(ledger: Ledger, round: int, count: int) -> list[PolicyRef]:
    """The newest policies that rounds before `round` published, at most `count`; the initial one is none of them."""
    published = [policy_of(ledger, earlier) for earlier in range(round - 1, 0, -1)]
    made = {policy.version: policy for policy in published if policy is not None and policy.version > 0}
    return list(made.values())[:count]


async def _best_alpha(
    trained: PolicyRef,
    origin: PolicyRef,
    start: UpdateStart,
    config: ExtrapolationConfig,
    learner: Learner,
    heldout: Sequence[TrainingExample],
) -> tuple[float, list[dict[str, float]]]:
    """The α whose policy is the best on held-out pairs, the first listed of equals; and what was measured of each."""
    if len(config.alphas) == 1:
        return config.alphas[0], []
    measured = []
    for alpha in config.alphas:
        candidate = await learner.save_mixture(start.round, "candidate", extrapolated(trained, origin, alpha))
        await learner.begin(replace(start, policy=candidate, optimizer=None))
        measured.append({"alpha": alpha, **await learner.measure(heldout)})
    best = max(measured, key=lambda one: goodness(one, config.metric, "learner.extrapolation"))
    return best["alpha"], measured
