"""The learner on real DeepSpeed, one rank: its update is the paper's, and nothing else."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import torch
import torch.nn.functional as F
from ray.exceptions import RayTaskError
from support.learner_host import start_of, written
from support.tiny_model import write_moved
from transformers import AutoModelForCausalLM

from roundelay.launch.config.loading import load_config
from roundelay.orchestrator.config.schema import Config
from roundelay.orchestrator.data.records import PolicyRef, TokenSequence, TrainingExample
from roundelay.orchestrator.ledger.checksums import model_files, weights_hash

pytestmark = pytest.mark.slow


def sequence(prompt: Sequence[int], response: Sequence[int]) -> TokenSequence:
    return TokenSequence(prompt_token_ids=tuple(prompt), token_ids=tuple(response))


PROMPTS = [tuple(range(5, 9 + index)) for index in range(6)]
CHOSEN = [(*range(30 + index, 36 + 2 * index), 2) for index in range(6)]
REJECTED = [(*range(90 + index, 93 + index), 2) for index in range(6)]
PAIRS = [
    TrainingExample(
        id=f"p{index}",
        sequences=(sequence(PROMPTS[index], CHOSEN[index]), sequence(PROMPTS[index], REJECTED[index])),
        progress=index / 6,
    )
    for index in range(6)
]
# Each with the response to another prompt, for the KL.
LABELLED = [
    TrainingExample(
        id=f"p{index}",
        sequences=(
            sequence(PROMPTS[index], (CHOSEN if index % 3 else REJECTED)[index]),
            sequence(PROMPTS[index], CHOSEN[(index + 1) % 6]),
        ),
        desirable=index % 3 > 0,
        progress=index / 6,
    )
    for index in range(6)
]
DEMONSTRATIONS = [replace(pair, sequences=pair.sequences[:1]) for pair in PAIRS]


def config_of(model: Path, *overrides: str) -> Config:
    sizes = (
        "learner.pairs_per_step=6",
        "learner.pairs_per_device=2",
        "learner.learning_rate=1e-3",
        "learner.adam_eps=1e-2",
    )
    return load_config(["model=local", f"model.path={model}", *sizes, *overrides], default_name="test")


@pytest.fixture
def policy(tiny_model: Path) -> PolicyRef:
    return PolicyRef(version=0, path=str(tiny_model), sha256=weights_hash(str(tiny_model)))


@pytest.fixture(scope="module")
def moved(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> PolicyRef:
    """A policy near the one of `policy`, its reference."""
    path = write_moved(tiny_model, tmp_path_factory.mktemp("models") / "moved", scale=0.02, seed=1)
    return PolicyRef(version=1, path=str(path), sha256=weights_hash(str(path)))


@pytest.fixture
def other(untied_model: Path) -> PolicyRef:
    return PolicyRef(version=0, path=str(untied_model), sha256=weights_hash(str(untied_model)))


Logps: TypeAlias = Callable[[TokenSequence], torch.Tensor]  # of each response token
Equation: TypeAlias = Callable[[Logps, Logps], torch.Tensor]  # a step's loss from policy and reference


def plain_logps(net: Any, one: TokenSequence) -> torch.Tensor:
    logprobs = net(torch.tensor([one.prompt_token_ids + one.token_ids])).logits[0].log_softmax(-1)
    first = len(one.prompt_token_ids) - 1
    return torch.stack([logprobs[first + index, token] for index, token in enumerate(one.token_ids)])


def by_hand(policy: PolicyRef, reference: PolicyRef, equation: Equation) -> dict[str, torch.Tensor]:
    """One step in plain PyTorch: full logits, one sequence at a time, `equation` as it stands in the paper."""
    model: Any = AutoModelForCausalLM.from_pretrained(policy.path)
    anchor: Any = AutoModelForCausalLM.from_pretrained(reference.path).requires_grad_(False)

    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.999), eps=1e-2, weight_decay=0.0)
    equation(partial(plain_logps, model), partial(plain_logps, anchor)).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


def over_pairs(loss: Callable[..., torch.Tensor]) -> Equation:
    """The mean over pairs of a loss of the tokens' log-probs: chosen, rejected, and the same under the reference."""

    def equation(policy: Logps, reference: Logps) -> torch.Tensor:
        losses = [loss(*(net(one) for net in (policy, reference) for one in pair.sequences)) for pair in PAIRS]
        return torch.stack(losses).mean()

    return equation


