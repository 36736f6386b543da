"""Numbers in the place of subjects' labels: the same for the same cohort, in an order that tells nothing."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from neuroflow.cluster.files import read_own_file
from neuroflow.errors import UsageError
from neuroflow.sharing import open_private

KEY_NAME = "report-anonymous.key"  # in paths.state_dir
_KEY_BYTES = 32


def numbers_of(labels: Iterable[str], *, key: bytes) -> Mapping[str, int]:
    """Number labels from 1 on, by a keyed hash: without the key nobody can find out which label stands where."""
    ordered = sorted(set(labels), key=lambda label: hmac.digest(key, os.fsencode(label), hashlib.sha256))
    return {label: number for number, label in enumerate(ordered, start=1)}


def the_key(path: Path) -> bytes:
    """Return the key of an installation, which is made when it is first needed.

    Raises:
        UsageError: when it can't be made or read, or is none.
    """
    try:
        with suppress(FileExistsError):
            _make(path)
        key = read_own_file(path, limit_bytes=_KEY_BYTES)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"the key of anonymous reports, {path}, can't be made or read: {reason}", hint=_HINT
        ) from error
    if len(key) != _KEY_BYTES:
        raise UsageError(f"the key of anonymous reports, {path}, has {len(key)} bytes, not {_KEY_BYTES}", hint=_HINT)
    return key


_HINT = "paths.state_dir has to be yours, or your group's; without the file a new one is made, with other numbers"


def _make(path: Path) -> None:
    """Put a key in place whole, unless there is one: two reports that start together use the same."""
    if path.exists():
        return
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with os.fdopen(open_private(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as stream:
            stream.write(secrets.token_bytes(_KEY_BYTES))
        path.hardlink_to(draft)
    finally:
        with suppress(OSError):
            draft.unlink()
