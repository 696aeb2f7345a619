"""Scores and values over a packed row are plain transformers' sequence classification, one sequence at a time; the
losses of scores; and the files that heads come from."""

from dataclasses import replace
from math import exp, log1p, nan
from pathlib import Path
from typing import Any

import pytest
import torch
from support.configs import REWARD_MODEL
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    BertConfig,
    BertLMHeadModel,
    GraniteConfig,
    GraniteForCausalLM,
)

from roundelay.launch.config.loading import load_config
from roundelay.orchestrator.config.schema import Config
from roundelay.orchestrator.data.records import TokenSequence, TrainingExample
from roundelay.orchestrator.errors import ConfigError
from roundelay.recipes.objectives.attribute_regression import AttributeRegressionObjective
from roundelay.workers.completion_model import CompletionModel, ScoreModel
from roundelay.workers.losses import score_losses
from roundelay.workers.packing import PackedBatch
from roundelay.workers.policy_model import read_head, read_model, read_scorer, save_head

CPU = torch.device("cpu")


def sequence(prompt: range, *response: int) -> TokenSequence:
    return TokenSequence(prompt_token_ids=tuple(prompt), token_ids=response)


# A pair, one alone, three that part within their responses, one that goes on where the other ends.
GROUPS = [
    [sequence(range(5, 12), 30, 31, 32, 2), sequence(range(5, 12), 40, 2)],
    [sequence(range(8, 10), 50, 51, 2)],
    [sequence(range(60, 64), 90, 91, last, 2) for last in (92, 93, 94)],
    [sequence(range(5, 8), 20, 21), sequence(range(5, 8), 20, 21, 22, 2)],
]
SEQUENCES = [one for group in GROUPS for one in group]
BATCH = PackedBatch.of(GROUPS, CPU)


@pytest.fixture(params=["llama, tied", "qwen2, untied"])
def policy(request: pytest.FixtureRequest, tiny_model: Path, untied_model: Path) -> Path:
    return tiny_model if request.param.startswith("llama") else untied_model


def config_of(policy: Path) -> Config:
    return load_config(["model=local", f"model.path={policy}"], default_name="test")


def read(policy: Path, path: Path | None = None, **how: Any) -> Any:
    return read_scorer(config_of(policy), str(path or policy), CPU, **how)


def headed(policy: Path, **how: Any) -> Any:
    """The policy's backbone with a head that says something."""
    scorer = read(policy, **how)
    torch.nn.init.normal_(scorer.score.weight, std=0.25, generator=torch.Generator().manual_seed(1))
    return scorer


@pytest.fixture
def written(policy: Path, tmp_path: Path) -> Path:
    """A reward model as a learner writes it: its backbone is not the policy's any more."""
    scorer = headed(policy)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in scorer.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=generator)
    scorer.save_pretrained(tmp_path / "reward-model")
    return tmp_path / "reward-model"


def plain(path: Path) -> Any:
    return AutoModelForSequenceClassification.from_pretrained(path, attn_implementation="eager")


def whole(one: TokenSequence) -> tuple[int, ...]:
    return one.prompt_token_ids + one.token_ids


def values_alone(backbone: Any, weight: Tensor) -> Tensor:
    """A linear head on the hidden state before each response token, a sequence at a time."""
    parts = []
    for one in SEQUENCES:
        hidden = backbone(torch.tensor([whole(one)])).last_hidden_state[0]
        parts.append(hidden[len(one.prompt_token_ids) - 1 : -1] @ weight[0])
    return torch.cat(parts)


def gradients_of(model: Any) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, atol=1e-5, rtol=1e-5, msg=lambda text, n=name: f"{n}: {text}")


# --------------------------------------------------------------------------------------------------- scores and values


def test_scores_and_their_gradients_are_those_of_each_sequence_alone(policy: Path, written: Path) -> None:
    ours, theirs = ScoreModel(read(policy, written)), plain(written)
    found = ours(BATCH)["scores"]
    expected = torch.cat([theirs(torch.tensor([whole(one)])).logits for one in SEQUENCES])
    assert found.shape == (8, 1) and found.dtype == torch.float32
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert expected.std() > 0.1
    weights = torch.linspace(-1, 1, 8)[:, None]
    (found * weights).mean().backward()
    (expected * weights).mean().backward()
    assert_same(gradients_of(ours.scorer), gradients_of(theirs))


def test_a_head_of_several_outputs_gives_a_score_for_each(policy: Path) -> None:
    """One attribute a column, as a head of that output alone would give it."""
    scorer = headed(policy, outputs=3)
    found = ScoreModel(scorer)(BATCH)["scores"]
    assert found.shape == (8, 3)
    one = headed(policy)
    with torch.no_grad():
        one.score.weight.copy_(scorer.score.weight[1:2])
    torch.testing.assert_close(ScoreModel(one)(BATCH)["scores"][:, 0], found[:, 1], atol=1e-6, rtol=0)


