"""Listings: what is counted, what is passed over, and when the fingerprint changes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from neuroflow.discovery import listing
from neuroflow.discovery.listing import Listing, list_files

IGNORE = ("*.part", ".*")


def look(folder: Path, *, root: Path | None = None) -> Listing:
    return list_files(folder, root=root or folder, ignore=IGNORE)


def names(found: Listing) -> list[str]:
    return [item.relative for item in found.files]


def put(path: Path, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_files_at_every_depth_are_counted_in_order(tmp_path: Path) -> None:
    for name in ("b/2", "b/1", "a/c/9", "0"):
        put(tmp_path / name, b"1234")
    found = look(tmp_path)
    assert names(found) == ["0", "a/c/9", "b/1", "b/2"]
    assert found.bytes == 16
    assert found.newest_mtime == pytest.approx((tmp_path / "b/1").stat().st_mtime, abs=5)


def test_temporary_hidden_and_index_files_are_not_counted(tmp_path: Path) -> None:
    for name in ("IM_1", "IM_2.part", ".sync/IM_3", ".lock", "DICOMDIR", "sub/dicomdir"):
        put(tmp_path / name)
    assert names(look(tmp_path)) == ["IM_1"]


def test_a_folder_that_is_called_like_the_index_is_counted(tmp_path: Path) -> None:
    put(tmp_path / "DICOMDIR" / "IM_1")
    assert names(look(tmp_path)) == ["DICOMDIR/IM_1"]


def test_links_are_followed_within_the_root_only(tmp_path: Path) -> None:
    root = tmp_path / "root"
    put(root / "store" / "IM", b"1234567")
    outside = put(tmp_path / "outside" / "secret")
    session = root / "sub" / "ses"
    session.mkdir(parents=True)
    (session / "inside").symlink_to(root / "store" / "IM")
    (session / "outside").symlink_to(outside)
    (session / "dangling").symlink_to(root / "gone")
    (session / "folder").symlink_to(root / "store")
    (session / "loop").symlink_to(session)
    (session / "itself").symlink_to(session / "itself")
    found = look(session, root=root)
    assert names(found) == ["inside"]
    assert found.files[0].size == 7
    assert found.problems.names(listing.LINK_OUTSIDE) == ("outside",)
    assert found.problems.names(listing.LINK_TO_FOLDER) == ("folder", "loop")
    assert set(found.problems.names(listing.LINK_BROKEN)) == {"dangling", "itself"}


def test_a_pipe_is_a_problem_and_nobody_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    found = look(tmp_path)
    assert names(found) == []
    assert found.problems.lines() == ("neither file nor folder (1): 'pipe'",)


def test_the_fingerprint_changes_with_place_size_and_time_and_with_nothing_else(tmp_path: Path) -> None:
    first, second = put(tmp_path / "IM_1", b"one"), put(tmp_path / "IM_2", b"two")
    start = look(tmp_path).fingerprint()
    put(tmp_path / "IM_3.part")
    put(tmp_path / "DICOMDIR")
    assert look(tmp_path).fingerprint() == start

    stamp = first.stat()
    os.utime(first, ns=(stamp.st_atime_ns, stamp.st_mtime_ns + 1))
    assert look(tmp_path).fingerprint() != start
    os.utime(first, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert look(tmp_path).fingerprint() == start

    times = second.stat()
    second.write_bytes(b"twos")
    os.utime(second, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert look(tmp_path).fingerprint() != start
    second.write_bytes(b"two")
    os.utime(second, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert look(tmp_path).fingerprint() == start

    second.rename(tmp_path / "IM_9")
    assert look(tmp_path).fingerprint() != start


def test_names_that_are_no_utf_8_are_counted_and_shown_escaped(tmp_path: Path) -> None:
    put(Path(os.fsdecode(os.fsencode(tmp_path) + b"/IM_\xff")))
    found = look(tmp_path)
    assert len(found.files) == 1
    assert len(found.fingerprint()) == 40


def test_a_folder_that_can_not_be_listed_is_named(ordinary_user_root: Path) -> None:
    put(ordinary_user_root / "open" / "IM")
    put(ordinary_user_root / "closed" / "IM")
    (ordinary_user_root / "closed").chmod(0o000)
    found = look(ordinary_user_root)
    assert names(found) == ["open/IM"]
    assert found.problems.names(listing.UNLISTABLE) == ("closed",)


def test_a_session_folder_that_can_not_be_listed_does_not_pass_for_empty(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        look(tmp_path / "gone")


def test_at_most_twenty_names_are_spelled_out(tmp_path: Path) -> None:
    for number in range(25):
        (tmp_path / f"l{number:02d}").symlink_to("nowhere")
    (line,) = look(tmp_path).problems.lines()
    assert line.startswith("link to nothing (25): 'l00', 'l01'")
    assert line.endswith("'l19' and 5 more")
