"""What prompts that the policy writes share, however it is asked for them."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from ...orchestrator.config.schema import Config
from ...orchestrator.data.records import Prompt
from ...orchestrator.errors import ConfigError
from ...orchestrator.parts.new_prompts import NewPromptsPart
from ...orchestrator.parts.registry import Place
from ...orchestrator.parts.sampling import SamplingConfig
from ...orchestrator.protocols import PromptSources
from .asking import Ask, Read, is_single, text_of
from .contamination import HeldoutText
from .filters import KnownPrompts, PromptRules
from .maker import Maker, MakingRules, Review


class WrittenPrompts(NewPromptsPart):
    """Prompts that the policy writes. (Each kind names these fields itself, where a configuration file has them.)

    `per_round`: new prompts of a round; null for all of its prompts, and with fewer the training file gives the rest.
    `requests_per_batch`: answers asked for at once; a batch is committed whole, and the next one sees what it kept.
    `max_batches`: a round that is short of prompts after them stops.
    """

    __slots__ = ()
    per_round: int | None
    sampling: SamplingConfig
    requests_per_batch: int
    max_batches: int
    rules: PromptRules

    def check(self, at: Place) -> None:
        prompts = at.config.run.prompts_per_round
        if self.per_round is not None and self.per_round > prompts:
            raise ConfigError(
                f"{at / 'per_round'}={self.per_round}, but a round has {prompts} prompts (run.prompts_per_round)",
                f"lower {at / 'per_round'}, or set it to null for all of the round's prompts",
            )
        if self.rules.min_words > self.rules.max_words:
            raise ConfigError(
                f"{at / 'rules'}.min_words={self.rules.min_words} is more than {at / 'rules'}.max_words="
                f"{self.rules.max_words}",
                "order them",
            )

    def sampled_with(self) -> SamplingConfig:
        return self.sampling

    def number(self, prompts: int) -> int:
        return self.per_round or prompts

    def batches(self) -> int:
        return self.max_batches

    def planned(self, number: int) -> str:
        return f"{number} new ones ({self.kind}), by the policy"

    def how(self) -> str:
        """What the policy does, within a sentence."""
        raise NotImplementedError

    def sentence(self) -> str:
        many = "All are" if self.per_round is None else f"{self.per_round} of them are"
        return f"{many} written by the policy, which {self.how()}; {self.sampling.words()}."

    def asking(self) -> tuple[Ask, Read]:
        """What asks for prompts, and what reads them in the answer."""
        raise NotImplementedError

    def eliminating(self) -> tuple[Callable[[str], bool] | None, Review | None]:
        """A kind's own rules: whether a prompt speaks of its own making, and what the policy says of it."""
        return None, None

    def seeds(self, sources: PromptSources, single: list[Prompt]) -> list[Prompt]:
        """The prompts that may be shown beside new ones; `single` are the training file's of one message."""
        return single

    def build(self, config: Config) -> Callable[[PromptSources], Maker]:
        return partial(_maker, settings=self, config=config)


def _maker(sources: PromptSources, *, settings: WrittenPrompts, config: Config) -> Maker:
    known = KnownPrompts(settings.rules.max_rouge_l)
    single, made = [], list(sources.made)
    for prompt in sources.file:
        known.add(text_of(prompt))
        if is_single(prompt):
            single.append(replace(prompt, responses=()))
    for prompt in (*sources.given, *made):
        known.add(text_of(prompt))
    ask, read = settings.asking()
    leaks, review = settings.eliminating()
    return Maker(
        ask=ask,
        read=read,
        requests_per_batch=settings.requests_per_batch,
        making=MakingRules(
            rules=settings.rules,
            generation=config.generation,
            judge=config.judge,
            max_model_len=config.model.max_model_len,
            system=config.prompts.system,
            leaks=leaks,
            review=review,
        ),
        known=known,
        heldout=HeldoutText(
            (text_of(prompt) for prompt in sources.heldout),
            settings.rules.contamination_words,
            settings.rules.max_rouge_l,
        ),
        seeds=settings.seeds(sources, single),
        made=made,
        policy_version=sources.policy_version,
        seed_parts=(config.run.seed, "new-prompts", sources.round),
    )
