"""One SSH connection to a login node for all threads of a process: made when needed, and anew when it broke."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TypeVar

import structlog
from paramiko import Channel, SFTPClient, SSHException, Transport
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from neuroflow.cluster.ssh.host_keys import KnownHosts
from neuroflow.cluster.ssh.login import log_in
from neuroflow.cluster.ssh.route import Hop, known_hosts_files, route_to
from neuroflow.config.ssh import Ssh
from neuroflow.errors import HostUnreachable

log = structlog.get_logger(__name__)
# It writes tracebacks of what we translate and say ourselves.
logging.getLogger("paramiko").setLevel(logging.CRITICAL)

_T = TypeVar("_T")

# What paramiko raises when a connection breaks, wherever that is noticed.
BROKEN = (SSHException, EOFError, OSError)
_ATTEMPTS = 3
_LONGEST_WAIT_SECONDS = 8.0
# A host that can't be reached, or refuses us, is left alone for a while: sites ban addresses that knock too often.
_FIRST_PAUSE_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 300.0
_LASTING_PAUSE_SECONDS = 60.0
_IDLE_SECONDS = 600.0
_SILENCE_SECONDS = 90.0


class SshConnection:
    """The way to one login node, through the hosts before it."""

    def __init__(
        self,
        settings: Ssh,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        idle_seconds: float = _IDLE_SECONDS,
    ) -> None:
        self._settings = settings
        self._route = route_to(settings)
        self._sleep = sleep
        self._clock = clock
        self._idle_seconds = idle_seconds
        self._forget()
        self._failures = 0
        self._refused_until = 0.0
        self._refusal: HostUnreachable | None = None

    def _forget(self) -> None:
        """Start without a connection: also in a child process, where the parent's must not be touched."""
        self._pid = os.getpid()
        self._transports: list[Transport] = []
        self._sftp: SFTPClient | None = None
        self._lock = threading.RLock()  # of the connection itself
        # sshd allows ten channels (MaxSessions): one command and one transfer at a time are enough.
        self._command_lock = threading.Lock()
        self._transfer_lock = threading.Lock()
        self._last_used = self._clock()

    @property
    def user(self) -> str:
        """The account on the login node."""
        return self._route[-1].user

    @property
    def name(self) -> str:
        """The login node, for people."""
        return str(self._route[-1])

    @contextmanager
    def channel(self) -> Iterator[Channel]:
        """Open a channel for one command.

        Raises:
            HostUnreachable: when there is none to be had: nothing was run.
        """
        self._mind_a_fork()
        with self._command_lock:
            channel = self._opened(lambda transport: transport.open_session(timeout=self._timeout))
            try:
                yield channel
            finally:
                self._last_used = self._clock()
                with suppress(*BROKEN):
                    channel.close()

    @contextmanager
    def transfer(self) -> Iterator[SFTPClient]:
        """Lend the one SFTP channel.

        Raises:
            HostUnreachable: when there is none to be had.
        """
        self._mind_a_fork()
        with self._transfer_lock:
            channel = self._sftp.get_channel() if self._sftp is not None else None
            if self._sftp is None or channel is None or channel.closed:
                self._sftp = self._opened(partial(_open_sftp, timeout=self._timeout))
            try:
                yield self._sftp
            finally:
                self._last_used = self._clock()

    def close(self) -> None:
        """End the connection; the next use makes a new one."""
        self._mind_a_fork()
        with self._lock:
            for transport in reversed(self._transports):
                transport.close()
            self._transports, self._sftp = [], None

    @property
    def _timeout(self) -> float:
        return self._settings.connect_timeout_seconds

    def _mind_a_fork(self) -> None:
        if self._pid == os.getpid():
            return
        _inherited.append(self._transports)  # so that they are not collected: that would close the parent's
        self._forget()

    def _opened(self, opening: Callable[[Transport], _T]) -> _T:
        """Open a channel; once more, on a new connection, where the one that there was has silently died."""
        with self._lock:
            fresh = not self._is_alive()
            try:
                return opening(self._transport())
            except BROKEN as error:
                self.close()
                if fresh:
                    raise self._broken(error) from error
                log.warning("ssh.reconnecting", host=self.name, error=str(error))
            try:
                return opening(self._transport())
            except BROKEN as error:
                self.close()
                raise self._broken(error) from error

    def _is_alive(self) -> bool:
        return bool(self._transports) and all(transport.is_active() for transport in self._transports)

    def _transport(self) -> Transport:
        if self._is_alive():
            return self._transports[-1]
        if self._refusal is not None and self._clock() < self._refused_until:
            raise HostUnreachable(str(self._refusal), lasting=self._refusal.lasting, hint=self._refusal.hint)
        self.close()
        try:
            self._connect_patiently()
        except HostUnreachable as error:
            self._remember(error)
            raise
        self._failures, self._refusal = 0, None
        return self._transports[-1]

    def _remember(self, error: HostUnreachable) -> None:
        pause = min(_FIRST_PAUSE_SECONDS * 2**self._failures, _LONGEST_PAUSE_SECONDS)
        self._failures += 1
        self._refusal = error
        self._refused_until = self._clock() + (max(pause, _LASTING_PAUSE_SECONDS) if error.lasting else pause)
        log.error("ssh.unreachable", host=self.name, lasting=error.lasting, error=str(error), hint=error.hint)

    def _connect_patiently(self) -> None:
        retrying = Retrying(
            stop=stop_after_attempt(_ATTEMPTS),
            wait=wait_random_exponential(multiplier=1.0, max=_LONGEST_WAIT_SECONDS),
            retry=retry_if_exception(lambda error: isinstance(error, HostUnreachable) and not error.lasting),
            sleep=self._sleep,
            reraise=True,
        )
        retrying(self._connect)

    def _connect(self) -> None:
        known = KnownHosts(known_hosts_files(self._settings))
        made: list[Transport] = []
        try:
            for hop in self._route:
                made.append(self._reached(hop, through=made[-1] if made else None))
                self._enter(made[-1], hop, known)
        except BaseException:
            for transport in reversed(made):
                transport.close()
            raise
        self._transports = made
        self._last_used = self._clock()
        threading.Thread(target=self._close_when_idle, args=(made,), name="ssh-idle", daemon=True).start()
        log.info("ssh.connected", host=self.name, hops=len(made))

    def _reached(self, hop: Hop, *, through: Transport | None) -> Transport:
        try:
            if through is None:
                return Transport(self._socket(hop))
            origin, target = ("127.0.0.1", 0), (hop.address, hop.port)
            return Transport(through.open_channel("direct-tcpip", target, origin, timeout=self._timeout))
        except BROKEN as error:
            raise HostUnreachable(
                f"{hop} can't be reached: {_text(error)}", hint="check cluster.ssh.host and port, and the network"
            ) from error

    def _socket(self, hop: Hop) -> socket.socket:
        made = socket.create_connection((hop.address, hop.port), timeout=self._timeout)
        # What keeps the connection alive is not acknowledged either when the way is gone: then it breaks, and is seen.
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(_SILENCE_SECONDS * 1000))
        return made

    def _enter(self, transport: Transport, hop: Hop, known: KnownHosts) -> None:
        transport.banner_timeout = transport.auth_timeout = transport.channel_timeout = self._timeout
        transport.set_keepalive(self._settings.keepalive_seconds)
        known.prefer(transport, hop)
        try:
            transport.start_client(timeout=self._timeout)
            known.check(hop, transport.get_remote_server_key())
            log_in(transport, hop)
        except BROKEN as error:
            raise HostUnreachable(
                f"the connection to {hop} was not made: {_text(error)}",
                hint="sshd may have too many connections (MaxStartups), or have banned this address for a while",
            ) from error

    def _broken(self, error: BaseException) -> HostUnreachable:
        return HostUnreachable(
            f"{self.name} gives no channel: {_text(error)}", hint="see MaxSessions of its sshd_config"
        )

    def _close_when_idle(self, transports: list[Transport]) -> None:
        """End a connection that nobody has used for a while: others may wait for one."""
        while transports[-1].is_active():
            transports[-1].join(min(self._idle_seconds, 30.0))
            idle = self._clock() - self._last_used >= self._idle_seconds
            if idle and not self._command_lock.locked() and not self._transfer_lock.locked():
                with self._lock:
                    if self._transports is transports:
                        self.close()
                        log.info("ssh.closed_idle", host=self.name)
                return


_inherited: list[list[Transport]] = []
_connections: dict[str, SshConnection] = {}
_connections_lock = threading.Lock()


def connection_to(settings: Ssh) -> SshConnection:
    """Return this process's one connection to a login node.

    Raises:
        ConfigError: when ssh's own configuration can't be read.
    """
    key = settings.model_dump_json()
    with _connections_lock:
        if key not in _connections:
            _connections[key] = SshConnection(settings)
        return _connections[key]


def _open_sftp(transport: Transport, *, timeout: float) -> SFTPClient:
    channel = transport.open_session(timeout=timeout)
    channel.settimeout(timeout)
    channel.invoke_subsystem("sftp")
    return SFTPClient(channel)


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__
