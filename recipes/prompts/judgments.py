"""Judging prompts with their truth: what a policy that is trained as a judge is asked, over ranked responses."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from heapq import nsmallest
from itertools import permutations
from typing import Literal

from ...orchestrator.config.schema import Config
from ...orchestrator.data.records import (
    SCORING,
    JudgingForm,
    Judgment,
    Message,
    PreferencePair,
    Prompt,
    PromptCandidate,
    Rollout,
    Truth,
)
from ...orchestrator.data.seeds import derive_seed
from ...orchestrator.parts.judge import JudgePart
from ...orchestrator.parts.new_prompts import Judged, NewPromptsPart
from ...orchestrator.parts.registry import part
from ...orchestrator.protocols import Generate, PromptSources
from ..judges.additive import additive_case
from ..judges.expected_score import RUBRIC_SCORES, ExpectedScoreJudge, expected_score_case
from ..judges.pairwise import pairwise_case
from ..judges.rendering import shown_response
from ..pairing.candidates import kept, scored_candidates
from .disputed import most_disputed
from .fitting import fitting


@part("new_prompts")
class JudgePrompts(NewPromptsPart):
    """The round trains the policy as a judge: its prompts are judging prompts, over responses whose order is known,
    on which the judge is at odds with itself, or whose scores it is to learn.

    There are at most as many as the round's prompts; those over a prompt's responses come together or not at all.
    """

    kind: Literal["judgments"]
    of: Judged
    form: JudgingForm  # of the judge: one response and a score, with reasons or without; or two in a pairwise form

    def judged(self) -> Judged:
        return self.of

    def judging_form(self) -> JudgingForm:
        return self.form

    def prompt_set(self) -> Literal["train", "seed"]:
        return "seed" if self.of == "given" else "train"

    def too_little(self) -> str:
        return {
            "given": "two different responses a row in prompts.seed",
            "pairs": "more pairs to judge",
            "disputed": "two or more judgments a response that can be read",
            "scored": "responses that have a score",
        }[self.of]

    def planned(self, number: int) -> str:
        what = {
            "disputed": "that the judge is at odds with itself about",
            "scored": "that it scored, with their scores",
        }.get(self.of, "whose order is known")
        return f"at most {number} judging prompts, over responses {what}"

    def sentence(self) -> str:
        what = {
            "given": "the responses of prompts.seed, whose order is known",
            "pairs": "the pairs of the newest round before, whose order is known",
            "disputed": "the response to each prompt of the newest round before whose judgments differ most",
            "scored": "the responses of the newest round before, each answered with its expected score",
        }[self.of]
        return f"Questions to a judge about {what}, in the form of {self.form}."

    def build(self, config: Config) -> Callable[[PromptSources], "JudgingMaker"]:
        return partial(_maker, settings=self, config=config)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Ranked:
    """A prompt and different responses to it by rank, 0 the best; or by sample, where no order is `known`.

    Example:
        Ranked(prompt=prompt, responses={0: "The Nile.", 2: "A river."})
    """

    prompt: Prompt
    responses: dict[int, str]
    known: bool = True


def ranked_responses(prompt: Prompt) -> Ranked | None:
    """The responses that a prompt comes with. One that says the same as a better one is left out, and a prompt with
    fewer than two is None: nothing can be said of it."""
    different: dict[str, int] = {}
    for rank, text in enumerate(prompt.responses):
        different.setdefault(text.strip(), rank)
    if len(different) < 2:
        return None
    return Ranked(
        prompt=replace(prompt, responses=()), responses={rank: prompt.responses[rank] for rank in different.values()}
    )


def ranked_pair(pair: PreferencePair) -> Ranked:
    """The two responses of a pair, whatever it was made by."""
    return Ranked(prompt=pair.prompt, responses={0: pair.chosen.text, 1: pair.rejected.text})


def disputed_response(
    prompt: Prompt, rollouts: Sequence[Rollout], judgments: Sequence[Judgment], *, seed: int
) -> Ranked | None:
    """The response to a prompt on which its judge is most at odds with itself, if there is one (see `disputed`)."""
    found = most_disputed(rollouts, judgments, seed=seed)
    return None if found is None else Ranked(prompt=prompt, responses={found.sample: found.text}, known=False)


def scored_responses(
    prompt: Prompt, rollouts: Sequence[Rollout], judgments: Sequence[Judgment], *, judge: JudgePart
) -> list[Prompt]:
    """A judging prompt for every response that `judge` gave an expected score, answered with the nearest of its scores,
    of two as near with the lower.

    The judge learns to say at once what its probabilities come to: ALMA's self-distillation (arXiv 2412.04305, section
    3.3; that whole scores are its targets is not verified).
    """
    assert isinstance(judge, ExpectedScoreJudge), "check_judged_pairs lets no other judge through"
    return [
        Prompt(
            id=f"{prompt.id}/{scored.rollout.sample}",
            messages=expected_score_case(prompt, scored.rollout, judge.scores),
            responses=(f"{judge.assistant_prefix}{_nearest(scored.score, judge.scores)}",),
            truth=Truth(source=prompt.id, form="expected_score", ranks=()),
        )
        for scored in scored_candidates(kept(rollouts, drop_truncated=False, drop_empty=False), judgments)
    ]


def _nearest(score: float, scores: Sequence[str]) -> str:
    return min(sorted(scores, key=int), key=lambda one: abs(int(one) - score))


def judging_prompts(ranked: Ranked, form: JudgingForm) -> list[Prompt]:
    """Every judging prompt over the responses, with the words that the judge of that form is asked in: for a score one
    a response, otherwise two for every two responses, one an order.

    Example: "maths-001/1-0" shows the second-best response to "maths-001" first, and the best second.
    """
    shown = {rank: shown_response(ranked.prompt, rank, text) for rank, text in ranked.responses.items()}
    if form in SCORING:
        case = additive_case if form == "additive" else partial(expected_score_case, scores=RUBRIC_SCORES)
        return [_prompt(ranked, form, (rank,), case(ranked.prompt, shown[rank])) for rank in shown]
    return [
        _prompt(ranked, form, (first, second), pairwise_case(ranked.prompt, shown[first], shown[second], form))
        for first, second in permutations(shown, 2)
    ]


def _prompt(ranked: Ranked, form: JudgingForm, ranks: tuple[int, ...], messages: tuple[Message, ...]) -> Prompt:
    source = ranked.prompt.id
    return Prompt(
        id=f"{source}/{'-'.join(map(str, ranks))}",
        messages=messages,
        truth=Truth(source=source, form=form, ranks=ranks if ranked.known else ()),
    )


@dataclasses.dataclass(kw_only=True, slots=True)
class JudgingMaker:
    """Makes a round's judging prompts, all in one batch. Nothing is written for them, so there is nothing to filter but
    their length."""

    groups: Iterable[Sequence[Prompt]]  # the judging prompts over each prompt's responses
    judged: Iterable[Prompt]  # the judging prompts of earlier rounds
    max_tokens: int  # of a judging prompt, with its answer where it comes with one
    policy_version: int
    seed: int

    def take(self, batch: Sequence[PromptCandidate]) -> None:
        """There is one batch: no other depends on it."""

    async def write(self, batch: int, wanted: int, generate: Generate) -> list[PromptCandidate]:
        """At most `wanted` judging prompts: all that there are over a prompt's responses, prompt after prompt, until
        those of the next one would be too many. Prompts that earlier rounds had come last; apart from that the order is
        drawn by seed. What does not fit the model with a judgment is dropped: `does_not_fit`.
        """
        assert batch == 0, "judging prompts are made in one batch"
        prompts = self._first(wanted)
        asked = [(prompt.messages, "".join(prompt.responses)) for prompt in prompts]
        fit = await fitting(asked, self.max_tokens, generate)
        return [
            PromptCandidate(
                prompt=prompt,
                index=index,
                how="judgments",
                shown=(prompt.truth.source,) if prompt.truth else (),
                seed=self.seed,
                policy_version=self.policy_version,
                reason=None if fits else "does_not_fit",
            )
            for index, (prompt, fits) in enumerate(zip(prompts, fit, strict=True))
        ]

    def _first(self, wanted: int) -> list[Prompt]:
        had = Counter(prompt.truth.source for prompt in self.judged if prompt.truth is not None)

        def place(group: Sequence[Prompt]) -> tuple[int, int]:
            assert group[0].truth is not None
            source = group[0].truth.source
            return had[source], derive_seed(self.seed, "judging-prompts", source)

        first: list[Prompt] = []
        for group in nsmallest(wanted, filter(None, self.groups), key=place):  # each holds one prompt or more
            if len(first) + len(group) > wanted:
                break
            first += group
        return first


def _maker(sources: PromptSources, *, settings: JudgePrompts, config: Config) -> JudgingMaker:
    match settings.of:
        case "given":
            groups = (judging_prompts(one, settings.form) for one in map(ranked_responses, sources.given) if one)
        case "pairs":
            groups = (judging_prompts(ranked_pair(pair), settings.form) for pair in sources.pairs)
        case "disputed":
            seed = derive_seed(config.run.seed, "disputed", sources.round)
            disputed = (disputed_response(*judged, seed=seed) for judged in sources.judged_responses)
            groups = (judging_prompts(one, settings.form) for one in disputed if one)
        case "scored":
            assert sources.judge is not None
            groups = (scored_responses(*judged, judge=sources.judge) for judged in sources.judged_responses)
    # A score is part of its prompt's length already: only the end of turn comes after it.
    answer = 1 if settings.of == "scored" else config.generation.sampled_with().max_tokens
    return JudgingMaker(
        groups=groups,
        judged=sources.judged,
        max_tokens=config.model.max_model_len - answer,
        policy_version=sources.policy_version,
        seed=config.run.seed,
    )
