"""A whole training step equals TRL's: its trainer and our learner, from the same weights and text, on real DeepSpeed.

TRL tokenises the conversations; the learner gets its token ids. The reference is another model than the policy, so no
reward and no KL is zero.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from support.learner_host import RemoteLearner
from support.tiny_model import write_moved
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.kto_config import KTOConfig
from trl.trainer.kto_trainer import KTOTrainer
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from roundelay.launch.config.loading import load_config
from roundelay.orchestrator.config.schema import Config
from roundelay.orchestrator.data.records import PolicyRef, TokenSequence, TrainingExample
from roundelay.orchestrator.ledger.checksums import weights_hash

pytestmark = pytest.mark.slow

# Prompt, better and worse answer: all of different length.
TEXTS = [
    ("Name a prime.", "Seven is one.", "Eight."),
    ("What is the capital of France?", "Paris.", "It could be Lyon, or Nice, or some other town."),
    ("Count to three.", "One, two, three.", "One, two, five, twelve."),
    ("Say hello to my dog", "Hello, dog!", "No."),
    ("Why is the sky blue? Be brief.", "Air scatters blue light most.", "The sea is reflected in it."),
    ("2+2", "The sum is 4, as 2 and 2 make 4.", "22"),
]
SETTINGS: dict[str, Any] = {
    "max_steps": 1,
    "logging_steps": 1,
    "learning_rate": 1e-3,
    "lr_scheduler_type": "constant",
    "warmup_steps": 0,
    "optim": "adamw_torch",
    "adam_beta1": 0.9,
    "adam_beta2": 0.999,
    "adam_epsilon": 1e-2,  # large: a step then depends smoothly on its gradient (see test_learner)
    "weight_decay": 0.0,
    "max_grad_norm": 1.0,
    "gradient_checkpointing": False,
    "bf16": False,
    "fp16": False,
    "use_cpu": True,
    "report_to": "none",
    "save_strategy": "no",
    "eval_strategy": "no",
    "disable_tqdm": True,
}


@pytest.fixture(scope="module")
def reference(tiny_model: Path) -> PolicyRef:
    return PolicyRef(version=0, path=str(tiny_model), sha256=weights_hash(str(tiny_model)))


@pytest.fixture(scope="module")
def policy(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> PolicyRef:
    """A policy near its reference."""
    path = write_moved(tiny_model, tmp_path_factory.mktemp("models") / "moved", scale=0.02, seed=1)
    return PolicyRef(version=1, path=str(path), sha256=weights_hash(str(path)))


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def assistant(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def model_of(ref: PolicyRef) -> Any:
    return AutoModelForCausalLM.from_pretrained(ref.path, attn_implementation="eager")


def example(number: int, prompt: Sequence[int], responses: Sequence[Sequence[int]], **fields: Any) -> TrainingExample:
    sequences = tuple(TokenSequence(prompt_token_ids=tuple(prompt), token_ids=tuple(ids)) for ids in responses)
    return TrainingExample(id=f"p{number}", sequences=sequences, progress=0.0, **fields)


def assert_same_step(trainer: Any, learner: RemoteLearner, examples: list[TrainingExample]) -> list[dict[str, float]]:
    """Both make one step; every parameter, and the loss, is the same. Returns what the learner reports of it."""
    from roundelay.workers.weight_sync import unpack

    before = {name: parameter.detach().clone() for name, parameter in trainer.model.named_parameters()}
    theirs = trainer.train()
    assert trainer.state.global_step == 1
    (report,) = learner.update(examples, True)
    weights: Any = learner.export_weights()
    found = dict(unpack(weights))
    after = {name: parameter.detach() for name, parameter in trainer.model.named_parameters()}
    assert found.keys() == after.keys()
    for name, expected in after.items():
        torch.testing.assert_close(found[name], expected, atol=1e-6, rtol=0, msg=lambda text, n=name: f"{n}: {text}")
    moved = max(float((after[name] - tensor).abs().max()) for name, tensor in before.items())
    assert moved > 1e-5, "a step that moves nothing compares nothing"
    (log,) = (entry for entry in trainer.state.log_history if "grad_norm" in entry)
    assert report.grad_norm == pytest.approx(log["grad_norm"], rel=1e-4)
    total = sum(row["loss"] for row in report.rows)
    denominator = sum(row.get("weights", 1.0) for row in report.rows)
    assert total / denominator == pytest.approx(theirs.training_loss, abs=1e-5)
    return list(report.rows)


def config_of(model: Path, objective: str, *overrides: str) -> Config:
    sizes = (
        "learner.pairs_per_step=12",
        "learner.tokens_per_device=200",
        "learner.learning_rate=1e-3",
        "learner.adam_eps=1e-2",
    )
    chosen = ("model=local", f"model.path={model}", f"objective={objective}")
    return load_config([*chosen, *sizes, *overrides], default_name="test")


def arguments(tmp_path: Path, **own: Any) -> Mapping[str, Any]:
    return {"output_dir": str(tmp_path), **SETTINGS, **own}


def test_a_dpo_step_is_trls(make_learner, policy: PolicyRef, reference: PolicyRef, tiny_model: Path, tmp_path: Path):
    """TRL in three micro-batches of two, padded; ours by tokens, packed."""
    rows = [{"prompt": user(q), "chosen": assistant(a), "rejected": assistant(b)} for q, a, b in TEXTS]
    trainer: Any = DPOTrainer(
        model=model_of(policy),
        ref_model=model_of(reference),
        args=DPOConfig(
            **arguments(tmp_path, per_device_train_batch_size=2, gradient_accumulation_steps=3),
            loss_type=["sigmoid"],
            beta=0.1,
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(tiny_model),
    )
    examples = [
        example(number, row["prompt_ids"], (row["chosen_ids"], row["rejected_ids"]))
        for number, row in enumerate(map(dict, trainer.train_dataset))
    ]
    assert len(examples) == 6
    learner = make_learner(config_of(tiny_model, "dpo"), policy, reference)
    found = assert_same_step(trainer, learner, examples)
    assert all(abs(row["rewards/margins"]) > 1e-3 for row in found)


def test_an_sft_step_is_trls(make_learner, policy: PolicyRef, tiny_model: Path, tmp_path: Path):
    """The mean over all completion tokens of the step, which TRL takes over its three micro-batches, too."""
    rows = [{"prompt": user(q), "completion": assistant(a)} for q, a, _ in TEXTS]
    trainer: Any = SFTTrainer(
        model=model_of(policy),
        args=SFTConfig(
            **arguments(tmp_path, per_device_train_batch_size=2, gradient_accumulation_steps=3),
            completion_only_loss=True,
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(tiny_model),
    )
    examples = []
    for number, row in enumerate(map(dict, trainer.train_dataset)):
        first = sum(label == -100 for label in row["labels"])
        assert row["labels"][first:] == row["input_ids"][first:]
        examples.append(example(number, row["input_ids"][:first], [row["input_ids"][first:]]))
    assert len({len(one.sequences[0].token_ids) for one in examples}) > 3
    learner = make_learner(config_of(tiny_model, "sft"), policy, None)
    assert_same_step(trainer, learner, examples)


def test_a_kto_step_is_trls(make_learner, policy: PolicyRef, reference: PolicyRef, tiny_model: Path, tmp_path: Path):
    """All twelve responses in one batch, since TRL measures the KL of each batch by itself. The mismatched responses
    are those that TRL takes."""
    rows = [
        {"prompt": user(q), "completion": assistant(text), "label": label}
        for q, a, b in TEXTS
        for text, label in ((a, True), (b, False))
    ]
    trainer: Any = KTOTrainer(
        model=model_of(policy),
        ref_model=model_of(reference),
        args=KTOConfig(
            **arguments(tmp_path, per_device_train_batch_size=12),
            beta=0.1,
            desirable_weight=1.2,
            undesirable_weight=0.9,
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(tiny_model),
    )
    examples = [
        example(number, row["prompt_ids"], (row["completion_ids"], row["KL_completion_ids"]), desirable=row["label"])
        for number, row in enumerate(map(dict, trainer.train_dataset))
    ]
    weights = ("objective.desirable_weight=1.2", "objective.undesirable_weight=0.9")
    learner = make_learner(config_of(tiny_model, "kto", *weights), policy, reference)
    found = assert_same_step(trainer, learner, examples)
    assert found[0]["kl"] > 0.05, "a KL that is cut at 0 shows little"
