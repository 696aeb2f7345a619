"""Each objective gets the right numbers: the losses of a hand-made micro-batch are the recipe's, of the right columns.

The formulas have tests of their own (`tests/unit/recipes/losses`). Here a wrong column, a swapped reference or a
forgotten weight shows: all sums, lengths and labels are different.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import log
from types import ModuleType
from typing import Any, ClassVar, Literal

import pytest
import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from roundelay.orchestrator.data.records import TokenSequence, TrainingExample
from roundelay.orchestrator.fields import STRICT, FrozenMapping, PositiveFloat
from roundelay.orchestrator.parts.objective import ObjectivePart, Term
from roundelay.orchestrator.parts.registry import kinds as registered
from roundelay.recipes import shipped  # noqa: F401 - registers all kinds
from roundelay.recipes.losses import listwise, multi_source, pairwise, reference_free, self_labelled, unpaired
from roundelay.recipes.losses.batches import PairBatch, TokenBatch
from roundelay.recipes.losses.micro_batches import MicroBatch
from roundelay.recipes.objectives.cdpo import CdpoObjective
from roundelay.recipes.objectives.cream import CreamObjective
from roundelay.recipes.objectives.cut import CutObjective
from roundelay.recipes.objectives.dpo import DpoObjective
from roundelay.recipes.objectives.dpop import DpopObjective
from roundelay.recipes.objectives.function import FunctionObjective
from roundelay.recipes.objectives.hinge import HingeObjective
from roundelay.recipes.objectives.ipo import IpoObjective
from roundelay.recipes.objectives.kto import KtoObjective
from roundelay.recipes.objectives.mipo import MipoObjective
from roundelay.recipes.objectives.orpo import OrpoObjective
from roundelay.recipes.objectives.paired import PairObjective
from roundelay.recipes.objectives.pro import ProObjective
from roundelay.recipes.objectives.r_dpo import RDpoObjective
from roundelay.recipes.objectives.rdpo import RdpoObjective
from roundelay.recipes.objectives.rrhf import RrhfObjective
from roundelay.recipes.objectives.sft import SftObjective
from roundelay.recipes.objectives.simpo import SimpoObjective
from roundelay.recipes.objectives.slic import SlicObjective
from roundelay.recipes.objectives.spa import SpaObjective
from roundelay.recipes.objectives.sppo import SppoObjective
from roundelay.recipes.objectives.wrpo import WrpoObjective
from roundelay.workers.formulas import formula
from roundelay.workers.losses import denominator, extras_of, losses, trained_sequences

SPA = SpaObjective(
    kind="spa", beta=0.3, label_smoothing=0.1, threshold="official_code", noisy_fraction=0.1, window=50, start=0.2,
    extrapolation=0.0,
)  # fmt: skip
KTO = KtoObjective(kind="kto", beta=0.3, desirable_weight=1.5, undesirable_weight=0.5)
DPO = DpoObjective(kind="dpo", beta=0.3)
SFT_TERM = Term(weight=0.2, loss=SftObjective(kind="sft"))


def example(num_tokens: Sequence[int], **fields: Any) -> TrainingExample:
    sequences = tuple(TokenSequence(prompt_token_ids=(1,), token_ids=(5,) * number) for number in num_tokens)
    return TrainingExample(**{"id": "p", "sequences": sequences, "progress": 0.0, **fields})


def micro(
    examples: Sequence[TrainingExample],
    policy: Sequence[Sequence[float]],
    reference: Sequence[Sequence[float]] | None = None,
    *,
    weights: Sequence[Sequence[float]] | None = None,
    extras: Mapping[str, Tensor] | None = None,
    step: Mapping[str, float] | None = None,
) -> MicroBatch:
    """One list of log-probs a sequence. Without `reference` its log-probs are zeros, as the learner has it."""
    logps = [value for one in policy for value in one]
    given = reference or [[0.0] * len(one) for one in policy]
    assert [len(one) for one in given] == [len(one) for one in policy]
    return MicroBatch(
        examples=examples,
        tokens=TokenBatch(
            logps_N=torch.tensor(logps, requires_grad=True),
            rows_N=torch.tensor([row for row, one in enumerate(policy) for _ in one]),
            weights_N=torch.tensor([w for one in weights for w in one]) if weights else torch.ones(len(logps)),
            num_responses=len(policy),
        ),
        reference_N=torch.tensor([value for one in given for value in one]),
        extras=extras or {},
        step=step or {},
    )


# Two pairs. Chosen: −3 over 2 tokens, −1.5 over 3. Rejected: −2.5 over 3 tokens, −4 over 1.
POLICY = [[-1.0, -2.0], [-0.5, -1.0, -1.0], [-0.25, -0.75, -0.5], [-4.0]]
REFERENCE = [[-1.5, -1.75], [-0.5, -0.25, -1.25], [-1.0, -0.5, -0.75], [-3.5]]
PAIRS = PairBatch(
    chosen_B=torch.tensor([-3.0, -1.5]),
    rejected_B=torch.tensor([-2.5, -4.0]),
    reference_chosen_B=torch.tensor([-3.25, -2.25]),
    reference_rejected_B=torch.tensor([-2.0, -3.5]),
    chosen_lengths_B=torch.tensor([2.0, 3.0]),
    rejected_lengths_B=torch.tensor([3.0, 1.0]),
)
EXAMPLES = [example((2, 3)), example((3, 1))]
PAIR_LOSSES: list[tuple[PairObjective, Any]] = [
    (DPO, lambda pairs: pairwise.dpo(pairs, beta=0.3)),
    (CdpoObjective(kind="cdpo", beta=0.3, label_smoothing=0.2),
     lambda pairs: pairwise.cdpo(pairs, beta=0.3, label_smoothing=0.2)),
    (RdpoObjective(kind="rdpo", beta=0.3, label_smoothing=0.2),
     lambda pairs: pairwise.rdpo(pairs, beta=0.3, label_smoothing=0.2)),
    (IpoObjective(kind="ipo", beta=0.3, tokens="sum"), lambda pairs: pairwise.ipo(pairs, beta=0.3, tokens="sum")),
    (IpoObjective(kind="ipo", beta=0.3, tokens="mean"), lambda pairs: pairwise.ipo(pairs, beta=0.3, tokens="mean")),
    (HingeObjective(kind="hinge", beta=0.3), lambda pairs: pairwise.hinge(pairs, beta=0.3)),
    (DpopObjective(kind="dpop", beta=0.3, penalty=5.0), lambda pairs: pairwise.dpop(pairs, beta=0.3, penalty=5.0)),
    (RDpoObjective(kind="r_dpo", beta=0.3, alpha=0.05), lambda pairs: pairwise.r_dpo(pairs, beta=0.3, alpha=0.05)),
    (MipoObjective(kind="mipo", beta=3.0), lambda pairs: pairwise.mipo(pairs, beta=3.0)),
    (SimpoObjective(kind="simpo", beta=2.0, gamma=0.5),
     lambda pairs: reference_free.simpo(pairs, beta=2.0, gamma=0.5)),
    (OrpoObjective(kind="orpo", weight=0.2), lambda pairs: reference_free.orpo(pairs, weight=0.2)),
    (SlicObjective(kind="slic", delta=1.0, weight=0.2),
     lambda pairs: reference_free.slic(pairs, delta=1.0, weight=0.2)),
    (FunctionObjective(
        kind="function", function="roundelay.recipes.losses.pairwise:dpo", parameters=FrozenMapping({"beta": 0.7})
     ),
     lambda pairs: pairwise.dpo(pairs, beta=0.7)),
]  # fmt: skip
PAIR_IDS = [objective.kind for objective, _ in PAIR_LOSSES]


def same(found: tuple[Tensor, dict[str, Tensor]], expected: tuple[Tensor, dict[str, Tensor]]) -> None:
    """Losses and metrics, one of each an example; the metrics without gradient."""
    torch.testing.assert_close(found[0], expected[0], atol=1e-6, rtol=0)
    assert found[1].keys() == expected[1].keys()
    for name, values in expected[1].items():
        torch.testing.assert_close(found[1][name], values, atol=1e-6, rtol=0, equal_nan=True, msg=name)
        assert found[1][name].shape == found[0].shape and not found[1][name].requires_grad


def test_every_kind_of_pair_loss_is_here() -> None:
    kinds = {kind for kind, cls in registered("objective").items() if issubclass(cls, PairObjective)}
    assert {objective.kind for objective, _ in PAIR_LOSSES} == kinds


# --------------------------------------------------------------------------------------------------------------- pairs


@pytest.mark.parametrize(("objective", "loss"), PAIR_LOSSES, ids=PAIR_IDS)
def test_a_pair_loss_is_computed_from_sums_references_and_lengths(objective: PairObjective, loss: Any) -> None:
    same(losses(objective, micro(EXAMPLES, POLICY, REFERENCE)), loss(PAIRS))


def test_tokens_weights_change_no_loss_on_sums_and_lengths() -> None:
    """A pair loss is of whole responses: weights are for token-level losses, such as the NLL beside it."""
    weights = [[1.0, 0.0], [0.5, 0.5, 0.5], [0.0, 1.0, 1.0], [1.0]]
    objective = SimpoObjective(kind="simpo", beta=2.0, gamma=0.5, plus=(SFT_TERM,))
    found, metrics = losses(objective, micro(EXAMPLES, POLICY, weights=weights))
    assert metrics["sft/loss"].tolist() == pytest.approx([1.0, 0.625])
    expected = reference_free.simpo(PAIRS, beta=2.0, gamma=0.5)[0] + 0.2 * metrics["sft/loss"]
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_dpos_losses_by_hand() -> None:
    """Margins (−3 + 2.5) − (−3.25 + 2) = 0.75 and (−1.5 + 4) − (−2.25 + 3.5) = 1.25, times β = 0.3; the gradient in
    each chosen token's log-prob is −βσ(−z), in each rejected one's +βσ(−z)."""
    batch = micro(EXAMPLES, POLICY, REFERENCE)
    found, metrics = losses(DPO, batch)
    assert found.tolist() == pytest.approx([-log(1 / (1 + 2.718281828 ** -(0.3 * m))) for m in (0.75, 1.25)], abs=1e-6)
    assert metrics["rewards/margins"].tolist() == pytest.approx([0.225, 0.375])
    found.sum().backward()
    pulls = [0.3 * float(torch.sigmoid(torch.tensor(-0.3 * margin))) for margin in (0.75, 1.25)]
    assert batch.tokens.logps_N.grad is not None
    assert batch.tokens.logps_N.grad.tolist() == pytest.approx(
        [-pulls[0]] * 2 + [pulls[0]] * 3 + [-pulls[1]] * 3 + [pulls[1]], abs=1e-6
    )


@pytest.mark.parametrize(("objective", "loss"), PAIR_LOSSES, ids=PAIR_IDS)
def test_soft_labels_mix_both_orders_pair_by_pair(objective: PairObjective, loss: Any) -> None:
    """p = 1 for the first pair, 3/4 for the second; metrics are those of the pairs as labelled."""
    examples = [EXAMPLES[0], replace(EXAMPLES[1], label_probability=0.75)]
    expected = pairwise.soft_labels(loss, PAIRS, torch.tensor([1.0, 0.75]))
    same(losses(objective, micro(examples, POLICY, REFERENCE)), expected)
    assert expected[0][0] == pytest.approx(float(loss(PAIRS)[0][0]))
    assert abs(float(expected[0][1] - loss(PAIRS)[0][1])) > 1e-4


LOG_COLLISIONS = [-1.25, -1.5, -1.0, -1.0, -1.5, -0.5, -1.25, -1.0, -3.75]


@pytest.mark.parametrize("weighting", ["wpo", "wpo_unclipped"])
def test_wpo_weighs_a_pairs_loss_by_both_its_responses(weighting: Literal["wpo", "wpo_unclipped"]) -> None:
    """Mean log π − log Σπ²: (−3 + 2.75)/2 = −1/8 and (−2.5 + 3.5)/3 = 1/3 in the first pair, (−1.5 + 2.75)/3 and
    −4 + 3.75 in the second: weights exp(5/24) and exp(1/6). The product is clipped at 1, or not."""
    batch = micro(EXAMPLES, POLICY, REFERENCE, extras={"log_collision": torch.tensor(LOG_COLLISIONS)})
    found, metrics = losses(replace(DPO, weighting=weighting), batch)
    unclipped = torch.tensor([5 / 24, 1 / 6]).exp()
    expected = unclipped.clamp(max=1) if weighting == "wpo" else unclipped
    torch.testing.assert_close(metrics["wpo/weights"], expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(found, expected * pairwise.dpo(PAIRS, beta=0.3)[0], atol=1e-6, rtol=0)


def test_wpos_weight_below_1_is_kept_by_the_clip() -> None:
    """The weight of a pair, 1/e: a response's own weight above 1 counts in the product (e² · e⁻³)."""
    collisions = torch.tensor([-3.5, -3.5, 2.0, 2.5, 2.0, -0.25, -0.75, -0.5, -4.0])
    collisions[2:5] = torch.tensor(POLICY[1]) + 3.0
    collisions[:2] = torch.tensor(POLICY[0]) - 2.0
    batch = micro(EXAMPLES, POLICY, REFERENCE, extras={"log_collision": collisions})
    _, metrics = losses(replace(DPO, weighting="wpo"), batch)
    assert metrics["wpo/weights"].tolist() == pytest.approx([2.718281828**-1, 1.0], abs=1e-6)


