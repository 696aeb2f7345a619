"""A run goes on only with parts that mean what they meant when it began."""

from typing import get_args

import pytest
from support.configs import base, changed, phase, with_phases

from roundelay.orchestrator.config.part_versions import check_part_versions, part_versions
from roundelay.orchestrator.errors import ConfigError
from roundelay.orchestrator.parts.registry import Group, kinds
from roundelay.recipes import shipped  # noqa: F401 - registers all kinds

GROUPS = get_args(Group)


# What has come to mean something else since 0.1: a part that lost its number would go on with other rounds unseen.
SECOND = {
    "judge": {
        "additive", "rating", "checklist", "critique", "attributes", "pairwise", "meta", "truth", "endpoint", "panel",
        "annotators",
    },
    "generation": {"revise", "judgments", "given", "given_and_sampled"},
    "pairing": {
        "best_worst", "sweet_spot", "worst_of_few", "length_controlled", "wpo_ties", "by_choice", "function", "cream",
        "sppo", "agreement", "anchored", "future_guided", "with_source", "right", "right_over_wrong", "group",
    },
}  # fmt: skip


@pytest.mark.parametrize("group", GROUPS)
def test_a_part_keeps_its_number(group: Group) -> None:
    versions = {kind: cls.version for kind, cls in kinds(group).items() if cls.__module__.startswith("roundelay.")}
    assert versions == {kind: 2 if kind in SECOND.get(group, ()) else 1 for kind in versions}
    assert SECOND.get(group, set()) <= versions.keys()


def test_the_parts_of_all_phases_are_recorded() -> None:
    config = with_phases(first=phase(rounds=1), second=phase(learner__warmup_fraction=0.1))
    recorded = part_versions(config)
    assert recorded["learner.warmup"] == 2
    assert {part.partition(".")[0] for part in recorded} == {*GROUPS, "learner"}
    assert "learner.warmup" not in part_versions(changed(base(), learner__warmup_fraction=0.0))


def test_a_run_that_recorded_no_versions_began_with_the_first_ones() -> None:
    config = changed(base(), learner__warmup_fraction=0.1)
    with pytest.raises(ConfigError, match=r"learner\.warmup \(version 1, here 2\)") as caught:
        check_part_versions(config, {}, "0.1.0")
    assert "roundelay 0.1.0" in caught.value.remedy
    check_part_versions(config, part_versions(config), "0.2.0")
