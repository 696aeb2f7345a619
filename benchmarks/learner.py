"""A DPO update by Roundelay's learner against `trl.DPOTrainer`: tokens a second and peak memory.

    python benchmarks/learner.py                     # SmolLM2-135M, four shapes, about ten minutes on two cores
    python benchmarks/learner.py --model DIR long_prompt

Both train the same pairs from the same weights in the same dtype with the same number of threads, optimizer and
micro-batch (all pairs of a step in one forward pass), gradient checkpointing off, reference log-probs computed
alongside, and the allocator settings that our learner's actors run with (TRL gains from them too). Every cell is a
process of its own, so its peak memory is its own; each trains one step to warm up, then the measured ones. Tokens are
those that a user counts: prompt and response, for chosen and rejected. Losses of both are compared: a ratio of
different work would mean nothing.
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from roundelay.launch.run.composition import KEEP_MEMORY

os.environ.update(DS_ACCELERATOR="cpu", TOKENIZERS_PARALLELISM="false", TRANSFORMERS_VERBOSITY="error")


class Shape(NamedTuple):
    """Mean tokens of prompt and response, pairs a step, and the speed-up that is asked for."""

    prompt: int
    response: int
    pairs: int
    asked: float


SHAPES = {
    "long_prompt": Shape(384, 32, 4, 1.5),
    "balanced": Shape(128, 128, 4, 1.3),
    "short_prompt": Shape(32, 224, 4, 1.1),
    "many_short": Shape(12, 12, 48, 1.1),  # a row of many segments
}
WARM_STEPS, STEPS, LEARNING_RATE, BETA = 1, 3, 1e-6, 0.1
DEFAULT_MODEL = Path(
    os.environ.get("ROUNDELAY_CACHE", Path.home() / ".cache/roundelay"), "smollm2-135m-instruct"
)  # as in configs/model/smollm2_135m.yaml


def make_pairs(shape: str) -> list[dict[str, list[int]]]:
    """Random tokens; lengths vary by a third around the shape's, as real data's do."""
    draw = random.Random(shape)

    def tokens(mean: int) -> list[int]:
        return [draw.randrange(100, 40_000) for _ in range(draw.randint(mean * 2 // 3, mean * 4 // 3))]

    prompt, response, pairs, _ = SHAPES[shape]
    return [
        {"prompt_ids": tokens(prompt), "chosen_ids": tokens(response), "rejected_ids": tokens(response)}
        for _ in range((WARM_STEPS + STEPS) * pairs)
    ]


def measure_roundelay(model: str, shape: str) -> dict[str, Any]:
    """Seconds of the measured steps and their losses."""
    from roundelay.launch.config.loading import load_config
    from roundelay.orchestrator.data.records import PolicyRef, TokenSequence, TrainingExample, UpdateStart
    from roundelay.workers.learner import Learner

    overrides = (
        f"model.path={model}", f"learner.pairs_per_step={SHAPES[shape].pairs}", "learner.tokens_per_device=100000",
        f"learner.learning_rate={LEARNING_RATE}", "learner.schedule=constant", f"objective.beta={BETA}",
    )  # fmt: skip
    learner = Learner(load_config(["model=local", *overrides], default_name="benchmark"), 0, 1, os.cpu_count() or 1)
    learner.connect(learner.address())
    policy = PolicyRef(version=0, path=model, sha256="")
    learner.begin(UpdateStart(round=1, policy=policy, reference=policy, critic=None, optimizer=None))

    def sequence(pair: dict[str, list[int]], response: str) -> TokenSequence:
        return TokenSequence(prompt_token_ids=tuple(pair["prompt_ids"]), token_ids=tuple(pair[response]))

    examples = [
        TrainingExample(
            id=str(number), sequences=(sequence(pair, "chosen_ids"), sequence(pair, "rejected_ids")), progress=0.0
        )
        for number, pair in enumerate(make_pairs(shape))
    ]
    warm = WARM_STEPS * SHAPES[shape].pairs
    learner.update(examples[:warm], True)
    started = time.monotonic()
    reports = learner.update(examples[warm:], True)
    seconds = time.monotonic() - started
    losses = [sum(row["loss"] for row in report.rows) / len(report.rows) for report in reports]
    return {"seconds": seconds, "losses": losses}


def measure_trl(model: str, shape: str) -> dict[str, Any]:
    """The same by TRL's trainer, on the same token ids."""
    import torch
    from datasets import Dataset
    from transformers import AutoTokenizer, TrainerCallback
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DPOTrainer

    torch.set_num_threads(os.cpu_count() or 1)
    ends: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            ends.append(time.monotonic())

    with tempfile.TemporaryDirectory() as output:
        settings = DPOConfig(
            output_dir=output, per_device_train_batch_size=SHAPES[shape].pairs, max_steps=WARM_STEPS + STEPS,
            learning_rate=LEARNING_RATE, lr_scheduler_type="constant", beta=BETA, weight_decay=0.0, max_length=None,
            gradient_checkpointing=False, bf16=False, use_cpu=True, optim="adamw_torch", report_to="none",
            logging_steps=1, save_strategy="no", disable_tqdm=True, seed=0, model_init_kwargs={"dtype": "float32"},
        )  # fmt: skip
        text = Dataset.from_list([{"prompt": "a", "chosen": " b", "rejected": " c"}])
        tokenizer = AutoTokenizer.from_pretrained(model)
        trainer = DPOTrainer(model, args=settings, train_dataset=text, processing_class=tokenizer, callbacks=[Clock()])
        trainer.train_dataset = Dataset.from_list(make_pairs(shape))
        trainer._get_train_sampler = lambda *_, **__: torch.utils.data.SequentialSampler(trainer.train_dataset)
        trainer.train()
        losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    return {"seconds": ends[-1] - ends[WARM_STEPS - 1], "losses": losses[WARM_STEPS:]}


