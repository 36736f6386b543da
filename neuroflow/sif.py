"""Read the header of a SIF image: its id, and whether the file is whole. Standard library only: jobs import it."""

from __future__ import annotations

import struct
import uuid
from dataclasses import dataclass
from pathlib import Path

# The global header of SIF version 01: https://github.com/apptainer/sif/blob/main/docs/sif.md and pkg/sif/sif.go.
# Launch script, magic, version, architecture, id; then created, modified, descriptors free and in all, their offset
# and size, offset and size of the data. Little endian, without padding.
_HEADER = struct.Struct("<32s10s3s3s16s8q")
_MAGIC = b"SIF_MAGIC\x00"


@dataclass(frozen=True)
class SifHeader:
    """What the first 128 bytes of a SIF say of it."""

    sif_id: str  # a UUID, made anew by each build
    created_at: int  # seconds since the epoch
    modified_at: int
    ends_at: int  # bytes that the file must have at least


def read_sif_header(path: str | Path) -> SifHeader | None:
    """Return the header of a SIF, or None where the file is something else, such as a bare squashfs.

    Raises:
        OSError: when it can't be read.
    """
    with open(path, "rb") as file:  # noqa: PTH123
        raw = file.read(_HEADER.size)
    if len(raw) < _HEADER.size:
        return None
    _, magic, _, _, identity, created, modified, _, _, table_at, table_size, data_at, data_size = _HEADER.unpack(raw)
    if magic != _MAGIC:
        return None
    ends_at = max(table_at + table_size, data_at + data_size)
    return SifHeader(str(uuid.UUID(bytes=identity)), created, modified, ends_at)
