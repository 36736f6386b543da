"""Fill a folder with links to a session's images alone: `python -m neuroflow.discovery.stage SOURCE TARGET`.

HeudiConv stops at the private files and presentation states that scanners put between the images, and at packed
ones. The links are numbered in one flat folder: names on disk can repeat between series folders, and HeudiConv tells
series apart by their headers.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from neuroflow.config.sections import Discovery
from neuroflow.discovery.dicom import Header, Trouble, open_plain, read_header
from neuroflow.discovery.listing import UNLISTABLE, CountedFile, list_files
from neuroflow.discovery.problems import Problems
from neuroflow.domain import FOLDER_GONE
from neuroflow.errors import DiscoveryError, NeuroflowError, NotFoundError, UsageError

STAGED_NAME = re.compile(r"[0-9]{6,}\.dcm", re.ASCII)
NOT_AN_IMAGE = "not an image"
COPY_BYTES = 1 << 20


@dataclass(frozen=True)
class Staging:
    """What to stage: `root` bounds the links that are followed; `link_prefix` is SOURCE's path in the container."""

    source: Path
    target: Path
    root: Path
    ignore: tuple[str, ...]
    link_prefix: str | None = None


@dataclass(frozen=True)
class _Image:
    file: CountedFile
    is_packed: bool


def stage(staging: Staging) -> tuple[int, tuple[str, ...]]:
    """Make TARGET anew with one numbered entry per image; return how many, and what was left out, in lines.

    Raises:
        UsageError: when TARGET holds something else, or one of the folders lies in the other.
        NotFoundError: when there is no image.
        DiscoveryError: when something can't be opened, so that a part of a scan might be left out.
    """
    _check_folders(staging)
    images, left_out = _images(staging)
    if not images:
        raise NotFoundError(f"no DICOM image below '{staging.source}'" + "".join(f"\n  {line}" for line in left_out))
    _make_fresh(staging.target)
    for number, image in enumerate(images, start=1):
        _place(staging, image, staging.target / f"{number:06d}.dcm")
    return len(images), left_out


def _check_folders(staging: Staging) -> None:
    source, target = staging.source.resolve(), staging.target.resolve()
    if source.is_relative_to(target) or target.is_relative_to(source):
        raise UsageError(f"SOURCE '{staging.source}' and TARGET '{staging.target}' must lie outside of each other")
    if not target.exists():
        return
    strangers = [path.name for path in target.iterdir() if not STAGED_NAME.fullmatch(path.name)]
    if strangers:
        raise UsageError(
            f"TARGET '{staging.target}' is made anew, but holds {strangers[0]!r}: name a folder of its own"
        )


def _images(staging: Staging) -> tuple[list[_Image], tuple[str, ...]]:
    try:
        listing = list_files(staging.source, root=staging.root, ignore=staging.ignore)
    except FileNotFoundError as error:
        raise DiscoveryError(f"{FOLDER_GONE}: {staging.source}") from error
    except OSError as error:
        raise DiscoveryError(f"'{staging.source}' can't be listed: {error.strerror or error}") from error
    problems = Problems()
    problems.extend(listing.problems)
    images = []
    for item in listing.files:
        header = read_header(staging.source / item.relative)
        if not isinstance(header, Header):
            problems.add(header.trouble, item.relative)
        elif header.is_image:
            images.append(_Image(item, header.is_packed))
        else:
            problems.add(NOT_AN_IMAGE, item.relative)
    if any(problems.names(kind) for kind in (UNLISTABLE, Trouble.UNOPENED)):
        raise DiscoveryError(
            f"a part of '{staging.source}' can't be opened: {'; '.join(problems.lines())}",
            hint="allow this user to read it, or add it to discovery.ignore",
        )
    return images, problems.lines()


def _make_fresh(target: Path) -> None:
    if target.exists():
        shutil.rmtree(target)
    target.mkdir(parents=True)


def _place(staging: Staging, image: _Image, entry: Path) -> None:
    path = staging.source / image.file.relative
    if image.is_packed or (image.file.is_link and staging.link_prefix is not None):
        # A link out of SOURCE would lead nowhere in the container, which sees SOURCE alone.
        _copy(path, entry)
    elif staging.link_prefix is not None:
        entry.symlink_to(f"{staging.link_prefix.rstrip('/')}/{image.file.relative}")
    else:
        entry.symlink_to(path.absolute())


def _copy(path: Path, entry: Path) -> None:
    try:
        with open_plain(path) as plain, entry.open("wb") as copy:
            shutil.copyfileobj(plain, copy, COPY_BYTES)
    except (OSError, EOFError, ValueError) as error:
        raise DiscoveryError(f"'{path}' can't be unpacked or copied: {error}") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Stage, print what was left out, and return the exit code (3: no image)."""
    options = _parser().parse_args(arguments)
    source = options.source.absolute()
    staging = Staging(
        source=source,
        target=options.target,
        # Discovery finds sessions two levels below its root, and follows links within that.
        root=options.root or source.parent.parent,
        ignore=tuple(options.ignore) if options.ignore is not None else Discovery().ignore,
        link_prefix=options.link_prefix,
    )
    try:
        count, left_out = stage(staging)
    except NeuroflowError as error:
        print(f"error: {error}" + (f"\nhint: {error.hint}" if error.hint else ""), file=sys.stderr)
        return error.exit_code
    for line in left_out:
        print(f"left out: {line}", file=sys.stderr)
    print(f"staged {count} images")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m neuroflow.discovery.stage", description="Fill TARGET with links to the DICOM images of SOURCE."
    )
    parser.add_argument("source", type=Path, metavar="SOURCE", help="session folder")
    parser.add_argument("target", type=Path, metavar="TARGET", help="folder to make anew; it must hold nothing else")
    parser.add_argument("--link-prefix", metavar="PREFIX", help="path of SOURCE where the links are used")
    parser.add_argument("--root", type=Path, help="follow links within this folder (default: two levels above SOURCE)")
    parser.add_argument("--ignore", action="append", metavar="GLOB", help="name to leave out; may be repeated")
    return parser


if __name__ == "__main__":
    sys.exit(main())
