"""Which prompts a shard holds."""

from typing import Any

import pytest

from roundelay.orchestrator.data.records import Message, Prompt
from roundelay.orchestrator.prompts.shards import RoundShards


class Store:
    """Prompts that are called by their index."""

    def take(self, indices: Any) -> tuple[Prompt, ...]:
        return tuple(Prompt(id=str(index), messages=(Message(role="user", content="?"),)) for index in indices)


STORE: Any = Store()
SHARDS = RoundShards(round=2, split="heldout", store=STORE, indices=range(10), prompts_per_shard=4)


def ids(shards: RoundShards) -> list[str]:
    return ["".join(prompt.id for prompt in shard.prompts) for shard in shards]


@pytest.mark.parametrize(
    ("prompts", "expected"),
    [
        (0, []),
        (1, ["0"]),
        (4, ["0123"]),
        (6, ["0123", "45"]),
        (10, ["0123", "4567", "89"]),
        (99, ["0123", "4567", "89"]),
    ],
)
def test_the_first_prompts_lie_in_the_same_shards_as_all(prompts: int, expected: list[str]) -> None:
    """So what is committed for a shard holds all that a shard of the first ones asks about."""
    first = SHARDS.first(prompts)
    assert ids(first) == expected and len(first) == len(expected)
    assert [(shard.round, shard.split, shard.index) for shard in first] == [
        (2, "heldout", index) for index in range(len(expected))
    ]
