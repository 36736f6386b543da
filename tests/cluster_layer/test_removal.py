"""Deleting a folder deletes that folder, whatever links, mounts and odd permissions are put in the way."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from neuroflow.cluster.removal import TRASH_PREFIX, folders_in, remove, remove_if_empty, size_of

NOBODY = 65534


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with a folder `a/b` that holds something."""
    folder = tmp_path / "root"
    (folder / "a" / "b" / "deep").mkdir(parents=True)
    (folder / "a" / "b" / "deep" / "file").write_bytes(b"x" * 100_000)
    return folder


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder that must survive."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "precious").write_text("precious")
    return folder


def test_a_folder_goes_and_its_neighbours_stay(root: Path) -> None:
    (root / "a" / "c").mkdir()
    size = size_of(root, ("a", "b"))
    assert size >= 100_000
    assert remove(root, ("a", "b")) == size
    assert folders_in(root, ("a",)) == ["c"]


def test_links_inside_are_deleted_and_not_followed(root: Path, outside: Path) -> None:
    (root / "a" / "b" / "link").symlink_to(outside)
    (root / "a" / "b" / "deep" / "file-link").symlink_to(outside / "precious")
    size_before = size_of(root, ("a", "b"))
    (outside / "large").write_bytes(b"x" * 1_000_000)
    assert size_of(root, ("a", "b")) == size_before
    remove(root, ("a", "b"))
    assert not (root / "a" / "b").exists()
    assert (outside / "precious").read_text() == "precious"


def test_a_link_in_the_place_of_the_folder_is_left_alone(root: Path, outside: Path) -> None:
    (root / "a" / "link").symlink_to(outside)
    with pytest.raises(OSError, match="no folder"):
        remove(root, ("a", "link"))
    assert (root / "a" / "link").is_symlink()
    assert (outside / "precious").exists()


def test_a_link_on_the_way_ends_it(root: Path, outside: Path) -> None:
    (outside / "b").mkdir()
    (root / "linked").symlink_to(outside)
    with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
        remove(root, ("linked", "b"))
    assert (outside / "b").is_dir()


@pytest.mark.parametrize("parts", [(), ("..",), ("a", ".."), (".",), ("a", "b/deep"), ("a", ""), ("..", "outside")])
def test_a_path_that_leaves_the_root_is_refused(parts: tuple[str, ...], root: Path, outside: Path) -> None:
    with pytest.raises(OSError, match=r"not deleted|no name"):
        remove(root, parts)
    assert (root / "a" / "b" / "deep" / "file").exists()
    assert (outside / "precious").exists()


def test_what_a_killed_clean_up_left_is_trash_and_can_be_deleted(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    killed.avoids_symlink_attacks = True  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            remove(root, ("a", "b"))
    (trash,) = folders_in(root, ("a",))
    assert trash.startswith(TRASH_PREFIX)
    remove(root, ("a", trash))
    assert folders_in(root, ("a",)) == []


def test_a_system_without_safe_deletion_deletes_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil.rmtree, "avoids_symlink_attacks", False)
    with pytest.raises(OSError, match="can't delete folders without following links"):
        remove(root, ("a", "b"))
    assert (root / "a" / "b").is_dir()


def test_a_full_folder_is_not_empty(root: Path) -> None:
    assert not remove_if_empty(root, ("a",))
    remove(root, ("a", "b"))
    assert remove_if_empty(root, ("a",))


@pytest.fixture
def ordinary(root: Path) -> Iterator[Path]:
    """The same root where everybody may look, and this test without root's powers over permissions."""
    if os.geteuid() != 0:
        yield root
        return
    folder = Path(tempfile.mkdtemp(prefix="nfremoval-"))
    shutil.copytree(root, folder / "root")
    for path in (folder, *folder.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    os.seteuid(NOBODY)
    try:
        yield folder / "root"
    finally:
        os.seteuid(0)
        shutil.rmtree(folder)


def test_folders_that_a_tool_made_read_only_go_too(ordinary: Path) -> None:
    target = ordinary / "a" / "b"
    (target / "deep" / "deeper").mkdir()
    (target / "deep" / "deeper" / "file").write_text("x")
    for folder in (target / "deep" / "deeper", target / "deep", target):
        folder.chmod(0o500)
    with pytest.raises(PermissionError):
        (target / "deep" / "file").unlink()
    remove(ordinary, ("a", "b"))
    assert not target.exists()
