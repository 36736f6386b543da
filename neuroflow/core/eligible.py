"""Count the sessions, and how many subjects and sessions each pipeline could cover."""

from __future__ import annotations

from dataclasses import dataclass

from neuroflow.core.reading import Reader
from neuroflow.domain import Level, SessionStatus
from neuroflow.domain.overview import RunFilter
from neuroflow.errors import NotFoundError

_STARTABLE = f"('{SessionStatus.READY}', '{SessionStatus.SETTLING}')"
_LEFT_OUT = f"('{SessionStatus.EXCLUDED}', '{SessionStatus.INVALID}')"
_IDS_AT_ONCE = 500
_COUNTS = "NOT (r.status = 'cancelled' AND r.superseded)"  # not RunRecord.was_withdrawn, in SQL
_NO_RUN = f"NOT EXISTS (SELECT 1 FROM pipeline_runs r WHERE r.pipeline = ? AND r.scope = {{}} AND {_COUNTS})"
_SESSION_SCOPE = "'sub-' || s.label || '/ses-' || e.label"
_SUBJECT_SCOPE = "'sub-' || s.label"
_CURRENT = f"r.is_newest AND {_COUNTS}"


@dataclass(frozen=True)
class Eligible:
    """What there is to do: scopes that are ready or still settle, and runs of scopes that are neither any more."""

    sessions: int
    subjects: int
    runs_left_out: dict[str, int]  # by pipeline


def session_counts(reader: Reader, wanted: RunFilter) -> dict[SessionStatus, int]:
    """Return how many sessions stand where, of the subjects and sessions that are asked for."""
    where, values = _wanted(wanted)
    rows = reader.rows(f"SELECT e.status, count(*) FROM sessions e WHERE {where} GROUP BY 1", *values)
    found = {SessionStatus(status): count for status, count in rows}
    return {status: found.get(status, 0) for status in SessionStatus}


def count_eligible(reader: Reader, wanted: RunFilter) -> Eligible:
    """Return what there is to do, of the subjects and sessions that are asked for."""
    where, values = _wanted(wanted)
    startable = f"e.status IN {_STARTABLE} AND {where}"
    counts = reader.rows(
        f"SELECT count(*), count(DISTINCT e.subject_id) FROM sessions e WHERE {startable}",
        *values,
    )
    # From the sessions that were left out to their runs: these are few.
    of_sessions = reader.rows(
        "SELECT r.pipeline, count(*) FROM sessions e JOIN pipeline_runs r ON r.session_id = e.id "
        f"WHERE e.status IN {_LEFT_OUT} AND {where} AND {_CURRENT} GROUP BY 1",
        *values,
    )
    of_subjects = _of_subjects_left_out(reader, where, values)
    left_out: dict[str, int] = dict(of_sessions)
    for pipeline, count in of_subjects:
        left_out[pipeline] = left_out.get(pipeline, 0) + count
    return Eligible(sessions=counts[0][0], subjects=counts[0][1], runs_left_out=left_out)


def _of_subjects_left_out(reader: Reader, where: str, values: list[object]) -> list[tuple[str, int]]:
    """Return how many runs of whole subjects there are of those without a session that may start."""
    subjects = reader.rows(
        f"SELECT DISTINCT e.subject_id FROM sessions e WHERE e.status IN {_LEFT_OUT} AND {where} AND NOT EXISTS ("
        f"SELECT 1 FROM sessions o WHERE o.subject_id = e.subject_id AND o.status IN {_STARTABLE})",
        *values,
    )
    found = []
    for start in range(0, len(subjects), _IDS_AT_ONCE):
        ids = [row[0] for row in subjects[start : start + _IDS_AT_ONCE]]
        # By level: an index of the sessions would lead through the runs of all subjects.
        query = (
            f"SELECT r.pipeline, count(*) FROM pipeline_runs r WHERE r.subject_id IN ({', '.join('?' * len(ids))}) "
            f"AND r.level = '{Level.SUBJECT}' AND {_CURRENT} GROUP BY 1"
        )
        found += [(str(pipeline), int(count)) for pipeline, count in reader.rows(query, *ids)]
    return found


@dataclass(frozen=True)
class WithoutRun:
    """A session, or a subject, that has no run of a pipeline."""

    id: int  # of the session or subject
    subject: str
    session: str | None
    status: SessionStatus | None
    reason: str


def sessions_without_run(
    reader: Reader, pipeline: str, wanted: RunFilter, *, after: int, size: int
) -> list[WithoutRun]:
    """Return the next sessions, by id, that have no run of a pipeline; fewer than asked for are the last."""
    where, values = _wanted(wanted)
    query = (
        "SELECT e.id, s.label, e.label, e.status, e.status_reason FROM sessions e "
        f"JOIN subjects s ON s.id = e.subject_id WHERE e.id > ? AND {where} "
        f"AND {_NO_RUN.format(_SESSION_SCOPE)} ORDER BY e.id LIMIT ?"
    )
    rows = reader.rows(query, after, *values, pipeline, size)
    return [WithoutRun(row[0], row[1], row[2], SessionStatus(row[3]), row[4]) for row in rows]


def subjects_without_run(
    reader: Reader, pipeline: str, wanted: RunFilter, *, after: int, size: int
) -> list[WithoutRun]:
    """Return the next subjects, by id, with a session that may start and no run of a pipeline."""
    where, values = _wanted(wanted)
    query = (
        "SELECT s.id, s.label FROM subjects s WHERE s.id > ? AND s.id IN ("
        f"SELECT e.subject_id FROM sessions e WHERE e.status IN {_STARTABLE} AND {where}) "
        f"AND {_NO_RUN.format(_SUBJECT_SCOPE)} ORDER BY s.id LIMIT ?"
    )
    return [WithoutRun(row[0], row[1], None, None, "") for row in reader.rows(query, after, *values, pipeline, size)]


def refuse_unknown_labels(reader: Reader, wanted: RunFilter) -> None:
    """Refuse labels that nobody bears.

    Raises:
        NotFoundError: with the first of them.
    """
    for label in wanted.subjects:
        if not _is_there(reader, "subjects", label):
            raise NotFoundError(f"there is no subject '{label}'", hint="`neuroflow subject list` lists them")
    for label in wanted.sessions:
        if not _is_there(reader, "sessions", label):
            raise NotFoundError(f"no subject has a session '{label}'", hint="`neuroflow session list` lists them")


def _is_there(reader: Reader, table: str, label: str) -> bool:
    return bool(reader.rows(f"SELECT 1 FROM {table} WHERE label = ? LIMIT 1", label))


def _wanted(wanted: RunFilter) -> tuple[str, list[object]]:
    texts, values = ["1 = 1"], list[object]()
    if wanted.subjects:
        marks = ", ".join("?" * len(wanted.subjects))
        texts.append(f"e.subject_id IN (SELECT id FROM subjects WHERE label IN ({marks}))")
        values += wanted.subjects
    if wanted.sessions:
        texts.append(f"e.label IN ({', '.join('?' * len(wanted.sessions))})")
        values += wanted.sessions
    return " AND ".join(texts), values
