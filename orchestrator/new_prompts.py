"""The stage before a round is sampled: the policy writes prompts, batch after batch, until there are enough.

Batches are committed one by one, kept and dropped candidates alike, and each sees what those before it kept: a resumed
round goes on with the next one, and has the same prompts. The round's shards wait for the last batch. That costs
little: the same engines would sample them, and a batch is as wide as `requests_per_batch`.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from .config import Config
from .errors import RunError
from .filter_config import NoFilter
from .ledger import Ledger, round_name
from .new_prompts_config import NoNewPrompts
from .prompts import PromptStore
from .protocols import Generate, PromptSources
from .records import Generation, GenerationRequest, PairingOutcome, Prompt, PromptCandidate, Shard
from .stages import Stages

STAGE = "prompts"


async def new_prompts(
    round: int, stores: Mapping[str, PromptStore], *, config: Config, stages: Stages
) -> Sequence[Prompt]:
    """The prompts that the policy writes for round `round`; none where it writes none. `config` is the whole run's.

    Raises:
        RunError: there are too few after `max_batches` batches.
    """
    of_round, ledger = config.at(round), stages.ledger
    wanted, settings = of_round.new_prompts_per_round, of_round.new_prompts
    if isinstance(settings, NoNewPrompts):
        return ()
    assert stages.phase.make_prompts is not None
    maker = stages.phase.make_prompts(
        PromptSources(
            round=round,
            policy_version=stages.rollouts.policy_version,
            file=stores["train"],
            heldout=PromptStore(ledger, "heldout"),
            made=(prompt for earlier in range(1, round) for prompt in kept_prompts(ledger, earlier)),
            survivors=_survivors(ledger, round, config),
        )
    )
    generate = partial(_spread, generate=stages.rollouts.generate, engines=config.cluster.rollout.actors)
    made: list[Prompt] = []
    counts: Counter[str] = Counter()
    for number in range(settings.max_batches):
        stages.observer.stage(round, STAGE, len(made), wanted, 0)
        shard = Shard(round=round, index=number, prompts=(), split="train")
        batch = ledger.read_shard(STAGE, shard, PromptCandidate)
        if batch is None:
            write = partial(maker.write, number, wanted - len(made), generate)
            batch = await stages.commit(STAGE, shard, PromptCandidate, write)
        maker.take(batch)
        made += [candidate.prompt for candidate in batch if candidate.reason is None]
        counts.update(candidate.reason for candidate in batch if candidate.reason is not None)
        if len(made) == wanted:
            stages.observer.stage(round, STAGE, wanted, wanted, 0)
            return made
    name = config.phase_name(round)
    field = f"phases.{name}.new_prompts" if name else "new_prompts"
    raise RunError(
        f"round {round} has {len(made)} of {wanted} new prompts after {settings.max_batches} batches "
        f"({field}.max_batches); dropped, by reason: {dict(sorted(counts.items()))}",
        f"read {ledger.path(round_name(round), STAGE)}; resume with a larger {field}.max_batches, or start a run with "
        f"other {field}.sampling or {field}.rules",
    )


async def _spread(requests: Sequence[GenerationRequest], *, generate: Generate, engines: int) -> list[Generation]:
    """Answers in order. The requests go out in equal shares: one call goes to one engine, and no other shard is under
    way that would give the rest of them work."""
    share = -(-len(requests) // engines) or 1
    shares = [requests[start : start + share] for start in range(0, len(requests), share)]
    return [answer for answers in await asyncio.gather(*map(generate, shares)) for answer in answers]


def kept_prompts(ledger: Ledger, round: int) -> Iterator[Prompt]:
    """The new prompts of a round that are kept so far, in order."""
    for candidate in ledger.read_stage(round, STAGE, PromptCandidate):
        if candidate.reason is None:
            yield candidate.prompt


def counted_candidates(ledger: Ledger, round: int) -> dict[str, Any] | None:
    """How many candidates of a round were kept, and how many dropped for which reason; None where there were none."""
    reasons = Counter(candidate.reason for candidate in ledger.read_stage(round, STAGE, PromptCandidate))
    if not reasons:
        return None
    kept = reasons.pop(None, 0)
    return {"kept": kept, "dropped": {reason: reasons[reason] for reason in sorted(filter(None, reasons))}}


def _survivors(ledger: Ledger, before: int, config: Config) -> Iterator[Prompt]:
    """The prompts of rounds before `before` with a pair or a group that their round's filter left, each once."""
    seen: set[str] = set()
    for round in range(1, before):
        stage = "pairs" if isinstance(config.at(round).filter, NoFilter) else "selected"
        for outcome in ledger.read_stage(round, stage, PairingOutcome):
            made = outcome.pair or outcome.group
            if made is not None and made.prompt.id not in seen:
                seen.add(made.prompt.id)
                yield made.prompt