def run_cell(engine: str, model: str, shape: str) -> dict[str, Any]:
    """Measure one engine on one shape, in a process of its own."""
    command = [sys.executable, __file__, "--one", engine, "--model", model, shape]
    result = subprocess.run(
        command,
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **KEEP_MEMORY},
    )
    return json.loads(result.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shapes", nargs="*", metavar="shape", help=", ".join(SHAPES))
    parser.add_argument("--model", default=str(DEFAULT_MODEL), help="a directory with safetensors and tokenizer")
    parser.add_argument("--one", choices=("roundelay", "trl"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if unknown := set(arguments.shapes) - set(SHAPES):
        parser.error(f"no shape {', '.join(sorted(unknown))}: choose among {', '.join(SHAPES)}")
    if arguments.one:
        measure = {"roundelay": measure_roundelay, "trl": measure_trl}[arguments.one]
        result = measure(arguments.model, arguments.shapes[0])
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(json.dumps({**result, "peak_gib": peak}), flush=True)
        return
    print(
        f"{'shape':14}{'tokens/s':>10}{'TRL':>8}{'ratio':>8}{'asked':>7}{'peak GiB':>10}{'TRL':>8}   losses", flush=True
    )
    for shape in arguments.shapes or SHAPES:
        ours, theirs = (run_cell(engine, arguments.model, shape) for engine in ("roundelay", "trl"))
        measured = make_pairs(shape)[WARM_STEPS * SHAPES[shape].pairs :]
        tokens = sum(2 * len(p["prompt_ids"]) + len(p["chosen_ids"]) + len(p["rejected_ids"]) for p in measured)
        gap = max(abs(a - b) for a, b in zip(ours["losses"], theirs["losses"], strict=True))
        print(
            f"{shape:14}{tokens / ours['seconds']:10.0f}{tokens / theirs['seconds']:8.0f}"
            f"{theirs['seconds'] / ours['seconds']:8.2f}{SHAPES[shape].asked:7.1f}"
            f"{ours['peak_gib']:10.2f}{theirs['peak_gib']:8.2f}   differ by {gap:.0e}",
            flush=True,
        )


if __name__ == "__main__":
    main()
