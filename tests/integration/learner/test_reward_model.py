"""Reward models on real DeepSpeed, one rank: a step is TRL's, and what is saved scores as what was learnt."""

from dataclasses import replace
from os.path import commonprefix
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from datasets import Dataset
from support.learner_host import RemoteLearner, start_of, written
from support.updates import (
    ADAM_EPS,
    LEARNING_RATE,
    Learners,
    assert_close,
    assert_equal,
    config_of,
    exported,
    furthest,
    pairs,
    ref,
    score_alone,
    scorer_at,
    sequence,
    steps_by_hand,
    tensors_in,
    weights_of,
)
from torch import Tensor
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from trl.trainer.reward_config import RewardConfig
from trl.trainer.reward_trainer import RewardTrainer

from roundelay.orchestrator.data.records import PolicyRef, TrainingExample
from roundelay.workers.scorer import Scorer

pytestmark = pytest.mark.slow

PAIRS = pairs(6)
# Prompt, better and worse answer: all of different length; and the judge's margin.
TEXTS = [
    ("Name a prime.", "Seven is one.", "Eight.", 1.5),
    ("What is the capital of France?", "Paris.", "It could be Lyon, or Nice, or some other town.", 0.25),
    ("Count to three.", "One, two, three.", "One, two, five, twelve.", 3.0),
    ("Say hello to my dog", "Hello, dog!", "No.", 0.0),
    ("Why is the sky blue? Be brief.", "Air scatters blue light most.", "The sea is reflected in it.", 1.0),
    ("2+2", "The sum is 4, as 2 and 2 make 4.", "22", 0.5),
]
REWARD_MODEL = "objective=reward_model"


@pytest.fixture
def policy(tiny_model: Path) -> PolicyRef:
    return ref(tiny_model)


