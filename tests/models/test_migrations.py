"""The migrations make the schema that the models describe, and the guards that the code relies on."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Constraint, Index, UniqueConstraint, delete, insert, inspect

import neuroflow.models.migrations
from neuroflow.core.database import Database
from neuroflow.core.schema import revisions
from neuroflow.domain import AttemptStatus, Level, Resources, RunStatus, SessionStatus
from neuroflow.errors import StateError
from neuroflow.models import AttemptRow, Base, RunRow, SessionRow, SubjectRow

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def add_run(database: Database, status: RunStatus, *, scope: str = "sub-01", pipeline: str = "qsiprep") -> int:
    values: dict[str, Any] = {
        "pipeline": pipeline, "level": Level.SUBJECT, "scope": scope, "subject_id": 1, "inputs_key": "k",
        "status": status, "reason": "", "superseded": False, "attempts": 0, "error_message": "", "exclude_nodes": (),
        "metrics": {}, "created_at": NOW, "updated_at": NOW,
    }  # fmt: skip
    with database.write() as session:
        return session.scalars(insert(RunRow).values(values).returning(RunRow.id)).one()


def add_attempt(database: Database, run_id: int, number: int, token: str, status: AttemptStatus) -> None:
    values: dict[str, Any] = {
        "run_id": run_id, "number": number, "token": token, "status": status, "where": "slurm", "folder": "/f",
        "job_word": "", "job_reason": "", "resources": Resources(1, 1, 1), "counted": True, "message": "",
        "host": "", "created_at": NOW,
    }  # fmt: skip
    with database.write() as session:
        session.execute(insert(AttemptRow).values(values))


@pytest.fixture
def subject(database: Database) -> None:
    """The subject with the id 1."""
    with database.write() as session:
        session.execute(insert(SubjectRow).values(id=1, label="01", created_at=NOW))


def test_models_and_migrations_agree(database: Database) -> None:
    with database._engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_index_conditions_and_names_agree(database: Database) -> None:
    """Compare what Alembic does not: the conditions of partial indexes."""
    found = inspect(database._engine)
    dialect = database._engine.dialect.name
    for table in Base.metadata.sorted_tables:
        stored = {item["name"]: item for item in found.get_indexes(table.name) if not item.get("duplicates_constraint")}
        declared = {index.name: index for index in table.indexes}
        assert set(stored) == set(declared)
        for name, index in declared.items():
            condition = index.dialect_options[dialect]["where"]
            has_condition = stored[name].get("dialect_options", {}).get(f"{dialect}_where") is not None
            assert has_condition == (condition is not None), name


def test_every_constraint_has_a_name() -> None:
    for table in Base.metadata.sorted_tables:
        named: list[Index | Constraint] = [*table.indexes, *table.constraints]
        for item in named:
            assert item.name, (table.name, item)
            if isinstance(item, Index | UniqueConstraint):
                assert len(str(item.name)) <= 63  # PostgreSQL cuts longer ones


def test_the_revisions_form_one_line() -> None:
    folder = Path(neuroflow.models.migrations.__file__).parent / "versions"
    assert len(revisions()) == len(list(folder.glob("v*.py")))


@pytest.mark.usefixtures("subject")
@pytest.mark.parametrize("second", sorted(RunStatus))
def test_the_database_itself_refuses_a_second_open_run(database: Database, second: RunStatus) -> None:
    add_run(database, RunStatus.RUNNING)
    add_run(database, RunStatus.RUNNING, scope="sub-02")
    add_run(database, RunStatus.RUNNING, pipeline="other")
    if second in (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED):
        add_run(database, second)
        add_run(database, second)
        return
    with pytest.raises(StateError, match="refused the change"):
        add_run(database, second)


@pytest.mark.usefixtures("subject")
@pytest.mark.parametrize("second", sorted(AttemptStatus))
def test_the_database_itself_refuses_a_second_open_attempt(database: Database, second: AttemptStatus) -> None:
    run_id = add_run(database, RunStatus.RUNNING)
    add_attempt(database, run_id, 1, "t1", AttemptStatus.SUBMITTED)
    if second in (AttemptStatus.SUCCEEDED, AttemptStatus.FAILED, AttemptStatus.CANCELLED):
        add_attempt(database, run_id, 2, "t2", second)
        return
    with pytest.raises(StateError, match="refused the change"):
        add_attempt(database, run_id, 2, "t2", second)


@pytest.mark.usefixtures("subject")
def test_the_database_itself_refuses_a_token_twice_and_a_run_of_nobody(database: Database) -> None:
    run_id = add_run(database, RunStatus.RUNNING)
    add_attempt(database, run_id, 1, "t1", AttemptStatus.FAILED)
    with pytest.raises(StateError, match="refused the change"):
        add_attempt(database, run_id, 2, "t1", AttemptStatus.FAILED)
    with pytest.raises(StateError, match="refused the change"):
        add_attempt(database, run_id + 1, 1, "t2", AttemptStatus.FAILED)


def test_ids_are_never_used_twice(database: Database) -> None:
    """An id names folders and stands in inputs keys, even after its row is gone."""
    with database.write() as session:
        first = session.scalars(insert(SubjectRow).values(label="x", created_at=NOW).returning(SubjectRow.id)).one()
        session.execute(delete(SubjectRow))
    with database.write() as session:
        second = session.scalars(insert(SubjectRow).values(label="x", created_at=NOW).returning(SubjectRow.id)).one()
    assert second > first


def test_a_naive_time_is_refused(database: Database) -> None:
    naive = NOW.replace(tzinfo=None)
    with pytest.raises(StateError, match="has no time zone"), database.write() as session:
        session.execute(insert(SubjectRow).values(label="x", created_at=naive))


@pytest.mark.usefixtures("subject")
def test_a_status_that_the_enum_lacks_is_refused(database: Database) -> None:
    values = {
        "subject_id": 1, "label": "a", "path": "/p", "status": "wonderful", "status_reason": "", "fingerprint": "f",
        "fingerprint_since": NOW, "files": 1, "bytes": 1, "newest_mtime": 1.0, "series": (), "problems": (),
        "created_at": NOW, "updated_at": NOW,
    }  # fmt: skip
    with pytest.raises(StateError, match="'wonderful' is not a valid SessionStatus"), database.write() as session:
        session.execute(insert(SessionRow).values(values))
    with database.write() as session:
        session.execute(insert(SessionRow).values(values | {"status": SessionStatus.READY}))
