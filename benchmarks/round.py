"""What orchestration costs: a round's wall time over the raw engine calls on the same work.

    python benchmarks/round.py              # tiny model, then SmolLM2-135M: 16 prompts × 4 samples × 48 tokens
    python benchmarks/round.py smollm2

First a real run plays two rounds (Ray, actors, ledger, sync, verification); the second, where everything is warm, is
measured. Then, in this process, the same work is done twice, and the second pass measured,
with nothing around it: `LLM.generate` on the same token ids with the same seeds, `LLM.generate` on the same judging
prompts, and the same optimizer steps on the same pairs. The ratio counts everything of the round but its evaluation:
sampling, judging, pairing, learning, writing shards and policy, weight sync and its verification.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.update(
    VLLM_ENABLE_V1_MULTIPROCESSING="0", VLLM_CPU_NUM_OF_RESERVED_CPU="0", VLLM_CPU_KVCACHE_SPACE="1",
    VLLM_LOGGING_LEVEL="ERROR", DS_ACCELERATOR="cpu", TOKENIZERS_PARALLELISM="false",
)  # fmt: skip

from roundelay.launch.config.loading import parse_config
from roundelay.launch.phases import build_phase
from roundelay.launch.run.composition import KEEP_MEMORY
from roundelay.orchestrator.config.schema import Config
from roundelay.orchestrator.data.records import Generation, GenerationRequest, PairingOutcome, PolicyRef, Rollout
from roundelay.orchestrator.ledger.ledger import Ledger
from roundelay.orchestrator.ledger.policies import policy_of
from roundelay.orchestrator.prompts.shards import train_shards
from roundelay.orchestrator.prompts.store import PromptStore
from roundelay.orchestrator.round.examples import training_examples
from roundelay.orchestrator.round.learn import update_start

# A tiny model ends few responses by itself.
TINY = ("learner.pairs_per_step=8", "generation.truncated=keep")
SIZES = (
    "run.rounds=2", "run.prompts_per_round=16", "run.prompts_per_shard=4", "generation.samples_per_prompt=4",
    "generation.sampling.max_tokens=48", "evaluation.num_prompts=4", "evaluation.sampling.max_tokens=8",
)  # fmt: skip


def play_round(model: tuple[str, ...], root: Path) -> tuple[Config, Ledger]:
    """One round by the command line."""
    command = [str(Path(sys.executable).parent / "roundelay"), "run", *model, *SIZES, f"run.root={root}", "run.name=b"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    ledger = Ledger(str(root / "b"))
    return parse_config(ledger.header()["config"]), ledger


def raw_seconds(config: Config, ledger: Ledger) -> dict[str, float]:
    """Seconds of the same work by the engines alone."""
    return {**_raw_vllm(config, ledger), "learn": _raw_learn(config, ledger)}


def _raw_vllm(config: Config, ledger: Ledger) -> dict[str, float]:
    from vllm import LLM, SamplingParams, TokensPrompt

    from roundelay.workers.encoding import ChatEncoder

    sampling, model = config.generation.sampled_with(), config.model
    engine = LLM(
        model=_policy(ledger).path, dtype=model.dtype, max_model_len=model.max_model_len, enforce_eager=True,
        enable_chunked_prefill=False, max_num_batched_tokens=max(4096, model.max_model_len),
        max_num_seqs=config.cluster.rollout.max_num_seqs, logprobs_mode="raw_logprobs", generation_config="vllm",
    )  # fmt: skip
    rollouts = list(ledger.read_stage(2, "rollouts", Rollout))

    def generate(prompts: list[tuple[int, ...]], params: list[SamplingParams]) -> list[Any]:
        inputs = [TokensPrompt(prompt_token_ids=list(prompt)) for prompt in prompts]
        return engine.generate(inputs, params, use_tqdm=False)

    shared: dict[str, Any] = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
        "logprobs": 0,
    }
    params = [SamplingParams(**shared, seed=rollout.seed) for rollout in rollouts]
    generate([r.sampler_token_ids for r in rollouts], params)  # warm, as the run's engine was by its first round
    engine.reset_prefix_cache()
    sampled, sample_s = _timed(lambda: generate([r.sampler_token_ids for r in rollouts], params))
    assert [tuple(o.outputs[0].token_ids) for o in sampled] == [r.token_ids for r in rollouts], "other work was done"

    encoder, requests = ChatEncoder(model.path), _judge_requests(config, ledger, rollouts)
    prompts = [encoder.encode(request.messages, request.assistant_prefix) for request in requests]
    choices = list(encoder.choice_ids(requests[0].assistant_prefix, requests[0].choices))
    ask = [SamplingParams(temperature=0.0, max_tokens=1, logprob_token_ids=choices) for _ in prompts]
    _, judge_s = _timed(lambda: generate(prompts, ask))
    return {"sample": sample_s, "judge": judge_s}


def _judge_requests(config: Config, ledger: Ledger, rollouts: list[Rollout]) -> list[GenerationRequest]:
    """What the recipe's judge asks: its own function, listened to."""
    heard: list[GenerationRequest] = []

    async def listen(requests: Any) -> list[Generation]:
        heard.extend(requests)
        answer = {"plain_token_ids": (), "token_ids": (), "logprobs": (), "text": "", "prompt_token_ids": ()}
        return [Generation(**answer, finish_reason="prompt_too_long", choice_logprobs=()) for _ in requests]

    judge = build_phase(config, None).judge
    assert judge is not None
    for shard in train_shards(2, {"train": PromptStore(ledger, "train")}, config):
        mine = {prompt.id for prompt in shard.prompts}
        asyncio.run(judge(shard, [r for r in rollouts if r.prompt_id in mine], listen))
    return heard


