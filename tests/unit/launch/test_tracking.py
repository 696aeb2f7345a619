"""What leaves the machine with a tracker: everything but secrets."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roundelay.launch.run.tracking import without_secrets

SECRET_NAMES = st.builds(
    "{}{}{}".format,
    st.sampled_from(["", "hub_", "WANDB_API_", "aws_"]),
    st.sampled_from(["key", "token", "secret", "password", "credential", "KEY", "Token"]),
    st.sampled_from(["", "_id", "_1"]),
)
INNOCENT = st.sampled_from(["name", "max_tokens", "tokenizer", "keyboard", "monkey", "secretary", "id_column", "root"])


@given(path=st.lists(INNOCENT, max_size=3), name=SECRET_NAMES, in_list=st.booleans())
def test_an_entry_that_is_named_like_a_secret_is_left_out_at_any_depth(
    path: list[str], name: str, in_list: bool
) -> None:
    values: Any = {name: "hunter2", "kept": "value"}
    expected: Any = {"kept": "value"}
    for key in path:
        values, expected = ({key: [values] if in_list else values}, {key: [expected] if in_list else expected})
    assert without_secrets(values) == expected


def test_entries_that_only_sound_like_secrets_are_kept() -> None:
    values = {"max_tokens": 48, "tokenizer": "t", "monkey": 1, "keep_policies": None, "keys": [1], "passwordless": True}
    assert without_secrets(values) == values


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("s3://me:pw@host/bucket/run", "s3://host/bucket/run"),
        ("https://token@host:8080", "https://host:8080"),
        ("ftp://me:p@ss@host/a@b", "ftp://host/a@b"),  # the last @ of the authority ends the password
        ("s3://bucket/run@2", "s3://bucket/run@2"),
        ("file:///data/run", "file:///data/run"),
        ("/data/a@b", "/data/a@b"),
        ("me@example.org", "me@example.org"),
    ],
)
def test_user_and_password_are_cut_from_urls_and_nothing_else_is(url: str, shown: str) -> None:
    assert without_secrets(url) == shown
    assert without_secrets({"run": {"roots": [url]}}) == {"run": {"roots": [shown]}}


def test_values_of_other_types_stay_as_they_are_and_the_input_is_not_changed() -> None:
    values = {"a": [1, 2.5, None, True], "pair": ("x", {"token": "t"}), "token": "t"}
    assert without_secrets(values) == {"a": [1, 2.5, None, True], "pair": ["x", {}]}
    assert values == {"a": [1, 2.5, None, True], "pair": ("x", {"token": "t"}), "token": "t"}
