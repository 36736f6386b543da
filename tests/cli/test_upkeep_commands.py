"""Backup, restore, clean-up and metrics as an admin types them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
import yaml

from neuroflow.cli.up_lock import hold_up_lock
from neuroflow.domain import RunStatus
from tests.cli.test_commands import CONFIG, Installation, _restored_logging, bare, installation  # noqa: F401
from tests.support.states import add_session, end_run, open_run


@pytest.fixture
def used(installation: Installation) -> Installation:  # noqa: F811
    """An installation that has converted one session, on a Redis that is away."""
    content = yaml.safe_load(CONFIG)
    content["pipelines"] = {name: {"enabled": False} for name in ("bids_conversion", "qsiprep")}
    content["redis"] = {"url": f"redis+socket://{installation.folder}/none.sock?virtual_host=0"}
    installation.config.write_text(yaml.safe_dump(content))
    with installation.state() as state:
        end_run(state, open_run(state, add_session(state)).id)
    return installation


def runs(installation: Installation) -> list[RunStatus]:  # noqa: F811
    with installation.state() as state:
        return [run.status for run in state.list_runs()]


def test_a_backup_is_taken_listed_and_restored_into_an_empty_database(used: Installation) -> None:
    said = used.run("db", "backup").stdout
    assert "rows" in said
    (listed,) = used.json("db", "backups")
    assert listed["path"] in said
    assert stat.S_IMODE(Path(listed["path"]).stat().st_mode) == 0o600
    database = used.folder / "state" / "neuroflow.db"
    database.unlink()

    assert "restored into" in used.run("db", "restore", listed["path"]).stdout

    assert runs(used) == [RunStatus.COMPLETED]
    assert stat.S_IMODE(database.stat().st_mode) == 0o600


def test_a_database_that_is_in_use_is_replaced_only_when_that_is_said(used: Installation) -> None:
    used.run("db", "backup", str(used.folder / "one.nfbackup"))
    with used.state() as state:
        end_run(state, open_run(state, add_session(state, "02")).id, success=False)

    refused = used.run("db", "restore", str(used.folder / "one.nfbackup"), code=4)
    assert "is in use: it holds 2 subjects, 2 pipeline_runs, 2 attempts" in refused.stderr
    assert "--replace" in refused.stderr
    assert len(runs(used)) == 2

    said = used.run("db", "restore", str(used.folder / "one.nfbackup"), "--replace").stdout
    assert runs(used) == [RunStatus.COMPLETED]
    kept = next(line for line in said.splitlines() if "is kept" in line).split(": ")[1]
    used.run("db", "restore", kept, "--replace")  # a restore that was a mistake is undone
    assert len(runs(used)) == 2


def test_nothing_is_restored_while_services_run(used: Installation) -> None:
    used.run("db", "backup", str(used.folder / "one.nfbackup"))
    with hold_up_lock(used.folder / "state"):
        refused = used.run("db", "restore", str(used.folder / "one.nfbackup"), "--replace", code=1)
    assert "already runs" in refused.stderr
    with used.state() as state:
        assert state.acquire_lease("poll", owner="n1:42:ab", seconds=60)
        refused = used.run("db", "restore", str(used.folder / "one.nfbackup"), "--replace", code=4)
        assert "poll by n1:42:ab" in refused.stderr
        state.release_lease("poll", "n1:42:ab")
    used.run("db", "restore", str(used.folder / "one.nfbackup"), "--replace")


def test_a_damaged_database_is_put_aside_and_replaced(used: Installation) -> None:
    used.run("db", "backup", str(used.folder / "one.nfbackup"))
    database = used.folder / "state" / "neuroflow.db"
    database.write_bytes(b"garbage" * 10_000)
    used.run("db", "backup", str(used.folder / "two.nfbackup"), code=4)
    used.run("db", "restore", str(used.folder / "one.nfbackup"), code=4)
    said = used.run("db", "restore", str(used.folder / "one.nfbackup"), "--replace").stdout
    assert ".damaged-" in said
    assert runs(used) == [RunStatus.COMPLETED]


@pytest.mark.parametrize(
    ("content", "message"), [(None, "there is no backup"), (b"SQLite format 3\x00", "no backup of neuroflow")]
)
def test_what_is_no_backup_is_refused(content: bytes | None, message: str, used: Installation) -> None:
    path = used.folder / "x"
    if content is not None:
        path.write_bytes(content)
    assert message in used.run("db", "restore", str(path), "--replace", code=4).stderr
    assert runs(used) == [RunStatus.COMPLETED]


def test_a_backup_that_cant_be_written_says_why(used: Installation) -> None:
    (used.folder / "file").write_text("")
    refused = used.run("db", "backup", str(used.folder / "file" / "x"), code=4)
    assert "can't be written: Not a directory" in refused.stderr


def test_a_tick_backs_up_when_it_is_due_and_keeps_a_few(used: Installation) -> None:
    content = yaml.safe_load(used.config.read_text()) | {"database": {"backup": {"keep": 2}}}
    used.config.write_text(yaml.safe_dump(content))
    folder = used.folder / "state" / "backups"
    folder.mkdir()
    for day in (1, 2, 3):
        (folder / f"neuroflow-2026010{day}T000000Z.nfbackup").write_bytes(b"")
        os.utime(folder / f"neuroflow-2026010{day}T000000Z.nfbackup", (day, day))
    (folder / "manual-20260101T000000Z.nfbackup").write_bytes(b"")
    for unfinished in (".neuroflow.db.99.copy", ".neuroflow-20260101T000000Z.nfbackup.99.tmp"):
        (folder / unfinished).write_bytes(b"")
        os.utime(folder / unfinished, (1, 1))
    used.run("tick")
    used.run("tick")
    names = sorted(path.name for path in folder.iterdir())
    assert names[0] == "manual-20260101T000000Z.nfbackup"
    assert names[1] == "neuroflow-20260103T000000Z.nfbackup"
    assert len(names) == 3


def test_the_status_tells_of_the_last_backup(used: Installation) -> None:
    assert "last backup: never" in used.run("status").stdout
    used.run("db", "backup")
    assert "last backup: 20" in used.run("status").stdout
    assert used.json("status")["last_backup"]["rows"] > 0


def test_the_status_knows_a_backup_by_its_file_where_none_is_noted(used: Installation) -> None:
    folder = used.folder / "state" / "backups"
    folder.mkdir()
    file = folder / "neuroflow-20260101T000000Z.nfbackup"
    file.write_bytes(b"x")
    os.utime(file, (1_700_000_000, 1_700_000_000))
    assert "last backup: 2023-11-1" in used.run("status").stdout
    assert used.json("status")["last_backup"]["bytes"] == 1
    used.run("db", "backup", str(used.folder / "elsewhere"))
    assert used.json("status")["last_backup"]["rows"] > 0
    os.utime(file, (4_000_000_000, 4_000_000_000))
    assert used.json("status")["last_backup"]["bytes"] == 1


def with_leftovers(used: Installation) -> Path:
    """Leave a work directory and an attempt's folder of the run that completed."""
    with used.services() as services:
        (attempt,) = services.state.attempts_of(1)
        work = services.config.paths.work_root / "bids_conversion" / "sub-01_ses-a" / "run-1" / "work"
        folder = services.config.attempts_dir / attempt.token
    for path in (work, folder):
        path.mkdir(parents=True)
        (path / "stdout.log").write_bytes(b"x" * 50_000)
    return work


