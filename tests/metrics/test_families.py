"""The exposition is what Prometheus takes, tells what the facts say, and names no subject."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

from prometheus_client.parser import text_string_to_metric_families

from neuroflow.core.calls import CALL_BUCKETS
from neuroflow.domain import CallStatistics
from neuroflow.domain.tallies import TIME_BUCKETS, WAIT_BUCKETS, AttemptTallies, Histogram, StateCounts
from neuroflow.errors import StateError
from neuroflow.metrics.exposition import StateCollector, exposition
from neuroflow.metrics.facts import BrokerState, Disk, Facts
from tests.support.promtool import promtool


def histogram(bounds: tuple[float, ...], *values: float) -> Histogram:
    """Return a histogram of values."""
    found = Histogram(bounds)
    for value in values:
        found.add(value)
    return found


FULL = Facts(
    at=1_772_366_400.5,
    revision="0003",
    counts=StateCounts(
        runs={("qsiprep", "completed"): 7, ("site_pipeline", "failed"): 2},
        sessions={"ready": 9},
        dead_letters={"qsiprep": 1},
    ),
    tallies=AttemptTallies(
        ended=Counter({("qsiprep", "succeeded", ""): 7, ("qsiprep", "failed", "out_of_memory"): 3}),
        waits={"qsiprep": histogram(WAIT_BUCKETS, 10, 60, 61, 1e9)},
        times={"qsiprep": histogram(TIME_BUCKETS, 1800, -5)},
    ),
    calls=(CallStatistics("squeue", 10, 2, 12.5, 0.1, datetime(2026, 3, 1, tzinfo=UTC)),),
    call_buckets={"squeue": {0.1: 5, 1.0: 2}},
    held={"qsiprep": True, "qsirecon": False},
    poll={"at": 100.0, "complete_at": 90.0, "next_at": 160.0, "looked_at": 12.0, "unknown": 1.0, "latency_seconds": 3},
    backup={"at": 50.0, "bytes": 1234.0},
    backup_hours=24.0,
    disks={"work_root": Disk(free=10, size=100)},
    broker=BrokerState({"bids": 3, "workflow": 0}, workers=2),
)


def samples(facts: Facts) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return every sample of an exposition by name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(exposition(lambda: facts))
        for sample in family.samples
    }


def one(facts: Facts, name: str, **labels: str) -> float | None:
    return samples(facts).get((name, tuple(sorted(labels.items()))))


def test_prometheus_takes_it_and_has_nothing_to_say_about_the_names() -> None:
    assert promtool("check", "metrics", text=exposition(lambda: FULL)) == ""


def test_every_fact_is_told() -> None:
    assert one(FULL, "neuroflow_runs", pipeline="qsiprep", status="completed") == 7
    assert one(FULL, "neuroflow_runs", pipeline="qsiprep", status="running") == 0
    assert one(FULL, "neuroflow_runs", pipeline="site_pipeline", status="failed") == 2
    assert one(FULL, "neuroflow_sessions", status="ready") == 9
    assert one(FULL, "neuroflow_sessions", status="invalid") == 0
    assert one(FULL, "neuroflow_dead_letters", pipeline="qsiprep") == 1
    assert one(FULL, "neuroflow_pipeline_held", pipeline="qsiprep") == 1
    assert one(FULL, "neuroflow_pipeline_held", pipeline="qsirecon") == 0
    assert one(FULL, "neuroflow_attempts_total", pipeline="qsiprep", outcome="failed", failure="out_of_memory") == 3
    assert one(FULL, "neuroflow_attempts_total", pipeline="qsiprep", outcome="succeeded", failure="none") == 7
    assert one(FULL, "neuroflow_slurm_call_failures_total", program="squeue") == 2
    assert one(FULL, "neuroflow_poll_due_timestamp_seconds") == 160
    assert one(FULL, "neuroflow_poll_complete_timestamp_seconds") == 90
    assert one(FULL, "neuroflow_queue_messages", queue="bids") == 3
    assert one(FULL, "neuroflow_workers") == 2
    assert one(FULL, "neuroflow_filesystem_free_bytes", folder="work_root") == 10
    assert one(FULL, "neuroflow_backup_timestamp_seconds") == 50
    assert one(FULL, "neuroflow_metrics_timestamp_seconds") == 1_772_366_400.5


def test_buckets_are_cumulative_and_end_with_everything() -> None:
    wait = {"pipeline": "qsiprep"}
    assert one(FULL, "neuroflow_queue_wait_seconds_bucket", le="60.0", **wait) == 2
    assert one(FULL, "neuroflow_queue_wait_seconds_bucket", le="300.0", **wait) == 3
    assert one(FULL, "neuroflow_queue_wait_seconds_bucket", le="604800.0", **wait) == 3
    assert one(FULL, "neuroflow_queue_wait_seconds_bucket", le="+Inf", **wait) == 4
    assert one(FULL, "neuroflow_queue_wait_seconds_count", **wait) == 4
    assert one(FULL, "neuroflow_run_time_seconds_sum", **wait) == 1800  # clocks that differ make no negative time


def test_calls_of_before_there_were_buckets_are_counted_with_the_slowest() -> None:
    call = {"program": "squeue"}
    assert one(FULL, "neuroflow_slurm_call_seconds_bucket", le="0.05", **call) == 0
    assert one(FULL, "neuroflow_slurm_call_seconds_bucket", le="0.1", **call) == 5
    assert one(FULL, "neuroflow_slurm_call_seconds_bucket", le=str(CALL_BUCKETS[-1]), **call) == 7
    assert one(FULL, "neuroflow_slurm_call_seconds_bucket", le="+Inf", **call) == 10
    assert one(FULL, "neuroflow_slurm_call_seconds_sum", **call) == 12.5


def test_what_is_not_known_is_absent_rather_than_zero() -> None:
    names = {name for name, _ in samples(replace(FULL, broker=None, poll={}, backup={}, disks={}))}
    assert one(replace(FULL, broker=None), "neuroflow_redis_up") == 0
    assert names.isdisjoint(
        {"neuroflow_queue_messages", "neuroflow_workers", "neuroflow_poll_timestamp_seconds"}
        | {"neuroflow_backup_timestamp_seconds", "neuroflow_filesystem_free_bytes"}
    )
    assert one(replace(FULL, broker=BrokerState({})), "neuroflow_workers") is None


def test_labels_come_from_a_short_list() -> None:
    labels = {label for _, pairs in samples(FULL) for label, _ in pairs}
    assert labels == {
        *("pipeline", "status", "outcome", "failure", "program", "queue", "folder", "le", "version", "revision")
    }


def test_without_a_database_only_that_is_said() -> None:
    def away() -> Facts:
        raise StateError("away")

    text = exposition(away)
    assert "neuroflow_database_up 0.0" in text
    assert "neuroflow_runs" not in text


def test_several_scrapes_at_once_ask_once() -> None:
    asked = []
    now = 0.0

    def gather() -> Facts:
        asked.append(now)
        return FULL

    collector = StateCollector(gather, clock=lambda: now)
    first = list(collector.collect())
    assert list(collector.collect()) == first
    now = 6.0
    list(collector.collect())
    assert asked == [0.0, 6.0]
