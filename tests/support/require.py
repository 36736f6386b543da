"""Skip a test whose service is missing, visibly, or fail it where the service was promised."""

from __future__ import annotations

import os

import pytest


def require(name: str, available: bool, how: str) -> None:
    """Skip the test unless `name` is available; fail it when NEUROFLOW_REQUIRE lists the name.

    Args:
        how: how to make it available, in words.
    """
    if available:
        return
    promised = [item.strip() for item in os.environ.get("NEUROFLOW_REQUIRE", "").split(",")]
    if name in promised:
        pytest.fail(f"NEUROFLOW_REQUIRE promises {name}, and it is not here: {how}", pytrace=False)
    pytest.skip(f"{name} is not here: {how}")
