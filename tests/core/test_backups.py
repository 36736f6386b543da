"""A backup holds every row, goes back into either database, and is refused when a byte of it is wrong."""

from __future__ import annotations

import gzip
import json
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from neuroflow.core import portable, schema
from neuroflow.core.backups import history, restore_backup, take_backup
from neuroflow.core.database import Database
from neuroflow.core.engines import make_private_file
from neuroflow.core.state import StateManager
from neuroflow.domain import FailureClass, ImageFacts, Message, RunStatus, Series
from neuroflow.errors import StateError
from neuroflow.models import RunRow
from tests.support.databases import BACKENDS, BUSY_SECONDS, PostgresForTests, fresh_database_url
from tests.support.states import add_session, end_run, found, open_run, submit

TARGETS = [pytest.param(name, marks=pytest.mark.postgres if name == "postgres" else ()) for name in BACKENDS]


def nothing_more(session: Session) -> None:
    """Add nothing to the restore."""


def rows_of(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """Return everything that a database holds, but for leases."""
    with database.read() as session:
        connection = session.connection()
        tables = portable.kept_tables(portable.reflect(connection))
        found: dict[str, list[tuple[Any, ...]]] = {table.name: [] for table in tables}
        for name, values in portable.all_rows(connection, tables):
            found[name].append(tuple(json.dumps(value, sort_keys=True) for value in values))
        return found


def nulls_in(database: Database) -> int:
    """Count the runs without a request of their own as the database itself sees them: JSON has a null as well."""
    with database.read() as session:
        query = text("SELECT count(*) FROM pipeline_runs WHERE resources IS NULL")
        return int(session.scalars(query).one())


def test_what_a_killed_backup_left_is_removed_a_day_later(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/of.db")
    database.upgrade()
    names = (".of.db.77.copy", ".of.db.77.copy-journal", ".b.nfbackup.77.tmp", ".of.db.78.copy")
    for name in names:
        (tmp_path / name).touch()
        if "77" in name:
            os.utime(tmp_path / name, (1e9, 1e9))
    take_backup(database, tmp_path / "b.nfbackup")
    assert [name for name in names if (tmp_path / name).exists()] == [".of.db.78.copy"], "that one may be at work"
    database.close()


@pytest.fixture
def full(state: StateManager) -> StateManager:
    """A database with something in every table that a backup keeps."""
    series = (Series("1.2", 3, "T1w é ☃", "t1 'mprage'", "MR", 176, 176, is_image=True),)
    state.record_scan([found("02", "b", series=series, problems=("odd 'quote'\n",))], settle_minutes=0)
    first, second = add_session(state, "01", "a"), add_session(state, "03", "c")
    end_run(state, open_run(state, first).id)
    end_run(state, open_run(state, second).id, success=False)
    submit(state, open_run(state, first, "qsirecon").id)
    state.record_image(ImageFacts("/images/qsiprep.sif", "1:2:3", identity="one", size=1))
    state.mark_callback(1, "success")
    state.start_workflow_run()
    state.hold_pipeline("qsiprep", reason="disk full")
    state.take_call("slurm", per_minute=10)
    state.record_call("squeue", seconds=0.25, failed=True)
    told = [notice.id for notice in state.pending_notices()[:1]]
    state.queue_message(Message("subject", "body"), notice_ids=told, times={"topic": 1}, targets=["mail"])
    assert state.acquire_lease("poll", owner="me", seconds=60)
    return state


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest, tmp_path: Path, postgres: PostgresForTests) -> Iterator[Database]:
    """An empty database, without a schema."""
    folder = tmp_path / "target"
    folder.mkdir()
    with fresh_database_url(str(request.param), folder, postgres, empty=True) as url:
        database = Database(url, BUSY_SECONDS)
        yield database
        database.close()


def test_every_row_comes_back_in_either_database(full: StateManager, target: Database, tmp_path: Path) -> None:
    backup = take_backup(full.database, tmp_path / "one.backup")
    before = rows_of(full.database)
    assert all(before.values()), [name for name, rows in before.items() if not rows]
    assert dict(backup.summary.rows) == {name: len(rows) for name, rows in before.items()}

    restore_backup(target, backup.path, finish=nothing_more)

    assert rows_of(target) == before
    target.check()
    assert nulls_in(target) == nulls_in(full.database) > 0
    restored = StateManager(target)
    assert [item.failure for item in restored.dead_letters()] == [FailureClass.APPLICATION]
    assert restored.open_attempts() == full.open_attempts()


def test_a_lease_is_not_restored(full: StateManager, target: Database, tmp_path: Path) -> None:
    backup = take_backup(full.database, tmp_path / "one.backup")
    restore_backup(target, backup.path, finish=nothing_more)
    assert StateManager(target).acquire_lease("poll", owner="somebody else", seconds=1)


def test_an_id_is_never_given_out_twice(full: StateManager, target: Database, tmp_path: Path) -> None:
    session = add_session(full, "09", "z")
    last = open_run(full, session)
    with full.database.write() as transaction:  # as if it had been deleted: its work directory may be there still
        transaction.execute(text("DELETE FROM pipeline_runs WHERE id = :id"), {"id": last.id})
    backup = take_backup(full.database, tmp_path / "one.backup")

    restore_backup(target, backup.path, finish=nothing_more)

    restored = StateManager(target)
    again = restored.find_session("09", "z")
    assert again is not None
    assert open_run(restored, again).id > last.id


def test_a_restore_replaces_what_was_there(full: StateManager, tmp_path: Path) -> None:
    backup = take_backup(full.database, tmp_path / "one.backup")
    before = rows_of(full.database)
    add_session(full, "77", "later")
    restore_backup(full.database, backup.path, finish=nothing_more)
    assert rows_of(full.database) == before


def test_a_restore_that_fails_changes_nothing(full: StateManager, tmp_path: Path) -> None:
    backup = take_backup(full.database, tmp_path / "one.backup")
    add_session(full, "77", "later")
    before = rows_of(full.database)

    def fail(session: Session) -> None:
        assert session.scalar(select(func.count()).select_from(RunRow))
        raise StateError("no")

    with pytest.raises(StateError, match="no"):
        restore_backup(full.database, backup.path, finish=fail)
    assert rows_of(full.database) == before


def test_a_backup_is_of_one_moment_while_others_write(full: StateManager, target: Database, tmp_path: Path) -> None:
    stop = threading.Event()

    def write() -> None:
        writer = StateManager(full.database)
        number = 0
        while not stop.is_set():
            session = add_session(writer, f"w{number}", "a")
            end_run(writer, open_run(writer, session).id)  # rows in four tables, by several transactions
            number += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        backups = [take_backup(full.database, tmp_path / f"{number}.backup") for number in range(3)]
    finally:
        stop.set()
        thread.join()
    for backup in backups:
        restore_backup(target, backup.path, finish=nothing_more)  # checks that every reference points somewhere
        found = rows_of(target)
        ended = sum('"run.completed"' in row for row in found["audit_log"])
        completed = sum('"completed"' in row for row in found["pipeline_runs"])
        assert ended == completed


def test_only_its_owner_can_read_a_backup(full: StateManager, tmp_path: Path) -> None:
    backup = take_backup(full.database, tmp_path / "new" / "one.backup")
    assert stat.S_IMODE(backup.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(backup.path.parent.stat().st_mode) == 0o700
    assert [path.name for path in backup.path.parent.iterdir()] == ["one.backup"]


def test_a_backup_is_not_written_over(full: StateManager, tmp_path: Path) -> None:
    (tmp_path / "one.backup").write_text("precious")
    with pytest.raises(StateError, match="there already"):
        take_backup(full.database, tmp_path / "one.backup")
    assert (tmp_path / "one.backup").read_text() == "precious"


def _cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _without_trailer(data: bytes) -> bytes:
    return gzip.compress(b"".join(gzip.decompress(data).splitlines(keepends=True)[:-1]))


def _one_word_changed(data: bytes) -> bytes:
    plain = gzip.decompress(data)
    assert b"completed" in plain
    return gzip.compress(plain.replace(b"completed", b"cancelled", 1))


def _one_row_less(data: bytes) -> bytes:
    lines = gzip.decompress(data).splitlines(keepends=True)
    return gzip.compress(b"".join(lines[:3] + lines[4:]))


def _of_a_later_format(data: bytes) -> bytes:
    return gzip.compress(gzip.decompress(data).replace(b'"version":1', b'"version":2', 1))


def _of_a_later_schema(data: bytes) -> bytes:
    newest = schema.revisions()[0].encode()
    return _sealed(gzip.decompress(data).replace(b'"revision":"' + newest, b'"revision":"9' + newest, 1))


def _sealed(plain: bytes) -> bytes:
    import hashlib

    lines = plain.splitlines(keepends=True)
    trailer = json.loads(lines[-1]) | {"sha256": hashlib.sha256(b"".join(lines[:-1])).hexdigest()}
    return gzip.compress(b"".join(lines[:-1]) + json.dumps(trailer).encode() + b"\n")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_cut, "damaged"),
        (_without_trailer, "cut off"),
        (_one_word_changed, "checksum"),
        (_one_row_less, "checksum"),
        (_of_a_later_format, "format version 2"),
        (_of_a_later_schema, "does not know"),
        (lambda data: b"PGDMP nonsense", "no backup of neuroflow"),
        (lambda data: gzip.compress(b'{"a": 1}\n'), "no backup of neuroflow"),
        (lambda data: b"", "cut off"),
    ],
)
def test_a_spoilt_backup_is_refused_before_anything_changes(
    spoil: Any, message: str, full: StateManager, tmp_path: Path
) -> None:
    path = take_backup(full.database, tmp_path / "one.backup").path
    path.write_bytes(spoil(path.read_bytes()))
    before = rows_of(full.database)
    with pytest.raises(StateError, match=message):
        restore_backup(full.database, path, finish=nothing_more)
    assert rows_of(full.database) == before


