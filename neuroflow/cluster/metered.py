"""Keep to a budget of SLURM calls, and measure how long SLURM takes to answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import Protocol

import structlog

from neuroflow.cluster.transport import CompletedCommand, Transport
from neuroflow.errors import CallBudgetExhausted, NeuroflowError

log = structlog.get_logger(__name__)

# Whoever has waited this long does something else meanwhile: a poll is skipped, a submission comes later.
LONGEST_WAIT_SECONDS = 60.0


class Meter(Protocol):
    """The budget that all processes share, and the record of the calls."""

    def take(self) -> float:
        """Take one call; return 0, or after how many seconds to ask again."""
        ...

    def record(self, program: str, *, seconds: float, failed: bool) -> None:
        """Count a call."""
        ...


class MeteredTransport:
    """Run commands through another transport, no more of them than the budget allows."""

    def __init__(
        self,
        transport: Transport,
        meter: Meter,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._transport = transport
        self._meter = meter
        self._sleep = sleep
        self._clock = clock

    def run(self, argv: Sequence[str], *, timeout: float, input: str | None = None) -> CompletedCommand:
        """Run a command and return its answer, whatever its exit code.

        Raises:
            CallBudgetExhausted: when the budget had no call left for a minute; the command was not run.
            CommandError: when it could not be started, or did not end in time.
        """
        program = program_of(argv)
        self._wait_for_budget(program, tuple(argv))
        began = self._clock()
        failed = True
        try:
            answer = self._transport.run(argv, timeout=timeout, input=input)
            failed = answer.exit_code != 0
            return answer
        finally:
            self._record(program, seconds=self._clock() - began, failed=failed)

    def _wait_for_budget(self, program: str, command: tuple[str, ...]) -> None:
        waited = 0.0
        while (seconds := self._meter.take()) > 0:
            if waited + seconds > LONGEST_WAIT_SECONDS:
                log.warning("slurm.budget_exhausted", program=program, waited_seconds=round(waited))
                raise CallBudgetExhausted(
                    f"`{program}` was not called: this installation's budget of SLURM calls is used up",
                    command=command,
                    hint="it fills by itself; cluster.calls_per_minute says how fast",
                )
            self._sleep(seconds)
            waited += seconds

    def _record(self, program: str, *, seconds: float, failed: bool) -> None:
        try:
            self._meter.record(program, seconds=seconds, failed=failed)
        except NeuroflowError as error:  # the answer may hold the id of a job that exists now: it comes first
            log.warning("slurm.call_not_recorded", program=program, error=str(error))


def program_of(argv: Sequence[str]) -> str:
    """Return the program of a command line, without `env` and the variables before it."""
    return next((PurePath(word).name for word in argv if word != "env" and "=" not in word), "")
