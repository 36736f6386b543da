"""The snapshot: where the poller leaves the status in a file, and what that file says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuroflow.errors import UsageError
from neuroflow.views.status_document import SCHEMA

if TYPE_CHECKING:
    from neuroflow.config import NeuroflowConfig

NAME = "status.json"
# Some kilobytes are usual: whatever is larger was not written by us.
_LARGEST_BYTES = 20_000_000


def snapshot_path(config: NeuroflowConfig) -> Path:
    """Return where a configuration's snapshot lies."""
    return config.status.snapshot or config.paths.state_dir / NAME


def read_snapshot(path: Path) -> dict[str, Any]:
    """Return the status that a snapshot holds.

    Raises:
        UsageError: when there is none, or it was written by another release in another form.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_BYTES + 1)
        value = json.loads(data) if len(data) <= _LARGEST_BYTES else None
    except OSError as error:
        raise UsageError(
            f"the snapshot {path} can't be read: {error.strerror}",
            hint="`neuroflow up` leaves one in status.json of its state folder, or where `status.snapshot` says; "
            "`status.open: true` lets other users read it",
        ) from error
    except ValueError:
        value = None
    if not isinstance(value, Mapping) or "schema" not in value or "pipelines" not in value:
        raise UsageError(f"{path} is no snapshot of neuroflow's status", hint="see docs/status.md")
    if value["schema"] != SCHEMA:
        raise UsageError(
            f"the snapshot {path} has schema {value['schema']!r}, and this neuroflow reads {SCHEMA}",
            hint="use the neuroflow release that writes it",
        )
    return dict(value)
