"""What follows a failed attempt, for every failure class."""

from __future__ import annotations

from datetime import timedelta

import pytest

from neuroflow.config.execution import Limits
from neuroflow.config.recovery import Retry
from neuroflow.domain import FailureClass, Resources, RetryDecision, RunStatus, Verdict, VerdictKind
from neuroflow.orchestrator.retry import MAX_FREE_ATTEMPTS, RetryContext, backoff_minutes, decide
from tests.orchestrator.builders import NOW, RESOURCES, attempt, run, session

FREE = (FailureClass.NODE, FailureClass.PREEMPTED)
COUNTED = (FailureClass.OUT_OF_MEMORY, FailureClass.TIMEOUT, FailureClass.APPLICATION, FailureClass.NO_OUTPUT)
POLICY = Retry(max_attempts=3, initial_delay_minutes=5, max_delay_minutes=60)


def decision(
    failure: FailureClass | None,
    *,
    used: int = 0,
    number: int = 1,
    asked: Resources = RESOURCES,
    limits: Limits | None = None,
    policy: Retry = POLICY,
    rss: float | None = None,
    host: str = "",
    exclude: tuple[str, ...] = (),
    chance: float = 0.0,
) -> RetryDecision:
    """Return what follows an attempt of a run of which `used` attempts have counted so far."""
    record = run(1, "qsiprep", session(1), "bids_conversion:1", RunStatus.RUNNING, attempts=used, exclude_nodes=exclude)
    verdict = Verdict(VerdictKind.FAILED, "what happened", failure=failure, max_rss_mb=rss, host=host)
    context = RetryContext(
        record, attempt(number=number, resources=asked), policy, limits or Limits(), NOW, lambda: chance
    )
    return decide(verdict, context)


@pytest.mark.parametrize(
    ("failure", "status", "counted"),
    [
        (FailureClass.OUT_OF_MEMORY, RunStatus.RETRY_WAIT, True),
        (FailureClass.TIMEOUT, RunStatus.RETRY_WAIT, True),
        (FailureClass.NODE, RunStatus.RETRY_WAIT, False),
        (FailureClass.PREEMPTED, RunStatus.RETRY_WAIT, False),
        (FailureClass.APPLICATION, RunStatus.RETRY_WAIT, True),
        (FailureClass.NO_OUTPUT, RunStatus.RETRY_WAIT, True),
        (FailureClass.BAD_INPUT, RunStatus.FAILED, True),
        (FailureClass.SITE, RunStatus.FAILED, False),
        (FailureClass.CANCELLED, RunStatus.CANCELLED, False),
    ],
)
def test_every_failure_class_on_a_first_attempt(failure: FailureClass, status: RunStatus, counted: bool) -> None:
    made = decision(failure)

    assert (made.status, made.counted) == (status, counted)
    assert (made.next_attempt_at is not None) == (status is RunStatus.RETRY_WAIT)
    assert (made.resources is not None) == (status is RunStatus.RETRY_WAIT)


def test_every_failure_class_is_decided() -> None:
    assert {failure: decision(failure).reason for failure in FailureClass}.keys() == set(FailureClass)


def test_a_failure_without_a_class_is_the_applications() -> None:
    assert decision(None) == decision(FailureClass.APPLICATION)


@pytest.mark.parametrize("failure", [FailureClass.BAD_INPUT, FailureClass.SITE, FailureClass.CANCELLED])
def test_an_end_says_what_happened(failure: FailureClass) -> None:
    assert "what happened" in decision(failure).reason


@pytest.mark.parametrize("failure", COUNTED)
def test_counted_failures_end_at_max_attempts(failure: FailureClass) -> None:
    assert decision(failure, used=1).status is RunStatus.RETRY_WAIT
    made = decision(failure, used=2)
    assert (made.status, made.counted) == (RunStatus.FAILED, True)
    assert made.reason == f"{failure}: given up after 3 of 3 attempts: what happened"


@pytest.mark.parametrize("failure", COUNTED)
def test_counted_retries_keep_the_excluded_nodes(failure: FailureClass) -> None:
    assert decision(failure, host="node9", exclude=("node1",)).exclude_nodes == ("node1",)


