"""AlpacaEval 2's length-controlled win rate: what the win rate would be if both policies wrote equally long."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .comparisons import Comparison

FOLDS = 5
STRENGTHS = np.logspace(-4, 4, 10)  # inverse strengths of the L1 penalty (liblinear's C) that the folds choose among
LEAST_WEIGHT = 1e-9  # of a row in the fit: too little to move a coefficient
GAMED_WEIGHT = 0.1  # of a row of a gamed baseline: λ = 0.2 over the two baselines
SEED = 0  # of liblinear's order of coordinates


@dataclass(frozen=True, kw_only=True, slots=True)
class LengthControlled:
    """A length-controlled win rate (a share, not percent), and the coefficients behind it.

    `theta` is the weight of the length term, `phi` the policy's own strength, `psi` the weight of the prompts'
    difficulties (None without a table of them). `strength` is the chosen C.

    Example:
        LengthControlled(win_rate=0.48, theta=-0.9, phi=-0.08, psi=None, strength=0.36)
    """

    win_rate: float
    theta: float
    phi: float
    psi: float | None
    strength: float | None


# A policy against itself, by construction.
EVEN = LengthControlled(win_rate=0.5, theta=0.0, phi=0.0, psi=None, strength=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class GamedRow:
    """A comparison of a baseline that games length with the baseline, as AlpacaEval publishes them: the judge's
    probability of the gamed one, the standardised length difference, and the prompt's difficulty.

    Example:
        GamedRow(preference=0.4, std_delta_len=-1.5, difficulty=0.3)
    """

    preference: float
    std_delta_len: float
    difficulty: float


def length_controlled(
    comparisons: Sequence[Comparison],
    *,
    difficulty: Mapping[str, float] | None = None,
    gamed: Sequence[GamedRow] = (),
) -> LengthControlled | None:
    """The length-controlled win rate of a (the model) against b (the baseline): arXiv 2404.04475.

    logit P(a wins) = θ·tanh((chars_b − chars_a)/s) + ψ·γ_x + φ, without intercept; s is the sample standard deviation
    of the differences. The fit is an L1-penalised logistic regression whose strength is chosen by the log-loss over 5
    folds. A judge's probability p is a soft label: the comparison enters as a win of weight p and as a loss of weight
    1 − p, both in the same fold. The win rate is the mean prediction with the length term at zero.

    γ_x (`difficulty`, by prompt id) comes from a table that is published for AlpacaEval's own prompts; without it ψ is
    0. Rows of `gamed` baselines, a published file too, enter the fit and the folds with a tenth of the weight and
    without φ: they hold θ and ψ near the baseline's. They need difficulties (ValueError without). What a judge could
    not read is left out. None with fewer than 5 readable comparisons. Where all texts are identical it is exactly a
    half; a rate so near it that chance explains the difference may be drawn there too, by the penalty that the folds
    choose.
    """
    read = [(one, p) for one in comparisons if (p := one.probability) is not None]
    if read and all(one.identical for one, _ in read):
        return EVEN
    if len(read) < FOLDS:
        return None
    gaps = np.array([float(one.chars_b - one.chars_a) for one, _ in read])
    spread = gaps.std(ddof=1)
    columns = [np.tanh(gaps / spread) if spread > 0 else np.zeros_like(gaps), np.ones_like(gaps)]
    if difficulty is not None:
        columns.append(np.array([difficulty[one.prompt_id] for one, _ in read]))
    features = np.column_stack(columns)
    labels = np.array([p for _, p in read])
    fitted, wanted = features, labels
    importance = np.ones(len(labels))
    if gamed:
        if difficulty is None:
            raise ValueError("rows of gamed baselines hold difficulties: give those of the prompts too")
        of_gamed = np.array([[np.tanh(one.std_delta_len), 0.0, one.difficulty] for one in gamed])
        fitted = np.concatenate([of_gamed, features])
        wanted = np.concatenate([[one.preference for one in gamed], labels])
        importance = np.concatenate([np.full(len(gamed), GAMED_WEIGHT), importance])
    strength = _chosen_strength(fitted, wanted, importance)
    weights = _fitted(fitted, wanted, importance, strength)
    even = features.copy()
    even[:, 0] = 0.0
    return LengthControlled(
        win_rate=float(_wins(even, weights).mean()),
        theta=float(weights[0]),
        phi=float(weights[1]),
        psi=None if difficulty is None else float(weights[2]),
        strength=float(strength),
    )


def _chosen_strength(features: np.ndarray, labels: np.ndarray, importance: np.ndarray) -> float:
    """The C with the least mean log-loss over the folds, the strongest penalty among equals."""
    from sklearn.model_selection import GroupKFold  # takes a second to import: only where it is used

    folds = list(GroupKFold(n_splits=FOLDS).split(features, groups=np.arange(len(labels))))

    def loss(strength: float) -> float:
        fits = [(test, _fitted(features[train], labels[train], importance[train], strength)) for train, test in folds]
        return float(np.mean([_log_loss(features[t], labels[t], importance[t], weights) for t, weights in fits]))

    return float(STRENGTHS[int(np.argmin([loss(strength) for strength in STRENGTHS]))])


def _fitted(features: np.ndarray, labels: np.ndarray, importance: np.ndarray, strength: float) -> np.ndarray:
    """The coefficients, from every row once as a win and once as a loss."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(
        C=strength, l1_ratio=1, solver="liblinear", fit_intercept=False, random_state=SEED, max_iter=1000
    )
    outcomes = np.repeat([1, 0], len(labels))
    # liblinear drops rows of weight 0, and complains on stderr, past Python, where a class has no others.
    weights = np.maximum(np.concatenate([labels * importance, (1.0 - labels) * importance]), LEAST_WEIGHT)
    model.fit(np.concatenate([features, features]), outcomes, weights)
    return model.coef_[0]


def _wins(features: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0.0, -(features @ weights)))


def _log_loss(features: np.ndarray, labels: np.ndarray, importance: np.ndarray, weights: np.ndarray) -> float:
    logits = features @ weights
    losses = labels * np.logaddexp(0.0, -logits) + (1.0 - labels) * np.logaddexp(0.0, logits)
    return float(np.mean(importance * losses))