# w and y: the chosen and the rejected response's tokens, rw and ry the same under the reference.
def dpo(w: torch.Tensor, y: torch.Tensor, rw: torch.Tensor, ry: torch.Tensor) -> torch.Tensor:
    return -F.logsigmoid(0.1 * ((w.sum() - rw.sum()) - (y.sum() - ry.sum())))


def simpo(w: torch.Tensor, y: torch.Tensor, rw: torch.Tensor, ry: torch.Tensor) -> torch.Tensor:
    return -F.logsigmoid(2.5 * w.mean() - 2.5 * y.mean() - 1.375)


def ipo(w: torch.Tensor, y: torch.Tensor, rw: torch.Tensor, ry: torch.Tensor) -> torch.Tensor:
    return ((w.sum() - rw.sum()) - (y.sum() - ry.sum()) - 1 / (2 * 0.1)) ** 2


def dpo_with_nll(w: torch.Tensor, y: torch.Tensor, rw: torch.Tensor, ry: torch.Tensor) -> torch.Tensor:
    return dpo(w, y, rw, ry) - 0.2 * w.mean()


def kto(policy: Logps, reference: Logps) -> torch.Tensor:
    """Desirable responses weigh 1.5; the KL is that of all six mismatched responses."""
    with torch.no_grad():
        ratios = [(policy(one.sequences[1]) - reference(one.sequences[1])).sum() for one in LABELLED]
        kl = torch.stack(ratios).mean().clamp(min=0)
    assert kl > 0.05, "a KL that is cut at 0 shows little"
    losses = []
    for one in LABELLED:
        ratio = (policy(one.sequences[0]) - reference(one.sequences[0])).sum()
        gain = ratio - kl if one.desirable else kl - ratio
        losses.append((1.5 if one.desirable else 1.0) * (1 - torch.sigmoid(0.1 * gain)))
    return torch.stack(losses).mean()


def sft(policy: Logps, reference: Logps) -> torch.Tensor:
    """The mean over all response tokens of the step: long responses count for more."""
    return -torch.cat([policy(one.sequences[0]) for one in DEMONSTRATIONS]).mean()


def weights_of(learner: Any) -> dict[str, torch.Tensor]:
    from roundelay.workers.weight_sync import unpack

    weights = learner.export_weights()
    return {name: tensor.clone() for name, tensor in unpack(weights)}


def assert_same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(
            found[name], tensor, atol=1e-6, rtol=0, msg=lambda text, name=name: f"{name}: {text}"
        )


STEPS: list[tuple[str, list[str], list[TrainingExample], Equation]] = [
    *((f"dpo, ZeRO-{stage}", [f"learner.zero_stage={stage}"], PAIRS, over_pairs(dpo)) for stage in range(4)),
    ("simpo", ["objective=simpo"], PAIRS, over_pairs(simpo)),
    ("ipo", ["objective=ipo"], PAIRS, over_pairs(ipo)),
    ("dpo with sft", ["objective.plus=[{weight: 0.2, loss: {kind: sft}}]"], PAIRS, over_pairs(dpo_with_nll)),
    ("kto", ["objective=kto", "objective.desirable_weight=1.5"], LABELLED, kto),
    ("kto, ZeRO-3", ["objective=kto", "objective.desirable_weight=1.5", "learner.zero_stage=3"], LABELLED, kto),
    ("sft", ["objective=sft"], DEMONSTRATIONS, sft),
]  # fmt: skip


