"""Ask a cluster what a site file needs to know: each command once, with a time limit, and none that must answer."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field

from neuroflow.cluster.transport import Transport
from neuroflow.errors import CommandError

_NOT_STARTED = 127


@dataclass(frozen=True)
class Silence:
    """A command that gave no answer, and why."""

    program: str  # or the name of a script
    command: str
    reason: str


@dataclass
class Survey:
    """Ask commands, and remember those that did not answer."""

    transport: Transport
    timeout: float  # of one command (s)
    silences: list[Silence] = field(default_factory=list)
    _hung: set[str] = field(default_factory=set)

    def ask(self, argv: Sequence[str]) -> str | None:
        """Return what a command says; None, and a note, where it fails, hangs, or is not there."""
        program = _script(argv) or argv[0]
        if program in self._hung:  # the others would hang as well, each for the whole time limit
            self._note(argv, "not asked: it did not answer before")
            return None
        try:
            return self.transport.run(argv, timeout=self.timeout).check().stdout
        except CommandError as error:
            if error.timed_out:
                self._hung.add(program)
            self._note(argv, _in_short(error, self.timeout))
            return None

    def has(self, program: str) -> bool:
        """Tell whether a program can be started at all; one that hangs can."""
        try:
            return self.transport.run((program, "--version"), timeout=self.timeout).exit_code != _NOT_STARTED
        except CommandError as error:
            if error.timed_out:
                self._hung.add(program)
            return error.returncode != _NOT_STARTED

    def _note(self, argv: Sequence[str], reason: str) -> None:
        script = _script(argv)
        self.silences.append(Silence(script or argv[0], script or shlex.join(argv), reason))


def _script(argv: Sequence[str]) -> str:
    """Return the name of a script: the argument after it, for a shell; nothing for another program."""
    return argv[3] if tuple(argv[:2]) == ("bash", "-c") else ""


def _in_short(error: CommandError, timeout: float) -> str:
    if error.timed_out:
        return f"no answer within {timeout:g} s"
    if error.returncode == _NOT_STARTED:
        return "the command is not there"
    said = (error.stderr.strip() or error.stdout.strip() or "no output").splitlines()[-1]
    return f"ended with {error.returncode}: {said[:200]}"
