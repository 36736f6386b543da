"""A container image as it was seen at one time, and as it is kept in the state database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class ImageFacts:
    """What can be told of an image without reading it whole."""

    name: str  # the file, or the reference of docker and podman
    stamp: str  # changes whenever the image may have: size, time and inode of a file; docker's and podman's image id
    identity: str = ""  # the SIF's id, or docker's and podman's image id; none of a folder or a bare squashfs
    size: int | None = None  # bytes
    digest: str = ""  # sha256:..., where it is known without reading the file


@dataclass(frozen=True)
class ImageRecord:
    """A row of `images`: one content, as far as is known, under one name."""

    id: int
    name: str
    stamp: str
    identity: str
    size: int | None
    digest: str  # sha256:... of the file, or of docker's manifest; empty until it has been read whole
    tool_version: str  # as the tool in it said; empty until `neuroflow containers verify` asked
    first_seen_at: datetime
    accepted_at: datetime | None  # None: it took the place of another image, and nobody said that this is right

    @property
    def changed(self) -> bool:
        """Tell whether it stands where another image was, which nobody has accepted."""
        return self.accepted_at is None


def is_same_content(one: ImageRecord, other: ImageFacts | ImageRecord) -> bool:
    """Tell whether two sights of one name show the same image: by digest where both are known, else by identity.

    A copied or touched file has another stamp, and the same identity.
    """
    if one.digest and other.digest:
        return one.digest == other.digest
    if one.identity or other.identity:
        return one.identity == other.identity
    return one.stamp == other.stamp


def told(image: ImageRecord | ImageFacts) -> str:
    """Return the shortest text that tells an image from others of its name."""
    return image.digest or image.identity or f"a file of {image.size} bytes without an id"
