"""Logs: one format for structlog and the standard library, times in UTC, no secrets, no lost lines."""

from __future__ import annotations

import fcntl
import io
import json
import logging
import multiprocessing
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from pydantic import SecretStr

from neuroflow import log
from neuroflow.config.sections import Logging
from neuroflow.errors import ConfigError
from neuroflow.rotation import RotatedFile


@pytest.fixture(autouse=True)
def _clean_logging() -> Iterator[None]:
    root = logging.getLogger()
    level = root.level
    yield
    log.clear()
    structlog.reset_defaults()
    for handler in list(root.handlers):
        if isinstance(handler.formatter, structlog.stdlib.ProcessorFormatter):
            root.removeHandler(handler)
            handler.close()
    root.setLevel(level)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def json_lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def configured(**settings: object) -> io.StringIO:
    stream = io.StringIO()
    log.configure(Logging(**{"format": "json", **settings}), service="worker", stream=stream)
    return stream


def test_a_line_has_event_level_service_logger_and_a_utc_time() -> None:
    stream = configured()
    structlog.get_logger("neuroflow.here").info("run.submitted", run_id=7)
    (line,) = json_lines(stream)
    assert line["event"] == "run.submitted"
    assert line["run_id"] == 7
    assert line["level"] == "info"
    assert line["service"] == "worker"
    assert line["logger"] == "neuroflow.here"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", str(line["timestamp"]))


def test_the_standard_library_goes_through_the_same_formatter() -> None:
    stream = configured()
    log.bind(task_id="t1")
    logging.getLogger("celery.worker").warning("lost %s", "redis://:geheim@host:6379/0")
    (line,) = json_lines(stream)
    assert line["event"] == "lost redis://:**********@host:6379/0"
    assert line["logger"] == "celery.worker"
    assert line["task_id"] == "t1"


def test_what_is_bound_stands_in_every_line_until_it_is_cleared() -> None:
    stream = configured()
    log.bind(run_id=3)
    structlog.get_logger().info("one")
    log.clear()
    structlog.get_logger().info("two")
    one, two = json_lines(stream)
    assert one["run_id"] == 3
    assert "run_id" not in two


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("password", "geheim"),
        ("db_password", "geheim"),
        ("slack_webhook", "geheim"),
        ("auth_token", "geheim"),
        ("api_key", "geheim"),
        ("anything", SecretStr("geheim")),
        ("url", "postgresql+psycopg://me:geheim@db/x"),
        ("url", "redis://:ge/he@im:geheim@db/0"),
        ("url", "postgresql://db/x?user=a&password=geheim"),
        ("note", "see https://hooks.slack.com/services/geheim/geheim now"),
        ("nested", {"inner": [{"password": "geheim"}, "redis://u:geheim@h"]}),
        ("listed", (SecretStr("geheim"),)),
    ],
)
def test_secrets_are_hidden(key: str, value: object) -> None:
    stream = configured()
    structlog.get_logger().info("event", **{key: value})
    assert "geheim" not in stream.getvalue()
    assert "*****" in stream.getvalue()


def test_secrets_are_hidden_in_tracebacks() -> None:
    stream = configured()
    try:
        raise RuntimeError("no answer from redis://:geheim@host:6379/0")
    except RuntimeError:
        structlog.get_logger().exception("failed")
    (line,) = json_lines(stream)
    assert "RuntimeError" in str(line["exception"])
    assert "geheim" not in stream.getvalue()


def test_an_attempts_token_is_no_secret() -> None:
    stream = configured()
    structlog.get_logger().info("event", token="nf-qsiprep-7-abc", webhook_enabled=True)
    (line,) = json_lines(stream)
    assert line["token"] == "nf-qsiprep-7-abc"
    assert line["webhook_enabled"] is True


def test_the_level_is_the_lowest_written() -> None:
    stream = configured(level="WARNING")
    structlog.get_logger().info("quiet")
    logging.getLogger("x").info("quiet")
    structlog.get_logger().warning("loud")
    assert [line["event"] for line in json_lines(stream)] == ["loud"]


def test_auto_is_for_people_on_a_terminal_and_json_elsewhere() -> None:
    terminal = Terminal()
    log.configure(Logging(), service="cli", stream=terminal)
    structlog.get_logger().info("hello")
    with pytest.raises(json.JSONDecodeError):
        json.loads(terminal.getvalue())
    pipe = io.StringIO()
    log.configure(Logging(), service="cli", stream=pipe)
    structlog.get_logger().info("hello")
    assert json.loads(pipe.getvalue())["event"] == "hello"


