"""Find a session folder's labels: in its name, in a CSV file or in its DICOM headers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from neuroflow.config.sections import Discovery
from neuroflow.discovery.csv_labels import CsvLabels, read_csv_labels
from neuroflow.discovery.dicom import check_keyword
from neuroflow.discovery.layout import SessionFolder
from neuroflow.domain import is_label

ALLOWED = "a label holds letters A-Z, a-z and digits only"


@dataclass(frozen=True)
class Labels:
    """Subject and session label; `identity` is what the subject was called before it was cleaned, where it was."""

    subject: str
    session: str
    identity: str = ""


@dataclass(frozen=True)
class Unnamed:
    """Why a folder has no labels, and what would be allowed."""

    reason: str


class Namer(Protocol):
    """One way to find labels."""

    @property
    def keywords(self) -> tuple[str, ...]:
        """The DICOM keywords that it needs; none: it asks for no file to be read."""

    def name(self, folder: SessionFolder, values: Mapping[str, tuple[str, ...]]) -> Labels | Unnamed:
        """Return the labels, or why there are none; `values` are the keywords' different values."""


def make_namer(discovery: Discovery) -> Namer:
    """Return the way that the configuration asks for.

    Raises:
        DiscoveryError: when the CSV file can't be read, or a DICOM keyword does not exist.
    """
    if discovery.labels == "dicom":
        return HeaderNamer(discovery.dicom_subject_field, discovery.dicom_session_field)
    by_pattern = PatternNamer(discovery.subject_pattern, discovery.session_pattern)
    if discovery.labels == "csv" and discovery.csv_file is not None:
        return CsvNamer(read_csv_labels(discovery.csv_file), by_pattern)
    return by_pattern


class PatternNamer:
    """Labels from the names of the two folders."""

    keywords: tuple[str, ...] = ()

    def __init__(self, subject_pattern: str, session_pattern: str) -> None:
        self._subject = re.compile(subject_pattern)
        self._session = re.compile(session_pattern)

    def name(self, folder: SessionFolder, values: Mapping[str, tuple[str, ...]]) -> Labels | Unnamed:
        """Return the group `label` of both patterns."""
        subject = _match("subject", self._subject, folder.subject_name)
        if isinstance(subject, Unnamed):
            return subject
        session = self.session(folder)
        return session if isinstance(session, Unnamed) else Labels(subject, session)

    def session(self, folder: SessionFolder) -> str | Unnamed:
        """Return the session label alone."""
        result = _match("session", self._session, folder.session_name)
        return Unnamed(f"{folder.relative!r}: {result.reason}") if isinstance(result, Unnamed) else result


def _match(level: str, pattern: re.Pattern[str], name: str) -> str | Unnamed:
    match = pattern.fullmatch(name)
    if match is None:
        return Unnamed(
            f"folder {name!r} is no {level}: its name does not match discovery.{level}_pattern '{pattern.pattern}'; "
            "rename it, change the pattern, or add it to discovery.ignore"
        )
    label = match["label"] or ""
    if not is_label(label):
        return Unnamed(f"folder {name!r} is no {level}: discovery.{level}_pattern finds {label!r} in it, but {ALLOWED}")
    return label


class CsvNamer:
    """Labels from a CSV file; a row without a session takes it from the folder's name."""

    keywords: tuple[str, ...] = ()

    def __init__(self, labels: CsvLabels, by_pattern: PatternNamer) -> None:
        self._labels = labels
        self._by_pattern = by_pattern

    def name(self, folder: SessionFolder, values: Mapping[str, tuple[str, ...]]) -> Labels | Unnamed:
        """Look the folder up, by its path below the root and then by its own name."""
        keys = dict.fromkeys((folder.relative, f"{folder.subject_name}/{folder.session_name}", folder.path.name))
        key = next((key for key in keys if key in self._labels.rows), None)
        if key is None:
            allowed = " or ".join(repr(key) for key in keys)
            return Unnamed(f"{folder.relative!r} is not in {self._labels.source!r}: add a row with scan_id {allowed}")
        row = self._labels.rows[key]
        if row is None:
            return Unnamed(
                f"{folder.relative!r}: {self._labels.source!r} has different rows for scan_id {key!r}: keep one"
            )
        session = row.session or self._by_pattern.session(folder)
        if isinstance(session, Unnamed):
            return session
        for column, label in (("subject", row.subject), ("session", session)):
            if not is_label(label):
                where = f"{self._labels.source!r}, line {row.line}"
                return Unnamed(f"{folder.relative!r}: {where} gives {column} {label!r}, but {ALLOWED}")
        return Labels(row.subject, session)


class HeaderNamer:
    """Labels from two DICOM fields, cleaned of all that a label can't hold."""

    def __init__(self, subject_field: str, session_field: str) -> None:
        for keyword in (subject_field, session_field):
            check_keyword(keyword)
        self.keywords: tuple[str, ...] = (subject_field, session_field)

    def name(self, folder: SessionFolder, values: Mapping[str, tuple[str, ...]]) -> Labels | Unnamed:
        """Return both fields, cleaned; all images have to agree on them."""
        cleaned = []
        for keyword in self.keywords:
            found = values.get(keyword, ())
            if len(found) > 1:
                return Unnamed(
                    f"{folder.relative!r} holds images with {len(found)} different values of {keyword}: "
                    "one folder has to hold one session"
                )
            label = re.sub(r"[^A-Za-z0-9]", "", found[0]) if found else ""
            if not label:
                return Unnamed(
                    f"{folder.relative!r} has no label: no image in it has a {keyword} with a letter or digit; "
                    "correct the headers, or name it in a CSV (discovery.labels: csv)"
                )
            cleaned.append(label)
        subject, session = cleaned
        return Labels(subject, session, identity=values[self.keywords[0]][0])