def test_a_clean_up_lists_asks_and_deletes(used: Installation) -> None:
    work = with_leftovers(used)
    assert "nothing is old enough" in used.run("cleanup").stdout
    listed = used.run("cleanup", "--older-than", "0", "--dry-run").stdout
    assert str(work) in listed
    assert "2 folders" in listed
    assert work.is_dir()
    only = used.json("cleanup", "--older-than", "0", "--only", "work", "--dry-run")
    assert [(item["kind"], item["path"]) for item in only] == [("work", str(work))]
    assert only[0]["bytes"] >= 50_000
    used.run("cleanup", "--older-than", "0", code=1)  # nobody answers the question
    assert work.is_dir()
    assert "2 deleted" in used.run("cleanup", "--older-than", "0", "--yes").stdout
    assert not work.exists()


def test_a_run_without_its_folder_can_still_be_asked_about(used: Installation) -> None:
    with_leftovers(used)
    used.run("cleanup", "--older-than", "0", "--yes")
    used.run("runs", "show", "1")
    assert "is gone, its logs with it" in used.run("logs", "1", code=3).stderr


def test_metrics_are_printed_and_their_files_found(used: Installation) -> None:
    text = used.run("metrics").stdout
    assert 'neuroflow_runs{pipeline="bids_conversion",status="completed"} 1.0' in text
    assert "neuroflow_redis_up 0.0" in text
    names = {Path(line).name for line in used.run("metrics", "files").stdout.splitlines()}
    assert {"alerts.yml", "grafana-dashboard.json"} <= names
    refused = used.run("metrics", "serve", "--listen", "192.0.2.1:9797", code=2)
    assert "can be reached from other machines" in refused.stderr
