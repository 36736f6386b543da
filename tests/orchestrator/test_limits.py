"""A request is clipped, a submission counted and a maintenance seen by what SLURM itself says."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from neuroflow.config.execution import Limits
from neuroflow.domain import Association, PartitionLimits, QosLimits, Reservation, SiteLimits
from neuroflow.orchestrator.limits import before_maintenance, effective_limits, free_submissions, submit_limits
from tests.orchestrator.builders import NOW

SITE = SiteLimits(
    max_job_count=10_000,
    partitions={
        "main": PartitionLimits(time_minutes=2880, memory_mb=64_000, cpus=16, is_default=True),
        "long": PartitionLimits(time_minutes=10_000, qos="partlong"),
        "tiny": PartitionLimits(time_minutes=0),
    },
    associations=(
        Association("lab", max_submit=1000),
        Association("lab", "long", "longqos", max_submit=100),
        Association("other", max_submit=2000, group_submit=1500),
    ),
    qos={
        "normal": QosLimits(max_submit_per_user=500),
        "high": QosLimits(time_minutes=60),
        "longqos": QosLimits(group_submit=90),
        "partlong": QosLimits(max_submit_per_account=80, time_minutes=5000),
    },
)


def test_the_smaller_limit_counts() -> None:
    found = effective_limits(Limits(memory_mb=32_000, time_minutes=9999), SITE, partition="main")
    assert found == Limits(cpus=16, memory_mb=32_000, time_minutes=2880)


def test_without_a_partition_the_default_one_counts() -> None:
    assert effective_limits(Limits(), SITE, partition=None).time_minutes == 2880


def test_the_time_limits_of_qos_count() -> None:
    assert effective_limits(Limits(), SITE, partition="main", qos="high").time_minutes == 60
    assert effective_limits(Limits(), SITE, partition="long").time_minutes == 5000


@pytest.mark.parametrize("partition", ["elsewhere", None])
def test_what_slurm_did_not_say_limits_nothing(partition: str | None) -> None:
    configured = Limits(cpus=4, time_minutes=60)
    assert effective_limits(configured, SiteLimits(), partition=partition) == configured


def test_a_limit_below_one_is_one() -> None:
    assert effective_limits(Limits(), SITE, partition="tiny").time_minutes == 1


@pytest.mark.parametrize(
    ("account", "partition", "qos", "expected"),
    [
        ("lab", "main", None, (500, "MaxSubmitJobsPerUser of QOS normal")),
        ("lab", None, "high", (1000, "MaxSubmitJobs of account lab")),
        ("lab", "long", "high", (80, "MaxSubmitJobsPerAccount of QOS partlong")),
        ("other", "main", "high", (1500, "GrpSubmitJobs of account other")),
        (None, "main", "high", None),  # which of the two accounts is the default one is not known
        ("nobody", "main", "high", None),
    ],
)
def test_the_smallest_limit_of_account_and_qos_is_named(
    account: str | None, partition: str | None, qos: str | None, expected: tuple[int, str] | None
) -> None:
    limits = submit_limits(replace(SITE, max_job_count=None), account=account, partition=partition, qos=qos)
    assert min(((limit.number, limit.whose) for limit in limits), default=None) == expected


def test_the_associations_own_qos_counts_where_none_is_asked_for() -> None:
    site = SiteLimits(associations=SITE.associations, qos={"longqos": QosLimits(group_submit=90)})
    found = min((limit.number, limit.whose) for limit in submit_limits(site, account="lab", partition="long", qos=None))
    assert found == (90, "GrpSubmitJobs of QOS longqos")


def free(site: SiteLimits, jobs: int, *, qos: str = "normal", since: int = 0) -> tuple[int, str] | None:
    queue = {("lab", qos): jobs}
    return free_submissions(site, queue=queue, since=since, account="lab", partition="main", qos=None)


def test_jobs_of_another_qos_count_for_the_account_alone() -> None:
    assert free(SITE, 700, qos="high") == (300, "MaxSubmitJobs of account lab is 1000, and 700 jobs are in the queue")


def test_jobs_that_were_submitted_since_the_count_count_too() -> None:
    assert free(SITE, 480, since=15) == (5, "MaxSubmitJobsPerUser of QOS normal is 500, and 495 jobs are in the queue")


def test_jobs_that_are_in_the_queue_leave_so_much_less() -> None:
    assert free(SITE, 480) == (20, "MaxSubmitJobsPerUser of QOS normal is 500, and 480 jobs are in the queue")
    found = free(SITE, 501)
    assert found is not None
    assert found[0] == 0


def test_the_controllers_own_limit_counts() -> None:
    found = free(SiteLimits(max_job_count=100), 1)
    assert found == (99, "MaxJobCount of the cluster is 100, and 1 jobs are in the queue")


def test_without_a_known_limit_nothing_is_counted() -> None:
    assert free(SiteLimits(), 10**6) is None


def maintenance(*, hours: float, lasts: float = 8, **changes: object) -> Reservation:
    start = NOW + timedelta(hours=hours)
    values: dict[str, object] = {"is_maintenance": True, "all_nodes": True, **changes}
    return Reservation(f"maint{hours:g}", start, start + timedelta(hours=lasts), **values)  # type: ignore[arg-type]


def in_the_way(*reservations: Reservation, hours: float = 36, partition: str | None = "main") -> Reservation | None:
    return before_maintenance(reservations, now=NOW, time_minutes=int(hours * 60), partition=partition)


def test_a_job_that_could_end_before_the_maintenance_is_free() -> None:
    assert in_the_way(maintenance(hours=20), hours=20) is None
    assert in_the_way(maintenance(hours=20), hours=20.1) == maintenance(hours=20)


def test_the_first_maintenance_is_named() -> None:
    assert in_the_way(maintenance(hours=30), maintenance(hours=20)) == maintenance(hours=20)


def test_a_maintenance_that_goes_on_is_in_the_way_and_one_that_is_over_is_not() -> None:
    assert in_the_way(maintenance(hours=-1)) == maintenance(hours=-1)
    assert in_the_way(maintenance(hours=-8)) is None


def test_a_reservation_of_other_nodes_or_for_another_purpose_is_not_in_the_way() -> None:
    assert in_the_way(maintenance(hours=1, is_maintenance=False)) is None
    assert in_the_way(maintenance(hours=1, all_nodes=False)) is None
    assert in_the_way(maintenance(hours=1, all_nodes=False, partitions=("long",))) is None
    assert in_the_way(maintenance(hours=1, all_nodes=False, partitions=("main",))) is not None
