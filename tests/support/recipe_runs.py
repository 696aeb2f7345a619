"""The small runs that recipes are played in: how small, and with what given."""

import json
from pathlib import Path

SIZES = (
    "model.max_model_len=1024",
    "run.prompts_per_shard=4",
    "evaluation.num_prompts=4",
    "evaluation.sampling.max_tokens=10",
)
ONE_PHASE = ("run.rounds=1", "run.prompts_per_round=8", "learner.pairs_per_step=2")
IMITATING = ("sft", "alpagasus", "long_is_more")  # learn from demonstrations alone
# A tiny model's responses are nearly all cut, and a big model's recipe drops such: they are kept here.
KEPT = "generation.truncated=keep"
WHOLE = ("aft", "self_moa")  # but for these
# Phases whose generation is one of their own.
CUT_PHASES = {
    "alpacafarm_best_of_n": ("train",),
    "alpacafarm_expert_iteration": ("train",),
    "autopm": ("depth",),
    "meta_rewarding": ("judge_1", "judge_2"),
    "self_rewarding_eft": ("eft",),
    "self_taught_evaluator": ("judge",),
}


def kept_when_cut(recipe: str) -> list[str]:
    """Overrides of a recipe that samples."""
    phases = [f"phases.{phase}.{KEPT}" for phase in CUT_PHASES.get(recipe, ())]
    return phases if recipe in WHOLE else [KEPT, *phases]


def given_responses(folder: Path, rows: int = 8) -> str:
    """A file of prompts with two responses each, the better one first; the better ones grow."""
    path = folder / "seed.jsonl"
    lines = [
        json.dumps({"id": f"s{n}", "prompt": f"Say {n}.", "chosen": f"It is {n}{'!' * n}", "rejected": "No."})
        for n in range(rows)
    ]
    path.write_text("\n".join(lines))
    return str(path)
