"""Turn facts into Prometheus' metric families; no label ever names a subject, a session or a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.utils import floatToGoString

from neuroflow import __version__
from neuroflow.core.calls import CALL_BUCKETS
from neuroflow.domain import RunStatus, SessionStatus
from neuroflow.domain.tallies import TIME_BUCKETS, WAIT_BUCKETS, Histogram
from neuroflow.metrics.facts import Facts

PREFIX = "neuroflow"
NO_FAILURE = "none"


def families(facts: Facts) -> Iterator[Metric]:
    """Yield everything there is to tell."""
    build = GaugeMetricFamily(f"{PREFIX}_build_info", "The release, and its schema.", labels=["version", "revision"])
    build.add_metric([__version__, facts.revision], 1)
    yield build
    yield _gauge("database_up", "Whether the state database answered.", 1)
    yield _gauge("metrics_timestamp_seconds", "When these metrics were gathered.", facts.at)
    yield from _state(facts)
    yield from _attempts(facts)
    yield from _slurm(facts)
    yield from _poll(facts)
    yield from _broker(facts)
    yield from _disks(facts)
    yield from _backup(facts)


def unreachable() -> Iterator[Metric]:
    """Yield what can be told when the database does not answer."""
    build = GaugeMetricFamily(f"{PREFIX}_build_info", "The release, and its schema.", labels=["version", "revision"])
    build.add_metric([__version__, ""], 1)
    yield build
    yield _gauge("database_up", "Whether the state database answered.", 0)


def _state(facts: Facts) -> Iterator[Metric]:
    runs = GaugeMetricFamily(f"{PREFIX}_runs", "Runs by pipeline and status.", labels=["pipeline", "status"])
    pipelines = sorted({*facts.held, *(name for name, _ in facts.counts.runs)})
    for pipeline in pipelines:
        for status in RunStatus:
            runs.add_metric([pipeline, status.value], facts.counts.runs.get((pipeline, status.value), 0))
    yield runs
    sessions = GaugeMetricFamily(f"{PREFIX}_sessions", "Imaging sessions by status.", labels=["status"])
    for state in SessionStatus:
        sessions.add_metric([state.value], facts.counts.sessions.get(state.value, 0))
    yield sessions
    letters = GaugeMetricFamily(
        f"{PREFIX}_dead_letters", "Failed runs that wait for a person, by pipeline.", labels=["pipeline"]
    )
    held = GaugeMetricFamily(f"{PREFIX}_pipeline_held", "Whether a pipeline is held.", labels=["pipeline"])
    for pipeline in pipelines:
        letters.add_metric([pipeline], facts.counts.dead_letters.get(pipeline, 0))
        held.add_metric([pipeline], int(facts.held.get(pipeline, False)))
    yield letters
    yield held


def _attempts(facts: Facts) -> Iterator[Metric]:
    ended = CounterMetricFamily(
        f"{PREFIX}_attempts",
        "Attempts that have ended, by pipeline, outcome and failure class.",
        labels=["pipeline", "outcome", "failure"],
    )
    for (pipeline, outcome, failure), count in sorted(facts.tallies.ended.items()):
        ended.add_metric([pipeline, outcome, failure or NO_FAILURE], count)
    yield ended
    yield _histograms(
        "queue_wait_seconds",
        "From submission to start, of attempts that have ended.",
        facts.tallies.waits,
        bounds=WAIT_BUCKETS,
    )
    yield _histograms(
        "run_time_seconds", "From start to end, of attempts that have ended.", facts.tallies.times, bounds=TIME_BUCKETS
    )


def _slurm(facts: Facts) -> Iterator[Metric]:
    failures = CounterMetricFamily(
        f"{PREFIX}_slurm_call_failures", "Calls of a SLURM program that failed.", labels=["program"]
    )
    latency = HistogramMetricFamily(
        f"{PREFIX}_slurm_call_seconds", "How long calls of a SLURM program took.", labels=["program"]
    )
    for item in facts.calls:
        failures.add_metric([item.program], item.failures)
        counts = [facts.call_buckets.get(item.program, {}).get(bound, 0) for bound in CALL_BUCKETS]
        # Those in no bucket are the slowest, and the calls of before there were buckets.
        rest = max(item.calls - sum(counts), 0)
        latency.add_metric([item.program], _buckets(CALL_BUCKETS, [*counts, rest]), item.seconds)
    yield failures
    yield latency


def _poll(facts: Facts) -> Iterator[Metric]:
    told = {
        "at": ("poll_timestamp_seconds", "When the cluster was last looked at."),
        "complete_at": ("poll_complete_timestamp_seconds", "When every witness last answered a look at the cluster."),
        "next_at": ("poll_due_timestamp_seconds", "When the cluster is to be looked at next."),
        "looked_at": ("poll_open_attempts", "Attempts without a verdict at the last look."),
        "unknown": ("poll_unknown_attempts", "Attempts that no witness knew at the last look."),
    }
    for key, (name, text) in told.items():
        if key in facts.poll:
            yield _gauge(name, text, facts.poll[key])


def _broker(facts: Facts) -> Iterator[Metric]:
    yield _gauge("redis_up", "Whether Redis answered.", int(facts.broker is not None))
    if facts.broker is None:
        return
    waiting = GaugeMetricFamily(
        f"{PREFIX}_queue_messages", "Messages that no worker has taken yet, by queue.", labels=["queue"]
    )
    for queue, count in sorted(facts.broker.queues.items()):
        waiting.add_metric([queue], count)
    yield waiting
    if facts.broker.workers is not None:
        yield _gauge("workers", "Celery workers that answered.", facts.broker.workers)


def _disks(facts: Facts) -> Iterator[Metric]:
    free = GaugeMetricFamily(
        f"{PREFIX}_filesystem_free_bytes", "Room left in a folder's file system.", labels=["folder"]
    )
    size = GaugeMetricFamily(f"{PREFIX}_filesystem_size_bytes", "Size of a folder's file system.", labels=["folder"])
    for folder, disk in sorted(facts.disks.items()):
        free.add_metric([folder], disk.free)
        size.add_metric([folder], disk.size)
    yield free
    yield size


def _backup(facts: Facts) -> Iterator[Metric]:
    yield _gauge(
        "backup_interval_seconds", "Time between two automatic backups; 0: none are taken.", facts.backup_hours * 3600
    )
    if "at" in facts.backup:
        yield _gauge("backup_timestamp_seconds", "When the database was last backed up.", facts.backup["at"])
    if "bytes" in facts.backup:
        yield _gauge("backup_size_bytes", "Size of the last backup.", facts.backup["bytes"])


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{PREFIX}_{name}", text, value=value)


def _histograms(name: str, text: str, values: Mapping[str, Histogram], *, bounds: Sequence[float]) -> Metric:
    family = HistogramMetricFamily(f"{PREFIX}_{name}", text, labels=["pipeline"])
    for pipeline, histogram in sorted(values.items()):
        family.add_metric([pipeline], _buckets(bounds, histogram.counts), histogram.total)
    return family


def _buckets(bounds: Sequence[float], counts: Sequence[int]) -> list[tuple[str, float]]:
    names = [*map(floatToGoString, bounds), "+Inf"]
    return list(zip(names, map(float, accumulate(counts)), strict=True))
