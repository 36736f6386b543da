"""One program under supervision: start it, pass its output on, signal it, and note how it ended."""

from __future__ import annotations

import ctypes
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, Protocol

from neuroflow.cluster.process_table import local_id

_LONGEST_LINE = 65_536
# What a pipe can still hold once its writer has ended is 16 reads at most.
_LAST_READS = 16
_PR_SET_PDEATHSIG = 1
# A child that ends by one of these was ended by somebody else: that says nothing against the program.
_FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)

# Loaded beforehand: between fork and exec nothing may be imported.
_libc = ctypes.CDLL(None)


@dataclass(frozen=True)
class Service:
    """A program to keep running."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    ready: Callable[[], bool] | None = None  # later services wait for it, and it is stopped after them
    quit_signal: int = signal.SIGKILL  # what ends it once its time is up
    # Whether it gives a sign of life; None where nobody can tell, as while Redis is away.
    check: Callable[[], bool | None] | None = None
    nice: int = 0


@dataclass(frozen=True)
class ServiceState:
    """How a service is doing."""

    name: str
    pid: int | None
    state: str  # waiting, starting, running, stopping, stopped
    starts: int
    last_exit: int | None
    health: str = "unknown"  # ok, silent, unknown
    last_sign: float | None = None  # of life, seconds since the epoch
    started_at: float | None = None  # seconds since the epoch
    hung: int = 0  # times that it was killed because it gave no sign of life
    process: str | None = None  # its process id and start time, which no other process ever has


class LineSink(Protocol):
    """What takes lines: standard output, or a rotated file."""

    def write(self, data: bytes, /) -> object:
        """Take one line."""

    def flush(self) -> object:
        """Pass on what was taken."""


class Output:
    """Where the children's lines go, each with its child's name in front."""

    def __init__(self, stream: LineSink, *, width: int) -> None:
        self._stream: LineSink | None = stream
        self._width = width

    def write_line(self, name: str, line: bytes) -> None:
        """Write one line; once nobody listens any more, nothing."""
        if self._stream is None:
            return
        try:
            self._stream.write(f"{name:<{self._width}} | ".encode() + line + b"\n")
            self._stream.flush()
        except OSError:
            # The services go on, and log to their file.
            self._stream = None


@dataclass
class Child:
    """A service's process, and its history."""

    service: Service
    output: Output
    process: subprocess.Popen[bytes] | None = None
    state: str = "waiting"
    starts: int = 0
    failures: int = 0  # in a row
    faults: int = 0  # failures of the program itself, in a row
    hung: int = 0
    was_well: bool = False
    started_at: float = 0.0  # monotonic
    start_at: float = 0.0  # not before
    last_exit: int | None = None
    buffer: bytearray = field(default_factory=bytearray)
    _began: float | None = None
    _process_name: str | None = None

    def snapshot(self, *, last_sign: float | None = None, health: str = "unknown") -> ServiceState:
        """Return how the service is doing."""
        return ServiceState(
            name=self.service.name,
            pid=self.process.pid if self.process else None,
            state=self.state,
            starts=self.starts,
            last_exit=self.last_exit,
            health=health if self.process else "unknown",
            last_sign=last_sign,
            started_at=self._began if self.process else None,
            hung=self.hung,
            process=self._process_name if self.process else None,
        )

    def start(self, selector: selectors.BaseSelector, *, inherited: Sequence[int]) -> None:
        """Start the program.

        Raises:
            OSError: when it can't be started.
        """
        self.process = subprocess.Popen(
            self.service.command,
            env=dict(self.service.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=inherited,
            # A Ctrl-C reaches this process alone, which stops the others in order.
            start_new_session=True,
            preexec_fn=_Beginning(os.getpid(), self.service.nice),
        )
        self.starts += 1
        self.started_at, self._began = time.monotonic(), time.time()
        self._process_name = local_id(self.process.pid)
        self.state = "starting"
        assert self.process.stdout is not None  # noqa: S101  # a pipe was asked for
        os.set_blocking(self.process.stdout.fileno(), False)
        selector.register(self.process.stdout, selectors.EVENT_READ, self)

    def reaped(self, selector: selectors.BaseSelector) -> int | None:
        """Return the exit code once the program has ended; whatever it left in its process group ends with it."""
        process = self.process
        if process is None:
            return None
        if os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return None
        # While it isn't reaped, its process id can't have been given to somebody else.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
        self._ended(selector, code)
        return code

    def send(self, number: int) -> None:
        """Send the program a signal."""
        if self.process is not None:
            # Not Popen's own method, which reaps a program that has ended, and with it our look at its group.
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, number)

    def kill(self) -> None:
        """Kill the program, and its own children, which must not outlive it."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def note_end(self, code: int, *, lived: float, healthy: float) -> None:
        """Count a failure of a program that should have gone on."""
        if lived >= healthy:
            self.note_well()
        self.failures += 1
        if code >= 0 or -code not in _FROM_OUTSIDE:
            self.faults += 1

    def note_well(self) -> None:
        """Forget former failures: the program has run for long enough."""
        self.was_well, self.failures, self.faults = True, 0, 0

    def read(self, selector: selectors.BaseSelector) -> None:
        """Pass on what the program has written."""
        stream = self.process.stdout if self.process is not None else None
        if stream is not None and self._read(stream) is None:
            _close(selector, stream)

    def _ended(self, selector: selectors.BaseSelector, code: int) -> None:
        stream = self.process.stdout if self.process is not None else None
        if stream is not None and not stream.closed:
            for _ in range(_LAST_READS):
                if not self._read(stream):
                    break
            _close(selector, stream)
        if self.buffer:
            self.output.write_line(self.service.name, bytes(self.buffer))
            self.buffer.clear()
        self.process, self.last_exit, self.state = None, code, "stopped"

    def _read(self, stream: IO[bytes]) -> int | None:
        """Return how many bytes there were, 0 for nothing yet, None at the end of the output."""
        try:
            data = os.read(stream.fileno(), _LONGEST_LINE)
        except BlockingIOError:
            return 0
        *lines, rest = (bytes(self.buffer) + data).split(b"\n")
        for line in lines:
            self.output.write_line(self.service.name, line)
        if len(rest) >= _LONGEST_LINE:
            self.output.write_line(self.service.name, rest)
            rest = b""
        self.buffer = bytearray(rest)
        return len(data) or None


def _close(selector: selectors.BaseSelector, stream: IO[bytes]) -> None:
    selector.unregister(stream)
    stream.close()


@dataclass(frozen=True)
class _Beginning:
    """What a child does between fork and exec."""

    parent: int
    nice: int

    def __call__(self) -> None:
        # Linux ends this child when the supervisor is killed, so that no second set is started beside it.
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != self.parent:
            os._exit(1)  # it was killed before the line above
        if self.nice:
            os.nice(self.nice)