@pytest.mark.parametrize(("overrides", "examples", "equation"), [pytest.param(*s, id=name) for name, *s in STEPS])
def test_a_step_is_the_papers_equation_with_adamw(
    make_learner, moved: PolicyRef, policy: PolicyRef, tiny_model: Path, overrides, examples, equation
):
    """One step over six examples in micro-batches of two, of different lengths, with a reference that is not the
    policy, equals plain PyTorch over the mean loss.

    Adam's eps is large here, so that a step depends smoothly on its gradient: a gradient of pure rounding noise would
    otherwise move its weight by a full learning rate.
    """
    config = config_of(tiny_model, *overrides)
    learner = make_learner(config, moved, None if config.objective.reference.policy == "none" else policy)
    (report,) = learner.update(examples, True)
    expected = by_hand(moved, policy, equation)
    assert_same(weights_of(learner), expected)
    before = {name: p.detach() for name, p in AutoModelForCausalLM.from_pretrained(moved.path).named_parameters()}
    assert max(float((expected[name] - tensor).abs().max()) for name, tensor in before.items()) > 1e-5
    assert len(report.rows) == 6


def test_a_first_step_from_the_reference_itself_is_dpo_at_a_tie(make_learner, policy: PolicyRef, tiny_model: Path):
    """The policy's own log-probs serve as the reference's until the policy has moved: each loss is ln 2, the step is
    the equation's, and the next one is measured against the reference still."""
    learner = make_learner(config_of(tiny_model), policy, policy)
    (report,) = learner.update(PAIRS, True)
    assert [row["loss"] for row in report.rows] == pytest.approx([0.693147] * 6, abs=1e-6)
    assert_same(weights_of(learner), by_hand(policy, policy, over_pairs(dpo)))
    (second,) = learner.update([replace(pair, id=f"{pair.id} again") for pair in PAIRS], True)
    assert all(abs(row["rewards/margins"]) > 1e-3 for row in second.rows)
    assert [row["loss"] for row in learner.update(PAIRS, True)[0].rows] != pytest.approx([0.693147] * 6, abs=1e-4)


@pytest.mark.parametrize("objective", ["dpo", "kto", "sft"])
def test_how_many_tokens_a_forward_pass_holds_does_not_change_a_step(
    make_learner, moved: PolicyRef, policy: PolicyRef, tiny_model: Path, objective: str
):
    """Everything in one row, or every example in a row of its own because it alone is over the budget."""
    examples = {"dpo": PAIRS, "kto": LABELLED, "sft": DEMONSTRATIONS}[objective]
    found = []
    for tokens in (4096, 40, 1):
        config = config_of(
            tiny_model, f"objective={objective}", f"learner.tokens_per_device={tokens}", "learner.pairs_per_device=null"
        )
        learner = make_learner(config, moved, None if objective == "sft" else policy)
        (report,) = learner.update(examples, True)
        found.append((weights_of(learner), [row["loss"] for row in report.rows]))
    for weights, losses in found[1:]:
        assert_same(weights, found[0][0])
        assert losses == pytest.approx(found[0][1], abs=1e-5)


def test_micro_batches_and_flushes_do_not_change_a_step(make_learner, policy: PolicyRef, tiny_model: Path):
    """Pairs handed over in pieces and computed one at a time give the step of one batch of six."""
    whole = make_learner(config_of(tiny_model, "learner.pairs_per_device=6"), policy, policy)
    whole.update(PAIRS, True)
    pieces = make_learner(config_of(tiny_model, "learner.pairs_per_device=1"), policy, policy)
    assert pieces.update(PAIRS[:4], False) == []
    assert len(pieces.update(PAIRS[4:], False)) == 1
    assert_same(weights_of(whole), weights_of(pieces))


def test_the_saved_policy_is_what_was_learnt(make_learner, other: PolicyRef, untied_model: Path, tmp_path: Path):
    """Plain transformers reads it, with the learner's log-probs; loading it again starts the next round right there."""
    learner = make_learner(config_of(untied_model), other, other)
    learner.update(PAIRS, True)
    ((_, logps),) = learner.logps([sequence((5, 6, 7), (40, 41, 2))])
    sha256, files = learner.save_policy(str(tmp_path / "policy"))
    saved = PolicyRef(version=1, path=str(tmp_path / "policy"), sha256=sha256, files=files)
    assert saved.sha256 == weights_hash(saved.path) != other.sha256
    assert saved.files == model_files(saved.path)
    model: Any = AutoModelForCausalLM.from_pretrained(saved.path)
    with torch.no_grad():
        logprobs = model(torch.tensor([[5, 6, 7, 40, 41, 2]])).logits[0].log_softmax(-1)
    assert logps == pytest.approx([float(logprobs[i, t]) for i, t in ((2, 40), (3, 41), (4, 2))], abs=1e-5)
    before = weights_of(learner)
    learner.hold(saved)
    assert all(torch.equal(before[name], tensor) for name, tensor in weights_of(learner).items())


