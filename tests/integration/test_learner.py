"""The learner on real DeepSpeed, one rank: its update is the paper's, and nothing else."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import ray
import torch
import torch.nn.functional as F
from ray.exceptions import RayTaskError
from support.learner_host import RemoteLearner, start_host
from transformers import AutoModelForCausalLM

from roundelay.launch.config_loading import load_config
from roundelay.orchestrator.config import Config
from roundelay.orchestrator.policies import weights_hash
from roundelay.orchestrator.records import PolicyRef, TokenSequence, TrainingPair

pytestmark = pytest.mark.slow

PAIRS = [
    TrainingPair(
        id=f"p{index}",
        prompt_token_ids=tuple(range(5, 9 + index)),
        chosen_token_ids=(*range(30 + index, 36 + 2 * index), 2),
        rejected_token_ids=(*range(90 + index, 93 + index), 2),
        reference_logps=None,
        progress=index / 6,
    )
    for index in range(6)
]


def config_of(model: Path, *overrides: str) -> Config:
    sizes = (
        "learner.pairs_per_step=6",
        "learner.pairs_per_device=2",
        "learner.learning_rate=1e-3",
        "learner.adam_eps=1e-2",
    )
    return load_config(["model=local", f"model.path={model}", *sizes, *overrides], default_name="test")


@pytest.fixture(scope="module")
def make_learner():
    """Learners of one rank, all in one process."""
    host = start_host()

    def make(config: Config, policy: PolicyRef, reference: PolicyRef | None) -> RemoteLearner:
        return RemoteLearner(host, ray.get(host.make.remote(config, policy, reference)))

    yield make
    ray.shutdown()


@pytest.fixture
def policy(tiny_model: Path) -> PolicyRef:
    return PolicyRef(version=0, path=str(tiny_model), sha256=weights_hash(str(tiny_model)))


@pytest.fixture
def other(untied_model: Path) -> PolicyRef:
    return PolicyRef(version=0, path=str(untied_model), sha256=weights_hash(str(untied_model)))


def by_hand(path: str, pairs: list[TrainingPair], *, beta: float, learning_rate: float) -> dict[str, torch.Tensor]:
    """One DPO step in plain PyTorch: full logits, one sequence at a time, the loss from the paper's equation."""
    model: Any = AutoModelForCausalLM.from_pretrained(path)
    reference: Any = AutoModelForCausalLM.from_pretrained(path)

    def logp(net: Any, prompt: tuple[int, ...], response: tuple[int, ...]) -> torch.Tensor:
        logprobs = net(torch.tensor([prompt + response])).logits[0].log_softmax(-1)
        positions = range(len(prompt) - 1, len(prompt) + len(response) - 1)
        return torch.stack([logprobs[p, t] for p, t in zip(positions, response, strict=True)]).sum()

    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.999), eps=1e-2, weight_decay=0.0)
    losses = []
    for pair in pairs:
        chosen, rejected = (
            (pair.prompt_token_ids, pair.chosen_token_ids),
            (pair.prompt_token_ids, pair.rejected_token_ids),
        )
        with torch.no_grad():
            anchor = logp(reference, *chosen) - logp(reference, *rejected)
        losses.append(-F.logsigmoid(beta * (logp(model, *chosen) - logp(model, *rejected) - anchor)))
    torch.stack(losses).mean().backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


def weights_of(learner: Any) -> dict[str, torch.Tensor]:
    from roundelay.workers.weight_sync import unpack

    weights = learner.export_weights()
    return {name: tensor.clone() for name, tensor in unpack(weights)}


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_a_step_is_dpo_with_adamw_under_every_zero_stage(make_learner, policy: PolicyRef, tiny_model: Path, stage: int):
    """One step over six pairs in micro-batches of two, of different lengths, equals plain PyTorch over the mean loss.

    Adam's eps is large here, so that a step depends smoothly on its gradient: a gradient of pure rounding noise would
    otherwise move its weight by a full learning rate.
    """
    learner = make_learner(config_of(tiny_model, f"learner.zero_stage={stage}"), policy, policy)
    (report,) = learner.update(PAIRS, True)
    expected = by_hand(policy.path, PAIRS, beta=0.1, learning_rate=1e-3)
    found = weights_of(learner)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, atol=1e-6, rtol=0)
    assert [row["loss"] for row in report.rows] == pytest.approx([0.693147] * 6, abs=1e-4)


