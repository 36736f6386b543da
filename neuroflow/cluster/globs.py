"""Match paths below a folder against POSIX globs; standard library only, because jobs import it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from neuroflow.cluster.files import exists

_ANY_DEPTH = "**"
_WILDCARD = re.compile(r"[*?\[]")
_VISIBLE = r"(?!\.)"  # a leading dot has to be written out, as in a shell


@lru_cache(maxsize=512)
def compiled(pattern: str) -> re.Pattern[str]:
    """Compile a glob: `*` and `?` stop at slashes, `**` stands for any number of folders."""
    segments = [segment for segment in pattern.split("/") if segment not in ("", ".")]
    parts = []
    for index, segment in enumerate(segments):
        last = index == len(segments) - 1
        if segment == _ANY_DEPTH:
            parts.append(rf"(?:{_VISIBLE}[^/]+/)*" + (rf"{_VISIBLE}[^/]+" if last else ""))
        else:
            parts.append(_segment(segment) + ("" if last else "/"))
    return re.compile("".join(parts), re.DOTALL)


def matches(path: str, pattern: str) -> bool:
    """Tell whether a relative path, with slashes, is one that the glob names."""
    return compiled(pattern).fullmatch(path) is not None


def owned_names(root: Path, pattern: str) -> Iterator[str]:
    """Yield the relative paths below a dataset that a pattern of owned names leads to.

    Two rules go beyond a glob's. A `*` after a letter or digit does not go on with one: `ses-1*` never owns
    `ses-10.html`. And `**` leaves other subjects' folders out: a dataset may hold millions of files.
    """
    segments = [segment for segment in pattern.split("/") if segment not in ("", ".")]
    yield from _expand(root, "", segments)


def _expand(root: Path, prefix: str, segments: Sequence[str]) -> Iterator[str]:
    if not segments:
        yield prefix.rstrip("/")
        return
    head, rest = segments[0], segments[1:]
    if head == _ANY_DEPTH:
        if rest:
            yield from _expand(root, prefix, rest)
        for entry in _entries(root, prefix):
            if entry.name.startswith("."):
                continue
            if not rest:
                yield prefix + entry.name
            elif entry.is_dir(follow_symlinks=False) and not _is_foreign(entry.name, rest):
                yield from _expand(root, f"{prefix}{entry.name}/", segments)
    elif not _WILDCARD.search(head):
        if exists(root / prefix / head):
            yield from _expand(root, f"{prefix}{head}/", rest)
    else:
        wanted = re.compile(_segment(head, whole_labels=True), re.DOTALL)
        for entry in _entries(root, prefix):
            if wanted.fullmatch(entry.name) and (not rest or entry.is_dir(follow_symlinks=False)):
                yield from _expand(root, f"{prefix}{entry.name}/", rest)


def _is_foreign(name: str, segments: Sequence[str]) -> bool:
    return name.startswith("sub-") and not any(name in segment for segment in segments)


def _entries(root: Path, prefix: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(root / prefix) as scan:
            return sorted(scan, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _segment(text: str, *, whole_labels: bool = False) -> str:
    result = _VISIBLE if text[0] in "*?[" else ""
    index = 0
    while index < len(text):
        character = text[index]
        closing = text.find("]", index + 2) if character == "[" else -1
        if closing > 0:
            body = text[index + 1 : closing].replace("\\", r"\\").replace("[", r"\[")
            result += f"[^/{body[1:]}]" if body[0] in "!^" else f"(?!/)[{body}]"
            index = closing
        elif character == "*" and whole_labels and index > 0 and text[index - 1].isalnum():
            result += "(?![A-Za-z0-9])[^/]*"
        else:
            result += {"*": "[^/]*", "?": "[^/]"}.get(character) or re.escape(character)
        index += 1
    return result


def walk(root: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield everything below a folder, each folder before what it holds, by its relative path."""
    yield from _walk(root, "")


def _walk(folder: Path, prefix: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    with os.scandir(folder) as scan:
        entries = sorted(scan, key=lambda entry: entry.name)
    for entry in entries:
        path = prefix + entry.name
        yield path, entry
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path), path + "/")


def files_matching(root: Path, pattern: str) -> list[str]:
    """Return the relative paths of the non-empty files, or links to some, that the glob names below a folder."""
    if not root.is_dir():
        return []
    return [path for path, entry in walk(root) if matches(path, pattern) and _is_filled(Path(entry.path))]


def listed_matching(root: Path, pattern: str, *, names: Sequence[str]) -> list[str]:
    """Do as `files_matching`, looking at these files and into these folders alone."""
    paths = [path for name in names for path in (name, *_below(root, name))]
    return [path for path in paths if matches(path, pattern) and _is_filled(root / path)]


def _below(root: Path, name: str) -> Iterator[str]:
    if (root / name).is_dir() and not (root / name).is_symlink():
        yield from (path for path, _ in _walk(root / name, f"{name}/"))


def _is_filled(path: Path) -> bool:
    try:
        return path.is_file() and path.stat().st_size > 0
    except OSError:
        return False