def _raw_learn(config: Config, ledger: Ledger) -> float:
    from roundelay.workers.learner import Learner

    start = update_start(config, ledger, 2)
    learner = Learner(config, 0, 1, os.cpu_count() or 1)
    learner.connect(learner.address())
    learner.begin(start)
    outcomes = list(ledger.read_stage(2, "pairs", PairingOutcome))
    pairs = training_examples(outcomes, config.objective, first=0, num_prompts=len(outcomes), epoch=0, epochs=1)
    learner.update(pairs, True)  # warm, as the run's learner was by its first round
    learner.begin(start)
    return _timed(lambda: learner.update(pairs, True))[1]


def _policy(ledger: Ledger) -> PolicyRef:
    """What the measured round sampled from and started its update with."""
    policy = policy_of(ledger, 1)
    assert policy is not None
    return policy


def _timed(function: Callable[[], Any]) -> tuple[Any, float]:
    started = time.monotonic()
    return function(), time.monotonic() - started


def report(name: str, config: Config, ledger: Ledger, raw: dict[str, float]) -> None:
    """The table of one model."""
    manifest = ledger.manifest(2)
    seconds = manifest["seconds"]
    wall = seconds["round"] - seconds["evaluate"]
    data, total = manifest["data"], sum(raw.values())
    print(f"\n{name}: {data['prompts']} prompts × 4 samples × 48 tokens, {data['pairs']} pairs")
    print(f"{'stage':10} {'round s':>9} {'raw s':>9} {'tokens/s':>9}")
    tokens = {"sample": data["rollout_tokens"], "learn": manifest["learn"]["tokens_per_s"] * seconds["learn"]}
    for stage, key in (("sample", "rollouts"), ("judge", "judgments"), ("learn", "learn")):
        rate = f"{tokens[stage] / seconds[key]:9.0f}" if stage in tokens else f"{'':>9}"
        print(f"{stage:10} {seconds[key]:9.2f} {raw[stage]:9.2f} {rate}")
    print(f"{'save':10} {seconds['save']:9.2f}\n{'sync':10} {seconds['sync']:9.2f}")
    print("(sample and judge overlap in the round: shards are judged while others are sampled)")
    print("idle share: " + ", ".join(f"{actor} {share:.0%}" for actor, share in manifest["idle_share"].items()))
    print(f"round without evaluation {wall:.2f} s / raw engine calls {total:.2f} s = {wall / total:.3f}", flush=True)


def main() -> None:
    if sys.argv[1:2] == ["--one"]:  # a model, in a process of its own
        name, overrides, root = json.loads(sys.argv[2])
        config, ledger = play_round(tuple(overrides), Path(root))
        report(name, config, ledger, raw_seconds(config, ledger))
        return
    with tempfile.TemporaryDirectory() as directory:
        sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
        from support.tiny_model import write_tiny_model

        tiny = write_tiny_model(Path(directory) / "tiny")
        models = {
            "tiny": ("model=local", f"model.path={tiny}", "model.max_model_len=1024", *TINY),
            "smollm2": ("model=smollm2_135m",),
        }
        for name in sys.argv[1:] or models:
            job = json.dumps([name, models[name], str(Path(directory) / name)])
            # The raw calls get the allocator settings that actors run with: the ratio counts orchestration alone.
            subprocess.run([sys.executable, __file__, "--one", job], check=True, env={**os.environ, **KEEP_MEMORY})


if __name__ == "__main__":
    main()
