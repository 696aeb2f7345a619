"""How responses are sampled, and by whom."""

import re

from pydantic.dataclasses import dataclass

from ..fields import STRICT, PositiveInt, Temperature, Text, TopP

POLICY = "policy"
SAMPLERS = (POLICY, "initial", "previous", "latest")  # by a word; others are earlier rounds and model directories
EARLIER_ROUND = re.compile(r"round-(\d+)")


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class SamplingConfig:
    """How responses are sampled. At temperature 0 the likeliest token is taken, and `top_p` changes nothing.

    A response ends where its turn does, or with the token that completes a string of `stop`: it is trained with that
    string, as sampled, and shown without it.
    """

    temperature: Temperature
    top_p: TopP
    max_tokens: PositiveInt
    stop: tuple[Text, ...] = ()

    def words(self) -> str:
        """As the end of a sentence."""
        how = "greedily" if self.temperature == 0 else f"temperature {self.temperature:g}, top_p {self.top_p:g}"
        return f"{how}, up to {self.max_tokens} tokens"


def is_model_path(sampler: str) -> bool:
    """Whether a sampler is a model outside of the run."""
    return sampler not in SAMPLERS and not EARLIER_ROUND.fullmatch(sampler)