def test_further_terms_are_added_with_their_weights() -> None:
    """DPO + 0.2 · NLL (the chosen response's mean: 3/2 and 1.5/3) + 0.5 · SimPO; each term is a metric of its own."""
    objective = replace(
        DPO,
        plus=(
            SFT_TERM,
            Term(weight=0.5, loss=SimpoObjective(kind="simpo", beta=2.0, gamma=0.5)),
        ),
    )
    found, metrics = losses(objective, micro(EXAMPLES, POLICY, REFERENCE))
    main, main_metrics = pairwise.dpo(PAIRS, beta=0.3)
    simpo, _ = reference_free.simpo(PAIRS, beta=2.0, gamma=0.5)
    nll = torch.tensor([1.5, 0.5])
    torch.testing.assert_close(found, main + 0.2 * nll + 0.5 * simpo, atol=1e-6, rtol=0)
    assert metrics.keys() == {*main_metrics, "sft/loss", "simpo/loss"}
    torch.testing.assert_close(metrics["sft/loss"], nll)
    torch.testing.assert_close(metrics["simpo/loss"], simpo)
    torch.testing.assert_close(metrics["rewards/margins"], main_metrics["rewards/margins"])
    assert not any(values.requires_grad for values in metrics.values())


def test_a_further_loss_has_the_pairs_reference_and_weighting_of_its_own() -> None:
    """DPO and twice IPO, of which IPO alone is weighed by WPO, and both are measured against the reference."""
    ipo = IpoObjective(kind="ipo", beta=0.3, tokens="sum", weighting="wpo_unclipped")
    objective = replace(DPO, plus=(Term(weight=2.0, loss=ipo),))
    batch = micro(EXAMPLES, POLICY, REFERENCE, extras={"log_collision": torch.tensor(LOG_COLLISIONS)})
    expected = (
        pairwise.dpo(PAIRS, beta=0.3)[0]
        + 2 * torch.tensor([5 / 24, 1 / 6]).exp() * pairwise.ipo(PAIRS, beta=0.3, tokens="sum")[0]
    )
    torch.testing.assert_close(losses(objective, batch)[0], expected, atol=1e-6, rtol=0)


