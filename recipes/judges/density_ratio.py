"""Two models as judge, without a question: how much likelier the stronger one finds each response than the weaker."""

from collections.abc import Sequence
from dataclasses import replace

from ...orchestrator.judge_config import DensityRatioJudge
from ...orchestrator.protocols import Generate
from ...orchestrator.records import GenerationRequest, Judgment, Message, Rollout, Shard
from .log_probs import Logps, response_logps
from .verdicts import SCORE_DECIMALS, scored


async def judge_density_ratio(
    shard: Shard, rollouts: Sequence[Rollout], generate: Generate, *, config: DensityRatioJudge, logps: Logps
) -> list[Judgment]:
    """One judgment a rollout: r(x, y) = log π_strong(y|x) − log π_weak(y|x), Dr.SoW, arXiv 2411.02481.

    The strong model should be the more aligned of the two (a DPO model against its SFT start). With an instruction both
    are asked after `instructed` prompts, which customises the reward to a domain. The paper's router between domains
    and its exemplars are not verified: the instruction here is one, and fixed. The authors' mask of special tokens is
    not applied: the end-of-turn token counts.
    """
    prompts = None
    if config.instruction is not None:
        prompts = await _instructed_ids(shard, rollouts, generate, config.instruction)
    strong = await response_logps(config.strong, rollouts, logps, tokens=config.tokens, prompts=prompts)
    weak = await response_logps(config.weak, rollouts, logps, tokens=config.tokens, prompts=prompts)
    return [
        scored(rollout, vote=0, status="parsed", score=round(high - low, SCORE_DECIMALS))
        for rollout, high, low in zip(rollouts, strong, weak, strict=True)
    ]


def instructed(messages: Sequence[Message], instruction: str) -> tuple[Message, ...]:
    """The conversation with `instruction` before its first message's text.

    Example:
        >>> instructed([Message(role="user", content="Is 7 prime?")], "Be exact.")
        (Message(role='user', content='Be exact.\\n\\nIs 7 prime?'),)
    """
    first, *others = messages
    return (replace(first, content=f"{instruction}\n\n{first.content}"), *others)


async def _instructed_ids(
    shard: Shard, rollouts: Sequence[Rollout], generate: Generate, instruction: str
) -> list[tuple[int, ...]]:
    """The token ids of each rollout's instructed prompt, as a rollout engine reads it to sample one token."""
    requests = [
        GenerationRequest(
            messages=instructed(prompt.messages, instruction), seed=0, temperature=0.0, top_p=1.0, max_tokens=1
        )
        for prompt in shard.prompts
    ]
    read = await generate(requests)
    ids = {prompt.id: one.prompt_token_ids for prompt, one in zip(shard.prompts, read, strict=True)}
    return [ids[rollout.prompt_id] for rollout in rollouts]
