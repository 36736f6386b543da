"""Files put in place whole: who may read them, and what killed writers leave."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from neuroflow.cluster.files import Access, remove_stale_drafts, rewrite, sync_tree, write_atomically

TWO_DAYS_SECONDS = 48 * 3600.0


def left(folder: Path, name: str, *, age_seconds: float) -> Path:
    path = folder / name
    path.write_text("half")
    then = path.stat().st_mtime - age_seconds
    os.utime(path, (then, then))
    return path


def test_a_rewrite_removes_its_own_old_drafts_and_no_other_file(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    stale = [left(tmp_path, f".report.html.{name}.tmp", age_seconds=TWO_DAYS_SECONDS) for name in ("77", "0a1b2c3d")]
    fresh = left(tmp_path, ".report.html.78.tmp", age_seconds=0)
    others = [
        left(tmp_path, name, age_seconds=TWO_DAYS_SECONDS)
        for name in (".other.html.77.tmp", "report.html.77.tmp", ".report.html.mine.tmp", ".report.html.77.tmp.html")
    ]
    (tmp_path / ".report.html.79.tmp").mkdir()
    rewrite(target, b"whole")
    assert target.read_bytes() == b"whole"
    assert not any(path.exists() for path in stale)
    assert all(path.exists() for path in (fresh, *others, tmp_path / ".report.html.79.tmp"))


def test_an_old_draft_that_is_a_link_goes_and_what_it_points_to_stays(tmp_path: Path) -> None:
    aim = left(tmp_path, "aim", age_seconds=TWO_DAYS_SECONDS)
    link = tmp_path / ".neuroflow.77.new.yaml"
    link.symlink_to(aim)
    then = aim.stat().st_mtime
    os.utime(link, (then, then), follow_symlinks=False)
    remove_stale_drafts(tmp_path / "neuroflow", ending=".new.yaml")
    assert (link.is_symlink(), aim.exists()) == (False, True)


@pytest.mark.parametrize(
    ("access", "mode"), [(Access.AS_FOLDER, 0o600), (Access.AS_UMASK, 0o640), (Access.EVERYBODY, 0o644)]
)
def test_who_may_read_it(tmp_path: Path, access: Access, mode: int) -> None:
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "file", b"x", access=access)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_can_not_be_put_in_place_leaves_no_draft(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(IsADirectoryError):
        rewrite(tmp_path / "file", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_tree_is_brought_to_the_disk_file_by_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [tmp_path / "a.txt", tmp_path / "sub" / ".hidden"]
    files[1].parent.mkdir()
    for path in files:
        path.write_text("x")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to(files[0])
    (tmp_path / "dangling").symlink_to("nowhere")
    synced, fsync = [], os.fsync

    def note(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    sync_tree(tmp_path)
    assert {path.stat().st_ino for path in files} == set(synced) - {(tmp_path / "fifo").stat().st_ino}


def test_a_write_that_was_refused_late_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    (tmp_path / "a.txt").write_text("x")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="quota"):
        sync_tree(tmp_path)
