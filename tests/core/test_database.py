"""The schema's revision, and how a database is opened and refused."""

from __future__ import annotations

import sqlite3
import traceback
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from neuroflow.config import NeuroflowConfig
from neuroflow.config.paths import Paths
from neuroflow.config.sections import Database as DatabaseSection
from neuroflow.core.database import Database
from neuroflow.core.schema import check_revision, revisions
from neuroflow.core.state import StateManager
from neuroflow.errors import StateError


def set_revision(database: Database, revision: str) -> None:
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})


def test_a_database_without_schema_is_refused_with_what_to_do(empty_url: str) -> None:
    database = Database(empty_url)
    assert database.current() is None
    with pytest.raises(StateError, match=r"has no neuroflow schema$") as caught:
        database.check()
    assert caught.value.hint == "run `neuroflow db upgrade`"
    database.close()


def test_upgrade_makes_the_schema_and_may_be_repeated(empty_url: str) -> None:
    database = Database(empty_url)
    assert database.upgrade() == revisions()[0]
    assert database.upgrade() == revisions()[0]
    assert database.current() == revisions()[0]
    database.check()
    database.close()


def test_a_newer_schema_is_refused_by_check_and_by_upgrade(database: Database) -> None:
    set_revision(database, "9999")
    for refused in (database.check, database.upgrade):
        with pytest.raises(StateError, match=r"this neuroflow \S+ is older than the data \(revision 9999\); upgrade"):
            refused()
    assert database.current() == "9999"


def test_an_older_schema_is_refused_with_what_to_do() -> None:
    with pytest.raises(StateError, match=r"older than this neuroflow .*revision 1, needed 2"):
        check_revision("1", known=("2", "1"), database="d")
    check_revision("2", known=("2", "1"), database="d")


def test_a_failed_upgrade_leaves_nothing_behind(empty_url: str) -> None:
    database = Database(empty_url)
    if database.file is not None:
        database.file.touch()
    with database.write() as session:
        session.execute(text("CREATE TABLE pipeline_runs (id INTEGER)"))
    with pytest.raises(StateError, match="already exists"):
        database.upgrade()
    assert database.current() is None
    with database.read() as session, pytest.raises(StateError), database._translator.guard():
        session.execute(text("SELECT * FROM subjects"))
    database.close()


def test_using_a_database_without_schema_says_so(empty_url: str) -> None:
    database = Database(empty_url)
    if database.file is not None:
        database.file.touch()
    with pytest.raises(StateError, match="has no neuroflow schema") as caught:
        StateManager(database).list_subjects()
    assert "neuroflow db upgrade" in caught.value.hint
    database.close()


def test_a_missing_sqlite_file_is_not_made_by_looking(tmp_path: Path) -> None:
    file = tmp_path / "none.db"
    with pytest.raises(StateError, match="can't be opened: the file is missing"):
        StateManager(Database(f"sqlite:///{file}")).list_subjects()
    assert not file.exists()


def test_an_sqlite_database_is_closed_to_other_users(tmp_path: Path) -> None:
    file = tmp_path / "state" / "neuroflow.db"
    Database(f"sqlite:///{file}").upgrade()
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


def test_an_sqlite_database_in_a_folder_with_an_odd_name(tmp_path: Path) -> None:
    file = tmp_path / "a folder, 100% #1 'quoted'" / "state.db"
    database = Database(f"sqlite:///{file}")
    database.upgrade()
    database.check()
    assert file.exists()


def test_sqlite_keeps_its_journal_beside_the_file_and_checks_references(tmp_path: Path) -> None:
    file = tmp_path / "state.db"
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    database = Database(f"sqlite:///{file}")
    database.upgrade()
    with database.read() as session:
        assert session.execute(text("PRAGMA journal_mode")).scalar() == "delete"
        assert session.execute(text("PRAGMA foreign_keys")).scalar() == 1


def test_a_busy_sqlite_database_is_named_after_the_timeout(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'state.db'}"
    holder, waiter = Database(url), Database(url, busy_timeout_seconds=0.2)
    holder.upgrade()
    with holder.write(), pytest.raises(StateError, match=r"busy: another process held its lock for 0\.2 s"):
        StateManager(waiter).start_workflow_run()
    StateManager(waiter).start_workflow_run()


def test_the_embedded_database_lies_in_the_state_folder(tmp_path: Path) -> None:
    folders = {name: tmp_path / name for name in ("dicom_root", "bids_root", "derivatives_root", "work_root")}
    config = NeuroflowConfig(
        paths=Paths(**folders, state_dir=tmp_path / "state"),
        database=DatabaseSection(url=SecretStr("embedded"), busy_timeout_seconds=3),
    )
    database = Database.from_config(config)
    database.upgrade()
    assert database.file == tmp_path / "state" / "neuroflow.db"
    assert database.file.parent.stat().st_mode & 0o777 == 0o700


def test_a_write_that_raises_changes_nothing(database: Database) -> None:
    class StopError(Exception):
        pass

    def write_and_stop() -> None:
        with database.write() as session:
            session.execute(text("DELETE FROM alembic_version"))
            raise StopError

    with pytest.raises(StopError):
        write_and_stop()
    database.check()


def test_a_database_that_one_may_only_read_says_so(tmp_path: Path) -> None:
    Database(f"sqlite:///{tmp_path}/state.db").upgrade()
    database = Database(f"sqlite:///{tmp_path}/state.db")

    def write() -> None:
        with database.write() as session:
            session.execute(text("PRAGMA query_only = ON"))
            session.execute(text("DELETE FROM alembic_version"))

    with pytest.raises(StateError, match="you may read the database") as caught:
        write()
    assert "and not write it" in str(caught.value)
    database.close()


def test_a_server_that_does_not_answer_is_named_without_its_password(tmp_path: Path) -> None:
    database = Database(f"postgresql://user:hunter2@/name?host={tmp_path}", busy_timeout_seconds=2)
    with pytest.raises(StateError, match=r"postgresql\+psycopg://user:\*\*\*@/name.* does not answer") as caught:
        database.check()
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
