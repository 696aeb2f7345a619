"""New prompts by what they need: several skills at once."""

from ...orchestrator.new_prompts_config import SkillMixPrompts
from ...orchestrator.seeds import derive_seed
from .asking import Asked, Pool, ask_one


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