@pytest.fixture(scope="module")
def headed(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> PolicyRef:
    """A reward model that says something already, to go on from: behind a head of zeros no backbone learns at first."""
    path = tmp_path_factory.mktemp("models") / "headed"
    torch.manual_seed(3)
    scorer: Any = AutoModelForSequenceClassification.from_pretrained(tiny_model, num_labels=1)
    scorer.save_pretrained(path)
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(path)
    return ref(path)


def saved(learner: RemoteLearner, path: Path) -> dict[str, Tensor]:
    learner.save_reward_model(str(path))
    return tensors_in(path)


def trl_of(path: Path, output: Path, rows: list[dict[str, Any]], **own: Any) -> Any:
    """TRL's trainer of the reward model at `path`: three micro-batches of two, padded."""
    settings = RewardConfig(
        output_dir=str(output), max_steps=1, logging_steps=1, learning_rate=LEARNING_RATE, warmup_steps=0,
        lr_scheduler_type="constant", optim="adamw_torch", adam_beta1=0.9, adam_beta2=0.999, adam_epsilon=ADAM_EPS,
        weight_decay=0.0, max_grad_norm=1.0, gradient_checkpointing=False, bf16=False, fp16=False, use_cpu=True,
        report_to="none", save_strategy="no", eval_strategy="no", disable_tqdm=True,
        per_device_train_batch_size=2, gradient_accumulation_steps=3, **own,
    )  # fmt: skip
    return RewardTrainer(
        model=scorer_at(path),
        args=settings,
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(path),
    )


def examples_of(trainer: Any) -> list[TrainingExample]:
    """The token ids that TRL made, with its margins as scores. It ends every response with the end-of-turn token, where
    the model reads; every other example comes without, as if cut."""
    end = trainer.processing_class.eos_token_id
    examples = []
    for index, row in enumerate(map(dict, trainer.train_dataset)):
        both = row["chosen_ids"], row["rejected_ids"]
        assert all(ids[-1] == end for ids in both)
        shared = len(commonprefix(both))
        sequences = tuple(sequence(ids[:shared], ids[shared : len(ids) - index % 2]) for ids in both)
        scores = (row["margin"], 0.0) if "margin" in row else ()
        examples.append(TrainingExample(id=f"p{index}", sequences=sequences, scores=scores, progress=0.0))
    return examples


@pytest.mark.parametrize("zero_stage", [1, 3])
@pytest.mark.parametrize("margins", [False, True], ids=["plain", "margins and centring"])
def test_a_step_is_trls(
    learners: Learners, headed: PolicyRef, tiny_model: Path, tmp_path: Path, margins: bool, zero_stage: int
):
    """From the same head, every parameter is TRL's after one step, and so are the metrics."""
    more = ("objective.margin=score", "objective.centring=0.05") if margins else ()
    config = config_of(tiny_model, REWARD_MODEL, f"learner.zero_stage={zero_stage}", *more)
    learner = learners(config, start_of(headed))
    before = saved(learner, tmp_path / "before")
    assert 0.1 < float(before["score.weight"].std()) < 0.5
    rows = [
        {
            "prompt": f"{question} ",
            "chosen": chosen,
            "rejected": rejected,
            **({"margin": margin} if margins else {}),
        }
        for question, chosen, rejected, margin in TEXTS
    ]
    own = {"center_rewards_coefficient": 0.05} if margins else {}
    trainer = trl_of(tmp_path / "before", tmp_path / "trl", rows, **own)
    examples = examples_of(trainer)
    assert len(examples) == 6
    theirs = trainer.train()
    (report,) = learner.update(examples, True)
    expected = weights_of(trainer.model)
    assert_close(saved(learner, tmp_path / "after"), expected, atol=1e-6)
    assert furthest(expected, before) > 1e-5, "a step that moves nothing compares nothing"
    (log,) = (entry for entry in trainer.state.log_history if "grad_norm" in entry)
    assert report.grad_norm == pytest.approx(log["grad_norm"], rel=1e-4)
    means = {name: sum(row[name] for row in report.rows) / 6 for name in report.rows[0]}
    assert means["loss"] == pytest.approx(theirs.training_loss, abs=1e-5)
    for name in ("accuracy", "margin", "mean_reward"):
        assert means[name] == pytest.approx(log[name], abs=1e-5)


def test_a_step_on_soft_labels_weighs_both_orders(
    learners: Learners, headed: PolicyRef, tiny_model: Path, tmp_path: Path
):
    """−p·log σ(d) − (1 − p)·log σ(−d) with p = 0.7 (arXiv 2307.12950), over six pairs, of which one is sure."""
    examples = [replace(pair, label_probability=1.0 if pair.id == "p3" else 0.7) for pair in PAIRS]
    learner = learners(config_of(tiny_model, REWARD_MODEL), start_of(headed))
    before = saved(learner, tmp_path / "before")
    model = scorer_at(tmp_path / "before")

    def loss() -> Tensor:
        losses = []
        for one in examples:
            d = score_alone(model, one.sequences[0]) - score_alone(model, one.sequences[1])
            p = one.label_probability
            losses.append(-p * F.logsigmoid(d) - (1 - p) * F.logsigmoid(-d))
        return torch.stack(losses).mean()

    (expected,) = steps_by_hand([model], loss)
    (report,) = learner.update(examples, True)
    assert sum(row["loss"] for row in report.rows) / 6 == pytest.approx(expected, abs=1e-5)
    assert_close(saved(learner, tmp_path / "after"), weights_of(model), atol=1e-6)
    assert furthest(weights_of(model), before) > 1e-5


@pytest.mark.parametrize("lora", ["null", "{rank: 4, alpha: 8, target_modules: []}"], ids=["full", "lora"])
@pytest.mark.parametrize("zero_stage", [1, 3])
def test_a_saved_reward_model_scores_as_what_was_learnt(
    learners: Learners, policy: PolicyRef, tiny_model: Path, tmp_path: Path, zero_stage: int, lora: str
):
    """In plain transformers and in our scorer, of many sequences in a row or one by one. With adapters, the head is
    trained as well. The policy is what it was."""
    config = config_of(tiny_model, REWARD_MODEL, f"learner.zero_stage={zero_stage}", f"learner.lora={lora}")
    learner = learners(config, start_of(policy))
    before = saved(learner, tmp_path / "before")
    for _ in range(2):  # adapters move nothing but themselves in the first step
        learner.update(PAIRS, True)
    sequences = [one for pair in PAIRS for one in pair.sequences]
    expected = [score for _, (score,) in sorted(learner.scores(sequences))]
    path = str(tmp_path / "after")
    sha256, files = learner.save_reward_model(path)
    made = PolicyRef(version=1, path=path, sha256=sha256, files=files)
    assert made == ref(path, version=1)
    assert furthest(tensors_in(made.path), before) > 1e-4
    assert not torch.equal(tensors_in(made.path)["score.weight"], before["score.weight"])
    model = scorer_at(made.path)
    with torch.no_grad():
        assert [float(score_alone(model, one)) for one in sequences] == pytest.approx(expected, abs=1e-5)
    for tokens in (4096, 1):
        scorer = Scorer(config_of(tiny_model, f"learner.tokens_per_device={tokens}"), 2)
        scorer.hold({"reward_model": made})
        assert [score for (score,) in scorer.score("reward_model", sequences)] == pytest.approx(expected, abs=1e-5)
    learner.hold(policy)
    plain = learners(config_of(tiny_model), start_of(policy))
    assert_equal(exported(learner), exported(plain))


def test_measuring_changes_nothing_and_is_the_loss_of_the_next_step(
    learners: Learners, policy: PolicyRef, tiny_model: Path, tmp_path: Path
):
    """Between two steps. A row an example, in their order, with all that a step reports of it."""
    plain, measuring = (learners(config_of(tiny_model, REWARD_MODEL), start_of(policy)) for _ in range(2))
    for learner in (plain, measuring):
        learner.update(PAIRS, True)
    measured = measuring.measure(PAIRS)
    reports = [learner.update(PAIRS, True)[0] for learner in (plain, measuring)]
    assert measured == list(reports[0].rows) == list(reports[1].rows)
    assert_equal(saved(measuring, tmp_path / "measuring"), saved(plain, tmp_path / "plain"))


@pytest.mark.parametrize(
    ("zero_stage", "lora"), [(0, "null"), (1, "{rank: 4, alpha: 8, target_modules: []}"), (3, "null")]
)
def test_an_update_goes_on_from_its_checkpoint_as_if_never_stopped(
    learners: Learners, policy: PolicyRef, tiny_model: Path, tmp_path: Path, zero_stage: int, lora: str
):
    """Two of three steps come from the checkpoint, the head's among them."""
    sizes = ("learner.pairs_per_step=2", f"learner.zero_stage={zero_stage}", f"learner.lora={lora}")
    whole, broken, again = (learners(config_of(tiny_model, REWARD_MODEL, *sizes), start_of(policy)) for _ in range(3))
    whole.update(PAIRS, True)
    broken.update(PAIRS[:4], True)
    broken.save_checkpoint(str(tmp_path / "checkpoint"))
    again.restore(start_of(policy), written(tmp_path / "checkpoint"))
    (report,) = again.update(PAIRS[4:], True)
    assert report.step == 3
    assert_equal(saved(again, tmp_path / "again"), saved(whole, tmp_path / "whole"))


@pytest.mark.parametrize("zero_stage", [0, 1, 3])
def test_a_replaced_engine_leaves_nothing_behind(
    learners: Learners, policy: PolicyRef, tiny_model: Path, zero_stage: int
):
    """Every round has an engine of its own: after the fourth the process holds what it held after the second."""
    learner = learners(config_of(tiny_model, REWARD_MODEL, f"learner.zero_stage={zero_stage}"), start_of(policy))
    held = []
    for _ in range(4):
        learner.update(PAIRS, True)
        learner.begin(start_of(policy))
        held.append(learners.tensor_bytes())
    assert held[3] <= held[1] * 1.01, held