def test_a_backup_of_the_first_schema_is_brought_to_the_present_one(
    empty_url: str, target: Database, tmp_path: Path
) -> None:
    old = Database(empty_url, BUSY_SECONDS)
    if old.file is not None:
        make_private_file(old.file)
    with old._engine.begin() as connection:
        config = schema._config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(
            text("INSERT INTO subjects (id, label, created_at) VALUES (5, '01', '2026-03-01 12:00:00+00:00')")
        )
    backup = take_backup(old, tmp_path / "old.backup")
    old.close()
    assert backup.summary.header.revision == "0001"

    restore_backup(target, backup.path, finish=nothing_more)

    target.check()
    assert [subject.id for subject in StateManager(target).list_subjects()] == [5]


def test_history_tells_an_empty_database_from_a_used_one(state: StateManager) -> None:
    assert history(state.database) == {}
    state.set_value("key", {"a": 1})
    assert history(state.database) == {}
    add_session(state)
    assert history(state.database) == {"subjects": 1}


@pytest.mark.parametrize("damage", [b"\xff" * 4096, b"not a database"])
def test_a_damaged_file_gives_no_backup(damage: bytes, tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/state.db")
    database.upgrade()
    state = StateManager(database)
    for number in range(30):
        end_run(state, open_run(state, add_session(state, f"{number}", "a")).id)
    assert database.file is not None
    data = bytearray(database.file.read_bytes())
    for start in range(8192, len(data), 8192):
        data[start : start + len(damage)] = damage
    database.file.write_bytes(bytes(data))
    with pytest.raises(StateError, match=r"damaged|malformed"):
        take_backup(database, tmp_path / "bad.backup")
    assert not (tmp_path / "bad.backup").exists()
    database.close()


def test_statuses_survive(full: StateManager, target: Database, tmp_path: Path) -> None:
    backup = take_backup(full.database, tmp_path / "one.backup")
    restore_backup(target, backup.path, finish=nothing_more)
    statuses = {run.status for run in StateManager(target).list_runs()}
    assert statuses == {RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.SUBMITTED}
