"""Give the metrics away: as text, as a file for node_exporter's textfile collector, and over HTTP."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.exposition import start_http_server
from prometheus_client.registry import Collector

from neuroflow.cluster.files import Access, rewrite
from neuroflow.errors import NeuroflowError, StateError
from neuroflow.metrics.facts import Facts
from neuroflow.metrics.families import families, unreachable

log = structlog.get_logger(__name__)

# Several scrapers at once must not multiply what the database is asked.
FRESH_SECONDS = 5.0


class StateCollector(Collector):
    """Asks for the facts at each scrape, but not more often than every few seconds."""

    def __init__(self, gather: Callable[[], Facts], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._gather = gather
        self._clock = clock
        self._lock = threading.Lock()
        self._last: tuple[float, list[Metric]] | None = None

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics; without a database only that it is away."""
        with self._lock:
            now = self._clock()
            if self._last is None or now - self._last[0] > FRESH_SECONDS:
                self._last = (now, self._ask())
            metrics = self._last[1]
        yield from metrics

    def _ask(self) -> list[Metric]:
        try:
            return list(families(self._gather()))
        except StateError as error:
            log.warning("metrics.no_database", error=str(error))
            return list(unreachable())


def exposition(gather: Callable[[], Facts]) -> str:
    """Return the metrics as text."""
    return generate_latest(_registry(gather)).decode("utf-8")


def write_textfile(path: Path, text: str) -> None:
    """Put the metrics in place whole, readable to everybody: node_exporter is another user.

    Raises:
        NeuroflowError: when the file can't be written.
    """
    try:
        rewrite(path, text.encode(), access=Access.EVERYBODY)
    except OSError as error:
        raise NeuroflowError(
            f"metrics.textfile {path} can't be written: {error.strerror or error}",
            hint="make its folder, and let this user write there",
        ) from error


def is_due(path: Path, *, seconds: float, now: float) -> bool:
    """Tell whether the file is as old as that, or not there."""
    try:
        return now - path.stat().st_mtime >= seconds
    except OSError:
        return True


def serve(gather: Callable[[], Facts], *, host: str, port: int) -> tuple[int, Callable[[], None]]:
    """Serve the metrics until the returned function is called; return the port, too.

    Raises:
        NeuroflowError: when the address can't be listened on.
    """
    try:
        server, thread = start_http_server(port, addr=host, registry=_registry(gather))
    except OSError as error:
        raise NeuroflowError(
            f"metrics can't be served on {host}:{port}: {error.strerror or error}",
            hint="name another metrics.http, or stop what listens there",
        ) from error

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return server.server_port, stop


def _registry(gather: Callable[[], Facts]) -> CollectorRegistry:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(StateCollector(gather))
    return registry
