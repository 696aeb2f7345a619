"""The small runs that recipes are played in: how small, and with what given."""

import json
from pathlib import Path

SIZES = (
    "model.max_model_len=1024",
    "run.prompts_per_shard=4",
    "evaluation.num_prompts=4",
    "evaluation.sampling.max_tokens=10",
)
# Steps of two prompts: warmed up from zero, the first of several steps moves nothing.
ONE_PHASE = ("run.rounds=1", "run.prompts_per_round=8", "learner.pairs_per_step=2")
IMITATING = ("sft", "alpagasus", "long_is_more")  # learn from demonstrations alone
# These drop responses that are cut, as a tiny model's nearly all are.
WHOLE = ("rlcd", "rlcd_rescore", "rlaif", "rlcd_dpo", "context_distillation")


def given_responses(folder: Path, rows: int = 8) -> str:
    """A file of prompts with two responses each, the better one first; the better ones grow."""
    path = folder / "seed.jsonl"
    lines = [
        json.dumps({"id": f"s{n}", "prompt": f"Say {n}.", "chosen": f"It is {n}{'!' * n}", "rejected": "No."})
        for n in range(rows)
    ]
    path.write_text("\n".join(lines))
    return str(path)