def test_hostile_text_can_neither_steer_the_terminal_nor_forge_a_line() -> None:
    stream = configured(format="console")
    structlog.get_logger().info("scan.problem", folder="\x1b[2Jx\n2026-01-01 [info] run.completed")
    logging.getLogger("pydicom").warning("bad\r\nname \x9b31m")
    assert len(stream.getvalue().splitlines()) == 2
    assert not re.search(r"[\x1b\x9b\r]", stream.getvalue())


def test_hostile_text_is_one_line_of_json() -> None:
    stream = configured()
    structlog.get_logger().info("event", folder='a\n{"event": "forged"}\x00\udcff')
    assert len(stream.getvalue().splitlines()) == 1


def test_configuring_again_replaces_the_former_handlers() -> None:
    first, second = configured(), configured()
    structlog.get_logger().info("once")
    assert first.getvalue() == ""
    assert len(json_lines(second)) == 1


def test_the_file_gets_json_lines_for_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "state" / "logs" / "neuroflow.log"
    configured(format="console", file=file)
    structlog.get_logger().info("event", password="geheim")
    assert json.loads(file.read_text())["event"] == "event"
    assert "geheim" not in file.read_text()
    for path in (file, file.parent, file.parent.parent):
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_file_that_cannot_be_written_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"logging\.file: .*can't be written"):
        configured(file=tmp_path / "file" / "below.log")


def _write(path: Path, name: int, lines: int) -> None:
    handler = log.SharedFileHandler(path, max_bytes=2_000, kept=50)
    for number in range(lines):
        handler.emit(logging.LogRecord("x", logging.INFO, "", 0, f"{name}-{number}", None, None))
    handler.close()


def test_several_processes_lose_no_line_when_the_file_is_rotated(tmp_path: Path) -> None:
    path = tmp_path / "neuroflow.log"
    processes = [
        multiprocessing.get_context("spawn").Process(target=_write, args=(path, name, 300)) for name in range(3)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    files = [file for file in tmp_path.iterdir() if file.suffix != ".lock"]
    written = sorted(line for file in files for line in file.read_text().splitlines())
    assert len(files) > 2
    assert written == sorted(f"{name}-{number}" for name in range(3) for number in range(300))


def test_nobody_waits_while_a_process_was_stopped_in_the_middle_of_a_rotation(tmp_path: Path) -> None:
    path = tmp_path / "n.log"
    path.write_text("full\n" * 1000)
    with (tmp_path / "n.log.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _write(path, 0, 1)
        assert path.read_text().endswith("full\n0-0\n")
        assert not (tmp_path / "n.log.1").exists()
    _write(path, 1, 1)
    assert (tmp_path / "n.log.1").exists()
    assert path.read_text() == "1-0\n"


def test_long_lines_of_several_processes_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "n.log"
    processes = [
        multiprocessing.get_context("spawn").Process(target=_write_long, args=(path, letter)) for letter in "ab"
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    files = [file for file in tmp_path.iterdir() if file.suffix != ".lock"]
    lines = [line for file in files for line in file.read_text().splitlines()]
    assert sorted(lines) == ["a" * 50_000] * 40 + ["b" * 50_000] * 40


def _write_long(path: Path, letter: str) -> None:
    file = RotatedFile(path, max_bytes=300_000, kept=50)
    for _ in range(40):
        file.write(letter.encode() * 50_000 + b"\n")
    file.close()


def test_the_size_and_number_of_files_are_configured(tmp_path: Path) -> None:
    configured(file=tmp_path / "n.log", max_mb=0.001, keep=1)
    for number in range(30):
        structlog.get_logger().info("event", number=number)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["n.log", "n.log.1", "n.log.lock"]
    assert (tmp_path / "n.log.1").stat().st_size < 2_000


def test_only_so_many_rotated_files_are_kept(tmp_path: Path) -> None:
    handler = log.SharedFileHandler(tmp_path / "n.log", max_bytes=10, kept=2)
    for number in range(20):
        handler.emit(logging.LogRecord("x", logging.INFO, "", 0, f"line {number:04d}", None, None))
    handler.close()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["n.log", "n.log.1", "n.log.2", "n.log.lock"]
