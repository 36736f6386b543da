"""Keep child processes running: start in order, restart with backoff, pass their output on, stop them in order."""

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
from typing import IO, BinaryIO

import structlog

from neuroflow.cli.wakeups import wakeups

log = structlog.get_logger(__name__)

FIRST_DELAY_SECONDS = 1.0
LONGEST_DELAY_SECONDS = 60.0
# A child that lived this long was well, and its next failure is a first one.
HEALTHY_SECONDS = 30.0
# A child that never was well after so many starts is broken, not unlucky.
MAX_FIRST_FAILURES = 5
COLD_STOP_SECONDS = 10.0
_TICK_SECONDS = 0.5
_LONGEST_LINE = 65_536
# What a pipe can still hold once its writer has ended is 16 reads at most.
_LAST_READS = 16
_PR_SET_PDEATHSIG = 1

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


@dataclass(frozen=True)
class ServiceState:
    """How a service is doing."""

    name: str
    pid: int | None
    state: str  # waiting, starting, running, stopping, stopped
    starts: int
    last_exit: int | None


@dataclass(frozen=True)
class Timing:
    """The supervisor's limits (s)."""

    stop: float = 60.0
    cold_stop: float = COLD_STOP_SECONDS
    first_delay: float = FIRST_DELAY_SECONDS
    healthy: float = HEALTHY_SECONDS


@dataclass
class _Child:
    service: Service
    process: subprocess.Popen[bytes] | None = None
    state: str = "waiting"
    starts: int = 0
    failures: int = 0  # in a row
    was_well: bool = False
    started_at: float = 0.0
    start_at: float = 0.0  # not before
    last_exit: int | None = None
    buffer: bytearray = field(default_factory=bytearray)

    def snapshot(self) -> ServiceState:
        return ServiceState(
            self.service.name, self.process.pid if self.process else None, self.state, self.starts, self.last_exit
        )

    def is_broken(self) -> bool:
        return not self.was_well and self.failures >= MAX_FIRST_FAILURES


