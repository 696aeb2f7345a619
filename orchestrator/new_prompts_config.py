"""The schema of the `new_prompts` group: how the policy writes prompts of its own before a round is sampled, or what is
judged in a round whose prompts are judging prompts.

Where every kind that the policy writes has the same field, it means the same. `per_round`: new prompts of a round; null
for all of its prompts, and with fewer the training file gives the rest. `requests_per_batch`: answers asked for at
once; a batch is committed whole, and the next one sees what it kept. `max_batches`: a round that is short of prompts
after them stops.
"""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field
from pydantic.dataclasses import dataclass

from .config_types import STRICT, Fraction, NonNegativeInt, PositiveInt
from .errors import ConfigError
from .records import JudgingForm
from .sampling_config import SamplingConfig


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class PromptRules:
    """What drops a new prompt: Self-Instruct's filters (arXiv 2212.10560), and overlap with held-out prompts."""

    min_words: PositiveInt
    max_words: PositiveInt
    banned: tuple[str, ...]  # whole words or phrases, in any case: what a language model cannot do
    max_rouge_l: Fraction  # F-measure, against every prompt there is, held-out ones too; above it one is too similar
    contamination_words: PositiveInt  # an n-gram this long that a held-out prompt has too


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class NoNewPrompts:
    """A round's prompts are the training file's."""

    kind: Literal["none"]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class SelfInstructPrompts:
    """A list of prompts is continued, most of them from the training file, some of them new ones."""

    kind: Literal["self_instruct"]
    per_round: PositiveInt | None
    seed_shots: PositiveInt
    made_shots: NonNegativeInt  # as long as there are fewer new prompts, the training file gives the rest
    asked: PositiveInt  # prompts asked for in one answer
    sampling: SamplingConfig
    requests_per_batch: PositiveInt
    max_batches: PositiveInt
    rules: PromptRules


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class FromKeptPrompts:
    """A list of prompts is continued, all of them from earlier rounds that learnt from them, after the filter."""

    kind: Literal["from_kept"]
    per_round: PositiveInt | None
    shots: PositiveInt
    asked: PositiveInt  # prompts asked for in one answer
    sampling: SamplingConfig
    requests_per_batch: PositiveInt
    max_batches: PositiveInt
    rules: PromptRules


# How one prompt is made of another: the first five change it in depth, the last one in breadth.
Operation: TypeAlias = Literal["constrain", "deepen", "concretise", "add_reasoning", "add_input", "broaden"]


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class EvolvePrompts:
    """A prompt (of the training file, or a new one) is rewritten by an operation drawn by seed."""

    kind: Literal["evolve"]
    per_round: PositiveInt | None
    operations: Annotated[tuple[Operation, ...], Field(min_length=1)]
    review: bool  # ask the policy for a comparison with the origin and for an answer, and drop by them
    sampling: SamplingConfig
    requests_per_batch: PositiveInt
    max_batches: PositiveInt
    rules: PromptRules


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class SkillMixPrompts:
    """A prompt is asked for that needs several skills at once, drawn by seed with a type of query."""

    kind: Literal["skill_mix"]
    per_round: PositiveInt | None
    skills: Annotated[tuple[str, ...], Field(min_length=1)]
    query_types: Annotated[tuple[str, ...], Field(min_length=1)]
    skills_per_prompt: PositiveInt
    sampling: SamplingConfig
    requests_per_batch: PositiveInt
    max_batches: PositiveInt
    rules: PromptRules


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class JudgePrompts:
    """The round trains the policy as a judge: its prompts are judging prompts, over responses whose order is known, on
    which the judge is at odds with itself, or whose scores it is to learn.
    There are at most as many as the round's prompts; those over a prompt's responses come together or not at all."""

    kind: Literal["judgments"]
    # What is judged: the given responses of prompts.seed, best first; or, of the newest round whose own prompts were
    # none of these, the pairs, after its filter, every prompt's response whose votes differ most, or all responses that
    # were scored, each answered with its score.
    of: Literal["given", "pairs", "disputed", "scored"]
    form: JudgingForm  # of the judge: one response and a score, with reasons or without; or two in a pairwise form


MadePrompts: TypeAlias = SelfInstructPrompts | FromKeptPrompts | EvolvePrompts | SkillMixPrompts  # by the policy
NewPromptsConfig: TypeAlias = Annotated[NoNewPrompts | MadePrompts | JudgePrompts, Field(discriminator="kind")]


def check_new_prompts(made: MadePrompts, prompts_per_round: int) -> None:
    """Refuse numbers that can never be met.

    Raises:
        ConfigError: naming the fields, their values and the remedy.
    """
    if made.per_round is not None and made.per_round > prompts_per_round:
        raise ConfigError(
            f"new_prompts.per_round={made.per_round}, but a round has {prompts_per_round} prompts "
            "(run.prompts_per_round)",
            "lower new_prompts.per_round, or set it to null for all of the round's prompts",
        )
    if made.rules.min_words > made.rules.max_words:
        raise ConfigError(
            f"new_prompts.rules.min_words={made.rules.min_words} is more than new_prompts.rules.max_words="
            f"{made.rules.max_words}",
            "order them",
        )
    if isinstance(made, SkillMixPrompts) and made.skills_per_prompt > len(set(made.skills)):
        raise ConfigError(
            f"new_prompts.skills_per_prompt={made.skills_per_prompt}, but new_prompts.skills names "
            f"{len(set(made.skills))}",
            "name more skills, or mix fewer",
        )
