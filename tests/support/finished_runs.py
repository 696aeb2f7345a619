"""Run directories of evaluated rounds, written as a driver would leave them: no engine has seen them."""

import json
from collections.abc import Callable, Sequence, Set
from pathlib import Path

from roundelay.launch.config.loading import config_values, load_config
from roundelay.orchestrator.data.records import Rollout, Shard
from roundelay.orchestrator.ledger.checksums import weights_hash
from roundelay.orchestrator.ledger.ledger import Ledger, round_name
from roundelay.orchestrator.prompts.store import PromptStore, freeze_prompts

PROMPTS = [f"Question {number}" for number in range(12)]

Texts = Callable[[str], str]  # a response, of its prompt


def make_run(
    directory: Path,
    name: str,
    rounds: Sequence[Texts],
    *,
    asked: Sequence[str] = PROMPTS,
    more: Sequence[str] = (),
    model: Path | None = None,
    truncated: Sequence[Set[int]] = (),
) -> str:
    """A run whose rounds, the initial policy's first, have answered the held-out prompts. Without a `model` that all of
    its policies are, every round has another policy of a few bytes. `truncated` says of every round which responses, by
    their prompt's place, the token limit cut."""
    prompts = directory / f"{name}.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in asked))
    config = load_config([f"run.name={name}", "run.prompts_per_shard=5", "prompts=file", "prompts.train.path=x",
                          f"prompts.heldout.path={prompts}", *more])  # fmt: skip
    ledger = Ledger(str(directory / name))
    source = config.prompts.heldout
    freeze_prompts(ledger, config.prompts, field="prompts.heldout.path", source=source, name="heldout")
    initial = model or directory / "model"
    initial.mkdir(exist_ok=True)
    sha256 = weights_hash(str(model)) if model else f"{name}-0"
    ledger.create({"config": config_values(config), "initial_policy": {"path": str(initial), "sha256": sha256}})
    for round, texts in enumerate(rounds):
        path = Path(ledger.model_path(round, "policy"))
        if round and model:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(model)
        elif round:
            path.mkdir(parents=True)
            (path / "model.safetensors").write_text(f"{name}-{round}")
        policy = {"version": round, "path": str(path), "sha256": weights_hash(path) if round else sha256}
        if round:
            ledger.write_json({"policy": policy}, round_name(round), "learn.json")
        cut = truncated[round] if truncated else ()
        rollouts = [_response(prompt.id, round, texts(prompt.messages[-1].content), cut=place in cut)
                    for place, prompt in enumerate(PromptStore(ledger, "heldout"))]  # fmt: skip
        shard = Shard(round=round, index=0, prompts=(), split="heldout")
        ledger.write_shard("eval-rollouts", shard, Rollout, rollouts)
        ledger.commit_round(round, {"round": round, "policy": policy})
    return ledger.url


def _response(prompt_id: str, round: int, text: str, *, cut: bool) -> Rollout:
    return Rollout(
        prompt_id=prompt_id,
        sample=0,
        variant="plain",
        prompt_token_ids=(1,),
        sampler_token_ids=(1,),
        token_ids=(2,),
        logprobs=(-0.5,),
        text=text,
        finish_reason="length" if cut else "stop",
        policy_version=round,
        seed=1,
    )
