"""Run one command on a node: watch its output, pass signals on, keep to a time limit; standard library only."""

from __future__ import annotations

import math
import os
import re
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import BinaryIO

TAIL_BYTES = 16 * 1024
_LINE_LIMIT_BYTES = 64 * 1024
_QUOTED_LIMIT = 500
_CHUNK_BYTES = 64 * 1024
_TICK_SECONDS = 0.5
_SIGNAL_TICK_SECONDS = 0.05
# SLURM sends SIGKILL KillWait (30 s, at some sites 5) after SIGTERM: the record must be written before.
_TERM_GRACE_SECONDS = 3.0
# How long a tool may take over other signals before SIGTERM follows.
_SECONDS_TO_TERM = {signal.SIGUSR2: 20.0, signal.SIGXCPU: 20.0, signal.SIGINT: 1.0, signal.SIGHUP: 1.0}
_DRAIN_SECONDS = 2.0
TIME_LIMIT = "TIME_LIMIT"
_STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2, signal.SIGXCPU)
_PASSED_ON = (*_STOPPING, signal.SIGUSR1, signal.SIGCONT)


@dataclass
class Tail:
    """The last of a stream, and its first line that matches a pattern."""

    patterns: Sequence[re.Pattern[str]] = ()
    matched: str = ""
    _kept: bytearray = field(default_factory=bytearray)
    _line: bytearray = field(default_factory=bytearray)

    def feed(self, chunk: bytes) -> None:
        """Take more of the stream."""
        self._kept += chunk
        del self._kept[:-TAIL_BYTES]
        if not self.patterns or self.matched:
            return
        *lines, rest = re.split(rb"[\r\n]", bytes(self._line) + chunk)
        for line in lines:
            self._look_at(line)
        self._line = bytearray(rest[-_LINE_LIMIT_BYTES:])

    def close(self) -> None:
        """Look at the last line, which may lack its end."""
        if self.patterns and not self.matched:
            self._look_at(bytes(self._line))

    def _look_at(self, line: bytes) -> None:
        text = line.decode("utf-8", errors="replace").strip()
        if text and not self.matched and any(pattern.search(text) for pattern in self.patterns):
            self.matched = text[:_QUOTED_LIMIT]

    @property
    def text(self) -> str:
        """The last 16 KiB, as text."""
        return self._kept.decode("utf-8", errors="replace")


@dataclass(frozen=True)
class Ended:
    """How a command ended: 128 + n for signal n, as a shell says it."""

    exit_code: int
    error: str = ""  # why it could not be started

    @property
    def signal(self) -> int | None:
        """The signal behind an exit code; a container runtime reports it as 128 + n as well."""
        number = self.exit_code - 128
        return number if 0 < number < signal.NSIG else None


class Stopper:
    """Pass this process's signals on to the command that it runs, and remember what asked it to stop."""

    def __init__(self, *, time_limit_seconds: float | None = None) -> None:
        self.stopped_by = ""
        self._group: int | None = None
        self._deadline = None if time_limit_seconds is None else time.monotonic() + time_limit_seconds
        self._term_at: float | None = None
        self._kill_at: float | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> Stopper:
        for number in _PASSED_ON:
            self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    @contextmanager
    def watching(self, process: subprocess.Popen[bytes]) -> Iterator[None]:
        """Pass signals on to a process group while the block runs; end what is left of it afterwards."""
        self._group = process.pid
        if self.stopped_by:  # the signal came before there was anything to pass it on to
            self._send(signal.SIGTERM)
        try:
            yield
        finally:
            self._send(signal.SIGKILL)
            self._group = None
            process.wait()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if number in _STOPPING:
            kind = signal.Signals(number)
            self._stop(kind.name, term_in=_SECONDS_TO_TERM.get(kind))
        self._send(number)

    def _stop(self, reason: str, *, term_in: float | None) -> None:
        """Note why to stop, and when SIGTERM is due (None: it has been sent); a second reason may only hasten it."""
        self.stopped_by = self.stopped_by or reason
        now = time.monotonic()
        if term_in is not None:
            self._term_at = min(now + term_in, self._term_at or math.inf)
        kill_at = now + (term_in or 0.0) + _TERM_GRACE_SECONDS
        self._kill_at = min(kill_at, self._kill_at or math.inf)

    def is_stopped(self, *, within_seconds: float) -> bool:
        """Tell whether this process is asked to stop, by now or within some seconds."""
        until = time.monotonic() + within_seconds
        while not self.stopped_by and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _SIGNAL_TICK_SECONDS))
        return bool(self.stopped_by)

    def tick(self) -> None:
        """Send what is due: the end of the time limit, SIGTERM after a warning, SIGKILL after SIGTERM."""
        now = time.monotonic()
        if self._deadline is not None and now >= self._deadline and not self.stopped_by:
            self._stop(TIME_LIMIT, term_in=0.0)
        if self._kill_at is not None and now >= self._kill_at:
            self._send(signal.SIGKILL)
        elif self._term_at is not None and now >= self._term_at:
            self._send(signal.SIGTERM)
            self._term_at = None

    def _send(self, number: int) -> None:
        if self._group is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._group, number)


def run(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    cwd: Path,
    logs: tuple[Path, Path],
    tail: Tail,
    stopper: Stopper,
) -> Ended:
    """Run a command in a process group of its own, both streams copied to `logs` and to this process's own."""
    if stopper.stopped_by:
        return Ended(128 + signal.SIGTERM, f"not started: {stopper.stopped_by} came first")
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        process = subprocess.Popen(
            list(command),
            env=dict(environment),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,
        )
    except OSError as error:
        code = 127 if isinstance(error, FileNotFoundError) else 126
        return Ended(code, f"'{command[0]}' can't be started: {error.strerror or error}")
    with (
        process,
        logs[0].open("ab", buffering=0) as out,
        logs[1].open("ab", buffering=0) as err,
        stopper.watching(process),
    ):
        _copy_streams(process, (out, err), tail, stopper)
    tail.close()
    code = process.returncode
    return Ended(128 - code if code < 0 else code)


def _copy_streams(
    process: subprocess.Popen[bytes], files: tuple[BinaryIO, BinaryIO], tail: Tail, stopper: Stopper
) -> None:
    with selectors.DefaultSelector() as selector:
        for stream, file, own in ((process.stdout, files[0], 1), (process.stderr, files[1], 2)):
            selector.register(stream, selectors.EVENT_READ, (file, own))  # type: ignore[arg-type]
        drain_until: float | None = None
        while selector.get_map():
            ready = selector.select(_TICK_SECONDS)
            for key, _ in ready:
                chunk = os.read(key.fd, _CHUNK_BYTES)
                if not chunk:
                    selector.unregister(key.fileobj)
                    continue
                file, own = key.data
                _write(file.fileno(), chunk)
                _write(own, chunk)
                if own == 2:
                    tail.feed(chunk)
            stopper.tick()
            # A grandchild may hold the pipes for ever; the command itself decides.
            if drain_until is None and process.poll() is not None:
                drain_until = time.monotonic() + _DRAIN_SECONDS
            if drain_until is not None and (not ready or time.monotonic() >= drain_until):
                break
    while process.poll() is None:  # it closed its streams and works on
        with suppress(subprocess.TimeoutExpired):
            process.wait(_TICK_SECONDS)
        stopper.tick()


def _write(descriptor: int, chunk: bytes) -> None:
    """Write all of a chunk; a full disk costs the log, not the run."""
    view = memoryview(chunk)
    with suppress(OSError):
        while view:
            view = view[os.write(descriptor, view) :]
