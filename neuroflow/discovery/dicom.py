"""Read what discovery needs of a DICOM header, and no more; a file that is none is an answer, not an error.

Every file's header is read once, none is taken for a sample of its neighbours: one flat folder can mix series and
file types (exports do), names don't tell them apart, and the counts decide whether a session may start. It stays
cheap because reading ends before the pixels and most private groups (half a millisecond a file, where reading all of
the header takes three times as long), and because a session whose files have not changed is not read again.
"""

from __future__ import annotations

import gzip
import os
import struct
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, cast

import pydicom.config
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset, FileDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_partial
from pydicom.tag import BaseTag, Tag
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
)

from neuroflow.errors import DiscoveryError

GZIP_MAGIC = b"\x1f\x8b"
PREAMBLE_BYTES = 128
DICOM_MAGIC = b"DICM"
WHOLE_BYTES = (8, 16, 32)
RAW_SYNTAXES = frozenset({ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian})

_KEYWORDS = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyDate",
    "Modality",
    "SeriesDescription",
    "PatientID",
    "ProtocolName",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "InstanceNumber",
    "SamplesPerPixel",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
)

# What pydicom has been seen to raise, or can raise, on damaged bytes. MemoryError: a damaged length can ask for GiB.
_DAMAGE = (
    InvalidDicomError,
    BytesLengthException,
    EOFError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    ArithmeticError,
    NotImplementedError,
    RecursionError,
    MemoryError,
    struct.error,
    zlib.error,
    gzip.BadGzipFile,
)


class Trouble(StrEnum):
    """Why a file gives no header."""

    EMPTY = "empty file"
    NOT_DICOM = "not a DICOM file"
    BROKEN = "DICOM header that can't be read"
    UNOPENED = "file that could not be opened"


@dataclass(frozen=True)
class Refusal:
    """A file that gives no header, and why."""

    trouble: Trouble
    detail: str = ""


@dataclass(frozen=True)
class Header:
    """One file's header, as text without control characters."""

    sop_class: str
    sop_instance: str = ""
    study_uid: str = ""
    study_date: str = ""
    series_uid: str = ""
    series_number: int | None = None
    instance_number: int | None = None
    description: str = ""
    protocol: str = ""
    modality: str = ""
    patient_id: str = ""
    frames: int = 1
    is_packed: bool = False  # gzip
    is_cut: bool = False  # the file is too short for its own pixels
    fields: Mapping[str, str] = field(default_factory=dict)  # by DICOM keyword: those that were asked for

    @property
    def is_image(self) -> bool:
        """Whether the file belongs to one of the standard's image-storage classes."""
        return is_image_class(self.sop_class)

    @property
    def is_directory(self) -> bool:
        """Whether the file is a DICOMDIR, whatever its name."""
        return self.sop_class == MediaStorageDirectoryStorage


def is_image_class(sop_class: str) -> bool:
    """Tell whether a SOP class stores images; private classes and presentation states don't."""
    return "Image Storage" in UID(sop_class, validation_mode=pydicom.config.IGNORE).name


def check_keyword(keyword: str) -> None:
    """Refuse a name that is no DICOM keyword.

    Raises:
        DiscoveryError: naming it.
    """
    if tag_for_keyword(keyword) is None:
        raise DiscoveryError(
            f"'{keyword}' is no DICOM keyword",
            hint="set discovery.dicom_subject_field and dicom_session_field to keywords such as PatientID or StudyDate",
        )


