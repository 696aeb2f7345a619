"""Judges within a judge: whatever kind has the traits for it, a user's own too."""

from typing import Literal

import pytest
from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from support.configs import AB, ANNOTATORS, ENDPOINT, EXPECTED, PANEL, changed

from roundelay.orchestrator.fields import STRICT
from roundelay.orchestrator.parts import registry
from roundelay.orchestrator.parts.judge import AnyJudge, JudgePart


@dataclass(frozen=True, kw_only=True, slots=True, config=STRICT)
class Mine(JudgePart):
    """A user's, which scores, compares or asks for text, as the traits say."""

    kind: Literal["mine"]


def registered(monkeypatch: pytest.MonkeyPatch, **traits: bool) -> JudgePart:
    """One of a kind that has these traits."""
    kind = type("Mine", (Mine,), {"__slots__": (), **traits})
    monkeypatch.setitem(registry._KINDS["judge"], "mine", kind)
    return TypeAdapter(AnyJudge).validate_python({"kind": "mine"})


@pytest.mark.parametrize(
    ("outer", "trait", "place"),
    [
        (PANEL, "joins_panels", {"members": {"one": EXPECTED, "own": {"kind": "mine"}}}),
        (ANNOTATORS, "annotates", {"members": {"one": AB, "own": {"kind": "mine"}}}),
        (ENDPOINT, "text_alone", {"judge": {"kind": "mine"}}),
    ],
    ids=lambda case: getattr(case, "kind", ""),
)
def test_a_judge_takes_a_users_kind_for_its_trait(
    outer: JudgePart, trait: str, place: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = registered(monkeypatch, **{trait: True})
    whole = changed(outer, **place)
    assert own in whole.inner().values()
    assert hash(whole) == hash(changed(outer, **place))
    as_json = TypeAdapter(AnyJudge).dump_json(whole)
    assert TypeAdapter(AnyJudge).validate_json(as_json, strict=True) == whole

    registered(monkeypatch)
    with pytest.raises(ValidationError, match="'mine'"):
        changed(outer, **place)
