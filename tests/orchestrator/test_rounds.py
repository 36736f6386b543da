"""One process at a time looks at the jobs, and asks SLURM only when that is due."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from neuroflow.cluster.folders import LocalFolders
from neuroflow.domain import AttemptRecord, JobState, QueueRow, Sighting, SiteLimits
from neuroflow.orchestrator.keys import POLL_KEY
from neuroflow.orchestrator.lease import POLL_LEASE, lease
from neuroflow.orchestrator.rounds import poll_round
from neuroflow.orchestrator.services import Services
from neuroflow.orchestrator.site import admission, site_limits
from tests.chain.site import Site
from tests.core.conftest import FakeClock
from tests.support.states import add_session, open_run, submit


class FakeCluster:
    """A cluster on which every job runs for ever."""

    folders = LocalFolders()

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.limits = SiteLimits(max_array_size=1001, max_job_count=10_000)
        self.limits_asked = 0

    def sight(self, attempts: Sequence[AttemptRecord]) -> dict[str, Sighting]:
        self.asked.append([attempt.token for attempt in attempts])
        return {
            item.token: Sighting(True, False, QueueRow(item.job_id or "", item.token, JobState.RUNNING, "RUNNING"))
            for item in attempts
        }

    def retire(self, attempts: Sequence[AttemptRecord]) -> None:
        raise AssertionError("nothing has failed")

    def jobs_in_queue(self) -> dict[tuple[str, str], int]:
        return {("lab", "normal"): 10, ("lab", "high"): 7}

    def site_limits(self) -> SiteLimits:
        self.limits_asked += 1
        return self.limits


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def services(tmp_path: Path, clock: FakeClock, cluster: FakeCluster) -> Iterator[Services]:
    """A site on SLURM with one submitted run, and a clock that stands still."""
    site = Site(tmp_path / "site", {"cluster": {"kind": "slurm", "poll_seconds": 60}})
    real = site.services()
    made = replace(real, clock=clock, clusters={"slurm": cluster, "worker": real.clusters["worker"]})  # type: ignore[dict-item]
    made.state._clock = clock
    submit(made.state, open_run(made.state, add_session(made.state)).id)
    yield made
    made.database.close()


def remembered(services: Services) -> dict[str, object]:
    value = services.state.get_value(POLL_KEY)
    assert value is not None
    return dict(value[0])


def test_slurm_is_asked_when_the_interval_is_over_and_not_before(
    services: Services, clock: FakeClock, cluster: FakeCluster
) -> None:
    poll_round(services)
    clock.advance(seconds=59)
    poll_round(services)
    assert len(cluster.asked) == 1
    clock.advance(seconds=1)
    poll_round(services)
    assert len(cluster.asked) == 2


def test_the_interval_grows_while_nothing_changes(services: Services, clock: FakeClock) -> None:
    intervals = []
    for _ in range(4):
        poll_round(services)
        intervals.append(remembered(services)["interval_seconds"])
        clock.advance(minutes=10)

    assert intervals == [60, 75, 90, 105], "the first sees that the job runs now, the others see no change"


def test_a_slow_controller_is_asked_less_often(services: Services) -> None:
    services.state.record_call("squeue", seconds=40.0, failed=False)

    poll_round(services)

    assert remembered(services)["interval_seconds"] == 200


def test_what_was_submitted_meanwhile_is_not_kept_waiting_for_a_long_interval(
    services: Services, clock: FakeClock, cluster: FakeCluster
) -> None:
    for _ in range(20):
        poll_round(services)
        clock.advance(minutes=10)
    poll_round(services)
    asked = len(cluster.asked)
    submit(services.state, open_run(services.state, add_session(services.state, "02")).id)

    clock.advance(seconds=59)
    poll_round(services)
    assert len(cluster.asked) == asked
    clock.advance(seconds=1)
    poll_round(services)
    assert len(cluster.asked) == asked + 1
    assert remembered(services)["interval_seconds"] == 60


def test_the_sites_limits_are_asked_once_an_hour_and_kept_where_slurm_does_not_answer(
    services: Services, clock: FakeClock, cluster: FakeCluster
) -> None:
    poll_round(services)
    clock.advance(minutes=59)
    poll_round(services)
    assert cluster.limits_asked == 1
    cluster.limits = SiteLimits(max_job_count=500)  # the rest was not answered
    clock.advance(minutes=2)
    poll_round(services)
    assert cluster.limits_asked == 2
    assert site_limits(services) == SiteLimits(max_array_size=1001, max_job_count=500)


def test_what_was_submitted_since_the_last_count_counts_as_well(services: Services) -> None:
    poll_round(services)
    submit(services.state, open_run(services.state, add_session(services.state, "02")).id)

    now = admission(services)

    assert now is not None
    assert now.queue == {("lab", "normal"): 10, ("lab", "high"): 7}
    assert now.since == 1


@pytest.mark.parametrize(
    "silent", [Sighting(queue_answered=False, accounting_answered=False), Sighting(True, False, accounting_silent=True)]
)
def test_a_look_that_saw_nothing_is_not_taken_for_a_complete_one(
    silent: Sighting, services: Services, clock: FakeClock, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    poll_round(services)
    first = remembered(services)
    assert first["complete_at"] == first["at"]
    clock.advance(hours=1)
    monkeypatch.setattr(cluster, "sight", lambda attempts: {item.token: silent for item in attempts})
    poll_round(services)
    later = remembered(services)
    assert later["complete_at"] == first["at"] != later["at"]


def test_a_person_gets_an_answer_at_once(services: Services, cluster: FakeCluster) -> None:
    poll_round(services)
    poll_round(services, at_once=True)

    assert len(cluster.asked) == 2


def test_a_second_poller_leaves_it_to_the_first(services: Services, cluster: FakeCluster) -> None:
    with lease(services.state, POLL_LEASE) as mine:
        assert mine
        assert poll_round(services) is None

    assert cluster.asked == []
    assert poll_round(services) is not None


def test_a_killed_pollers_lease_runs_out(services: Services, clock: FakeClock) -> None:
    assert services.state.acquire_lease(POLL_LEASE, owner="killed", seconds=60)
    assert poll_round(services) is None
    clock.advance(seconds=60)
    assert poll_round(services) is not None


class LeaseBook:
    """A state that counts how often a lease is taken, and tells when it was renewed."""

    def __init__(self) -> None:
        self.owners: list[str] = []
        self.renewed = threading.Event()
        self.released: list[str] = []

    def acquire_lease(self, name: str, *, owner: str, seconds: float) -> bool:
        self.owners.append(owner)
        if len(self.owners) > 1:
            self.renewed.set()
        return True

    def release_lease(self, name: str, owner: str) -> bool:
        self.released.append(owner)
        return True


def test_a_living_holder_renews_its_lease_and_gives_it_back() -> None:
    book = LeaseBook()

    with lease(book, "long", seconds=0.03) as mine:  # type: ignore[arg-type]
        assert mine
        assert book.renewed.wait(30)

    assert len(set(book.owners)) == 1
    assert book.released == [book.owners[0]]
