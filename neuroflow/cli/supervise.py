"""Keep child processes running: start in order, restart with backoff, notice those that hang, stop them in order."""

from __future__ import annotations

import os
import selectors
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from neuroflow.cli.signs_of_life import SignsOfLife
from neuroflow.cli.supervised_child import Child, LineSink, Output, Service, ServiceState
from neuroflow.cli.wakeups import Wishes, wakeups

log = structlog.get_logger(__name__)

FIRST_DELAY_SECONDS = 1.0
LONGEST_DELAY_SECONDS = 60.0
# A child that lived this long was well, and its next failure is a first one.
HEALTHY_SECONDS = 30.0
# A child that never was well and ended by itself after so many starts is broken, not unlucky.
MAX_FIRST_FAILURES = 5
COLD_STOP_SECONDS = 10.0
HUNG_SECONDS = 120.0
# A busy login node takes its time to load Python's modules from a network file system.
BEGIN_SECONDS = 60.0
_TICK_SECONDS = 0.5


@dataclass(frozen=True)
class Timing:
    """The supervisor's limits (s)."""

    stop: float = 60.0
    cold_stop: float = COLD_STOP_SECONDS
    first_delay: float = FIRST_DELAY_SECONDS
    healthy: float = HEALTHY_SECONDS
    hung: float = HUNG_SECONDS  # without a sign of life
    begin: float = BEGIN_SECONDS  # until the first sign of life, at least
    check: float = 10.0  # between two checks
    tick: float = _TICK_SECONDS  # without output and signals


