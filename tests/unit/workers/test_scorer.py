"""The models beside the policy: their log-probs are plain transformers', and each is read once."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.tiny_model import write_moved
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from roundelay.launch.config.loading import load_config
from roundelay.orchestrator.data.records import PolicyRef, TokenSequence
from roundelay.orchestrator.errors import ConfigError, RunError
from roundelay.orchestrator.ledger.checksums import weights_hash
from roundelay.workers import scorer as scorer_module
from roundelay.workers.encoding import check_same_tokens
from roundelay.workers.scorer import Scorer

SEQUENCES = [
    TokenSequence(prompt_token_ids=(5, 6, 7), token_ids=(30, 31, 2)),
    TokenSequence(prompt_token_ids=(5, 6, 7), token_ids=(40, 2)),
    TokenSequence(prompt_token_ids=(8, 9), token_ids=(50, 51, 52, 2)),
]


def scorer_of(policy: Path, *overrides: str) -> Scorer:
    return Scorer(load_config(["model=local", f"model.path={policy}", *overrides], default_name="test"), 2)


def ref(path: Path, version: int = 0) -> PolicyRef:
    return PolicyRef(version=version, path=str(path), sha256=weights_hash(str(path)))


def plain_logps(path: Path) -> list[list[float]]:
    """Of each response's tokens, one sequence at a time, without any of our code."""
    model: Any = AutoModelForCausalLM.from_pretrained(path)
    found = []
    for one in SEQUENCES:
        ids = torch.tensor([one.prompt_token_ids + one.token_ids])
        with torch.no_grad():
            logps = model(ids).logits.log_softmax(-1)[0, :-1]
        first = len(one.prompt_token_ids) - 1
        found.append([float(logps[first + i, token]) for i, token in enumerate(one.token_ids)])
    return found


