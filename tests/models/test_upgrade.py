"""A database of an earlier release keeps its rows, and its guards, through the migrations that follow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import inspect, text

from neuroflow.core import schema
from neuroflow.core.database import Database
from neuroflow.core.engines import make_private_file
from neuroflow.core.state import StateManager
from neuroflow.domain import AttemptStatus, RunStatus
from tests.support.databases import BACKENDS, PostgresForTests, fresh_database_url

ROWS = (
    "INSERT INTO subjects (id, label, created_at) VALUES (1, '01', '2026-03-01 12:00:00+00:00')",
    "INSERT INTO pipeline_runs (id, pipeline, level, scope, subject_id, inputs_key, status, reason, superseded, "
    "attempts, error_message, exclude_nodes, metrics, created_at, updated_at) "
    "VALUES (7, 'qsiprep', 'subject', 'sub-01', 1, 'k', 'running', '', false, 0, '', '[]', '{}', "
    "'2026-03-01 12:00:00+00:00', '2026-03-01 12:00:00+00:00')",
    'INSERT INTO attempts (id, run_id, number, token, status, "where", folder, job_id, job_word, job_reason, '
    "resources, counted, message, host, created_at) "
    "VALUES (9, 7, 1, 'nf-qsiprep-7-aa', 'running', 'slurm', '/f', '4711', 'RUNNING', '', "
    """'{"cpus": 1, "memory_mb": 1, "time_minutes": 1, "gpus": 0}', true, '', 'n1', '2026-03-01 12:00:00+00:00')""",
)


@pytest.fixture(
    params=[pytest.param(name, marks=pytest.mark.postgres if name == "postgres" else ()) for name in BACKENDS]
)
def first_release(request: pytest.FixtureRequest, tmp_path: Path, postgres: PostgresForTests) -> Iterator[Database]:
    """A database of the first schema, with one attempt at work."""
    with fresh_database_url(str(request.param), tmp_path, postgres, empty=True) as url:
        database = Database(url)
        if database.file is not None:
            make_private_file(database.file)
        with database._engine.begin() as connection:
            config = schema._config()
            config.attributes["connection"] = connection
            command.upgrade(config, "0001")
            for statement in ROWS:
                connection.execute(text(statement))
        yield database
        database.close()


def test_what_was_at_work_is_still_at_work(first_release: Database) -> None:
    first_release.upgrade()

    state = StateManager(first_release)
    (attempt,) = state.open_attempts()
    assert (attempt.id, attempt.token, attempt.job_id, attempt.status) == (
        9,
        "nf-qsiprep-7-aa",
        "4711",
        AttemptStatus.RUNNING,
    )
    assert (attempt.array_token, attempt.array_index, attempt.signature) == (None, None, "")
    assert (attempt.image_record_id, attempt.image_version, attempt.node_image) == (None, "", "")
    run = state.get_run(7)
    assert (run.status, run.signature, run.resolution) == (RunStatus.RUNNING, "", "")


def test_the_newest_run_of_each_scope_is_marked(first_release: Database) -> None:
    ended = ROWS[1].replace("(7, ", "(5, ").replace("'running'", "'completed'")
    other = ROWS[1].replace("(7, ", "(6, ").replace("'sub-01'", "'sub-02'")
    with first_release._engine.begin() as connection:
        for statement in (ended, other):
            connection.execute(text(statement))
    first_release.upgrade()

    with first_release.read() as session:
        rows = session.execute(text("SELECT id FROM pipeline_runs WHERE is_newest ORDER BY id"))
        assert [row.id for row in rows] == [6, 7]


def test_one_open_run_per_scope_stays_the_rule(first_release: Database) -> None:
    first_release.upgrade()

    names = {index["name"] for index in inspect(first_release._engine).get_indexes("pipeline_runs")}
    assert "uq_pipeline_runs_open" in names
    names = {index["name"] for index in inspect(first_release._engine).get_indexes("attempts")}
    assert "uq_attempts_open" in names
