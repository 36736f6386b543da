"""A running `neuroflow up`, and what can befall its children."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import psutil

from neuroflow.orchestrator.services import Services
from tests.chain.site import Site

READY_SECONDS = 120.0
STOP_SECONDS = 120.0
MEGABYTE = 1_000_000


@dataclass
class UpKiller:
    """One `neuroflow up` of a site, and the ways in which its children are mistreated."""

    site: Site
    services: Services
    dice: random.Random
    struck: Counter[str] = field(default_factory=Counter)
    _stopped: list[psutil.Process] = field(default_factory=list)
    _up: subprocess.Popen[bytes] | None = None

    @property
    def up(self) -> subprocess.Popen[bytes]:
        """The supervisor's process."""
        assert self._up is not None
        return self._up

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        return self.up.pid

    def command(self, *arguments: str) -> list[str]:
        """Return a command line of this site."""
        call = "from neuroflow.cli.main import main; main()"
        return [sys.executable, "-c", call, "--config", str(self.site.folder.config), *arguments]

    def start(self, *arguments: str) -> None:
        """Start it, and wait until all its children give signs of life."""
        log = self.site.root / "up.log"
        command = self.command("up", "--log-file", str(log), *arguments)
        self._up = subprocess.Popen(command, cwd=self.site.root, start_new_session=True)
        deadline = time.monotonic() + READY_SECONDS
        while not (self.report().get("ready") and self.report().get("pid") == self.pid):
            assert self.up.poll() is None, self.tail()
            assert time.monotonic() < deadline, self.tail()
            time.sleep(0.2)

    def stop(self) -> int:
        """Stop it in order; return its exit code."""
        self.let_go()
        self.up.terminate()
        return self.up.wait(STOP_SECONDS)

    def end(self) -> None:
        """End what still runs."""
        self.let_go()
        if self.up.poll() is None:
            self.up.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.up.wait(STOP_SECONDS)
        for process in self._ours():
            with suppress(psutil.Error):
                process.kill()
        self.up.wait(10)

    # --- looking ---

    def report(self) -> dict[str, Any]:
        """Read what it says of itself."""
        try:
            found: dict[str, Any] = json.loads((self.site.root / "state" / "up.json").read_text())
        except (OSError, ValueError):
            return {}
        return found

    def status(self, *arguments: str) -> str:
        """Run `neuroflow up --status`."""
        command = self.command("up", "--status", *arguments)
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout

    def size(self) -> tuple[float, int]:
        """Return the supervisor's resident memory (MB) and how many files it has open."""
        process = psutil.Process(self.pid)
        return round(process.memory_info().rss / MEGABYTE, 1), process.num_fds()

    def tail(self) -> str:
        """Return the end of its log, for a failed test's message."""
        log = self.site.root / "up.log"
        return log.read_text(encoding="utf-8", errors="replace")[-4000:] if log.exists() else ""

    def left_over(self) -> list[str]:
        """Name processes of this site that outlived it."""
        return [" ".join(process.cmdline()) for process in self._ours()]

    def _ours(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                told = [*process.cmdline(), process.environ().get("NEUROFLOW_CONFIG", "")]
                if process.pid != os.getpid() and any(str(self.site.root) in text for text in told):
                    found.append(process)
        return found

    # --- what happens ---

    def events(self, *, seconds: float) -> Iterator[Callable[[], str]]:
        """Return all events in a random order, again and again until the time is up; once without a time."""
        end = time.monotonic() + seconds
        while True:
            events = [
                self.redis_killed,
                self.worker_killed,
                self.pool_process_killed,
                self.beat_killed,
                self.worker_told_to_end,
                self.everything_killed,
                self.redis_hangs,
                self.worker_hangs,
                self.beat_hangs,
            ]
            self.dice.shuffle(events)
            for event in events:
                yield event
                if seconds and time.monotonic() >= end:
                    return
            if not seconds:
                return

    def redis_killed(self) -> str:
        """Kill Redis."""
        return self._strike("redis", signal.SIGKILL)

    def worker_killed(self) -> str:
        """Kill the worker's main process alone."""
        return self._strike("worker", signal.SIGKILL)

    def beat_killed(self) -> str:
        """Kill beat."""
        return self._strike("beat", signal.SIGKILL)

    def worker_told_to_end(self) -> str:
        """Ask the worker to end, as somebody does who takes it for a stray one."""
        return self._strike("worker", signal.SIGTERM)

    def pool_process_killed(self) -> str:
        """Kill one of the worker's processes, at whatever it is doing."""
        with suppress(psutil.Error, IndexError):
            worker = psutil.Process(self._pid("worker") or 0)
            self.dice.choice(worker.children()).kill()
            return "a pool process killed"
        return "no pool process there"

    def everything_killed(self) -> str:
        """Kill all children at once."""
        return ", ".join(self._strike(name, signal.SIGKILL) for name in ("redis", "worker", "beat"))

    def redis_hangs(self) -> str:
        """Stop Redis, which stays connected and answers nobody."""
        return self._hang("redis")

    def worker_hangs(self) -> str:
        """Stop the worker's main process."""
        return self._hang("worker")

    def beat_hangs(self) -> str:
        """Stop beat."""
        return self._hang("beat")

    def let_go(self) -> None:
        """Let what still hangs go on."""
        for process in self._stopped:
            with suppress(psutil.Error):
                process.resume()
        self._stopped.clear()

    def _hang(self, name: str) -> str:
        """Stop a child, and wait until it has been replaced: nobody else lets it go on."""
        pid = self._pid(name)
        done = self._strike(name, signal.SIGSTOP)
        if pid is not None:
            self._stopped.append(psutil.Process(pid))
            deadline = time.monotonic() + READY_SECONDS
            while self._pid(name) == pid:
                assert time.monotonic() < deadline, f"{name} hangs, and nobody minds: {self.tail()}"
                time.sleep(0.2)
        return done

    def _strike(self, name: str, number: int) -> str:
        pid = self._pid(name)
        if pid is None:
            return f"{name} was not there"
        with suppress(ProcessLookupError):
            os.kill(pid, number)
            self.struck[name] += 1
        return f"{name} {signal.Signals(number).name}"

    def _pid(self, name: str) -> int | None:
        return next((one["pid"] for one in self.report().get("services", []) if one["name"] == name), None)
