"""Whether services live, by their files alone."""

from __future__ import annotations

import json
import os
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

from neuroflow.cluster.process_table import own_local_id
from neuroflow.views.status_services import ServicesHealth, poll_is_late, services_health

NOW = datetime.now(UTC)


def leave(folder: Path, holder: dict[str, object], *, written: timedelta, **report: object) -> None:
    (folder / "up.lock").write_text(json.dumps(holder))
    (folder / "up.json").write_text(json.dumps({"written_at": (NOW - written).timestamp(), **report}))


def beat(folder: Path, ago: timedelta) -> None:
    file = folder / "beat.alive"
    file.touch()
    os.utime(file, ((NOW - ago).timestamp(),) * 2)


def health(folder: Path) -> ServicesHealth:
    return services_health(folder, worker_started_at=None, now=NOW)


def test_nothing_was_ever_started(tmp_path: Path) -> None:
    found = health(tmp_path)
    assert (found.up, found.run, found.beat_seen_at) == (False, False, None)


def test_one_of_this_host_lives_while_its_process_does(tmp_path: Path) -> None:
    here = {"host": socket.gethostname(), "pid": os.getpid(), "process": own_local_id()}
    services = [{"name": "beat", "state": "running", "health": "well"}]
    leave(tmp_path, here, written=timedelta(hours=1), services=services, ready=True)
    found = health(tmp_path)
    assert (found.up, found.run, found.ready, found.children[0].name) == (True, True, True, "beat")

    leave(tmp_path, {**here, "process": "1:1"}, written=timedelta(seconds=5))
    assert health(tmp_path).up is False


def test_one_of_another_host_lives_while_it_writes(tmp_path: Path) -> None:
    for written, lives in ((timedelta(seconds=20), True), (timedelta(minutes=4), False)):
        leave(tmp_path, {"host": "elsewhere", "process": "7:7"}, written=written)
        assert health(tmp_path).up is lives


def test_a_beat_that_ended_with_its_supervisor_is_no_sign_of_life(tmp_path: Path) -> None:
    leave(tmp_path, {}, written=timedelta(seconds=20))
    beat(tmp_path, timedelta(seconds=10))
    assert not health(tmp_path).run
    leave(tmp_path, {}, written=timedelta(hours=2))
    assert health(tmp_path).run, "one that was started otherwise is"
    beat(tmp_path, timedelta(minutes=11))
    assert not health(tmp_path).run


def test_half_a_file_is_no_news(tmp_path: Path) -> None:
    (tmp_path / "up.lock").write_text('{"host": "a')
    (tmp_path / "up.json").write_text("[1]")
    assert health(tmp_path).up is False


def test_a_look_at_the_jobs_is_late_only_while_jobs_are_in_flight() -> None:
    old = {"next_at": (NOW - timedelta(hours=1)).timestamp(), "interval_seconds": 60.0}
    assert not poll_is_late(old, in_flight=0, now=NOW)
    assert poll_is_late(old, in_flight=1, now=NOW)
    assert poll_is_late(None, in_flight=1, now=NOW)
    patient = {**old, "interval_seconds": 1200.0}
    assert not poll_is_late(patient, in_flight=1, now=NOW)
