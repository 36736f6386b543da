"""Look at the DICOM root and say which sessions are there, opening only what has changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from neuroflow.config.paths import Paths
from neuroflow.config.sections import Discovery, Protocol
from neuroflow.discovery.claims import Claims
from neuroflow.discovery.dicom import Header, Refusal, Trouble, read_header
from neuroflow.discovery.layout import SessionFolder, session_folders
from neuroflow.discovery.listing import UNLISTABLE, Listing, list_files, short_digest
from neuroflow.discovery.naming import Labels, Unnamed, make_namer
from neuroflow.discovery.problems import Problems, name_all
from neuroflow.discovery.series import SeriesTally
from neuroflow.discovery.validator import SessionValidator
from neuroflow.domain import FoundSession, KnownSession, Series

ReadHeader = Callable[[Path, tuple[str, ...]], Header | Refusal]

# A fingerprint is a hash of the files' stat, then these two parts where there is something to say.
UNOPENED_MARK = "-"  # a hash of what could not be opened: the next scan has to try again, whatever stat says
IDENTITY_MARK = "."  # a hash of the DICOM field behind the subject label: two people must not become one subject


@dataclass(frozen=True)
class ScanReport:
    """The sessions of one scan, sorted by path, and the folders that are none, in words."""

    found: tuple[FoundSession, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class _Contents:
    """What the headers of one session say."""

    fingerprint: str
    series: tuple[Series, ...]
    problems: tuple[str, ...]
    unopened: tuple[str, ...]
    values: Mapping[str, tuple[str, ...]]


class SessionScanner:
    """Finds session folders, names them, and counts their series; never writes."""

    def __init__(
        self, paths: Paths, discovery: Discovery, protocol: Protocol, *, read: ReadHeader = read_header
    ) -> None:
        self._root = paths.dicom_root.absolute()
        self._discovery = discovery
        self._validator = SessionValidator(protocol)
        self._read = read

    def scan(self, known: Mapping[str, KnownSession]) -> ScanReport:
        """Look at every session folder; those whose fingerprint is in `known` (by path) are not opened.

        Where two folders give the same labels the known one is kept, then the first in sorted order: a folder that
        arrives later must not take the place of data that may have been processed. With labels from DICOM headers
        a known, unchanged session keeps its labels.

        Raises:
            DiscoveryError: when the DICOM root, or the label file, can't be read.
        """
        return _Scan(self._root, self._discovery, self._validator, self._read, known).run()


class _Scan:
    """One pass over the root."""

    def __init__(
        self,
        root: Path,
        discovery: Discovery,
        validator: SessionValidator,
        read: ReadHeader,
        known: Mapping[str, KnownSession],
    ) -> None:
        self.root = root
        self.discovery = discovery
        self.validator = validator
        self.read = read
        self.known = known
        self.namer = make_namer(discovery)
        self.claims = Claims()

    def run(self) -> ScanReport:
        csv_file = self.discovery.csv_file
        folders, problems = session_folders(
            self.root,
            layout=self.discovery.layout,
            ignore=self.discovery.ignore,
            expected_files=frozenset() if csv_file is None else frozenset({csv_file.absolute()}),
        )
        folders.sort(key=lambda folder: (str(folder.path) not in self.known, folder.relative))
        found = []
        for folder in folders:
            answer = self._look(folder)
            if isinstance(answer, Unnamed):
                problems.append(answer.reason)
            else:
                found.append(answer)
        found.sort(key=lambda session: session.path)
        # One bad subject folder is one problem, not one for each of its sessions.
        return ScanReport(found=tuple(found), problems=tuple(dict.fromkeys(problems)))

    def _look(self, folder: SessionFolder) -> FoundSession | Unnamed:
        """Name the folder before anything in it is opened, where its name is enough for that."""
        if not _is_text(folder.relative):
            return Unnamed(f"{folder.relative!r} is not named in UTF-8: rename it")
        labels = None if self.namer.keywords else self._claim(self.namer.name(folder, {}), folder)
        if isinstance(labels, Unnamed):
            return labels
        try:
            listing = list_files(folder.path, root=self.root, ignore=self.discovery.ignore)
        except OSError as error:
            reason = error.strerror or str(error)
            return Unnamed(f"{folder.relative!r} can't be listed ({reason}): allow this user to read it")
        known = self._unchanged(folder, listing)
        if known is None:
            return self._read_session(folder, listing, labels)
        if labels is None:
            identity = known.fingerprint.partition(IDENTITY_MARK)[2]
            labels = self._claim(Labels(known.subject, known.session, identity=identity), folder)
        return labels if isinstance(labels, Unnamed) else self._found(folder, labels, listing, _remembered(known))

    def _claim(self, labels: Labels | Unnamed, folder: SessionFolder) -> Labels | Unnamed:
        if isinstance(labels, Unnamed):
            return labels
        taken = self.claims.take(labels, folder.relative)
        return labels if taken is None else Unnamed(taken)

    def _unchanged(self, folder: SessionFolder, listing: Listing) -> KnownSession | None:
        known = self.known.get(str(folder.path))
        if known is None:
            return None
        files, mark, identity = known.fingerprint.partition(IDENTITY_MARK)
        if self.namer.keywords and not (mark and identity):
            return None  # it was named in another way
        return known if files == listing.fingerprint() else None

    def _read_session(self, folder: SessionFolder, listing: Listing, labels: Labels | None) -> FoundSession | Unnamed:
        contents = _read_contents(listing, self.read, self.namer.keywords)
        if labels is not None:
            return self._found(folder, labels, listing, contents)
        named = self.namer.name(folder, contents.values)
        if isinstance(named, Unnamed):
            return Unnamed("; ".join((named.reason, *contents.problems)))
        digest = short_digest([named.identity])
        claimed = self._claim(replace(named, identity=digest), folder)
        if isinstance(claimed, Unnamed):
            return claimed
        return self._found(folder, claimed, listing, contents, suffix=IDENTITY_MARK + digest)

    def _found(
        self, folder: SessionFolder, labels: Labels, listing: Listing, contents: _Contents, *, suffix: str = ""
    ) -> FoundSession:
        missing = self.validator.missing(contents.series)
        if contents.unopened:
            # What nobody could open may be half of a scan: converting the rest would pass for the whole.
            names = name_all(contents.unopened)
            missing += (f"{len(contents.unopened)} files or folders that could not be opened: {names}",)
        return FoundSession(
            subject=labels.subject,
            session=labels.session,
            path=str(folder.path),
            fingerprint=contents.fingerprint + suffix,
            files=len(listing.files),
            bytes=listing.bytes,
            newest_mtime=listing.newest_mtime,
            series=contents.series,
            problems=contents.problems,
            missing=missing,
        )


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _remembered(known: KnownSession) -> _Contents:
    return _Contents(known.fingerprint, known.series, known.problems, unopened=(), values={})


def _read_contents(listing: Listing, read: ReadHeader, keywords: tuple[str, ...]) -> _Contents:
    """Read every file's header, once."""
    problems = Problems()
    problems.extend(listing.problems)
    tally = SeriesTally()
    unopened = list(listing.problems.names(UNLISTABLE))
    for item in listing.files:
        # An empty file is known as such without being opened.
        answer = read(listing.folder / item.relative, keywords) if item.size else Refusal(Trouble.EMPTY)
        if isinstance(answer, Header):
            tally.add(item.relative, answer)
            continue
        problems.add(answer.trouble, item.relative)
        if answer.trouble is Trouble.UNOPENED:
            unopened.append(item.relative)
    mark = UNOPENED_MARK + short_digest(sorted(unopened)) if unopened else ""
    return _Contents(
        fingerprint=listing.fingerprint() + mark,
        series=tally.series(),
        problems=(*tally.problems(), *problems.lines()),
        unopened=tuple(unopened),
        values=tally.field_values(),
    )