def test_a_separate_critic_values_the_state_before_each_response_token(policy: Path, written: Path) -> None:
    """Its gradient is all the critic's, none the policy's; and log-probs are those without a critic."""
    language_model = read_model(config_of(policy), str(policy), CPU)
    critic, theirs = read(policy, written), plain(written)
    outputs = CompletionModel(language_model, critic)(BATCH, ("values",))
    expected = values_alone(theirs.model, theirs.score.weight)
    assert outputs["values"].dtype == torch.float32
    torch.testing.assert_close(outputs["values"], expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(outputs["logps"], CompletionModel(language_model)(BATCH)["logps"], atol=1e-6, rtol=0)
    weights = torch.linspace(-1, 1, len(expected))
    (outputs["values"] * weights).mean().backward()
    (expected * weights).mean().backward()
    assert_same(gradients_of(critic), gradients_of(theirs))
    assert gradients_of(language_model) == {}


def test_a_shared_critic_reads_the_policys_own_hidden_states(policy: Path, written: Path) -> None:
    """Its gradient goes into the head and on into the policy's backbone."""
    language_model = read_model(config_of(policy), str(policy), CPU)
    head = read_head(config_of(policy), str(written), CPU)
    theirs: Any = AutoModelForCausalLM.from_pretrained(policy, attn_implementation="eager")
    weight = plain(written).score.weight.detach().clone().requires_grad_()
    found = CompletionModel(language_model, head)(BATCH, ("values",))["values"]
    expected = values_alone(theirs.model, weight)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    weights = torch.linspace(-1, 1, len(expected))
    (found * weights).mean().backward()
    (expected * weights).mean().backward()
    assert head.weight.grad is not None and weight.grad is not None
    torch.testing.assert_close(head.weight.grad, weight.grad, atol=1e-5, rtol=1e-5)
    assert_same(gradients_of(language_model), gradients_of(theirs))
    assert "model.embed_tokens.weight" in gradients_of(language_model)


# -------------------------------------------------------------------------------------------------------------- losses


def labelled(*scores: float, probability: float = 1.0) -> TrainingExample:
    return TrainingExample(id="p", sequences=(), scores=scores, label_probability=probability, progress=0.0)


def test_pairs_are_two_scores_each_and_may_have_a_margin_or_a_soft_label() -> None:
    """Scores 2, 0.5 and −1, 1: differences 1.5 and −2. A margin of 3 and 0.5 is taken from them. One soft label among
    hard ones: 0.25 of −log σ(−2) and 0.75 of −log σ(2). Centring adds 0.1 of 2.5² and 0²."""
    scores = torch.tensor([[2.0], [0.5], [-1.0], [1.0]])
    hard = [labelled(4.0, 1.0), labelled(1.0, 0.5)]
    soft = [labelled(), labelled(probability=0.25)]
    by_margin = replace(REWARD_MODEL, margin="score")
    cases = [
        (REWARD_MODEL, hard, [log1p(exp(-1.5)), log1p(exp(2))]),
        (by_margin, hard, [log1p(exp(1.5)), log1p(exp(2.5))]),
        (REWARD_MODEL, soft, [log1p(exp(-1.5)), 0.25 * log1p(exp(2)) + 0.75 * log1p(exp(-2))]),
        (replace(REWARD_MODEL, centring=0.1), hard, [log1p(exp(-1.5)) + 0.625, log1p(exp(2))]),
    ]
    for objective, examples, expected in cases:
        found, metrics = score_losses(objective, examples, scores)
        assert found.tolist() == pytest.approx(expected, abs=1e-6)
        assert metrics["margin"].tolist() == [1.5, -2.0]


def test_attributes_are_regressed_on_an_examples_scores() -> None:
    """A column an attribute; the second example has only the first: (1 + 4)/2 and 1."""
    objective = AttributeRegressionObjective(kind="attribute_regression")
    examples = [labelled(3.0, 0.0), labelled(1.0, nan)]
    found, _ = score_losses(objective, examples, torch.tensor([[4.0, 2.0], [2.0, 9.0]]))
    assert found.tolist() == [2.5, 1.0]


# --------------------------------------------------------------------------------------------------------------- files


def test_a_policys_head_is_zero_and_its_backbone_the_policys(policy: Path) -> None:
    """What knows nothing yet: on a backbone of its own, or as a head alone."""
    scorer = read(policy)
    assert not scorer.score.weight.any()
    assert not read_head(config_of(policy), str(policy), CPU).weight.any()
    backbone: Any = AutoModelForCausalLM.from_pretrained(policy)
    for name, parameter in backbone.model.named_parameters():
        assert torch.equal(parameter, scorer.model.get_parameter(name)), name


def test_a_written_reward_model_is_read_exactly(policy: Path, written: Path) -> None:
    expected, found = plain(written).state_dict(), read(policy, written).state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    assert torch.equal(read_head(config_of(policy), str(written), CPU).weight, expected["score.weight"])


def test_a_head_alone_is_written_and_read_exactly(policy: Path, tmp_path: Path) -> None:
    weight = torch.randn(1, 64, generator=torch.Generator().manual_seed(1))
    save_head(weight, str(tmp_path / "critic"))
    assert torch.equal(read_head(config_of(policy), str(tmp_path / "critic"), CPU).weight, weight)


def write_bert(path: Path) -> None:
    """Its sequence classification reads the first token, through a pooler, with a head called `classifier`."""
    config = BertConfig(
        vocab_size=16, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, is_decoder=True
    )
    BertLMHeadModel(config).save_pretrained(path)


def write_granite(path: Path) -> None:
    """transformers has no sequence classification for it."""
    config = GraniteConfig(
        vocab_size=16, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1,
        intermediate_size=8, bos_token_id=0, eos_token_id=1, pad_token_id=2,
    )  # fmt: skip
    GraniteForCausalLM(config).save_pretrained(path)


@pytest.mark.parametrize("write", [write_bert, write_granite])
def test_an_architecture_without_a_linear_head_is_refused_with_a_remedy(write: Any, tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(ConfigError, match=r"(?s)no linear head `score`.*decoder architecture"):
        read(tmp_path)
