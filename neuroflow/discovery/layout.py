"""Find the session folders: two folder levels below the DICOM root, in either order."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from neuroflow.discovery.listing import is_ignored
from neuroflow.discovery.problems import name_all
from neuroflow.errors import DiscoveryError
from neuroflow.wording import counted

Layout = Literal["subject/session", "session/subject"]


@dataclass(frozen=True)
class SessionFolder:
    """A folder at the second level; `relative` is its place below the root."""

    path: Path
    relative: str
    subject_name: str
    session_name: str
    is_link: bool  # it, or the folder above it


@dataclass(frozen=True)
class _Folder:
    path: Path
    is_link: bool


def session_folders(
    root: Path, *, layout: Layout, ignore: Sequence[str], expected_files: frozenset[Path] = frozenset()
) -> tuple[list[SessionFolder], list[str]]:
    """Return the session folders, sorted, and what is wrong in the two levels above them, in words.

    Raises:
        DiscoveryError: when the root can't be listed: a lost mount must not look like a root without sessions.
    """
    survey = _Survey(root, tuple(ignore), expected_files)
    try:
        first_level = survey.folders(root)
    except OSError as error:
        raise DiscoveryError(
            f"paths.dicom_root '{root}' can't be listed: {error.strerror or error}",
            hint="check that the file system is mounted and that this user may read it",
        ) from error
    found = []
    for outer in first_level:
        try:
            inner_folders = survey.folders(outer.path)
        except OSError as error:
            name = outer.path.name
            survey.problems.append(f"folder {name!r} can't be listed ({error.strerror}): allow this user to read it")
            continue
        found += [_session(root, outer, inner, layout) for inner in inner_folders]
    kept = _without_doubles(found, survey.problems)
    return kept, survey.problems


def _session(root: Path, outer: _Folder, inner: _Folder, layout: Layout) -> SessionFolder:
    names = (outer.path.name, inner.path.name)
    subject_name, session_name = names if layout == "subject/session" else names[::-1]
    return SessionFolder(
        path=inner.path,
        relative=inner.path.relative_to(root).as_posix(),
        subject_name=subject_name,
        session_name=session_name,
        is_link=outer.is_link or inner.is_link,
    )


class _Survey:
    """The folders of one level after the other, with what was passed over."""

    def __init__(self, root: Path, ignore: tuple[str, ...], expected_files: frozenset[Path]) -> None:
        self.root = root
        self.real_root = Path(os.path.realpath(root))
        self.ignore = ignore
        self.expected_files = expected_files
        self.problems: list[str] = []

    def folders(self, folder: Path) -> list[_Folder]:
        with os.scandir(folder) as entries:
            counted = sorted((e for e in entries if not is_ignored(e.name, self.ignore)), key=lambda e: e.name)
        found, files = [], []
        for entry in counted:
            path = folder / entry.name
            if entry.is_dir(follow_symlinks=False):
                found.append(_Folder(path, is_link=False))
            elif entry.is_symlink() and (path.is_dir() or not path.exists()):
                found += self._link(path)
            elif path not in self.expected_files:
                files.append(entry.name)
        if files:
            self._report_files(folder, files)
        return found

    def _link(self, path: Path) -> list[_Folder]:
        target = Path(os.path.realpath(path))
        shown = path.relative_to(self.root).as_posix()
        if not target.is_relative_to(self.real_root):
            self.problems.append(
                f"{shown!r} is a link that leaves the DICOM root, not followed: "
                "only links to folders below paths.dicom_root are"
            )
        elif not target.exists():
            self.problems.append(f"{shown!r} is a link to nothing: remove it, or restore its target")
        else:
            return [_Folder(path, is_link=True)]
        return []

    def _report_files(self, folder: Path, files: list[str]) -> None:
        place = "the DICOM root" if folder == self.root else f"folder {folder.name!r}"
        self.problems.append(
            f"{place} holds {counted(len(files), 'file')} outside of any session folder, not looked "
            f"at: {name_all(files)}; images belong two levels below paths.dicom_root"
        )


def _without_doubles(found: Sequence[SessionFolder], problems: list[str]) -> list[SessionFolder]:
    """Leave out links to a session that is there anyway, or to a folder around or inside of one."""
    # Real folders first: of a session and a link to it, the session is kept.
    reals: dict[Path, SessionFolder] = {}
    above: set[Path] = set()
    for item in sorted(found, key=lambda item: (item.is_link, item.relative)):
        real = Path(os.path.realpath(item.path)) if item.is_link else item.path.resolve()
        other = reals.get(real) or next((reals[parent] for parent in real.parents if parent in reals), None)
        if other is not None:
            problems.append(
                f"{item.relative!r} is a link to session folder {other.relative!r}: it is not looked at twice"
            )
        elif real in above:
            problems.append(f"{item.relative!r} is a link to a folder that holds other session folders, not followed")
        else:
            reals[real] = item
            above.update(real.parents)
    return sorted(reals.values(), key=lambda item: item.relative)