class Supervisor:
    """Run services until a signal, or until one of them can't be started at all."""

    def __init__(
        self,
        services: Sequence[Service],
        *,
        output: LineSink,
        timing: Timing | None = None,
        inherited: Sequence[int] = (),  # file descriptors, such as a lock that lasts as long as any child
        on_change: Callable[[list[ServiceState]], None] = lambda states: None,
        on_tick: Callable[[list[ServiceState]], None] = lambda states: None,
        reload: Callable[[], Sequence[Service] | None] = lambda: None,  # the services by the present configuration
    ) -> None:
        self._output = Output(output, width=max((len(service.name) for service in services), default=0))
        self._children = [Child(service, self._output) for service in services]
        self._timing = timing or Timing()
        self._inherited = tuple(inherited)
        self._on_change = on_change
        self._on_tick = on_tick
        self._reload = reload
        self._selector = selectors.DefaultSelector()
        self._signs = SignsOfLife(interval=self._timing.check)
        self._wishes = Wishes()

    def request_stop(self) -> None:
        """Ask for an orderly end; a second time, for an immediate one."""
        self._wishes.stops += 1

    def request_reload(self) -> None:
        """Ask for a restart of the children with the present configuration."""
        self._wishes.reload = True

    def run(self) -> int:
        """Supervise until the end; return 0 after an orderly stop, 1 when something was killed or never started."""
        with wakeups(self._selector, self._wishes):
            try:
                healthy = self._supervise()
            finally:
                orderly = self._stop_all()
                self._signs.stop()
                self._selector.close()
        return 0 if healthy and orderly else 1

    def states(self) -> list[ServiceState]:
        """Return how each service is doing."""
        found = []
        for child in self._children:
            sign = self._signs.of(child.service.name)
            if sign is None:
                found.append(child.snapshot())
            else:
                found.append(child.snapshot(last_sign=sign.last_sign, health=sign.health))
        return found

    def _supervise(self) -> bool:
        while not self._wishes.stops:
            self._start_due()
            self._pump(self._patience())
            self._reap()
            self._end_hung()
            self._reload_if_wished()
            self._on_tick(self.states())
            broken = next((child for child in self._children if _is_broken(child)), None)
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

    def _start(self, child: Child) -> None:
        try:
            child.start(self._selector, inherited=self._inherited)
        except OSError as error:
            log.error("up.child_not_started", child=child.service.name, error=str(error))
            child.note_end(1, lived=0.0, healthy=self._timing.healthy)
            self._schedule(child)
            return
        if child.service.check is not None:
            self._signs.watch(child.service.name, child.service.check)
        pid = child.process.pid if child.process is not None else None
        log.info("up.child_started", child=child.service.name, child_pid=pid, start=child.starts)
        self._changed()

    def _patience(self) -> float:
        """Return how long to wait for output: until the next start at most."""
        waiting = any(child.state == "starting" for child in self._children)
        due = [child.start_at - time.monotonic() for child in self._children if child.process is None]
        tick = min(self._timing.tick, _TICK_SECONDS) if waiting else self._timing.tick
        return min([tick, *(max(0.01, seconds) for seconds in due)])

    def _reap(self) -> None:
        """Note which children have ended, and when they are started again."""
        for child in self._children:
            if child.process is None:
                continue
            lived = time.monotonic() - child.started_at
            code = child.reaped(self._selector)
            if code is None:
                if lived >= self._timing.healthy:
                    child.note_well()
                continue
            self._signs.forget(child.service.name)
            log.warning("up.child_ended", child=child.service.name, exit_code=code, lived_seconds=round(lived, 1))
            child.note_end(code, lived=lived, healthy=self._timing.healthy)
            self._schedule(child)

    def _schedule(self, child: Child) -> None:
        delay = min(self._timing.first_delay * 2.0 ** min(child.failures - 1, 30), LONGEST_DELAY_SECONDS)
        child.start_at = time.monotonic() + delay
        child.state = "waiting"
        self._changed()

    def _end_hung(self) -> None:
        """Kill children that live but gave no sign of life for too long; they are started again as after any end."""
        for child in self._children:
            sign = self._signs.of(child.service.name) if child.process is not None else None
            silent = 0.0 if sign is None else sign.silent_seconds(time.monotonic())
            if sign is None or sign.health != "silent":
                continue
            begins = sign.last_sign is None
            if silent < (max(self._timing.hung, self._timing.begin) if begins else self._timing.hung):
                continue
            pid = child.process.pid if child.process is not None else None
            log.error("up.child_hung", child=child.service.name, child_pid=pid, silent_seconds=round(silent))
            child.hung += 1
            child.kill()
            self._signs.forget(child.service.name)

    def _reload_if_wished(self) -> None:
        if not self._wishes.take_reload():
            return
        services = self._reload()
        if services is None:
            return
        by_name = {service.name: service for service in services}
        # What others need, such as Redis, goes on: it holds nothing of the configuration but its place.
        changed = [child for child in self._children if child.service.ready is None]
        log.info("up.reloading", children=[child.service.name for child in changed])
        self._stop(changed)
        for child in changed:
            child.service = by_name.get(child.service.name, child.service)
            child.start_at = 0.0
            child.state = "waiting"
        self._changed()

    def _stop_all(self) -> bool:
        """Stop the services that others need last; tell whether all of them ended by themselves."""
        needed = [child for child in self._children if child.service.ready is not None]
        others = [child for child in self._children if child.service.ready is None]
        orderly = [self._stop(others), *(self._stop([child]) for child in reversed(needed))]
        return all(orderly)

    def _stop(self, children: Sequence[Child]) -> bool:
        self._signal(children, signal.SIGTERM)
        # One that was stopped by SIGSTOP would never hear of the other signal.
        self._signal(children, signal.SIGCONT)
        if self._wait(children, self._timing.stop, patient=True):
            return True
        for child in children:
            if child.process is not None:
                log.warning("up.child_stopped_hard", child=child.service.name, child_pid=child.process.pid)
                child.send(child.service.quit_signal)
        if not self._wait(children, self._timing.cold_stop, patient=False):
            for child in children:
                child.kill()
            self._wait(children, self._timing.cold_stop, patient=False)
        return False

    def _signal(self, children: Sequence[Child], number: int) -> None:
        for child in children:
            if child.process is not None:
                self._signs.forget(child.service.name)
                child.state = "stopping"
                child.send(number)
        self._changed()

    def _wait(self, children: Sequence[Child], seconds: float, *, patient: bool) -> bool:
        deadline = time.monotonic() + seconds
        while any(child.process is not None for child in children):
            if time.monotonic() > deadline or (patient and self._wishes.stops > 1):
                return False
            self._pump(min(_TICK_SECONDS, max(0.0, deadline - time.monotonic())))
            self._on_tick(self.states())
            for child in children:
                code = child.reaped(self._selector)
                if code is not None:
                    log.info("up.child_stopped", child=child.service.name, exit_code=code)
                    self._changed()
        return True

    def _pump(self, timeout: float) -> None:
        """Wait for output, a signal or the time-out, and pass the output on."""
        for key, _ in self._selector.select(timeout):
            if isinstance(key.data, Child):
                key.data.read(self._selector)
            else:
                os.read(key.fd, 4096)

    def _changed(self) -> None:
        self._on_change(self.states())


def _is_broken(child: Child) -> bool:
    return not child.was_well and child.faults >= MAX_FIRST_FAILURES
