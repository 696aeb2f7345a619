"""New prompts by what they need: several skills at once."""

from functools import partial
from typing import Annotated, Literal

from pydantic import Field

from ...orchestrator.data.seeds import derive_seed
from ...orchestrator.errors import ConfigError
from ...orchestrator.fields import PositiveInt
from ...orchestrator.parts.registry import Place, part
from ...orchestrator.parts.sampling import SamplingConfig
from ...orchestrator.parts.wording import counted
from .asking import Ask, Asked, Pool, Read, ask_one, read_one
from .filters import PromptRules
from .written import WrittenPrompts


@part("new_prompts")
class SkillMixPrompts(WrittenPrompts):
    """The policy writes a prompt of a given type that needs several skills of a list at once, drawn by seed
    (Instruct-SkillMix, arXiv 2408.14774)."""

    kind: Literal["skill_mix"]
    per_round: PositiveInt | None
    skills: Annotated[tuple[str, ...], Field(min_length=1)]
    query_types: Annotated[tuple[str, ...], Field(min_length=1)]
    skills_per_prompt: PositiveInt
    sampling: SamplingConfig
    requests_per_batch: PositiveInt
    max_batches: PositiveInt
    rules: PromptRules

    def check(self, at: Place) -> None:
        WrittenPrompts.check(self, at)
        if self.skills_per_prompt > len(set(self.skills)):
            raise ConfigError(
                f"{at / 'skills_per_prompt'}={self.skills_per_prompt}, but {at / 'skills'} names "
                f"{len(set(self.skills))}",
                "name more skills, or mix fewer",
            )

    def how(self) -> str:
        mixed = counted(self.skills_per_prompt, "skill")
        return f"is asked for prompts that need {mixed} at once, drawn by seed from {len(self.skills)}"

    def asking(self) -> tuple[Ask, Read]:
        return partial(ask_skill_mix, config=self), read_one


def ask_skill_mix(pool: Pool, seed: int, *, config: SkillMixPrompts) -> Asked:
    """A prompt that needs `skills_per_prompt` skills of the list and is of one type of query, all drawn by seed:
    Instruct-SkillMix, arXiv 2408.14774.

    The skills are given: the paper lets a strong model name them first, from a data set or from nothing, and group
    them. There the same model also writes the answer, in several drafts; here the round's own generation does. The
    list, the instruction and two as the default number are not verified against the paper.
    """
    skills = sorted(set(config.skills), key=lambda skill: derive_seed(seed, "skill", skill))[: config.skills_per_prompt]
    query_type = config.query_types[derive_seed(seed, "type") % len(config.query_types)]
    listed = "\n".join(f"- {skill}" for skill in skills)
    task = (
        f"Invent a prompt that somebody could give to an assistant. Its type: {query_type}. A good answer must need "
        f"all of these skills:\n{listed}\n"
        "Make it concrete and demanding, with all the details that the answer needs. Do not name the skills in it."
    )
    return ask_one(task, config.sampling, seed, query_type, skills)