# ------------------------------------------------------------------------------------------- pairs with another label


@pytest.mark.parametrize(
    ("probabilities", "chosen", "rejected"), [("hard", [1, 1], [0, 0]), ("soft", [0.9, 0.6], [0.2, 0.35])]
)
def test_sppo_takes_hard_or_soft_win_probabilities(
    probabilities: Any, chosen: list[float], rejected: list[float]
) -> None:
    examples = [replace(EXAMPLES[0], scores=(0.9, 0.2)), replace(EXAMPLES[1], scores=(0.6, 0.35))]
    objective = SppoObjective(kind="sppo", beta=0.3, probabilities=probabilities)
    expected = pairwise.sppo(PAIRS, torch.tensor(chosen).float(), torch.tensor(rejected).float(), beta=0.3)
    same(losses(objective, micro(examples, POLICY, REFERENCE)), expected)


def test_creams_consistency_is_the_label_probability() -> None:
    examples = [replace(EXAMPLES[0], label_probability=0.9), replace(EXAMPLES[1], label_probability=0.4)]
    expected = self_labelled.cream(PAIRS, torch.tensor([0.9, 0.4]), beta=0.3)
    same(losses(CreamObjective(kind="cream", beta=0.3), micro(examples, POLICY, REFERENCE)), expected)


