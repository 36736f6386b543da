"""What the planner compares, of few subjects and without an object mapper: who only looks asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from neuroflow.core.reading import Reader
from neuroflow.domain import Level, RunRecord, RunStatus, SessionRecord, SessionStatus, Snapshot
from neuroflow.domain.overview import RunFilter


def subject_ids(reader: Reader, wanted: RunFilter, *, after: int = 0, most: int) -> list[int]:
    """Return the next subjects, by id, that are asked for."""
    texts, values = ["e.subject_id > ?"], list[object]([after])
    if wanted.subjects:
        texts.append(f"e.subject_id IN (SELECT id FROM subjects WHERE label IN ({_marks(wanted.subjects)}))")
        values += wanted.subjects
    if wanted.sessions:
        texts.append(f"e.label IN ({_marks(wanted.sessions)})")
        values += wanted.sessions
    where = " AND ".join(texts)
    query = f"SELECT DISTINCT e.subject_id FROM sessions e WHERE {where} ORDER BY e.subject_id LIMIT ?"
    return [int(row[0]) for row in reader.rows(query, *values, most)]


def read_subjects(reader: Reader, ids: Sequence[int], *, now: datetime) -> Snapshot:
    """Return the sessions and runs of some subjects.

    Runs have what a plan is made of: without images, metrics, requests, times and messages.
    """
    sessions = reader.rows(
        "SELECT e.id, e.subject_id, s.label, e.label, e.path, e.status, e.status_reason, e.fingerprint "
        f"FROM sessions e JOIN subjects s ON s.id = e.subject_id WHERE e.subject_id IN ({_marks(ids)})",
        *ids,
    )
    runs = reader.rows(
        "SELECT r.id, r.pipeline, r.level, r.scope, r.subject_id, r.session_id, s.label, e.label, r.inputs_key, "
        "r.status, r.reason, r.superseded FROM pipeline_runs r JOIN subjects s ON s.id = r.subject_id "
        f"LEFT JOIN sessions e ON e.id = r.session_id WHERE r.subject_id IN ({_marks(ids)})",
        *ids,
    )
    return Snapshot(now, tuple(_session(row, now) for row in sessions), tuple(_run(row, now) for row in runs))


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values)) or "NULL"


def _session(row: tuple[object, ...], now: datetime) -> SessionRecord:
    number, subject_id, subject, label, path, status, reason, fingerprint = row
    return SessionRecord(
        id=int(str(number)),
        subject_id=int(str(subject_id)),
        subject=str(subject),
        label=str(label),
        path=str(path),
        status=SessionStatus(str(status)),
        status_reason=str(reason),
        fingerprint=str(fingerprint),
        fingerprint_since=now,
        series=(),
        problems=(),
        created_at=now,
        updated_at=now,
    )


def _run(row: tuple[object, ...], now: datetime) -> RunRecord:
    number, pipeline, level, scope, subject_id, session_id, subject, session, key, status, reason, superseded = row
    return RunRecord.untouched(
        id=int(str(number)),
        pipeline=str(pipeline),
        level=Level(str(level)),
        scope=str(scope),
        subject_id=int(str(subject_id)),
        session_id=None if session_id is None else int(str(session_id)),
        subject=str(subject),
        session=None if session is None else str(session),
        inputs_key=str(key),
        status=RunStatus(str(status)),
        reason=str(reason),
        superseded=bool(superseded),
        at=now,
    )
