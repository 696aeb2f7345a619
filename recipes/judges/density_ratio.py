"""Two models as judge, without a question: how much likelier the stronger one finds each response than the weaker."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Literal

from pydantic import Field

from ...orchestrator.data.records import GenerationRequest, Judgment, Message, Rollout, Shard
from ...orchestrator.errors import ConfigError
from ...orchestrator.ledger.checksums import weights_hash
from ...orchestrator.parts.judge import REWARD_MODEL, RUN_POLICIES, JudgeContext, JudgePart
from ...orchestrator.parts.registry import Place, part
from ...orchestrator.protocols import Generate, Judge
from .log_probs import JudgedLogps, Logps, judge_by_logps, response_logps
from .verdicts import SCORE_DECIMALS, scored


@part("judge")
class DensityRatioJudge(JudgePart):
    """log π_strong − log π_weak of every response (Dr.SoW, arXiv 2411.02481). Each is a model of yours with the
    policy's tokens, or `policy`, `previous` or `initial`; `instruction` is put before the prompt."""

    kind: Literal["density_ratio"]
    strong: Annotated[str, Field(min_length=1)]
    weak: Annotated[str, Field(min_length=1)]
    tokens: Literal["sum", "mean"]  # of a response's log-probs
    instruction: str | None  # put before the conversation when the models are asked, never when the policy is trained
    logps: JudgedLogps = "rollout"

    def check_models(self, at: Place) -> None:
        """Both are policies, and two different ones."""
        for field, name in (("strong", self.strong), ("weak", self.weak)):
            if name == REWARD_MODEL:
                raise ConfigError(
                    f"{at}.{field}={name}: a reward model has no log-probs",
                    "name policy, previous, initial or a model directory, or choose judge=reward_model",
                )
        if self.strong == self.weak:
            raise ConfigError(
                f"{at}.strong={self.strong} is also {at}.weak: every ratio would be 0", "name two different models"
            )

    def check_weights(self, at: Place, paths: Mapping[str, str]) -> None:
        """Two names may be of one model."""
        both = [weights_hash(paths[name]) for name in (self.strong, self.weak) if name in paths]
        if len(both) == 2 and both[0] == both[1]:
            raise ConfigError(
                f"{at}.strong={self.strong} and {at}.weak={self.weak} have the same weights: every ratio would be 0",
                "name two different models",
            )

    def by_policy(self) -> bool:
        return "policy" in (self.strong, self.weak)

    def models(self, *, own_logps: bool) -> tuple[str, ...]:
        own = own_logps and self.logps == "rollout" and self.instruction is None
        return tuple(name for name in (self.strong, self.weak) if not (own and name == "policy"))

    def user_models(self) -> Mapping[str, str]:
        named = (("strong", self.strong), ("weak", self.weak))
        return {field: name for field, name in named if name not in RUN_POLICIES}

    def compared_models(self) -> Sequence[tuple[str, str]]:
        return [(self.strong, self.weak)]

    def conversations(self, messages: tuple[Message, ...]) -> Sequence[tuple[Message, ...]]:
        return () if self.instruction is None else [instructed(messages, self.instruction)]

    def sentence(self) -> str:
        return f"Two models, by how much more probable a response is under {self.strong} than under {self.weak}."

    def build(self, context: JudgeContext) -> Judge:
        judge, names = partial(judge_density_ratio, config=self), self.models(own_logps=context.own_logps)
        return partial(judge_by_logps, judge=judge, names=names, scorers=context.scorers)


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
