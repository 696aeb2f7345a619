"""The stage before a round is sampled: the policy writes prompts, batch after batch, until there are enough; or judging
prompts are made, in a single batch.

Batches are committed one by one, kept and dropped candidates alike, and each sees what those before it kept: a resumed
round goes on with the next one, and has the same prompts. The round's shards wait for the last batch. That costs
little: the same engines would sample them, and a batch is as wide as `requests_per_batch`.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from ..config.schema import Config
from ..data.records import (
    Generation,
    GenerationRequest,
    Judgment,
    PairingOutcome,
    PreferencePair,
    Prompt,
    PromptCandidate,
    Rollout,
    Shard,
)
from ..errors import RunError
from ..ledger.layout import JUDGMENTS, PAIRS, PROMPTS, ROLLOUTS, SELECTED, sampled_by
from ..ledger.ledger import Ledger, round_name
from ..prompts.shards import round_drawn, train_shards
from ..prompts.store import PromptStore
from ..protocols import Generate, PromptSources
from .stages import Stages


async def new_prompts(
    round: int, stores: Mapping[str, PromptStore], *, config: Config, stages: Stages
) -> Sequence[Prompt]:
    """The new prompts of round `round`; none where the training file gives all. `config` is the whole run's.

    Raises:
        RunError: there are too few after `max_batches` batches, or there is no judging prompt.
    """
    of_round, ledger = config.at(round), stages.ledger
    wanted, settings = of_round.new_prompts_per_round, of_round.new_prompts
    if not settings.makes:
        return ()
    assert stages.phase.make_prompts is not None
    maker = stages.phase.make_prompts(_sources(round, stores, config, stages))
    generate = partial(_spread, generate=stages.rollouts.generate, engines=config.cluster.rollout.actors)
    made: list[Prompt] = []
    counts: Counter[str] = Counter()
    for number in range(settings.batches()):
        stages.observer.stage(round, PROMPTS, len(made), wanted, 0)
        shard = Shard(round=round, index=number, prompts=(), split="train")
        batch = ledger.read_shard(PROMPTS.name, shard, PromptCandidate)
        if batch is None:
            write = partial(maker.write, number, wanted - len(made), generate)
            batch = await stages.commit(PROMPTS, shard, write)
        maker.take(batch)
        made += [candidate.prompt for candidate in batch if candidate.reason is None]
        counts.update(candidate.reason for candidate in batch if candidate.reason is not None)
        if len(made) == wanted:
            stages.observer.stage(round, PROMPTS, wanted, wanted, 0)
            return made
    if settings.judged() is not None:
        if made:
            return made
        raise RunError(
            f"round {round} has no judging prompt: there is nothing to judge that fits its {wanted} prompts and the "
            f"model (new_prompts.of={settings.judged()}); dropped, by reason: {dict(sorted(counts.items()))}",
            "start a run with more run.prompts_per_round or model.max_model_len, or with " + settings.too_little(),
        )
    name = config.phase_name(round)
    field = f"phases.{name}.new_prompts" if name else "new_prompts"
    raise RunError(
        f"round {round} has {len(made)} of {wanted} new prompts after {settings.batches()} batches "
        f"({field}.max_batches); dropped, by reason: {dict(sorted(counts.items()))}",
        f"read {ledger.path(round_name(round), PROMPTS.name)}; resume with a larger {field}.max_batches, or start a "
        f"run with other {field}.sampling or {field}.rules",
    )


def _sources(round: int, stores: Mapping[str, PromptStore], config: Config, stages: Stages) -> PromptSources:
    ledger = stages.ledger
    earlier = [prompt for number in range(1, round) for prompt in kept_prompts(ledger, number)]
    return PromptSources(
        round=round,
        policy_version=stages.rollouts.policy_version,
        file=stores.get("train", ()),
        heldout=PromptStore(ledger, "heldout"),
        made=[prompt for prompt in earlier if prompt.truth is None],
        survivors=_survivors(ledger, round, config),
        judged=[prompt for prompt in earlier if prompt.truth is not None],
        given=stores.get("seed", ()),
        pairs=_pairs_before(ledger, round, config),
        judge=None if (judged := _last_without_judging_prompts(round, config)) is None else config.at(judged).judge,
        judged_responses=_judged_before(ledger, round, config, stores),
    )


async def _spread(requests: Sequence[GenerationRequest], *, generate: Generate, engines: int) -> list[Generation]:
    """Answers in order. The requests go out in equal shares: one call goes to one engine, and no other shard is under
    way that would give the rest of them work."""
    share = -(-len(requests) // engines) or 1
    shares = [requests[start : start + share] for start in range(0, len(requests), share)]
    return [answer for answers in await asyncio.gather(*map(generate, shares)) for answer in answers]


def kept_prompts(ledger: Ledger, round: int) -> Iterator[Prompt]:
    """The new prompts of a round that are kept so far, in order."""
    for candidate in ledger.read_stage(round, PROMPTS.name, PromptCandidate):
        if candidate.reason is None:
            yield candidate.prompt


def counted_candidates(ledger: Ledger, round: int) -> dict[str, Any] | None:
    """How many candidates of a round were kept, and how many dropped for which reason; None where there were none."""
    reasons = Counter(candidate.reason for candidate in ledger.read_stage(round, PROMPTS.name, PromptCandidate))
    if not reasons:
        return None
    kept = reasons.pop(None, 0)
    return {"kept": kept, "dropped": {reason: reasons[reason] for reason in sorted(filter(None, reasons))}}


def _survivors(ledger: Ledger, before: int, config: Config) -> Iterator[Prompt]:
    """The prompts of rounds before `before` with a pair or a group that their round's filter left, each once."""
    seen: set[str] = set()
    for round in range(1, before):
        for outcome in _learnt(ledger, round, config):
            made = outcome.pair or outcome.group
            if made is not None and made.prompt.truth is None and made.prompt.id not in seen:
                seen.add(made.prompt.id)
                yield made.prompt


