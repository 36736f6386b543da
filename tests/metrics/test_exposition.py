"""The metrics of a real installation: as a file that is never half there, and over HTTP on this machine only."""

from __future__ import annotations

import os
import stat
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from neuroflow.errors import ConfigError, NeuroflowError
from neuroflow.metrics.exposition import exposition, is_due, serve, write_textfile
from neuroflow.metrics.facts import DISK_SECONDS, BrokerState, disks, gather
from neuroflow.metrics.textfile import write_metrics
from neuroflow.orchestrator.rounds import poll_round
from neuroflow.orchestrator.services import Services
from tests.chain.site import Site
from tests.metrics.test_families import FULL
from tests.support.states import add_session, end_run, open_run

NAME = "secretname"


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    """A small site with a session, one completed run and a metrics file."""
    site = Site(tmp_path / "site", {"metrics": {"textfile": str(tmp_path / "neuroflow.prom")}})
    services = site.services()
    end_run(services.state, open_run(services.state, add_session(services.state, NAME, NAME)).id)
    yield services
    services.database.close()


def text_of(services: Services) -> str:
    return exposition(lambda: gather(services, broker=BrokerState({"bids": 1})))


def test_an_installation_tells_of_itself_and_of_no_subject(services: Services) -> None:
    poll_round(services, at_once=True)
    text = text_of(services)
    assert 'neuroflow_runs{pipeline="bids_conversion",status="completed"} 1.0' in text
    assert 'neuroflow_filesystem_free_bytes{folder="work_root"}' in text
    assert "neuroflow_poll_complete_timestamp_seconds" in text
    assert NAME not in text


def test_the_file_is_written_when_it_is_due(services: Services, tmp_path: Path) -> None:
    path = tmp_path / "neuroflow.prom"
    assert write_metrics(services, broker=lambda: None)
    first = path.stat().st_ino
    assert not write_metrics(services, broker=lambda: None)
    os.utime(path, (0, time.time() - 61))
    assert write_metrics(services, broker=lambda: None)
    assert path.stat().st_ino != first
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [item.name for item in tmp_path.glob("*.prom*")] == ["neuroflow.prom"]


def test_a_file_that_cant_be_written_stops_no_poll(services: Services, tmp_path: Path) -> None:
    (tmp_path / "neuroflow.prom").mkdir()
    os.utime(tmp_path / "neuroflow.prom", (0, 0))
    assert not write_metrics(services, broker=lambda: None)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(NeuroflowError, match=r"missing/a\.prom can't be written: No such file"):
        write_textfile(tmp_path / "missing" / "a.prom", "x")
    assert is_due(tmp_path / "missing" / "a.prom", seconds=60, now=0)


def test_http_gives_the_same(services: Services) -> None:
    port, stop = serve(lambda: FULL, host="127.0.0.1", port=0)
    try:
        with pytest.raises(NeuroflowError, match=f"127.0.0.1:{port}: Address already in use"):
            serve(lambda: FULL, host="127.0.0.1", port=port)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            assert answer.read().decode() == exposition(lambda: FULL)
    finally:
        stop()


def test_a_disk_that_does_not_answer_is_left_out(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    away = threading.Event()
    usage = os.statvfs

    def hang(path: object) -> os.statvfs_result:
        if "work" in str(path):
            away.wait(DISK_SECONDS)
        return usage(str(path))

    monkeypatch.setattr(os, "statvfs", hang)
    found = disks(services.config, seconds=0.05)
    away.set()
    assert "state_dir" in found
    assert "work_root" not in found


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ({"http": "0.0.0.0:9797"}, r"0\.0\.0\.0 can be reached from other machines"),
        ({"http": "cluster.example.org:9797"}, "can be reached from other machines"),
        ({"http": "9797"}, "is not HOST:PORT"),
        ({"http": "127.0.0.1:99999"}, "is not HOST:PORT"),
        ({"textfile": "/var/lib/metrics.txt"}, r"must end with \.prom"),
    ],
)
def test_settings_that_would_expose_or_hide_the_metrics_are_refused(
    metrics: dict[str, object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        Site(tmp_path / "site", {"metrics": metrics}).config()


def test_an_open_address_can_be_asked_for(tmp_path: Path) -> None:
    config = Site(tmp_path / "site", {"metrics": {"http": "[::]:9797", "open": True}}).config()
    assert config.metrics.http == "[::]:9797"