@pytest.mark.parametrize(("progress", "smoothing"), [(0.0, 0.0), (0.19, 0.0), (0.2, 0.1), (0.9, 0.1)])
def test_spa_smooths_labels_of_low_margin_from_its_start_on(progress: float, smoothing: float) -> None:
    """Margins and threshold come from the step. Before the start, noisy pairs count, and are trained as by DPO."""
    margins = torch.tensor([0.2, 0.6])
    batch = micro(
        [replace(one, progress=progress) for one in EXAMPLES],
        POLICY,
        REFERENCE,
        extras={"denoised_margins": margins},
        step={"threshold": 0.4},
    )
    expected = self_labelled.spa(PAIRS, margins, 0.4, beta=0.3, label_smoothing=smoothing)
    same(losses(SPA, batch), (expected[0], {**expected[1], "spa/margins": margins}))
    assert expected[1]["spa/noisy"].tolist() == [1.0, 0.0]
    assert (smoothing == 0) == torch.equal(expected[0], pairwise.dpo(PAIRS, beta=0.3)[0])


# ------------------------------------------------------------------------------------------------- other than pairs


def test_wrpos_columns_are_source_chosen_rejected() -> None:
    """Three sequences an example; α is 0.8 · 0.5 half through the round."""
    source = [[-5.0, -0.5], [-0.125]]
    reference = [[-4.0, -0.25], [-1.0]]
    examples = [example((2, 2, 3), progress=0.5), example((1, 3, 1), progress=0.5)]
    batch = micro(
        examples,
        [source[0], *POLICY[:2], source[1], *POLICY[2:]],
        [reference[0], *REFERENCE[:2], reference[1], *REFERENCE[2:]],
    )
    expected = multi_source.wrpo(PAIRS, torch.tensor([-5.5, -0.125]), torch.tensor([-4.25, -1.0]), beta=0.3, alpha=0.4)
    same(losses(WrpoObjective(kind="wrpo", beta=0.3, final_alpha=0.8), batch), expected)