def test_a_reference_is_the_policy_it_names(make_learner, policy: PolicyRef, tiny_model: Path, tmp_path: Path):
    """With the initial policy as reference, a later policy's rewards are measured against the initial one's files."""
    learner = make_learner(config_of(tiny_model), policy, policy)
    learner.update(PAIRS, True)
    learner.save_policy(str(tmp_path / "policy"))
    later = written(tmp_path / "policy")
    learner.begin(start_of(later, policy, round=2))
    (report,) = learner.update(PAIRS, True)
    sums = {}
    for name, held in (("policy", later), ("reference", policy)):
        learner.hold(replace(held, version=9))
        sums[name] = sum(learner.logps([PAIRS[0].sequences[0]])[0][1])
    assert report.rows[0]["rewards/chosen"] == pytest.approx(0.1 * (sums["policy"] - sums["reference"]), abs=1e-4)
    assert abs(report.rows[0]["rewards/chosen"]) > 1e-3


def test_log_probs_are_those_of_each_sequence_whatever_else_is_in_the_row(
    make_learner, policy: PolicyRef, tiny_model: Path
):
    """`logps` packs, too: in one row or one by one, in the order of the indices that come with them."""
    sequences = [one for pair in PAIRS for one in pair.sequences]
    scored = []
    for tokens in (4096, 1):
        learner = make_learner(config_of(tiny_model, f"learner.tokens_per_device={tokens}"), policy, None)
        found = learner.logps(sequences)
        assert sorted(index for index, _ in found) == list(range(12))
        scored.append(dict(found))
    for index, one in enumerate(sequences):
        assert len(scored[0][index]) == len(one.token_ids)
        assert scored[0][index] == pytest.approx(scored[1][index], abs=1e-5)


def test_nan_stops_the_update_and_names_the_pairs(make_learner, policy: PolicyRef, tiny_model: Path, tmp_path: Path):
    """A weight that became NaN stops the step before the optimizer runs."""
    model: Any = AutoModelForCausalLM.from_pretrained(policy.path)
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[3, 5] = float("nan")
    model.save_pretrained(tmp_path)
    learner = make_learner(config_of(tiny_model), written(tmp_path), policy)
    before = weights_of(learner)
    with pytest.raises(RayTaskError, match=r"NonFiniteError.*'p0', 'p1'"):
        learner.update(PAIRS, True)
    for name, tensor in weights_of(learner).items():
        torch.testing.assert_close(tensor, before[name], atol=0, rtol=0, equal_nan=True)


NAN_GRADIENT = (
    "objective=function", "objective.function=support.objectives:dpo_with_nan_gradient",
    "+objective.parameters.beta=0.1",
)  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_a_nan_gradient_behind_a_finite_loss_stops_the_update_and_names_step_and_pairs(
    make_learner, policy: PolicyRef, tiny_model: Path, stage: int, dtype: str
):
    """Whether DeepSpeed measures the gradient, skips the step or does neither: it raises, and no weight is NaN."""
    sizes = ("learner.pairs_per_step=3", f"learner.zero_stage={stage}", f"model.dtype={dtype}")
    config = config_of(tiny_model, *NAN_GRADIENT, *sizes)
    learner = make_learner(config, policy, policy)
    with pytest.raises(RayTaskError, match=r"NonFiniteError.*step 1 on \['p0', 'p1', 'p2'\]"):
        learner.update(PAIRS[:3], True)
    for name, tensor in weights_of(learner).items():
        assert tensor.isfinite().all(), name


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_the_gradient_norm_is_that_of_plain_pytorch_under_every_stage(
    make_learner, moved: PolicyRef, policy: PolicyRef, tiny_model: Path, stage: int
):
    """Before clipping, which is at a hundredth of it here."""
    model: Any = AutoModelForCausalLM.from_pretrained(moved.path)
    anchor: Any = AutoModelForCausalLM.from_pretrained(policy.path).requires_grad_(False)
    over_pairs(dpo)(partial(plain_logps, model), partial(plain_logps, anchor)).backward()
    expected = float(torch.nn.utils.get_total_norm([one.grad for one in model.parameters()]))
    sizes = (f"learner.zero_stage={stage}", f"learner.max_grad_norm={expected / 100}")
    (report,) = make_learner(config_of(tiny_model, *sizes), moved, policy).update(PAIRS, True)
    assert report.grad_norm == pytest.approx(expected, rel=1e-4)