def _pairs_before(ledger: Ledger, before: int, config: Config) -> Iterator[PreferencePair]:
    """What the newest round before `before` learnt from whose prompts were no judging prompts."""
    if (round := _last_without_judging_prompts(before, config)) is not None:
        yield from (outcome.pair for outcome in _learnt(ledger, round, config) if outcome.pair is not None)


def _judged_before(
    ledger: Ledger, before: int, config: Config, stores: Mapping[str, PromptStore]
) -> Iterator[tuple[Prompt, list[Rollout], list[Judgment]]]:
    """Every prompt of that round with its responses and their judgments, shard after shard."""
    round = _last_without_judging_prompts(before, config)
    if round is None:
        return
    stages = [sampled_by(sampler, ROLLOUTS).name for sampler in config.at(round).generation.sampled_by()]
    new = list(kept_prompts(ledger, round_drawn(config, round)))
    for shard in train_shards(round, stores, config, new):
        rollouts = [one for stage in stages for one in ledger.read_shard(stage, shard, Rollout) or ()]
        judgments = ledger.read_shard(JUDGMENTS.name, shard, Judgment) or []
        for prompt in shard.prompts:
            yield (
                prompt,
                [one for one in rollouts if one.prompt_id == prompt.id],
                [one for one in judgments if one.prompt_id == prompt.id],
            )


def _last_without_judging_prompts(before: int, config: Config) -> int | None:
    """The newest round before `before` whose prompts were no judging prompts."""
    earlier = range(before - 1, 0, -1)
    return next((round for round in earlier if config.at(round).new_prompts.judged() is None), None)


def _learnt(ledger: Ledger, round: int, config: Config) -> Iterator[PairingOutcome]:
    """What pairing made of a round, after its filter."""
    stage = PAIRS if config.at(round).filter.keeps_all else SELECTED
    return ledger.read_stage(round, stage.name, stage.records)