def test_kto_takes_log_ratios_labels_and_the_steps_kl() -> None:
    """One sequence an example: log π − log ref is −3 + 3.25 and −2.5 + 2."""
    examples = [example((2, 4), desirable=True), example((3, 4), desirable=False)]
    batch = micro(examples, POLICY[:2], REFERENCE[:2], step={"kl": 0.4})
    expected = unpaired.kto(
        torch.tensor([0.25, -0.5]),
        torch.tensor([True, False]),
        torch.tensor(0.4),
        beta=0.3,
        desirable_weight=1.5,
        undesirable_weight=0.5,
    )
    same(losses(KTO, batch), expected)


def test_only_ktos_first_sequence_is_trained() -> None:
    both = example((2, 4))
    assert trained_sequences(KTO, both) == both.sequences[:1]
    assert trained_sequences(DPO, both) == both.sequences


@pytest.mark.parametrize(
    ("objective", "loss"),
    [
        (RrhfObjective(kind="rrhf", length_exponent=0.5, weight=2.0),
         lambda *columns: listwise.rrhf(*columns, length_exponent=0.5, weight=2.0)),
        (ProObjective(kind="pro", sft_weight=0.05), lambda *columns: listwise.pro(*columns, sft_weight=0.05)),
    ],
    ids=["rrhf", "pro"],
)  # fmt: skip
def test_ranked_lists_of_different_length_are_computed_one_by_one(objective: ObjectivePart, loss: Any) -> None:
    """A list of three and one of two, each with its own scores."""
    examples = [example((2, 3, 3), scores=(3.0, 1.5, 1.0)), example((1, 2), scores=(5.0, -1.0))]
    found, metrics = losses(objective, micro(examples, [*POLICY, [-0.5, -0.125]]))
    groups = [
        loss(torch.tensor([-3.0, -2.5, -1.5]), torch.tensor([2.0, 3.0, 3.0]), torch.tensor([3.0, 1.5, 1.0])),
        loss(torch.tensor([-4.0, -0.625]), torch.tensor([1.0, 2.0]), torch.tensor([5.0, -1.0])),
    ]
    expected = torch.stack([one for one, _ in groups])
    same((found, metrics), (expected, {name: torch.stack([m[name] for _, m in groups]) for name in groups[0][1]}))