@contextmanager
def open_plain(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading, unpacked where it is gzip."""
    with path.open("rb") as stream:
        is_packed = stream.read(len(GZIP_MAGIC)) == GZIP_MAGIC
        stream.seek(0)
        if not is_packed:
            yield stream
            return
        with gzip.GzipFile(fileobj=stream) as unpacked:
            yield cast("BinaryIO", unpacked)


def read_header(path: Path, keywords: tuple[str, ...] = ()) -> Header | Refusal:
    """Read one file's header, with the values of further keywords in `fields`."""
    try:
        # Values that break the standard's rules are common; pydicom would log them, and with them names of patients.
        with open_plain(path) as stream, warnings.catch_warnings(), pydicom.config.disable_value_validation():
            warnings.simplefilter("ignore")
            return _read(stream, keywords)
    except _DAMAGE as error:
        return Refusal(Trouble.BROKEN, f"{type(error).__name__}: {error}")
    except OSError as error:
        return Refusal(Trouble.UNOPENED, error.strerror or str(error))


def _read(stream: BinaryIO, keywords: tuple[str, ...]) -> Header | Refusal:
    start = stream.read(PREAMBLE_BYTES + len(DICOM_MAGIC))
    if not start:
        return Refusal(Trouble.EMPTY)
    # Without this test pydicom could be made to take any bytes for DICOM.
    if start[PREAMBLE_BYTES:] != DICOM_MAGIC:
        return Refusal(Trouble.NOT_DICOM)
    stream.seek(0)
    tags: list[BaseTag | int] = [Tag(keyword) for keyword in (*_KEYWORDS, *keywords)]
    last = max(tags)

    def is_past(tag: BaseTag, _vr: str | None, _length: int) -> bool:
        return int(tag) > last

    dataset = read_partial(stream, stop_when=is_past, specific_tags=tags)
    return _header(dataset, stream, keywords)


def _header(dataset: FileDataset, stream: BinaryIO, keywords: tuple[str, ...]) -> Header | Refusal:
    sop_class = _text(dataset, "SOPClassUID") or _text(dataset.file_meta, "MediaStorageSOPClassUID")
    series_uid = _text(dataset, "SeriesInstanceUID")
    if not sop_class:
        return Refusal(Trouble.BROKEN, "it ends before its SOPClassUID")
    if not series_uid and sop_class != MediaStorageDirectoryStorage:
        # Every stored object has one: the file was cut before it.
        return Refusal(Trouble.BROKEN, "it has no SeriesInstanceUID")
    return Header(
        sop_class=sop_class,
        sop_instance=_text(dataset, "SOPInstanceUID"),
        study_uid=_text(dataset, "StudyInstanceUID"),
        study_date=_text(dataset, "StudyDate"),
        series_uid=series_uid,
        series_number=_number(dataset, "SeriesNumber"),
        instance_number=_number(dataset, "InstanceNumber"),
        description=_text(dataset, "SeriesDescription"),
        protocol=_text(dataset, "ProtocolName"),
        modality=_text(dataset, "Modality"),
        patient_id=_text(dataset, "PatientID"),
        frames=max(_number(dataset, "NumberOfFrames") or 1, 1),
        is_packed=isinstance(stream, gzip.GzipFile),
        is_cut=_is_cut(dataset, stream),
        fields={keyword: _text(dataset, keyword) for keyword in keywords},
    )


def _text(dataset: Dataset, keyword: str) -> str:
    """Return a value in one printable line: PostgreSQL takes no NUL, and logs no line breaks."""
    value = dataset.get(keyword)
    if value is None:
        return ""
    return " ".join("".join(char if char.isprintable() else " " for char in str(value)).split())


def _number(dataset: Dataset, keyword: str) -> int | None:
    text = _text(dataset, keyword)
    try:
        return int(text)
    except ValueError:
        return None


def _is_cut(dataset: FileDataset, stream: BinaryIO) -> bool:
    """Tell whether uncompressed pixels would need more bytes than the file has."""
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    sizes = [_number(dataset, keyword) for keyword in ("Rows", "Columns", "BitsAllocated", "SamplesPerPixel")]
    if syntax not in RAW_SYNTAXES or isinstance(stream, gzip.GzipFile) or None in sizes:
        return False
    rows, columns, bits, samples = (size or 0 for size in sizes)
    # Colour may be subsampled, and bits packed: only the plain case, which MR images are, is sure.
    if bits not in WHOLE_BYTES or samples != 1:
        return False
    needed = rows * columns * bits // 8 * max(_number(dataset, "NumberOfFrames") or 1, 1)
    return needed > os.fstat(stream.fileno()).st_size
