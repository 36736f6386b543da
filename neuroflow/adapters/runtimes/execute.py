"""Run a container runtime's program from the command line or a service, with the caller's whole environment.

The runtimes are set up by variables, proxies and keyrings of the user's, so nothing of it is left out here; what
runs inside a container is another matter, and gets its environment by the runtime's own options.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from neuroflow.errors import CommandError

STOP_SECONDS = 20.0


@dataclass(frozen=True)
class Answer:
    """What a program answered."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def last_line(self) -> str:
        """The last line that it wrote, which tells why it failed."""
        lines = (self.stderr.strip() or self.stdout.strip()).splitlines()
        return lines[-1].strip() if lines else "no output"


def ask(command: Sequence[str], *, timeout: float) -> Answer:
    """Run a command and return what it wrote, whatever its exit code.

    Raises:
        CommandError: when it can't be started, or does not end in time.
    """
    argv = tuple(command)
    process = _started(argv, captured=True)
    try:
        out, err = process.communicate(timeout=timeout)
    except BaseException as error:
        _stop(process, signal.SIGKILL)
        process.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            raise CommandError(
                f"`{shlex.join(argv)}` did not end within {timeout:g} s", command=argv, exit_code=None
            ) from error
        raise
    return Answer(process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))


def show(command: Sequence[str], *, environment: Mapping[str, str], lock: int | None = None) -> int:
    """Run a command in the foreground, its output where ours goes, and return its exit code.

    Args:
        lock: descriptor of a lock file, which the command keeps locked even if we are killed before it ends.

    Raises:
        CommandError: when it can't be started.
    """
    process = _started(tuple(command), captured=False, environment=environment, lock=lock)
    try:
        return process.wait()
    except BaseException:  # Ctrl-C: let it clear its temporary files away, then go
        _stop(process, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        _stop(process, signal.SIGKILL)
        process.wait()
        raise


def _started(
    argv: tuple[str, ...],
    *,
    captured: bool,
    environment: Mapping[str, str] | None = None,
    lock: int | None = None,
) -> subprocess.Popen[bytes]:
    stream = subprocess.PIPE if captured else None
    try:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            env={**os.environ, **(environment or {})},
            pass_fds=() if lock is None else (lock,),
            start_new_session=True,  # so that its children end with it
        )
    except (OSError, ValueError) as error:
        raise CommandError(
            f"`{argv[0]}` can't be started: {error}",
            command=argv,
            exit_code=127,
            hint=f"load or install it first (at many sites `module load {argv[0]}`)",
        ) from error


def _stop(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
