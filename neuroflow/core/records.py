"""Queries that give the frozen records of the domain: the columns stand in the order of the fields.

They never change once made, and each is made once: building one costs more than running it.
"""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Select, bindparam, literal, null, select, type_coerce
from sqlalchemy.orm import InstrumentedAttribute

from neuroflow.domain import (
    AttemptRecord,
    AuditRecord,
    CallStatistics,
    ImageRecord,
    KnownSession,
    RunRecord,
    SessionRecord,
    SubjectRecord,
    WorkflowRunRecord,
)
from neuroflow.models import (
    AttemptRow,
    AuditRow,
    Base,
    CallStatisticsRow,
    ImageRow,
    RunRow,
    SessionRow,
    SubjectRow,
    WorkflowRunRow,
)

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Column = ColumnElement[Any] | InstrumentedAttribute[Any]


def _columns(record: type[DataclassInstance], row: type[Base], **others: Column) -> list[Column]:
    """Return one column per field of `record`: from `others` by name, or else from `row`."""
    names = [field.name for field in fields(record)]
    return [others[name] if name in others else getattr(row, name) for name in names]


def subjects() -> Select[Any]:
    """Select what SubjectRecord takes."""
    return select(*_columns(SubjectRecord, SubjectRow))


@cache
def sessions(*, with_series: bool = True) -> Select[Any]:
    """Select what SessionRecord takes; the series are by far its largest part."""
    others: dict[str, Column] = {"subject": SubjectRow.label}
    if not with_series:
        others["series"] = type_coerce(null(), SessionRow.series.type)
    columns = _columns(SessionRecord, SessionRow, **others)
    return select(*columns).select_from(SessionRow).join(SubjectRow, SubjectRow.id == SessionRow.subject_id)


@cache
def known_sessions() -> Select[Any]:
    """Select what KnownSession takes."""
    columns = _columns(KnownSession, SessionRow, subject=SubjectRow.label, session=SessionRow.label)
    return select(*columns).select_from(SessionRow).join(SubjectRow, SubjectRow.id == SessionRow.subject_id)


@cache
def runs(*, brief: bool = False) -> Select[Any]:
    """Select what RunRecord takes; `brief` leaves metrics and error message empty."""
    others: dict[str, Column] = {"subject": SubjectRow.label, "session": SessionRow.label.label("session_label")}
    if brief:
        others["metrics"] = type_coerce(null(), RunRow.metrics.type)
        others["error_message"] = literal("")
    return (
        select(*_columns(RunRecord, RunRow, **others))
        .select_from(RunRow)
        .join(SubjectRow, SubjectRow.id == RunRow.subject_id)
        .outerjoin(SessionRow, SessionRow.id == RunRow.session_id)
    )


@cache
def run_by_id() -> Select[Any]:
    """Select what RunRecord takes, of the run whose id is bound to `run_id`."""
    return runs().where(RunRow.id == bindparam("run_id"))


@cache
def attempts() -> Select[Any]:
    """Select what AttemptRecord takes."""
    columns = _columns(AttemptRecord, AttemptRow, pipeline=RunRow.pipeline, scope=RunRow.scope)
    return select(*columns).select_from(AttemptRow).join(RunRow, RunRow.id == AttemptRow.run_id)


def workflow_runs() -> Select[Any]:
    """Select what WorkflowRunRecord takes."""
    return select(*_columns(WorkflowRunRecord, WorkflowRunRow))


def call_statistics() -> Select[Any]:
    """Select what CallStatistics takes."""
    return select(*_columns(CallStatistics, CallStatisticsRow))


@cache
def images() -> Select[Any]:
    """Select what ImageRecord takes."""
    return select(*_columns(ImageRecord, ImageRow))


@cache
def audit() -> Select[Any]:
    """Select what AuditRecord takes."""
    return select(*_columns(AuditRecord, AuditRow))
