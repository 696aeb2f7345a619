"""Models from outside that may sample for a run: those whose weights and token ids mean the same, and no others."""

import json
import shutil
from pathlib import Path

import pytest
from support.configs import MIXTURE, base, changed
from support.tiny_model import write_moved, write_tiny_model
from transformers import PreTrainedTokenizerFast

from roundelay.launch.run.sources import check_sources
from roundelay.orchestrator.config.schema import Config
from roundelay.orchestrator.errors import ConfigError


def sampled_by(path: Path) -> Config:
    return changed(base(), generation__samplers=("policy", str(path)))


def test_other_weights_of_the_same_model_are_taken(tiny_model: Path, tmp_path: Path) -> None:
    check_sources(sampled_by(write_tiny_model(tmp_path / "other", seed=1)), str(tiny_model))
    check_sources(sampled_by(write_moved(tiny_model, tmp_path / "moved", scale=0.1, seed=1)), str(tiny_model))
    check_sources(base(), str(tmp_path / "nowhere"))  # nothing is read where nobody else samples


def refused(path: Path, model: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        check_sources(sampled_by(path), str(model))
    assert str(path) in caught.value.what
    return caught.value.what


def test_another_architecture_or_shape_is_refused_by_its_fields(
    tiny_model: Path, untied_model: Path, tmp_path: Path
) -> None:
    assert "architectures" in refused(untied_model, tiny_model)
    wide = shutil.copytree(tiny_model, tmp_path / "wide")
    config = json.loads((wide / "config.json").read_text())
    (wide / "config.json").write_text(json.dumps({**config, "intermediate_size": 256}))
    assert "differs from the policy in intermediate_size:" in refused(wide, tiny_model)


@pytest.mark.parametrize("what", ["template", "vocabulary"])
def test_another_tokenizer_is_refused(what: str, tiny_model: Path, tmp_path: Path) -> None:
    """Token ids that mean other text would be trained on as the policy's own."""
    other = shutil.copytree(tiny_model, tmp_path / "other")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(other)
    if what == "template":
        tokenizer.chat_template = "{{ messages[0]['content'] }}"
    else:
        tokenizer.add_tokens(["roundelay"])
    tokenizer.save_pretrained(other)
    assert "differs from the policy in tokenizer" in refused(other, tiny_model)


def test_a_mixtures_proposers_are_looked_at_too(tiny_model: Path, untied_model: Path) -> None:
    """And nobody is sent to where it cannot go: proposals are sampled, they are never given."""
    mixture = changed(MIXTURE, samplers=("policy", str(untied_model)))
    with pytest.raises(ConfigError) as caught:
        check_sources(changed(base(), generation=mixture), str(tiny_model))
    assert str(untied_model) in caught.value.what and "not to a mixture" in caught.value.remedy


def test_what_is_no_model_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "is no model directory" in refused(tmp_path / "empty", tiny_model)
    assert "is no model directory" in refused(Path("initail"), tiny_model)