@pytest.fixture(scope="module")
def moved(untied_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_moved(untied_model, tmp_path_factory.mktemp("models") / "moved", scale=0.05, seed=1)


@pytest.mark.parametrize("tokens", [4096, 1], ids=["in one batch", "one by one"])
def test_each_models_log_probs_are_those_of_plain_transformers(untied_model: Path, moved: Path, tokens: int) -> None:
    scorer = scorer_of(untied_model, f"learner.tokens_per_device={tokens}")
    scorer.hold({"initial": ref(untied_model), "/dpo": ref(moved)})
    for name, path in (("initial", untied_model), ("/dpo", moved)):
        found, expected = scorer.logps(name, SEQUENCES), plain_logps(path)
        assert [len(values) for values in found] == [3, 2, 4]
        for values, plain in zip(found, expected, strict=True):
            assert values == pytest.approx(plain, abs=1e-4)
    apart = [abs(a - b) for a, b in zip(scorer.logps("/dpo", SEQUENCES)[0], plain_logps(untied_model)[0], strict=True)]
    assert max(apart) > 1e-2, "two models that say the same show nothing"


def test_a_model_is_read_once_and_again_only_as_another(
    untied_model: Path, moved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under two names, over rounds, whatever else comes and goes; what is held no longer is read again."""
    read: list[str] = []
    plain = scorer_module.read_model
    monkeypatch.setattr(scorer_module, "read_model", lambda *args: read.append(args[1]) or plain(*args))
    scorer = scorer_of(untied_model)
    initial, second = ref(untied_model), ref(moved, version=1)
    scorer.hold({"initial": initial, "previous": initial})
    scorer.hold({"initial": initial, "previous": initial, "policy": second})
    scorer.hold({"initial": initial, "previous": second})
    assert read == [initial.path, second.path]
    assert scorer.logps("previous", SEQUENCES) != scorer.logps("initial", SEQUENCES)
    scorer.hold({"previous": second})
    scorer.hold({"initial": initial, "previous": second})
    assert read == [initial.path, second.path, initial.path]


def test_a_reward_model_and_a_policy_stand_side_by_side(untied_model: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model: Any = AutoModelForSequenceClassification.from_pretrained(untied_model, num_labels=1)
    model.save_pretrained(tmp_path / "rm")
    scorer = scorer_of(untied_model)
    scorer.hold({"reward_model": ref(tmp_path / "rm"), "initial": ref(untied_model)})
    expected = []
    for one in SEQUENCES:
        with torch.no_grad():
            expected.append(float(model(torch.tensor([one.prompt_token_ids + one.token_ids])).logits))
    assert [score for (score,) in scorer.score("reward_model", SEQUENCES)] == pytest.approx(expected, abs=1e-4)
    assert scorer.logps("initial", SEQUENCES)[1] == pytest.approx(plain_logps(untied_model)[1], abs=1e-4)


def test_a_response_that_was_cut_is_scored_as_if_it_ended_there(untied_model: Path, tmp_path: Path) -> None:
    """In the middle of a sentence a reward model has little to read; of log-probs, none is added."""
    torch.manual_seed(0)
    AutoModelForSequenceClassification.from_pretrained(untied_model, num_labels=1).save_pretrained(tmp_path / "rm")
    scorer = scorer_of(untied_model)
    scorer.hold({"reward_model": ref(tmp_path / "rm"), "initial": ref(untied_model)})
    cut = [replace(one, token_ids=one.token_ids[:-1]) for one in SEQUENCES]
    assert scorer.score("reward_model", cut) == scorer.score("reward_model", SEQUENCES)
    assert [len(values) for values in scorer.logps("initial", cut)] == [2, 1, 3]


def test_files_of_another_kind_of_model_are_refused(untied_model: Path, tiny_model: Path, tmp_path: Path) -> None:
    """transformers would make up the output head, or the reward head, and say so in a log only."""
    AutoModel.from_pretrained(untied_model).save_pretrained(tmp_path / "backbone")
    AutoModelForSequenceClassification.from_pretrained(tiny_model, num_labels=1).save_pretrained(tmp_path / "rm")
    scorer = scorer_of(untied_model)
    with pytest.raises(ConfigError, match=r"no whole language model \(lm_head\.weight\)"):
        scorer.hold({"/base": ref(tmp_path / "backbone")})
    with pytest.raises(ConfigError, match="it is a reward model"):
        scorer.hold({"/rm": ref(tmp_path / "rm")})
    with pytest.raises(RunError, match="holds no reward model"):
        scorer.hold({"reward_model": ref(untied_model)})


# ---------------------------------------------------------------------------------------------------------- tokenizers


def retokenised(source: Path, path: Path, **changes: Any) -> Path:
    """The tokenizer at `source` with other special tokens, or more tokens."""
    tokenizer = AutoTokenizer.from_pretrained(source)
    if added := changes.pop("added", None):
        tokenizer.add_tokens([added])
    for role, token in changes.items():
        setattr(tokenizer, role, token)
    tokenizer.save_pretrained(path)
    return path


def test_a_model_with_the_policys_tokens_is_taken(tiny_model: Path, untied_model: Path) -> None:
    """Of another architecture, even."""
    check_same_tokens(str(untied_model), str(tiny_model), field="judge.strong", trust_remote_code=False)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"added": "<|extra|>"}, "another vocabulary than model.path ('<|extra|>' is token 600 there and None here)"),
        ({"eos_token": "<|endoftext|>"}, "has the eos_token '<|endoftext|>', and model.path '<|im_end|>'"),
    ],
)
def test_a_model_whose_tokens_mean_something_else_is_refused_by_name(
    changes: dict[str, Any], says: str, tiny_model: Path, tmp_path: Path
) -> None:
    other = str(retokenised(tiny_model, tmp_path / "other", **changes))
    with pytest.raises(ConfigError) as caught:
        check_same_tokens(other, str(tiny_model), field="judge.weak", trust_remote_code=False)
    assert caught.value.what.startswith(f"judge.weak={other} ") and says in caught.value.what
    assert caught.value.remedy


def test_a_directory_without_a_tokenizer_is_refused_under_its_own_field(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^judge\.strong=.*has no tokenizer that loads"):
        check_same_tokens(str(tmp_path), str(tiny_model), field="judge.strong", trust_remote_code=False)
