"""The checks of the database: a real SQLite file, a real PostgreSQL server."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from neuroflow.doctor import database as topic
from tests.doctor.conftest import Patient, free_port

NAMES = ("database", "database-whole", "database-schema", "database-place")


def test_a_database_without_a_flaw(patient: Patient) -> None:
    patient.make_database().close()
    assert patient.codes(*NAMES) == []


@pytest.mark.provokes("database-schema")
def test_a_database_that_was_not_made(patient: Patient) -> None:
    [found] = patient.look("database-schema")
    assert found.code == "database-schema"
    assert "neuroflow db upgrade" in found.mend


@pytest.mark.provokes("database-unreachable")
def test_a_server_that_does_not_answer(patient: Patient) -> None:
    port = free_port()
    patient.write(database={"url": f"postgresql+psycopg://me:geheim@127.0.0.1:{port}/x", "busy_timeout_seconds": 1})
    found = patient.look("database", "database-schema", "clock-database")
    assert [one.code for one in found] == ["database-unreachable", "database-schema", "clock-database"]
    assert "geheim" not in found[0].what
    assert found[1].severity == "skipped"


@pytest.mark.provokes("database-damaged")
def test_a_file_with_a_damaged_page(patient: Patient) -> None:
    database = patient.make_database()
    assert database.file is not None
    data = bytearray(database.file.read_bytes())
    data[8192:20000] = b"\x5a" * (20000 - 8192)
    database.file.write_bytes(data)
    assert "database-damaged" in patient.codes("database-whole")
    database.close()


@pytest.mark.provokes("database-damaged")
def test_a_file_that_is_no_database(patient: Patient) -> None:
    database = patient.make_database()
    assert database.file is not None
    database.file.write_text("this was a database\n" * 1000)
    assert patient.codes("database-whole") == ["database-damaged"]
    database.close()


# No NFS or Lustre can be mounted everywhere: the kernel's table is a recorded one.
@pytest.mark.provokes("database-on-network")
def test_a_file_on_nfs(patient: Patient, tmp_path: Path) -> None:
    mounts = tmp_path / "root" / "proc" / "self" / "mounts"
    mounts.parent.mkdir(parents=True)
    mounts.write_text(f"/dev/a / ext4 rw 0 0\nserver:/home {patient.folder} nfs4 rw 0 0\n")
    [found] = patient.look("database-place", root=tmp_path / "root")
    assert (found.code, "nfs4" in found.what) == ("database-on-network", True)


# There is one host here: the other one is only a name.
@pytest.mark.provokes("database-hosts")
def test_services_on_another_host(patient: Patient) -> None:
    patient.make_database().close()
    status = patient.folder / "state_dir" / "up.json"
    status.write_text(json.dumps({"pid": 1, "host": "login2"}))
    [found] = patient.look("database-place")
    assert (found.code, found.mend.split(",")[0]) == (
        "database-hosts",
        "run all commands and services on login2",
    )
    status.write_text(json.dumps({"pid": 1, "host": socket.gethostname()}))
    assert patient.codes("database-place") == []


def test_a_postgresql_without_a_flaw(patient: Patient, fresh_postgres: str) -> None:
    patient.write(database={"url": fresh_postgres})
    patient.make_database().close()
    assert patient.codes(*NAMES, "clock-database") == []


# An old server can't be installed beside a new one: the threshold is raised instead.
@pytest.mark.provokes("database-old-server")
def test_an_old_postgresql(patient: Patient, fresh_postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    patient.write(database={"url": fresh_postgres})
    monkeypatch.setattr(topic, "OLDEST_POSTGRES", 99)
    assert patient.codes("database") == ["database-old-server"]


def test_a_database_that_is_not_there_is_not_made(patient: Patient, program: Callable[[str, str], str]) -> None:
    patient.look(*NAMES)
    assert not (patient.folder / "state_dir").exists()
