"""A TCP proxy that cuts connections when a test says so, counts round trips, and can be slow."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class CuttingProxy:
    """Pass bytes on to a port of this machine, until it cuts."""

    def __init__(self, target: int, *, delay_seconds: float = 0.0) -> None:
        self._target = target
        self._delay = delay_seconds
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._lock = threading.Lock()
        self._cut_after: int | None = None
        self._cut_answers_after: int | None = None
        self.sent = 0  # bytes to the server
        self.received = 0  # bytes from it
        self.round_trips = 0
        self.accepted = 0
        self.cuts = 0
        self._server_spoke = True
        self.accepting = True
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Cut all connections, as a network that goes away and comes back would."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        self.cuts += len(pairs)
        for pair in pairs:
            for end in pair:
                with suppress(OSError):  # a reset: nothing that lies in a buffer arrives any more
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()

    def cut_after_sending(self, count: int) -> None:
        """Cut once so many further bytes have gone to the server."""
        self._cut_after = self.sent + count

    def cut_after_receiving(self, count: int) -> None:
        """Cut once so many further bytes have come from the server; the last of them are lost."""
        self._cut_answers_after = self.received + count

    def spare(self) -> bool:
        """Take back a cut that was ordered; tell whether it was still to come."""
        waiting = self._cut_after is not None or self._cut_answers_after is not None
        self._cut_after = self._cut_answers_after = None
        return waiting

    def close(self) -> None:
        """End the proxy."""
        self.accepting = False
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if not self.accepting:
                client.close()
                continue
            self.accepted += 1
            try:
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                client.close()
                continue
            with self._lock:
                self._pairs.append((client, server))
            threading.Thread(target=self._pump, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, False), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, upwards: bool) -> None:
        try:
            while data := source.recv(65536):
                if self._delay:
                    time.sleep(self._delay)
                if self._is_cut(len(data), upwards=upwards):
                    self.cut()
                    return
                target.sendall(data)
        except OSError:
            pass
        finally:
            for end in (source, target):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def _is_cut(self, count: int, *, upwards: bool) -> bool:
        with self._lock:
            if upwards:
                self.sent += count
                self.round_trips += self._server_spoke
            else:
                self.received += count
            self._server_spoke = not upwards
            over = (self._cut_after is not None and self.sent >= self._cut_after) or (
                self._cut_answers_after is not None and self.received >= self._cut_answers_after
            )
            if over:
                self._cut_after = self._cut_answers_after = None
            return over


@contextmanager
def proxy_to(target: int, *, delay_seconds: float = 0.0) -> Iterator[CuttingProxy]:
    """Run a proxy until the block ends."""
    proxy = CuttingProxy(target, delay_seconds=delay_seconds)
    try:
        yield proxy
    finally:
        proxy.close()
