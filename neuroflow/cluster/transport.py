"""Run external commands: the one place that starts SLURM's programs."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from neuroflow.errors import CommandError

# Everything else stays behind: SBATCH_* would override the script's own lines, SLURM_* and APPTAINER_* would
# follow the jobs, and NEUROFLOW_* holds passwords.
# As a pattern of the shell; `*` stands for letters, digits and underscores.
KEPT_VARIABLES = (
    "PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_*|TZ|TMPDIR|LD_LIBRARY_PATH|SLURM_CONF|KRB5CCNAME|"
    "MODULEPATH|MODULESHOME|MODULES_*|LMOD_*"
)
_KEPT = re.compile(KEPT_VARIABLES.replace("*", r"\w+") + r"|BASH_FUNC_(?:module|ml|_module_raw)(?:%%|\(\))")
_KILLED_READ_SECONDS = 5.0


@dataclass(frozen=True)
class CompletedCommand:
    """What an external command answered."""

    command: tuple[str, ...]
    exit_code: int
    stdout: str
    stderr: str

    def check(self) -> CompletedCommand:
        """Return the answer of a command that succeeded.

        Raises:
            CommandError: when it did not.
        """
        if self.exit_code == 0:
            return self
        last = (self.stderr.strip() or self.stdout.strip() or "no output").splitlines()[-1]
        raise CommandError(
            f"`{shlex.join(self.command)}` ended with {self.exit_code}: {last}",
            command=self.command,
            exit_code=self.exit_code,
            stdout=self.stdout,
            stderr=self.stderr,
        )


class Transport(Protocol):
    """Where commands run: on this machine, or elsewhere."""

    def run(self, argv: Sequence[str], *, timeout: float, input: str | None = None) -> CompletedCommand:
        """Run a command and return its answer, whatever its exit code.

        Raises:
            CommandError: when it could not be started (exit code 127), or did not end in time (None).
        """
        ...


def scrubbed(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the part of an environment that SLURM's commands and jobs may see."""
    return {name: value for name, value in environ.items() if _KEPT.fullmatch(name)}


class LocalTransport:
    """Run commands on this machine, in a scrubbed environment."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._environ = environ

    def run(self, argv: Sequence[str], *, timeout: float, input: str | None = None) -> CompletedCommand:
        """Run a command and return its answer, whatever its exit code."""
        command = tuple(argv)
        environment = scrubbed(os.environ if self._environ is None else self._environ)
        process = _start(command, environment)
        try:
            out, err = process.communicate(None if input is None else input.encode(), timeout=timeout)
        except subprocess.TimeoutExpired as error:
            out, err = _kill(process)
            raise CommandError(
                f"`{shlex.join(command)}` did not end within {timeout:g} s",
                command=command,
                exit_code=None,
                stdout=_text(out),
                stderr=_text(err),
                hint="see whether the SLURM controller is slow or down (`scontrol ping`)",
            ) from error
        except BaseException:  # Celery's soft time limit too: leave no orphan behind, and pass it on
            _kill(process)
            raise
        return CompletedCommand(command, process.returncode, _text(out), _text(err))


def _start(command: tuple[str, ...], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            start_new_session=True,  # so that a wrapper script's children can be ended with it
        )
    except (OSError, ValueError) as error:
        raise CommandError(
            f"`{command[0] if command else ''}` can't be started: {error}",
            command=command,
            exit_code=127,
            hint=f"check that it is installed; PATH is {environment.get('PATH', 'not set')}",
        ) from error


def _kill(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    """End a command with all its children, and return what it had written."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    try:
        return process.communicate(timeout=_KILLED_READ_SECONDS)
    except (subprocess.TimeoutExpired, ValueError):  # a child that left the session still holds a pipe
        process.kill()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()
        process.wait()
        return b"", b""


def _text(raw: bytes | None) -> str:
    return (raw or b"").decode("utf-8", errors="replace")
