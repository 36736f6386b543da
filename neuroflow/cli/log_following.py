"""Follow the logs of a run as they grow."""

from __future__ import annotations

import time

from neuroflow.cli.log_text import LogWriter, say
from neuroflow.domain import OPEN_ATTEMPT_STATUSES, OPEN_RUN_STATUSES, AttemptRecord
from neuroflow.orchestrator.services import Services
from neuroflow.views.run_logs import choose_attempt, pieces, tail_offset

# The files may lie on a network file system, and the database is shared.
_FOLLOW_SECONDS = 1.0


class Following:
    """Copies the logs of an attempt as they grow, then the next attempt's, until the run has ended."""

    def __init__(self, services: Services, attempt: AttemptRecord, names: list[str], *, only: bool) -> None:
        self._services = services
        self._attempt = attempt
        self._names = names
        self._only = only
        self._writers = {name: LogWriter() for name in names}
        self._offsets = dict.fromkeys(names, 0)
        self._last = ""

    def run(self, *, tail: int | None) -> None:
        """Go on until the run, or the one attempt that was asked for, has ended."""
        state, attempt = self._services.state, self._attempt
        self._start(tail)
        said: set[int] = set()
        while True:
            # Asked before the file is read: what was written before the end is then shown for certain.
            run = state.get_run(attempt.run_id)
            present = state.get_attempt(attempt.id)
            self._copy(attempt)
            # A cancelled run has ended, though its attempt stays open until a poll has seen the job end.
            if run.status not in OPEN_RUN_STATUSES:
                self._end()
                say(f"run {run.id} {run.status}: {run.reason}")
                return
            if present.status not in OPEN_ATTEMPT_STATUSES:
                if present.id not in said:
                    said.add(present.id)
                    self._end()
                    say(f"attempt {present.number} {present.status}; run {run.id} is {run.status}: {run.reason}")
                if self._only:
                    return
                newest = choose_attempt(state, attempt.run_id, None)
                if newest.id != attempt.id:
                    attempt, self._offsets = newest, dict.fromkeys(self._names, 0)
                    say(f"attempt {attempt.number}")
                    continue
            time.sleep(_FOLLOW_SECONDS)

    def _start(self, tail: int | None) -> None:
        if tail is None:
            return
        for name in self._names:
            path = f"{self._attempt.folder}/{name}"
            try:
                self._offsets[name] = tail_offset(self._services.folders(self._attempt.where), path, lines=tail)
            except FileNotFoundError:
                continue

    def _copy(self, attempt: AttemptRecord) -> None:
        folders = self._services.folders(attempt.where)
        for name in self._names:
            try:
                for piece in pieces(folders, f"{attempt.folder}/{name}", self._offsets[name]):
                    if len(self._names) > 1 and self._last != name:
                        say(name)
                        self._last = name
                    self._writers[name].write(piece)
                    self._offsets[name] += len(piece)
            except FileNotFoundError:
                continue

    def _end(self) -> None:
        for writer in self._writers.values():
            writer.flush()
