"""Which rows of the users' files a run takes: what is dropped, what is refused, and which prompts are held out where no
file of held-out prompts is given.

Rows are counted as `rows.placed_prompts` yields them: those that cannot be read are not among them. The files are read
anew for every look, so that no prompts are kept.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import Any, TypeAlias

from ..errors import ConfigError
from .near import near_earlier, words_of
from .records import Prompt
from .rows import placed_prompts
from .sources import PromptsConfig, PromptSource

Prompts: TypeAlias = Callable[[], Iterable[Prompt]]  # the same prompts at every call


@dataclass(frozen=True, kw_only=True, slots=True)
class Taking:
    """What is taken of a set's source: all rows but those at the places `without`. `counts` is what a run's header says
    of it.

    Example:
        Taking(source=PromptSource(path="mine.jsonl"), field="prompts.train.path", without=frozenset({7}),
               counts={"near_duplicates": 1})
    """

    source: PromptSource
    field: str
    without: Collection[int]
    counts: Mapping[str, Any]


def take(config: PromptsConfig, *, used: Collection[str], heldout: int, seed: int) -> dict[str, Taking]:
    """What to take of the training and the held-out source, and of the seeds' where it is among the `used` sets.

    Training prompts may not be near an earlier one, and neither they nor seeds near a held-out one; what becomes of
    those that are, `prompts.near_duplicates` says (and `near` what near is). Sets that no phase uses are not compared.
    Without a source of their own, held-out prompts are taken out of the training ones: those `heldout` with the least
    hash of what they say and of the run's `seed`, of those that are near no other.

    Raises:
        ConfigError: as `placed_prompts`; prompts are near each other and `prompts.near_duplicates` does not say what to
            do; or there are too few to hold some out.
    """
    sources = {"train": config.train, "heldout": config.heldout, "seed": config.seed.source}
    counts: dict[str, dict[str, Any]] = {name: {} for name in sources}
    read: dict[str, Prompts] = {
        name: partial(_prompts, source, config, name, counts[name]) for name, source in sources.items()
    }
    compared = [name for name in ("train", "seed") if name in used and sources[name].path is not None]
    split = config.heldout.path is None
    without: dict[str, set[int]] = {name: set() for name in sources}
    near = _near({name: read[name] for name in (*(() if split else ("heldout",)), *compared)})
    own = near.get(("train", "train"), {})
    if config.near_duplicates != "keep" and own:
        _check(config, "train", "train", own, read)
        without["train"] |= own.keys()
        counts["train"]["near_duplicates"] = len(own)
    held: set[int] = set()
    if split:
        held = _held_out(config, read["train"], {*own, *own.values()}, heldout, seed)
        without["train"] |= held
        read["heldout"] = partial(_at, read["train"], held)
        near = _near({name: read[name] for name in ("heldout", "seed")}) if "seed" in compared else {}
        counts["heldout"] = {"split_of": "prompts.train"}
    for name in compared:
        if shared := near.get((name, "heldout"), {}):
            _check(config, name, "heldout", shared, read)
            without[name] |= shared.keys()
            counts[name]["near_heldout"] = len(shared)
    takings: dict[str, Taking] = {}
    for name in ("train", "heldout", *(("seed",) if "seed" in used else ())):
        source, field, leave = sources[name], f"prompts.{name}.path", without[name]
        if name == "heldout" and split:
            total = sum(1 for _ in read["train"]())
            source, field, leave = config.train, "prompts.train.path", {*range(total)} - held
        takings[name] = Taking(source=source, field=field, without=frozenset(leave), counts=counts[name])
    return takings


def _prompts(source: PromptSource, config: PromptsConfig, name: str, counts: dict[str, Any]) -> Iterator[Prompt]:
    dropped: Counter[str] = Counter()
    responses = config.seed.responses if name == "seed" else ()
    placed = placed_prompts(source, config, f"prompts.{name}.path", responses,
                            dropped=lambda error: dropped.update([error.what]))  # fmt: skip
    for _, prompt in placed:
        yield prompt
    if dropped:
        counts["malformed"] = dropped.total()
        counts["first_malformed"] = next(iter(dropped))


def _near(sets: Mapping[str, Prompts]) -> dict[tuple[str, str], dict[int, int]]:
    """Prompts that are near an earlier one, by their set and that one's: their places, each with that one's."""
    sizes: Counter[str] = Counter()

    def counted(name: str) -> Iterator[Prompt]:
        sizes[name] = 0
        for prompt in sets[name]():
            sizes[name] += 1
            yield prompt

    pairs = near_earlier(lambda: chain.from_iterable(map(counted, sets)))
    starts, start = {}, 0
    for name in sets:
        starts[name], start = start, start + sizes[name]
    found: dict[tuple[str, str], dict[int, int]] = {}
    for later, earlier in pairs.items():
        of, to = (next(name for name in reversed([*sets]) if starts[name] <= place) for place in (later, earlier))
        found.setdefault((of, to), {})[later - starts[of]] = earlier - starts[to]
    return found


def _check(config: PromptsConfig, name: str, other: str, pairs: Mapping[int, int], read: Mapping[str, Prompts]) -> None:
    """Refuse prompts that are near those of another set, or earlier ones of their own, unless they are to be dropped.

    Raises:
        ConfigError: with their number and the first.
    """
    if config.near_duplicates == "drop":
        return
    place, to = next(iter(pairs.items()))
    (one,), (two,) = _at(read[name], {place}), _at(read[other], {to})
    asked = f"{two.id!r} ({two.messages[-1].content!r:.80}) and {one.id!r} ({one.messages[-1].content!r:.80})"
    if other == "heldout":
        raise ConfigError(
            f"prompts.heldout has a prompt of prompts.{name}, word for word or nearly: ids {asked}; "
            f"prompts.{name} has {len(pairs)} such",
            "take it out of one of them (held-out figures would measure memory), or set prompts.near_duplicates=drop "
            f"to leave them out of prompts.{name}",
        )
    raise ConfigError(
        f"prompts.{name} has {len(pairs)} prompts that say nearly the same as an earlier one: ids {asked}",
        "set prompts.near_duplicates=drop to leave the later ones out, or =keep",
    )


def _held_out(config: PromptsConfig, prompts: Prompts, near: Collection[int], number: int, seed: int) -> set[int]:
    """The places of the prompts to hold out."""
    ranked: list[tuple[bytes, int]] = []
    total = 0
    for place, prompt in enumerate(prompts()):
        total += 1
        if place not in near:
            words = words_of(prompt.messages)
            said = json.dumps([seed, words.before, words.asked]).encode()
            ranked.append((hashlib.blake2b(said, digest_size=8).digest(), place))
    if len(ranked) <= number:
        raise ConfigError(
            f"prompts.heldout.path names no file, and of the {total} prompts of {config.train.path} {number} cannot be "
            "held out: none would be left to train on",
            "give more prompts or a file of held-out ones (prompts.heldout.path), or lower evaluation.num_prompts",
        )
    return {place for _, place in sorted(ranked)[:number]}


def _at(prompts: Prompts, places: Collection[int]) -> Iterator[Prompt]:
    """The prompts at some places, in their order."""
    last = max(places, default=-1)
    return (prompt for place, prompt in enumerate(islice(prompts(), last + 1)) if place in places)
