"""The services' log is read from its end, over files that were put aside, and followed across rotations."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import pytest

from neuroflow.errors import NotFoundError
from neuroflow.rotation import RotatedFile
from neuroflow.views import service_log
from neuroflow.views.service_log import Follower, LogFilter, files_of, last_entries, lines_backwards
from neuroflow.views.service_sources import find_source
from tests.cluster_layer.builders import config_in

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def line(number: int, **values: object) -> bytes:
    base = {"event": f"e{number}", "timestamp": (START + timedelta(minutes=number)).isoformat(), "level": "info"}
    return json.dumps({**base, **values}).encode() + b"\n"


def events(path: Path, wanted: LogFilter | None = None, *, limit: int | None = None) -> list[str]:
    found = last_entries(files_of(path), wanted or LogFilter(), limit=limit)
    return [str(entry.values.get("event", entry.text)) for entry in found]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Nine lines in three files, of which the last two were put aside."""
    path = tmp_path / "all.log"
    for number, name in enumerate(("all.log.10", "all.log.9", "all.log")):
        lines = [
            line(3 * number + index, run_id=index, service="beat" if index == 2 else "worker") for index in range(3)
        ]
        (tmp_path / name).write_bytes(b"".join(lines))
    (tmp_path / "all.log.lock").touch()
    (tmp_path / "all.log.2.gz").touch()
    return path


def test_all_files_of_a_log_are_read_the_newest_last(log: Path) -> None:
    assert events(log) == [f"e{number}" for number in range(9)]
    assert events(log, limit=4) == ["e5", "e6", "e7", "e8"]
    assert files_of(log.with_name("none.log")) == []


def test_no_more_is_read_than_is_asked_for(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def noted(path: Path) -> object:
        opened.append(path.name)
        return lines_backwards(path)

    monkeypatch.setattr(service_log, "lines_backwards", noted)
    events(log, limit=2)
    assert opened == ["all.log"]
    opened.clear()
    events(log, LogFilter(since=START + timedelta(minutes=5)))
    assert opened == ["all.log", "all.log.9"]


def test_a_log_of_two_gigabytes_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "large.log"
    with path.open("wb") as stream:
        stream.seek(2 * 1024**3)  # a hole: it takes no space, and reading it all would take minutes
        stream.write(b"\n" + line(1) + line(2))
    assert events(path, limit=2) == ["e1", "e2"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (LogFilter(services=frozenset({"beat"})), ["e2", "e5", "e8"]),
        (LogFilter(run_ids=frozenset({1})), ["e1", "e4", "e7"]),
        (LogFilter(since=START + timedelta(minutes=7)), ["e7", "e8"]),
        (LogFilter(level="warning"), []),
        (LogFilter(workflow_run_id=3), []),
    ],
)
def test_lines_are_chosen_by_what_they_say(log: Path, wanted: LogFilter, found: list[str]) -> None:
    assert events(log, wanted) == found


def test_graver_lines_and_those_of_a_workflow_are_found(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(line(1, level="error", workflow_run_id=3) + line(2, run_id=7) + b"no json\n" + b'["list"]\n')
    assert events(path, LogFilter(level="warning")) == ["e1"]
    assert events(path, LogFilter(workflow_run_id=3, run_ids=frozenset({7}))) == ["e1", "e2"]
    assert events(path) == ["e1", "e2", "no json", '["list"]']


@pytest.mark.parametrize("size", [1, 7, 64, 65536])
def test_lines_are_whole_whatever_the_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(service_log, "_BLOCK_BYTES", size)
    (tmp_path / "log").write_bytes("é one\n\ntwo\nthree".encode())
    assert list(lines_backwards(tmp_path / "log")) == [b"three", b"two", "é one".encode()]


def test_a_follower_misses_nothing_over_many_rotations(tmp_path: Path) -> None:
    path = tmp_path / "all.log"
    writer = RotatedFile(path, max_bytes=300, kept=50)
    writer.write(line(0))
    follower = Follower(path)
    seen: list[str] = []
    for number in range(1, 60):
        writer.write(line(number))
        if number % 7 == 0:  # several rotations lie between two looks
            seen += [entry.values["event"] for entry in follower.read()]
    seen += [entry.values["event"] for entry in follower.read()]
    follower.close()
    writer.close()
    assert len(files_of(path)) > 10
    assert seen == [f"e{number}" for number in range(1, 60)]


def test_a_line_that_comes_between_the_reading_and_the_rotation_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "all.log"
    path.write_bytes(line(0))

    class Rotated(Follower):
        def _newer(self) -> list[BinaryIO]:
            with path.open("ab") as stream:
                stream.write(line(1))
            path.rename(tmp_path / "all.log.1")
            path.write_bytes(line(2))
            return super()._newer()

    follower = Rotated(path)
    assert [entry.values["event"] for entry in follower.read()] == ["e1", "e2"]
    follower.close()


def test_a_follower_waits_for_the_end_of_a_line_and_for_a_file(tmp_path: Path) -> None:
    path = tmp_path / "all.log"
    follower = Follower(path)
    assert follower.read() == []
    with path.open("wb") as stream:
        stream.write(line(1)[:10])
        stream.flush()
        assert follower.read() == []
        stream.write(line(1)[10:])
    assert [entry.values["event"] for entry in follower.read()] == ["e1"]
    path.write_bytes(line(2)[:-3] + b"\n")  # cut in place, and shorter than what was read
    assert len(follower.read()) == 1
    follower.close()


def test_a_log_is_found_by_its_name_and_a_wrong_name_is_helped(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    with pytest.raises(NotFoundError, match=r"logging\.file is not set"):
        find_source(config, "worker")
    config.logs_dir.mkdir(parents=True)
    (config.logs_dir / "up-17.log").touch()
    assert find_source(config, "up-17").path.name == "up-17.log"
    with pytest.raises(NotFoundError) as error:
        find_source(config, "up-71")
    assert "did you mean `up-17`" in error.value.hint
    with pytest.raises(NotFoundError, match=r"redis\.log"):
        find_source(config, "redis")