class Supervisor:
    """Run services until a signal, or until one of them can't be started at all."""

    def __init__(
        self,
        services: Sequence[Service],
        *,
        output: BinaryIO,
        timing: Timing | None = None,
        inherited: Sequence[int] = (),  # file descriptors, such as a lock that lasts as long as any child
        on_change: Callable[[list[ServiceState]], None] = lambda states: None,
    ) -> None:
        self._children = [_Child(service) for service in services]
        self._output: BinaryIO | None = output
        self._timing = timing or Timing()
        self._inherited = tuple(inherited)
        self._on_change = on_change
        self._selector = selectors.DefaultSelector()
        self._stops = 0
        self._width = max((len(service.name) for service in services), default=0)

    def request_stop(self) -> None:
        """Ask for an orderly end; a second time, for an immediate one."""
        self._stops += 1

    def run(self) -> int:
        """Supervise until the end; return 0 after an orderly stop, 1 when something was killed or never started."""
        with wakeups(self._selector, self.request_stop):
            try:
                healthy = self._supervise()
            finally:
                orderly = self._stop_all()
                self._selector.close()
        return 0 if healthy and orderly else 1

    def _supervise(self) -> bool:
        while not self._stops:
            self._start_due()
            self._pump(self._patience())
            self._reap()
            broken = next((child for child in self._children if child.is_broken()), None)
            if broken is not None:
                log.error(
                    "up.gave_up", child=broken.service.name, starts=broken.starts, last_exit_code=broken.last_exit
                )
                return False
        return True

    def _start_due(self) -> None:
        for child in self._children:
            if child.process is None and time.monotonic() >= child.start_at:
                self._start(child)
            if child.state == "starting" and (child.service.ready is None or child.service.ready()):
                child.state = "running"
                self._changed()
            if child.service.ready is not None and child.state != "running":
                return

    def _start(self, child: _Child) -> None:
        try:
            child.process = subprocess.Popen(
                child.service.command,
                env=dict(child.service.environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=self._inherited,
                # A Ctrl-C reaches this process alone, which stops the others in order.
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )
        except OSError as error:
            log.error("up.child_not_started", child=child.service.name, error=str(error))
            self._schedule(child)
            return
        child.starts += 1
        child.started_at = time.monotonic()
        child.state = "starting"
        assert child.process.stdout is not None  # noqa: S101  # a pipe was asked for
        os.set_blocking(child.process.stdout.fileno(), False)
        self._selector.register(child.process.stdout, selectors.EVENT_READ, child)
        log.info("up.child_started", child=child.service.name, child_pid=child.process.pid, start=child.starts)
        self._changed()

    def _patience(self) -> float:
        """Return how long to wait for output: until the next start at most."""
        due = [child.start_at - time.monotonic() for child in self._children if child.process is None]
        return min([_TICK_SECONDS, *(max(0.01, seconds) for seconds in due)])

    def _reap(self) -> None:
        """Note which children have ended, and when they are started again."""
        for child in self._children:
            if child.process is None:
                continue
            lived = time.monotonic() - child.started_at
            if lived >= self._timing.healthy:
                child.was_well, child.failures = True, 0
            code = child.process.poll()
            if code is None:
                continue
            self._ended(child, code)
            log.warning("up.child_ended", child=child.service.name, exit_code=code, lived_seconds=round(lived, 1))
            self._schedule(child)

    def _schedule(self, child: _Child) -> None:
        delay = min(self._timing.first_delay * 2.0 ** min(child.failures, 30), LONGEST_DELAY_SECONDS)
        child.failures += 1
        child.start_at = time.monotonic() + delay
        child.state = "waiting"
        self._changed()

    def _ended(self, child: _Child, code: int) -> None:
        process = child.process
        if process is None or process.stdout is None:
            return
        if not process.stdout.closed:
            for _ in range(_LAST_READS):
                if not self._read(child, process.stdout):
                    break
            self._close(process.stdout)
        if child.buffer:
            self._write_line(child, bytes(child.buffer))
            child.buffer.clear()
        child.process, child.last_exit, child.state = None, code, "stopped"

    def _stop_all(self) -> bool:
        """Stop the services that others need last; tell whether all of them ended by themselves."""
        needed = [child for child in self._children if child.service.ready is not None]
        others = [child for child in self._children if child.service.ready is None]
        orderly = [self._stop(others), *(self._stop([child]) for child in reversed(needed))]
        return all(orderly)

    def _stop(self, children: Sequence[_Child]) -> bool:
        self._signal(children, signal.SIGTERM)
        if self._wait(children, self._timing.stop, patient=True):
            return True
        for child in children:
            if child.process is not None:
                log.warning("up.child_stopped_hard", child=child.service.name, child_pid=child.process.pid)
                child.process.send_signal(child.service.quit_signal)
        if not self._wait(children, self._timing.cold_stop, patient=False):
            self._signal(children, signal.SIGKILL)
            self._wait(children, self._timing.cold_stop, patient=False)
        return False

    def _signal(self, children: Sequence[_Child], number: int) -> None:
        for child in children:
            if child.process is None:
                continue
            child.state = "stopping"
            if number == signal.SIGKILL:
                # Its own children are in its process group, and must not outlive it.
                with suppress(ProcessLookupError):
                    os.killpg(child.process.pid, number)
            else:
                child.process.send_signal(number)
        self._changed()

    def _wait(self, children: Sequence[_Child], seconds: float, *, patient: bool) -> bool:
        deadline = time.monotonic() + seconds
        while any(child.process is not None for child in children):
            if time.monotonic() > deadline or (patient and self._stops > 1):
                return False
            self._pump(min(_TICK_SECONDS, max(0.0, deadline - time.monotonic())))
            for child in children:
                code = child.process.poll() if child.process is not None else None
                if code is not None:
                    self._ended(child, code)
                    log.info("up.child_stopped", child=child.service.name, exit_code=code)
                    self._changed()
        return True

    def _pump(self, timeout: float) -> None:
        """Wait for output, a signal or the time-out, and pass the output on."""
        for key, _ in self._selector.select(timeout):
            if not isinstance(key.data, _Child):
                os.read(key.fd, 4096)
            elif key.data.process is not None and key.data.process.stdout is not None:
                stream = key.data.process.stdout
                if self._read(key.data, stream) is None:
                    self._close(stream)

    def _close(self, stream: IO[bytes]) -> None:
        self._selector.unregister(stream)
        stream.close()

    def _read(self, child: _Child, stream: IO[bytes]) -> int | None:
        """Pass on what a child has written: how many bytes, 0 for nothing yet, None at the end of its output."""
        try:
            data = os.read(stream.fileno(), _LONGEST_LINE)
        except BlockingIOError:
            return 0
        *lines, rest = (bytes(child.buffer) + data).split(b"\n")
        for line in lines:
            self._write_line(child, line)
        if len(rest) >= _LONGEST_LINE:
            self._write_line(child, rest)
            rest = b""
        child.buffer = bytearray(rest)
        return len(data) or None

    def _write_line(self, child: _Child, line: bytes) -> None:
        if self._output is None:
            return
        try:
            self._output.write(f"{child.service.name:<{self._width}} | ".encode() + line + b"\n")
            self._output.flush()
        except OSError:
            # Nobody listens any more; the services go on, and log to their file.
            self._output = None

    def _changed(self) -> None:
        self._on_change([child.snapshot() for child in self._children])


def _end_with_parent() -> None:
    """Ask Linux to end this child when the supervisor is killed, so that no second set is started beside it."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
