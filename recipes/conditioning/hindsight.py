"""Two responses in a row, each after a marker that says in hindsight what it is worth."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field

from ...orchestrator.data.records import (
    Generation,
    GenerationRequest,
    PairingOutcome,
    PreferencePair,
    Rollout,
    TokenSequence,
    pairs_of,
)
from ...orchestrator.data.seeds import derive_seed
from ...orchestrator.fields import Text
from ...orchestrator.parts.conditioning import ConditioningContext, ConditioningPart, Tell
from ...orchestrator.parts.registry import part
from ...orchestrator.protocols import Generate
from ..pairing.candidates import dropped
from .encoding import encoding

Order: TypeAlias = Literal["p", "n", "pn", "np"]
Link: TypeAlias = tuple[str, Rollout]  # a marker and the response after it


@part("conditioning")
class HindsightConditioning(ConditioningPart):
    """The two responses of a pair in one turn, each after a marker of its worth, in an order drawn by seed; only
    responses are learnt (Chain of Hindsight, arXiv 2302.02676).

    Policies trained so are asked with the helpful marker.
    """

    kind: Literal["hindsight"]
    helpful: Text  # opens a chosen response (p)
    unhelpful: Text  # opens a rejected one (n)
    orders: Annotated[tuple[Order, ...], Field(min_length=1)]  # one a pair, drawn by seed
    takes_pairs: ClassVar[bool] = True

    def sentence(self) -> str:
        return (
            f"The responses of a pair in one turn, the chosen one after “{self.helpful.strip()}”, the rejected one "
            f"after “{self.unhelpful.strip()}” (orders {', '.join(self.orders)}, drawn by seed); only responses are "
            "learnt."
        )

    def build(self, context: ConditioningContext) -> Tell:
        seed_parts = (context.run_seed, "hindsight", context.split, context.round)
        return partial(condition_hindsight, config=self, max_tokens=context.max_tokens, seed_parts=seed_parts)


async def condition_hindsight(
    outcomes: Sequence[PairingOutcome],
    generate: Generate,
    *,
    config: HindsightConditioning,
    max_tokens: int,
    seed_parts: tuple[int | str, ...],
) -> list[PairingOutcome]:
    """Each pair with a chain to learn, in an order drawn by seed: Chain of Hindsight, arXiv 2302.02676.

    A chain is the prompt, a marker, a response, and (orders pn and np) the other marker and the other response. Of its
    tokens only the responses', with the end-of-turn token of each, are trained: prompt and markers weigh 0. Drop
    reason: `too_long` (the chain exceeds `max_tokens`). The paper's term of pretraining data is left out.
    """
    pairs = pairs_of(outcomes)
    chains = [_chain(pair, config, derive_seed(*seed_parts, pair.prompt.id, "order")) for pair in pairs]
    encoded = await generate([_markers(pair, chain) for pair, chain in zip(pairs, chains, strict=True)])
    sequences = {
        pair.prompt.id: _sequence(chain, markers) for pair, chain, markers in zip(pairs, chains, encoded, strict=True)
    }
    return [_with(outcome, sequences, max_tokens) for outcome in outcomes]


def _chain(pair: PreferencePair, config: HindsightConditioning, seed: int) -> list[Link]:
    order = config.orders[seed % len(config.orders)]
    links = {"p": (config.helpful, pair.chosen), "n": (config.unhelpful, pair.rejected)}
    return [links[letter] for letter in order]


def _markers(pair: PreferencePair, chain: Sequence[Link]) -> GenerationRequest:
    """Asks for the prompt with the first marker, and for the second one."""
    (first, _), *rest = chain
    return encoding(pair.prompt.messages, first, rest[0][0] if rest else "")


def _sequence(chain: Sequence[Link], encoded: Generation) -> TokenSequence | None:
    """None where prompt and markers alone do not fit the model."""
    if encoded.finish_reason == "prompt_too_long":
        return None
    (_, first), *rest = chain
    marker = encoded.token_ids if rest else ()
    second = rest[0][1].token_ids if rest else ()
    return TokenSequence(
        prompt_token_ids=encoded.prompt_token_ids,
        token_ids=(*first.token_ids, *marker, *second),
        weights=(1.0,) * len(first.token_ids) + (0.0,) * len(marker) + (1.0,) * len(second),
    )


def _with(outcome: PairingOutcome, sequences: dict[str, TokenSequence | None], max_tokens: int) -> PairingOutcome:
    if outcome.pair is None:
        return outcome
    sequence = sequences[outcome.pair.prompt.id]
    if sequence is None or sequence.num_tokens > max_tokens:
        return dropped(outcome.pair.prompt, "too_long")
    return replace(outcome, sequences=(sequence,))