def sampled(pairs: list[TrainingExample], logps: dict[TokenSequence, tuple[float, ...]]) -> list[TrainingExample]:
    return [
        replace(pair, sequences=tuple(replace(one, sampler_logps=logps[one]) for one in pair.sequences))
        for pair in pairs
    ]


def test_sampler_logps_serve_as_the_previous_policys(make_learner, policy: PolicyRef, tiny_model: Path):
    """With `reference.logps: rollout` and no second model, both of two steps are those with a recomputed reference."""
    recomputing = make_learner(config_of(tiny_model, "learner.pairs_per_step=3"), policy, policy)
    sequences = [one for pair in PAIRS for one in pair.sequences]
    logps = {sequences[index]: tuple(values) for index, values in recomputing.logps(sequences)}
    recomputing.update(PAIRS, True)
    config = config_of(tiny_model, "objective.reference.logps=rollout", "learner.pairs_per_step=3")
    taking = make_learner(config, policy, None)
    assert len(taking.update(sampled(PAIRS, logps), True)) == 2
    assert_same(weights_of(taking), weights_of(recomputing))


def test_sampler_logps_that_are_not_the_policys_are_refused(make_learner, policy: PolicyRef, tiny_model: Path):
    """`reference.logps: rollout` is guarded by a measured check in the first step."""
    learner = make_learner(config_of(tiny_model, "objective.reference.logps=rollout"), policy, None)
    logps = {one: (-1.0,) * len(one.token_ids) for pair in PAIRS for one in pair.sequences}
    with pytest.raises(RayTaskError, match="nats a token"):
        learner.update(sampled(PAIRS, logps), True)


def test_sampler_logps_that_are_nan_are_refused(make_learner, policy: PolicyRef, tiny_model: Path):
    """One NaN behind log-probs that are right."""
    learner = make_learner(config_of(tiny_model, "objective.reference.logps=rollout"), policy, None)
    sequences = [one for pair in PAIRS for one in pair.sequences]
    logps = {sequences[index]: tuple(values) for index, values in learner.logps(sequences)}
    logps[sequences[-1]] = (*logps[sequences[-1]][:-1], float("nan"))
    with pytest.raises(RayTaskError, match=r"differ by nan nats a token.*'p5'"):
        learner.update(sampled(PAIRS, logps), True)


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
@pytest.mark.parametrize("lora", ["null", "{rank: 4, alpha: 8, target_modules: []}"], ids=["full", "lora"])
def test_an_update_goes_on_from_its_checkpoint_as_if_never_stopped(
    make_learner, policy: PolicyRef, tiny_model: Path, tmp_path: Path, stage: int, lora: str
):
    """After a crash in mid-round, two of three steps come from the checkpoint, and the third gives bitwise the same
    weights. An example that was handed over but made no step is not in the checkpoint. Another ZeRO stage goes on up to
    rounding, and says so."""

    def config(stage: int) -> Config:
        return config_of(tiny_model, "learner.pairs_per_step=2", f"learner.lora={lora}", f"learner.zero_stage={stage}")

    whole = make_learner(config(stage), policy, policy)
    whole.update(PAIRS, True)
    broken = make_learner(config(stage), policy, policy)
    broken.update(PAIRS[:5], False)
    broken.save_checkpoint(str(tmp_path / "checkpoint"))
    again = make_learner(config(stage), policy, policy)
    assert again.restore(start_of(policy, policy), written(tmp_path / "checkpoint")).endswith("from its checkpoint")
    (report,) = again.update(PAIRS[4:], True)
    assert report.step == 3
    expected = weights_of(whole)
    assert all(torch.equal(expected[name], tensor) for name, tensor in weights_of(again).items())

    other = make_learner(config((stage + 1) % 4), policy, policy)
    note = other.restore(start_of(policy, policy), written(tmp_path / "checkpoint"))
    assert f"zero_stage {stage} → {(stage + 1) % 4}: equal up to rounding" in note
    other.update(PAIRS[4:], True)
    for name, tensor in weights_of(other).items():
        torch.testing.assert_close(tensor, expected[name], atol=1e-6, rtol=0)


