"""Both shipped recipes on SmolLM2-135M, two rounds each: the trained policy is an ordinary model directory."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from support.runs import finish, start
from transformers import AutoModelForCausalLM

from roundelay.orchestrator.data.records import PairingOutcome, PairLogps, TokenSequence, pairs_of
from roundelay.orchestrator.evaluate.evaluation import sequences_of
from roundelay.orchestrator.ledger.ledger import Ledger

pytestmark = pytest.mark.slow

SIZES = (
    "model=smollm2_135m",
    "run.rounds=2",
    "run.prompts_per_round=4",
    "run.prompts_per_shard=2",
    "generation.sampling.max_tokens=24",
    "evaluation.num_prompts=4",
    "evaluation.sampling.max_tokens=24",
    "learner.pairs_per_step=4",
    "learner.pairs_per_device=2",
)
# vLLM's own offline interface in a process of its own, as a user would load the policy.
PLAIN_VLLM = """
import json, sys
from vllm import LLM, SamplingParams, TokensPrompt
def main():
    path, cases = json.loads(sys.stdin.read())
    engine = LLM(model=path, dtype="float32", enforce_eager=True, max_model_len=1024, enable_chunked_prefill=False,
                 max_num_batched_tokens=4096)
    prompts = [TokensPrompt(prompt_token_ids=prompt + response) for prompt, response in cases]
    outputs = engine.generate(prompts, SamplingParams(max_tokens=1, prompt_logprobs=0), use_tqdm=False)
    sums = [sum(step[token].logprob for step, token in zip(output.prompt_logprobs[len(prompt):], response))
            for output, (prompt, response) in zip(outputs, cases)]
    print("SUMS", json.dumps(sums))
if __name__ == "__main__":
    main()
"""


def transformers_sums(path: str, sequences: list[TokenSequence]) -> list[float]:
    model: Any = AutoModelForCausalLM.from_pretrained(path)
    sums = []
    for sequence in sequences:
        with torch.no_grad():
            tokens = torch.tensor([sequence.prompt_token_ids + sequence.token_ids])
            logprobs = model(tokens).logits[0].log_softmax(-1)
        start = len(sequence.prompt_token_ids) - 1
        sums.append(sum(float(logprobs[start + i, token]) for i, token in enumerate(sequence.token_ids)))
    return sums


def vllm_sums(path: str, sequences: list[TokenSequence]) -> list[float]:
    cases = [(list(s.prompt_token_ids), list(s.token_ids)) for s in sequences]
    environment = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_NUM_OF_RESERVED_CPU": "0"}
    done = subprocess.run(
        [sys.executable, "-c", PLAIN_VLLM],
        input=json.dumps([path, cases]),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env={**os.environ, **environment, "VLLM_ENABLE_V1_MULTIPROCESSING": "0"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("SUMS "))
    return json.loads(line.removeprefix("SUMS "))


@pytest.mark.parametrize("recipe", ["self_rewarding", pytest.param("rlcd_dpo", marks=pytest.mark.long)])
def test_the_final_policy_loads_everywhere_with_the_learners_logprobs(recipe: str, tmp_path: Path):
    """Log-probs of held-out responses by plain transformers and plain vLLM equal the learner's to 1e-4 a token."""
    output = finish(start("run", f"recipe={recipe}", f"run.root={tmp_path}", "run.name=r", *SIZES))
    ledger = Ledger(str(tmp_path / "r"))
    assert f"trained policy: {ledger.model_path(2, 'policy')}" in output
    assert all(ledger.manifest(round)["sync_parity"] <= 1e-4 for round in (0, 1, 2))

    pairs = pairs_of(list(ledger.read_stage(0, "heldout-pairs", PairingOutcome)))
    sequences = [sequence for pair in pairs for sequence in sequences_of(pair)]
    recorded = {logps.prompt_id: logps for logps in ledger.read_stage(2, "eval-logps", PairLogps)}
    learner = [x for p in pairs for x in (recorded[p.prompt.id].chosen, recorded[p.prompt.id].rejected)]
    initial = {logps.prompt_id: logps.chosen for logps in ledger.read_stage(0, "eval-logps", PairLogps)}
    assert any(abs(recorded[key].chosen - initial[key]) > 1e-2 for key in initial), "the policy did not change"

    for sums in (
        transformers_sums(ledger.model_path(2, "policy"), sequences),
        vllm_sums(ledger.model_path(2, "policy"), sequences),
    ):
        for found, expected, sequence in zip(sums, learner, sequences, strict=True):
            assert abs(found - expected) / len(sequence.token_ids) <= 1e-4