def test_micro_batches_and_flushes_do_not_change_a_step(make_learner, policy: PolicyRef, tiny_model: Path):
    """Pairs handed over in pieces and computed one at a time give the step of one batch of six."""
    whole = make_learner(config_of(tiny_model, "learner.pairs_per_device=6"), policy, policy)
    whole.update(PAIRS, True)
    pieces = make_learner(config_of(tiny_model, "learner.pairs_per_device=1"), policy, policy)
    assert pieces.update(PAIRS[:4], False) == []
    assert len(pieces.update(PAIRS[4:], False)) == 1
    for (name, a), b in zip(weights_of(whole).items(), weights_of(pieces).values(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=0, msg=name)


def test_the_saved_policy_is_what_was_learnt(make_learner, other: PolicyRef, untied_model: Path, tmp_path: Path):
    """Plain transformers reads it, with the learner's log-probs; loading it again starts the next round right there."""
    learner = make_learner(config_of(untied_model), other, other)
    learner.update(PAIRS, True)
    sequence = TokenSequence(prompt_token_ids=(5, 6, 7), token_ids=(40, 41, 2))
    ((_, logps),) = learner.logps([sequence])
    saved = PolicyRef(version=1, path=str(tmp_path / "policy"), sha256=learner.save_policy(str(tmp_path / "policy")))
    assert saved.sha256 == weights_hash(saved.path) != other.sha256
    model: Any = AutoModelForCausalLM.from_pretrained(saved.path)
    with torch.no_grad():
        logprobs = model(torch.tensor([[5, 6, 7, 40, 41, 2]])).logits[0].log_softmax(-1)
    assert logps == pytest.approx([float(logprobs[i, t]) for i, t in ((2, 40), (3, 41), (4, 2))], abs=1e-5)
    before = weights_of(learner)
    learner.load_policy(saved)
    assert all(torch.equal(before[name], tensor) for name, tensor in weights_of(learner).items())


def test_a_reference_is_the_policy_it_names(make_learner, policy: PolicyRef, tiny_model: Path, tmp_path: Path):
    """With the initial policy as reference, a later policy's rewards are measured against the initial one's files."""
    learner = make_learner(config_of(tiny_model), policy, policy)
    learner.update(PAIRS, True)
    path = str(tmp_path / "policy")
    later = PolicyRef(version=1, path=path, sha256=learner.save_policy(path))
    learner.load_policy(later)
    learner.load_reference(policy)
    (report,) = learner.update(PAIRS, True)
    sums = {}
    for name, version in (("policy", later), ("reference", policy)):
        learner.load_policy(PolicyRef(version=9, path=version.path, sha256=name))
        sequence = TokenSequence(prompt_token_ids=PAIRS[0].prompt_token_ids, token_ids=PAIRS[0].chosen_token_ids)
        sums[name] = sum(learner.logps([sequence])[0][1])
    assert report.rows[0]["rewards/chosen"] == pytest.approx(0.1 * (sums["policy"] - sums["reference"]), abs=1e-4)
    assert abs(report.rows[0]["rewards/chosen"]) > 1e-3


def test_nan_stops_the_update_and_names_the_pairs(make_learner, policy: PolicyRef, tiny_model: Path):
    """A weight that became NaN stops the step before the optimizer runs."""
    learner = make_learner(config_of(tiny_model), policy, None)
    poisoned = [replace(pair, reference_logps=(float("nan"), 0.0)) for pair in PAIRS]
    before = weights_of(learner)
    with pytest.raises(RayTaskError, match=r"NonFiniteError.*'p0', 'p1'"):
        learner.update(poisoned, True)
    assert all(torch.equal(before[name], tensor) for name, tensor in weights_of(learner).items())


def test_sampler_logps_that_are_not_the_policys_are_refused(make_learner, policy: PolicyRef, tiny_model: Path):
    """`reference.logps: rollout` is guarded by a measured check in the first step."""
    learner = make_learner(config_of(tiny_model, "objective.reference.logps=rollout"), policy, None)
    with pytest.raises(RayTaskError, match="nats a token"):
        learner.update([replace(pair, reference_logps=(-1.0, -2.0)) for pair in PAIRS], True)
