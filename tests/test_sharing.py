"""What is one user's alone, and what a group shares, whatever the umask."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from neuroflow import sharing


@pytest.fixture(params=[0o000, 0o022, 0o077])
def _umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.fixture
def _shares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "_process", sharing._Process(shares=True))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def make(folder: Path) -> tuple[int, int]:
    """Make a folder and a file inside it; return their modes."""
    sharing.make_folder(folder)
    os.close(sharing.open_private(folder / "file", os.O_WRONLY | os.O_CREAT))
    return mode(folder), mode(folder / "file")


@pytest.mark.usefixtures("_umask", "_shares")
def test_what_is_made_in_a_shared_folder_is_the_groups_and_nobody_elses(tmp_path: Path) -> None:
    tmp_path.chmod(0o2770)
    assert make(tmp_path / "a") == (0o2770, 0o660)
    assert make(tmp_path / "a" / "b") == (0o2770, 0o660)


@pytest.mark.usefixtures("_umask", "_shares")
@pytest.mark.parametrize("around", [0o700, 0o770, 0o2775, 0o2777, 0o755])
def test_what_is_made_in_any_other_folder_is_its_owners_alone(tmp_path: Path, around: int) -> None:
    tmp_path.chmod(around)
    assert make(tmp_path / "a") == (0o700, 0o600)


@pytest.mark.usefixtures("_umask")
def test_a_folder_that_its_site_made_for_a_group_changes_nothing_by_itself(tmp_path: Path) -> None:
    tmp_path.chmod(0o2770)
    assert make(tmp_path / "a") == (0o700, 0o600)


def test_root_is_a_member_and_an_unknown_user_is_not() -> None:
    assert sharing.is_member(0, 12345)
    assert not sharing.is_member(4_000_000, os.getgid())
    assert sharing.group_id("no-such-group") is None
    assert sharing.user_name(4_000_000) == ""
