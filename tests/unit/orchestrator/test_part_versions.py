"""A run goes on only with parts that mean what they meant when it began."""

import pytest
from support.configs import base, changed, phase, with_phases

from roundelay.orchestrator.config.part_versions import check_part_versions, part_versions
from roundelay.orchestrator.errors import ConfigError

GROUPS = ("new_prompts", "generation", "judge", "pairing", "filter", "conditioning", "objective")


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