class TestGrowth:
    def test_memory_grows_by_half_and_nothing_else(self) -> None:
        made = decision(FailureClass.OUT_OF_MEMORY)

        assert made.resources == Resources(cpus=2, memory_mb=6_000, time_minutes=60, gpus=1)
        assert made.next_attempt_at == NOW
        assert made.reason == "out_of_memory: again with 6000 MiB instead of 4000"

    def test_time_grows_by_half_and_nothing_else(self) -> None:
        made = decision(FailureClass.TIMEOUT)

        assert made.resources == Resources(cpus=2, memory_mb=4_000, time_minutes=90, gpus=1)
        assert made.next_attempt_at == NOW
        assert made.reason == "timeout: again with 90 min instead of 60"

    @pytest.mark.parametrize(("rss", "memory"), [(5_000.0, 7_500), (1_000.0, 6_000), (5_000.1, 7_501)])
    def test_memory_grows_from_what_was_used_where_that_is_more(self, rss: float, memory: int) -> None:
        resources = decision(FailureClass.OUT_OF_MEMORY, rss=rss).resources

        assert resources is not None
        assert resources.memory_mb == memory

    def test_growth_is_clipped_to_the_partition(self) -> None:
        limits = Limits(memory_mb=5_000, time_minutes=70)

        memory = decision(FailureClass.OUT_OF_MEMORY, limits=limits, rss=9_000).resources
        time = decision(FailureClass.TIMEOUT, limits=limits).resources

        assert memory == Resources(cpus=2, memory_mb=5_000, time_minutes=60, gpus=1)
        assert time == Resources(cpus=2, memory_mb=4_000, time_minutes=70, gpus=1)

    @pytest.mark.parametrize("failure", [FailureClass.OUT_OF_MEMORY, FailureClass.TIMEOUT])
    @pytest.mark.parametrize("below", [0, 1])
    def test_no_room_to_grow_ends_the_run(self, failure: FailureClass, below: int) -> None:
        made = decision(failure, limits=Limits(memory_mb=4_000 - below, time_minutes=60 - below))

        assert (made.status, made.counted) == (RunStatus.FAILED, True)
        assert "the partition's limit is reached" in made.reason

    @pytest.mark.parametrize("failure", [FailureClass.APPLICATION, FailureClass.NO_OUTPUT, *FREE])
    def test_other_failures_ask_for_the_same_again(self, failure: FailureClass) -> None:
        assert decision(failure, rss=9_000).resources == RESOURCES


class TestBackoff:
    def test_the_wait_doubles_up_to_its_cap(self) -> None:
        assert [backoff_minutes(POLICY, failures) for failures in range(1, 7)] == [5, 10, 20, 40, 60, 60]

    def test_the_wait_can_stay_the_same(self) -> None:
        policy = Retry(initial_delay_minutes=7, exponential_backoff=False)

        assert [backoff_minutes(policy, failures) for failures in (1, 2, 9)] == [7, 7, 7]

    @pytest.mark.parametrize(("used", "minutes"), [(0, 5), (1, 10)])
    @pytest.mark.parametrize("failure", [FailureClass.APPLICATION, FailureClass.NO_OUTPUT])
    def test_a_failed_tool_waits(self, failure: FailureClass, used: int, minutes: int) -> None:
        made = decision(failure, used=used)

        assert made.next_attempt_at == NOW + timedelta(minutes=minutes)
        assert f"attempt {used + 1} of 3 failed, again in {minutes} min" in made.reason

    def test_free_attempts_do_not_lengthen_the_wait(self) -> None:
        assert decision(FailureClass.APPLICATION, number=9).next_attempt_at == NOW + timedelta(minutes=5)


class TestFreeRetries:
    @pytest.mark.parametrize("failure", FREE)
    def test_they_go_at_once_and_are_not_counted(self, failure: FailureClass) -> None:
        made = decision(failure, used=2, number=3)

        assert (made.status, made.counted, made.next_attempt_at) == (RunStatus.RETRY_WAIT, False, NOW)

    def test_a_failed_node_is_excluded(self) -> None:
        made = decision(FailureClass.NODE, host="node2", exclude=("node1",))

        assert made.exclude_nodes == ("node1", "node2")
        assert "(it failed on node1, node2)" in made.reason

    @pytest.mark.parametrize("host", ["node1", ""])
    def test_a_known_or_unknown_node_is_not_added(self, host: str) -> None:
        assert decision(FailureClass.NODE, host=host, exclude=("node1",)).exclude_nodes == ("node1",)

    def test_a_preempting_node_is_not_excluded(self) -> None:
        assert decision(FailureClass.PREEMPTED, host="node2").exclude_nodes == ()

    @pytest.mark.parametrize("failure", FREE)
    def test_they_end_somewhere(self, failure: FailureClass) -> None:
        last = POLICY.max_attempts + MAX_FREE_ATTEMPTS

        assert decision(failure, number=last - 1).status is RunStatus.RETRY_WAIT
        made = decision(failure, number=last)
        assert (made.status, made.counted) == (RunStatus.FAILED, False)
        assert f"given up after {last} attempts" in made.reason
