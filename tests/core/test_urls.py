"""Database URLs: what is taken, what is refused, and that no secret shows."""

from __future__ import annotations

import pytest

from neuroflow.core.urls import masked, parse_url, secrets_of
from neuroflow.errors import ConfigError


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_postgresql_gets_its_driver(scheme: str) -> None:
    assert parse_url(f"{scheme}://user@host/name").drivername == "postgresql+psycopg"


@pytest.mark.parametrize(
    "text",
    ["mysql://user:hunter2@host/x", "not a url: hunter2", "postgresql://u:hunter2@host:hunter2port/x", "sqlite://"],
)
def test_an_unusable_url_is_refused_without_its_secrets(text: str) -> None:
    with pytest.raises(ConfigError, match=r"database\.url") as caught:
        parse_url(text)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_relative_file_is_refused_because_services_start_in_different_folders() -> None:
    with pytest.raises(ConfigError, match=r"relative file 'state\.db'"):
        parse_url("sqlite:///state.db")


def test_passwords_are_masked_wherever_they_stand() -> None:
    url = parse_url("postgresql://user:hunter2@host/name?sslpassword=hunter3&sslmode=require")
    assert secrets_of(url) == ("hunter2", "hunter3")
    assert "hunter" not in masked(url)
    assert "user:***@host/name" in masked(url)
    assert "sslmode=require" in masked(url)
