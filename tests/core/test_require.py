"""A missing service skips a test visibly, or fails it where the service was promised."""

from __future__ import annotations

import pytest

from tests.support.require import require


def test_what_is_available_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROFLOW_REQUIRE", "postgres")
    require("postgres", True, "install it")


@pytest.mark.parametrize("promised", ["", "slurm", "postgresql"])
def test_what_was_not_promised_is_skipped_with_the_reason(monkeypatch: pytest.MonkeyPatch, promised: str) -> None:
    monkeypatch.setenv("NEUROFLOW_REQUIRE", promised)
    with pytest.raises(pytest.skip.Exception, match="postgres is not here: install it"):
        require("postgres", False, "install it")


@pytest.mark.parametrize("promised", ["postgres", "slurm, postgres"])
def test_what_was_promised_fails(monkeypatch: pytest.MonkeyPatch, promised: str) -> None:
    monkeypatch.setenv("NEUROFLOW_REQUIRE", promised)
    with pytest.raises(pytest.fail.Exception, match="promises postgres"):
        require("postgres", False, "install it")
