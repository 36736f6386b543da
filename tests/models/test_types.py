"""Text and JSON as both databases can keep them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from neuroflow.models.types import storable, to_json


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("Präparat ✓", "Präparat ✓"),
        ("a\x00b", "a\ufffdb"),
        ("caf\udce9", "caf\\udce9"),
        ("", ""),
        ("line\nline", "line\nline"),
    ],
)
def test_only_what_a_database_refuses_is_replaced(text: str, stored: str) -> None:
    assert storable(text) == stored
    assert storable(stored) == stored


def test_numbers_that_json_lacks_become_words() -> None:
    value = {"a": float("nan"), "b": [float("-inf"), 1.5], "c": {"d": float("inf")}, "e": 3}
    assert json.loads(to_json(value)) == {"a": "nan", "b": ["-inf", 1.5], "c": {"d": "inf"}, "e": 3}


def test_what_json_does_not_know_becomes_text() -> None:
    value = {"path": Path("/a"), "at": datetime(2026, 3, 1, tzinfo=UTC)}
    assert json.loads(to_json(value)) == {"path": "/a", "at": "2026-03-01 00:00:00+00:00"}
