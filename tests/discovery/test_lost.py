"""Known sessions whose folder is gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from neuroflow.discovery.lost import is_gone, lost_folders
from neuroflow.domain import KnownSession, LostFolder
from tests.support.states import found


def known(path: Path, subject: str = "01", session: str = "a") -> KnownSession:
    return KnownSession(str(path), subject, session, "f1", (), (), 1, 1, 0.0)


def test_only_those_that_are_gone_and_were_not_found_under_another_name(tmp_path: Path) -> None:
    there = tmp_path / "ignored"
    there.mkdir()
    sessions = [
        known(tmp_path / "sub-02" / "ses-a", "02"),
        known(tmp_path / "sub-01" / "old", "01"),  # its folder was renamed
        known(there, "03"),
    ]
    assert lost_folders(sessions, [found()]) == (LostFolder("sub-02/ses-a", f"{tmp_path}/sub-02/ses-a"),)


def test_a_scan_that_found_nothing_names_none(tmp_path: Path) -> None:
    assert lost_folders([known(tmp_path / "gone")], []) == ()


def test_a_link_to_what_is_away_is_not_gone(tmp_path: Path) -> None:
    (tmp_path / "sub-01").symlink_to(tmp_path / "not-mounted")
    assert not is_gone(tmp_path / "sub-01" / "ses-a")


@pytest.mark.parametrize("name", ["x" * 300, "a\0b"])
def test_what_can_not_be_looked_at_is_not_gone(tmp_path: Path, name: str) -> None:
    assert not is_gone(tmp_path / name)