WEIGHTS = [[1.0, 0.0], [0.1, 0.1, 0.1], [1.0, 1.0, 0.5], [0.0]]


def weighed(num_tokens: Sequence[int], weights: Sequence[Sequence[float]]) -> TrainingExample:
    plain = example(num_tokens)
    return replace(
        plain, sequences=tuple(replace(s, weights=tuple(w)) for s, w in zip(plain.sequences, weights, strict=True))
    )


def test_sft_is_the_weighed_sum_over_a_responses_tokens() -> None:
    """1; 0.1 · 2.5; 0.25 + 0.75 + 0.25; 0. The mean is taken over the whole step's weight, see below."""
    found, metrics = losses(
        SftObjective(kind="sft"), micro([example((n,)) for n in (2, 3, 3, 1)], POLICY, weights=WEIGHTS)
    )
    assert found.tolist() == pytest.approx([1.0, 0.25, 1.25, 0.0])
    assert metrics["weights"].tolist() == pytest.approx([1.0, 0.3, 2.5, 0.0])


def test_a_steps_losses_are_divided_by_its_examples_or_by_its_trained_tokens() -> None:
    """Three and four tokens: SFT divides by 7, or by their weights where they have any; everything else by 2."""
    examples = [example((3,)), example((4,))]
    assert denominator(SftObjective(kind="sft"), examples) == 7
    assert denominator(SftObjective(kind="sft"), [examples[0], weighed((3,), WEIGHTS[2:3])]) == 5.5
    for objective in (DPO, KTO, SPA, CutObjective(kind="cut", threshold=1.1, weight=1.0)):
        assert denominator(objective, examples) == 2


