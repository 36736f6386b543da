"""Run commands on a login node over SSH."""

from __future__ import annotations

import select
import shlex
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import structlog
from paramiko import Channel

from neuroflow.cluster.ssh.command import RemoteCommand, quoted_line
from neuroflow.cluster.ssh.connection import BROKEN, SshConnection
from neuroflow.cluster.transport import CompletedCommand
from neuroflow.errors import CommandError, HostUnreachable

log = structlog.get_logger(__name__)

# timeout(1) on the other side ends the command first; this much later nobody answers any more.
_SLACK_SECONDS = 15.0
_KILL_SECONDS = 10.0
_CHUNK_BYTES = 256 * 1024
_TICK_SECONDS = 1.0
# Exit codes of timeout(1): the limit was reached; the program can't be run; there is none.
_TIMED_OUT = (124, 137)
_NOT_STARTED = (126, 127)


@dataclass
class _Raw:
    """What a channel brought."""

    out: bytearray = field(default_factory=bytearray)
    err: bytearray = field(default_factory=bytearray)


class SshTransport:
    """Run commands on a login node, in a login shell with a scrubbed environment."""

    def __init__(self, connection: SshConnection, *, slack_seconds: float = _SLACK_SECONDS) -> None:
        self._connection = connection
        self._slack_seconds = slack_seconds

    def run(self, argv: Sequence[str], *, timeout: float, input: str | None = None) -> CompletedCommand:
        """Run a command and return its answer, whatever its exit code.

        Raises:
            HostUnreachable: when it was not run.
            CommandError: when it could not be started (exit code 127), or it is not known how it ended (None).
        """
        command = RemoteCommand(tuple(argv), timeout)
        raw = _Raw()
        began = time.monotonic()
        try:
            with self._connection.channel() as channel:
                status = _exchange(channel, command, raw, (input or "").encode(), seconds=timeout + self._slack_seconds)
        except BROKEN as error:
            raise self._unanswered(
                command, raw, f"the connection broke: {str(error) or type(error).__name__}"
            ) from error
        except BaseException:  # Celery's soft time limit too: leave nothing behind, and pass it on
            self._kill(command, raw)
            raise
        if status is None:
            self._kill(command, raw)
            raise self._unanswered(command, raw, f"it did not end within {timeout:g} s")
        return self._answer(command, raw, status, seconds=time.monotonic() - began)

    def _answer(self, command: RemoteCommand, raw: _Raw, status: int, *, seconds: float) -> CompletedCommand:
        out, err = command.stdout(bytes(raw.out)), _text(command.stderr(bytes(raw.err)))
        if status < 0:
            raise self._unanswered(command, raw, "it was killed, or the connection broke")
        if out is None:
            raise HostUnreachable(
                f"the login shell of {self._connection.name} ended with {status} and did not run a command: "
                f"{_last_line(_text(bytes(raw.err)) or _text(bytes(raw.out)))}",
                hint=f"see whether `ssh {self._connection.name} true` works; bash and timeout are needed there",
            )
        if status in _TIMED_OUT and seconds >= command.timeout:
            raise self._unanswered(command, raw, f"it did not end within {command.timeout:g} s")
        if status in _NOT_STARTED and "timeout: " in err:
            raise CommandError(
                f"`{command.argv[0]}` can't be started on {self._connection.name}: {_last_line(err)}",
                command=command.argv,
                exit_code=127,
                stderr=err,
                hint="check that a login shell there (`bash -l`) has it in its PATH",
            )
        return CompletedCommand(command.argv, status, _text(out), err)

    def _unanswered(self, command: RemoteCommand, raw: _Raw, problem: str) -> CommandError:
        return CommandError(
            f"`{shlex.join(command.argv)}` on {self._connection.name} has no usable answer: {problem}",
            command=command.argv,
            exit_code=None,
            stdout=_text(command.stdout(bytes(raw.out)) or b""),
            stderr=_text(command.stderr(bytes(raw.err))),
            hint="see whether the login node and the SLURM controller answer (`scontrol ping`)",
        )

    def _kill(self, command: RemoteCommand, raw: _Raw) -> None:
        """End a command with all its children, as far as its host can still be told."""
        process_id = command.process_id(bytes(raw.out))
        if process_id is None:
            return
        line = quoted_line(("/bin/bash", "-c", f"kill -KILL -- -{process_id}"))
        with suppress(HostUnreachable, *BROKEN), self._connection.channel() as channel:
            channel.settimeout(_KILL_SECONDS)
            channel.exec_command(line)
            channel.recv_exit_status()
            log.warning("ssh.killed", command=command.argv[0], process_id=process_id)


def _exchange(channel: Channel, command: RemoteCommand, raw: _Raw, unsent: bytes, *, seconds: float) -> int | None:
    """Start a command, give it its input, and read both streams together; None when it did not end in time."""
    end = time.monotonic() + seconds
    channel.settimeout(seconds)
    channel.exec_command(command.line())
    open_for_input = True
    while True:
        try:
            while unsent and channel.send_ready():
                unsent = unsent[channel.send(unsent[:_CHUNK_BYTES]) :]
        except OSError:  # it has ended, and needs no more; its exit code may be there
            unsent = b""
        if open_for_input and not unsent:
            channel.shutdown_write()
            open_for_input = False
        while channel.recv_ready():
            raw.out += channel.recv(_CHUNK_BYTES)
        while channel.recv_stderr_ready():
            raw.err += channel.recv_stderr(_CHUNK_BYTES)
        if channel.closed or (channel.eof_received and channel.exit_status_ready()):
            _drain(channel, raw)
            return channel.recv_exit_status() if channel.exit_status_ready() else -1
        if time.monotonic() >= end:
            return None
        _wait(channel, seconds=0.02 if open_for_input else _TICK_SECONDS)


def _drain(channel: Channel, raw: _Raw) -> None:
    """Read what is left of both streams once nothing more can come."""
    for buffer, receive in ((raw.out, channel.recv), (raw.err, channel.recv_stderr)):
        while piece := receive(_CHUNK_BYTES):
            buffer += piece


def _wait(channel: Channel, *, seconds: float) -> None:
    """Wait until a channel has something to read, or has ended."""
    poller = select.poll()  # select itself takes no descriptor above 1023
    poller.register(channel.fileno(), select.POLLIN)
    poller.poll(seconds * 1000)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", errors="replace")


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no output"