@pytest.mark.parametrize("stage", [1, 3])
def test_merged_adapters_are_what_the_learner_computes_with(
    make_learner, policy: PolicyRef, tiny_model: Path, tmp_path: Path, stage: int
):
    """LoRA: the saved policy is a plain model with the adapters' log-probs to 1e-4, and only linear layers moved."""
    lora = "learner.lora={rank: 4, alpha: 8, target_modules: [q_proj, down_proj]}"
    learner = make_learner(config_of(tiny_model, lora, f"learner.zero_stage={stage}"), policy, policy)
    before = weights_of(learner)
    learner.update(PAIRS, True)
    learner.update(PAIRS, True)  # in the first step only B moves, from zero
    sequence = TokenSequence(prompt_token_ids=(5, 6, 7), token_ids=(40, 41, 2))
    ((_, logps),) = learner.logps([sequence])
    learner.save_policy(str(tmp_path / "policy"))
    model: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "policy")
    with torch.no_grad():
        logprobs = model(torch.tensor([[5, 6, 7, 40, 41, 2]])).logits[0].log_softmax(-1)
    assert logps == pytest.approx([float(logprobs[i, t]) for i, t in ((2, 40), (3, 41), (4, 2))], abs=1e-4)
    moved = {name for name, tensor in weights_of(learner).items() if not torch.equal(tensor, before[name])}
    assert moved == {name for name in before if "q_proj.weight" in name or "down_proj.weight" in name}


@pytest.mark.parametrize("stage", [1, 3])
def test_an_average_is_between_the_reference_and_the_policy(
    make_learner, policy: PolicyRef, tiny_model: Path, tmp_path: Path, stage: int
):
    """`reference.policy: average` writes decay·reference + (1 − decay)·policy, which loads as a reference like any."""
    learner = make_learner(config_of(tiny_model, f"learner.zero_stage={stage}"), policy, policy)
    before = weights_of(learner)
    learner.update(PAIRS, True)
    path, trained = str(tmp_path / "average"), str(tmp_path / "policy")
    learner.save_policy(trained)
    learner.save_mixture(path, [(policy, 0.75), (written(trained), 0.25)])
    average = written(path)
    after = weights_of(learner)
    learner.hold(average)
    for name, tensor in weights_of(learner).items():
        torch.testing.assert_close(tensor, 0.75 * before[name] + 0.25 * after[name], atol=1e-7, rtol=0)


@pytest.mark.parametrize("stage", [1, 3])
def test_a_response_without_another_prompts_takes_its_kl_from_the_step(
    make_learner, policy: PolicyRef, moved: PolicyRef, tiny_model: Path, stage: int
):
    """KTO, two lone responses in a micro-batch of their own: they are trained, and the KL is the others'. A step of
    lone responses only has no KL, and stops."""
    sizes = ("objective=kto", "learner.pairs_per_device=2", f"learner.zero_stage={stage}")
    lone = [replace(example, sequences=example.sequences[:1], id=f"lone {example.id}") for example in LABELLED[:2]]
    learners = [
        make_learner(config_of(tiny_model, *sizes, "learner.pairs_per_step=99"), moved, policy) for _ in range(2)
    ]
    (without,) = learners[0].update(LABELLED, True)
    (report,) = learners[1].update([*LABELLED, *lone], True)
    assert len(report.rows) == len(LABELLED) + 2
    assert {row["kl"] for row in report.rows} == {without.rows[0]["kl"]} != {0.0}
    with pytest.raises(RayTaskError, match="two examples or more"):
        learners[0].update(lone, True)