def test_cuts_second_sequence_is_the_response_after_its_judgment() -> None:
    """Tokens are compared one by one within an example: inappropriate where judging makes them more than 1.1 times as
    likely, here the first of the first response and the second of the other."""
    plain = [[-2.0, -1.0], [-0.25, -1.5, -0.5]]
    judged = [[-1.0, -1.5], [-0.25, -0.75, -0.75]]
    batch = micro(
        [example((2, 2)), example((3, 3))],
        [plain[0], judged[0], plain[1], judged[1]],
        weights=[[1.0, 1.0], [1.0, 1.0], [1.0, 1.0, 0.0], [1.0, 1.0, 0.0]],
    )
    found, metrics = losses(CutObjective(kind="cut", threshold=1.1, weight=0.5), batch)
    unlikelihood = [-0.5 * log(1 - 2.718281828**-2.0), -0.5 * log(1 - 2.718281828**-1.5)]
    expected = [
        ((unlikelihood[0] + 1.0) / 2 + (1.0 + 1.5) / 2) / 2,
        ((0.25 + unlikelihood[1]) / 2 + (0.25 + 0.75) / 2) / 2,
    ]
    assert found.tolist() == pytest.approx(expected, abs=1e-6)
    assert metrics["cut/inappropriate"].tolist() == pytest.approx([0.5, 0.5])


def test_cut_learns_a_good_response_by_plain_likelihood() -> None:
    """Its two sequences are the same: no ratio is above the threshold, and ½(A + B) is the mean NLL, 1."""
    batch = micro([example((2, 2))], [[-0.25, -1.75], [-0.25, -1.75]])
    found, metrics = losses(CutObjective(kind="cut", threshold=1.1, weight=1.0), batch)
    assert found.tolist() == [1.0] and metrics["cut/inappropriate"].tolist() == [0.0]


# ------------------------------------------------------------------------------------- what the forward pass must give


def test_a_forward_pass_gives_what_some_loss_of_the_objective_needs() -> None:
    wpo = replace(DPO, weighting="wpo")
    assert extras_of(DPO) == extras_of(KTO) == extras_of(SPA) == ()
    assert extras_of(wpo) == extras_of(replace(DPO, weighting="wpo_unclipped")) == ("log_collision",)
    assert extras_of(replace(DPO, plus=(Term(weight=1.0, loss=wpo),))) == ("log_collision",)
    assert extras_of(replace(SPA, extrapolation=0.5)) == ("hidden",)


# ------------------------------------------------------------------------------------------------ the names of formulas


@pytest.mark.parametrize("kind", sorted(registered("objective")))
def test_what_an_objective_names_is_there(kind: str) -> None:
    cls = registered("objective")[kind]
    for name in (cls.loss, cls.advantages, cls.kl_of_step):
        assert not name or callable(formula(name))


def test_a_kind_of_the_users_own_names_a_function_of_a_module_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """On pairs, with its own fields as arguments, soft labels and further losses; or on the micro-batch as it is."""

    @dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
    class OwnPairs(PairObjective):
        kind: Literal["own_pairs"]
        beta: PositiveFloat
        loss: ClassVar[str] = "my_losses:on_pairs"

    @dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
    class Own(ObjectivePart):
        kind: Literal["own"]
        scale: PositiveFloat
        loss: ClassVar[str] = "my_losses:on_batch"

    module: Any = ModuleType("my_losses")
    module.on_pairs = pairwise.hinge
    module.on_batch = lambda objective, batch: (objective.scale * batch.pairs().margins_B, {})
    monkeypatch.setitem(sys.modules, "my_losses", module)
    batch = micro([EXAMPLES[0], replace(EXAMPLES[1], label_probability=0.75)], POLICY, REFERENCE)
    hinge = HingeObjective(kind="hinge", beta=0.3, plus=(SFT_TERM,))
    same(losses(OwnPairs(kind="own_pairs", beta=0.3, plus=(SFT_TERM,)), batch), losses(hinge, batch))
    assert losses(Own(kind="own", scale=2.0), batch)[0].tolist() == pytest.approx([1.5, 2.5])
