"""Keep in an attempt's folder what it is an attempt of, and read that back when the database has forgotten it."""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from neuroflow.cluster.claim import claimed_job_id
from neuroflow.cluster.files import read_own_file, write_json
from neuroflow.cluster.folders import make_private_folder
from neuroflow.cluster.job import JOB_NAME
from neuroflow.cluster.records import JOURNAL_NAME, read_exit_record
from neuroflow.domain import AttemptRecord, JournalEntry, Level, Resources, RunOrigin, RunRecord, is_label

SCHEMA = 1
_TOKEN = re.compile(r"nf-(?P<pipeline>[A-Za-z][A-Za-z0-9_]*)-(?P<run>\d{1,15})-[0-9a-f]{12}", re.ASCII)
_LIMIT_BYTES = 64 * 1024
# Of a folder without its own word on it; only the request of a further attempt starts from it.
_UNKNOWN_REQUEST = Resources(1, 1000, 60)


def journal_of(run: RunRecord, attempt: AttemptRecord) -> dict[str, Any]:
    """Return what `attempt.json` is to hold."""
    return {
        "schema": SCHEMA,
        "run_id": run.id,
        "pipeline": run.pipeline,
        "scope": run.scope,
        "level": run.level.value,
        "subject": run.subject,
        "session": run.session,
        "inputs_key": run.inputs_key,
        "folder": attempt.folder,
        "number": attempt.number,
        "where": attempt.where,
        "resources": asdict(attempt.resources),
        "image": attempt.image,
        "array_token": attempt.array_token,
        "array_index": attempt.array_index,
        "created_at": attempt.created_at.isoformat(),
    }


def keep_copy(attempts: Path, token: str, journal: Mapping[str, object]) -> None:
    """Write `attempt.json` on this machine as well, for an attempt whose folder lies on another one."""
    folder = attempts / token
    make_private_folder(folder)
    write_json(folder / JOURNAL_NAME, journal)


def read_journal(attempts: Path, *, but: Container[str], where: str) -> Iterator[JournalEntry]:
    """Yield what the folders of attempts tell of them; what bears no attempt's name is passed over.

    Args:
        attempts: the folder of the attempts' own folders.
        but: tokens whose folders are not read.
        where: the cluster of attempts that don't name theirs.
    """
    if not attempts.is_dir():
        return
    for folder in sorted(attempts.iterdir()):
        found = _TOKEN.fullmatch(folder.name)
        if found is not None and folder.name not in but and folder.is_dir() and not folder.is_symlink():
            yield _entry(folder, run_id=int(found["run"]), pipeline=found["pipeline"], where=where)


def _entry(folder: Path, *, run_id: int, pipeline: str, where: str) -> JournalEntry:
    record = read_exit_record(folder, token=folder.name)
    common: dict[str, Any] = {
        "token": folder.name,
        "folder": str(folder),
        "run_id": run_id,
        "pipeline": pipeline,
        "job_id": claimed_job_id(folder) or (record.job_id if record is not None else None),
        "published": record is not None and record.published,
    }
    written = _object(folder / JOURNAL_NAME)
    try:
        if written.get("run_id") == run_id and written.get("pipeline") == pipeline:
            return JournalEntry(**{**common, **_told(written)})
    except (KeyError, TypeError, ValueError):
        pass  # damaged: as good as not there
    scope = str(_object(folder / JOB_NAME).get("scope", ""))
    made = datetime.fromtimestamp(folder.stat().st_mtime, UTC)
    return JournalEntry(
        **common, scope=scope, number=1, where=where, resources=_UNKNOWN_REQUEST, created_at=made, origin=None
    )


def _told(written: dict[str, Any]) -> dict[str, Any]:
    subject, session = written["subject"], written["session"]
    if not is_label(subject) or not (session is None or is_label(session)):
        raise ValueError("no labels")
    index = written["array_index"]
    return {
        "folder": str(written["folder"]),
        "scope": f"sub-{subject}" if session is None else f"sub-{subject}/ses-{session}",
        "number": int(written["number"]),
        "where": str(written["where"]),
        "resources": _resources(written["resources"]),
        "created_at": datetime.fromisoformat(written["created_at"]),
        "image": None if written["image"] is None else str(written["image"]),
        "array_token": None if written["array_token"] is None else str(written["array_token"]),
        "array_index": None if index is None else int(index),
        "origin": RunOrigin(Level(written["level"]), subject, session, str(written["inputs_key"])),
    }


def _resources(written: dict[str, Any]) -> Resources:
    partition = str(written.get("partition", ""))
    numbers = {name: int(value) for name, value in written.items() if name != "partition"}
    return Resources(**numbers, partition=partition)


def _object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(read_own_file(path, limit_bytes=_LIMIT_BYTES * 16))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
