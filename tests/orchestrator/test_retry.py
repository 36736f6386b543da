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
    half_published: bool = False,
) -> RetryDecision:
    """Return what follows an attempt of a run of which `used` attempts have counted so far."""
    record = run(1, "qsiprep", session(1), "bids_conversion:1", RunStatus.RUNNING, attempts=used, exclude_nodes=exclude)
    verdict = Verdict(VerdictKind.FAILED, "what happened", failure=failure, max_rss_mb=rss, host=host)
    context = RetryContext(
        record,
        attempt(number=number, resources=asked),
        policy,
        limits or Limits(),
        NOW,
        lambda: chance,
        half_published,
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


def per_class(failure: FailureClass, **fields: object) -> Retry:
    """Return a policy that says something of one failure class."""
    return Retry.model_validate({"max_attempts": 3, "classes": {failure: fields}})


class TestClasses:
    def test_memory_grows_by_the_sites_own_factor(self) -> None:
        policy = per_class(FailureClass.OUT_OF_MEMORY, growth=2.5)

        made = decision(FailureClass.OUT_OF_MEMORY, policy=policy).resources
        time = decision(FailureClass.TIMEOUT, policy=policy).resources

        assert made == Resources(cpus=2, memory_mb=10_000, time_minutes=60, gpus=1)
        assert time == Resources(cpus=2, memory_mb=4_000, time_minutes=90, gpus=1)

    def test_a_class_may_have_more_attempts_than_the_others(self) -> None:
        policy = per_class(FailureClass.OUT_OF_MEMORY, max_attempts=4)

        assert decision(FailureClass.OUT_OF_MEMORY, used=2, policy=policy).status is RunStatus.RETRY_WAIT
        assert "after 4 of 4 attempts" in decision(FailureClass.OUT_OF_MEMORY, used=3, policy=policy).reason
        assert decision(FailureClass.TIMEOUT, used=2, policy=policy).status is RunStatus.FAILED

    @pytest.mark.parametrize("failure", [FailureClass.APPLICATION, FailureClass.TIMEOUT, FailureClass.NODE])
    def test_a_class_may_be_tried_no_more(self, failure: FailureClass) -> None:
        made = decision(failure, policy=per_class(failure, retry=False))

        assert made.status is RunStatus.FAILED
        assert made.reason == f"{failure}: not tried again, by the retry policy: what happened"
        assert made.next_attempt_at is None

    def test_a_class_may_wait_for_as_long_as_the_site_says(self) -> None:
        node = decision(FailureClass.NODE, host="cn1", policy=per_class(FailureClass.NODE, delay_minutes=5))
        tool = decision(FailureClass.APPLICATION, used=1, policy=per_class(FailureClass.APPLICATION, delay_minutes=0))
        memory = decision(FailureClass.OUT_OF_MEMORY, policy=per_class(FailureClass.OUT_OF_MEMORY, delay_minutes=2))

        assert node.next_attempt_at == NOW + timedelta(minutes=5)
        assert node.reason == "node: same request again in 5 min (it failed on cn1), not counted: what happened"
        assert tool.next_attempt_at == NOW
        assert tool.reason == "application: attempt 2 of 3 failed, again at once: what happened"
        assert memory.reason == "out_of_memory: again in 2 min with 6000 MiB instead of 4000"

    def test_a_class_may_count_or_not(self) -> None:
        node = per_class(FailureClass.NODE, counts=True)
        assert decision(FailureClass.NODE, used=1, policy=node).counted
        assert "given up after 3 of 3 attempts" in decision(FailureClass.NODE, used=2, policy=node).reason

        memory = per_class(FailureClass.OUT_OF_MEMORY, counts=False)
        made = decision(FailureClass.OUT_OF_MEMORY, used=2, policy=memory)
        assert (made.status, made.counted) == (RunStatus.RETRY_WAIT, False)
        assert made.reason == "out_of_memory: again with 6000 MiB instead of 4000, not counted"

    def test_what_does_not_count_ends_at_its_own_number_of_attempts(self) -> None:
        policy = per_class(FailureClass.PREEMPTED, max_attempts=4)

        assert decision(FailureClass.PREEMPTED, number=3, policy=policy).status is RunStatus.RETRY_WAIT
        made = decision(FailureClass.PREEMPTED, number=4, policy=policy)
        assert (made.status, made.counted) == (RunStatus.FAILED, False)

    def test_a_site_failure_may_wait_for_the_pipeline_to_go_on(self) -> None:
        made = decision(FailureClass.SITE, policy=per_class(FailureClass.SITE, retry=True))

        assert (made.status, made.counted) == (RunStatus.RETRY_WAIT, False)

    def test_a_policy_for_one_class_changes_no_other(self) -> None:
        policy = per_class(FailureClass.NODE, delay_minutes=7, counts=True, max_attempts=9)

        for failure in set(FailureClass) - {FailureClass.NODE}:
            assert decision(failure, policy=policy) == decision(failure)


class TestJitter:
    @pytest.mark.parametrize(("chance", "minutes"), [(0.0, 10.0), (0.5, 9.0), (1.0, 8.0)])
    def test_chance_takes_a_share_off_the_wait(self, chance: float, minutes: float) -> None:
        policy = Retry(initial_delay_minutes=10, jitter=0.2)

        made = decision(FailureClass.APPLICATION, policy=policy, chance=chance)

        assert made.next_attempt_at == NOW + timedelta(minutes=minutes)
        assert f"again in {minutes:g} min" in made.reason

    def test_a_wait_in_words_is_rounded(self) -> None:
        assert "again in 4.7 min" in decision(FailureClass.APPLICATION, chance=0.6789).reason

    def test_no_wait_is_ever_above_the_longest(self) -> None:
        policy = Retry(max_attempts=99, jitter=1)
        latest = NOW + timedelta(minutes=policy.max_delay_minutes)

        for used in range(0, 98, 7):
            for chance in (0.0, 0.3, 0.999):
                due = decision(FailureClass.NO_OUTPUT, used=used, policy=policy, chance=chance).next_attempt_at
                assert due is not None
                assert NOW <= due <= latest

    def test_what_goes_at_once_still_does(self) -> None:
        assert decision(FailureClass.TIMEOUT, chance=0.7).next_attempt_at == NOW

    def test_a_wait_of_very_many_failures_has_an_end(self) -> None:
        assert backoff_minutes(POLICY, 5_000) == POLICY.max_delay_minutes


@pytest.mark.parametrize("failure", FailureClass)
def test_half_a_publication_is_finished_whatever_ended_it_but_not_for_ever(failure: FailureClass) -> None:
    found = decision(failure, used=2, half_published=True)
    assert (found.status, found.counted, found.next_attempt_at) == (RunStatus.RETRY_WAIT, False, NOW)
    assert found.resources == RESOURCES
    last = POLICY.max_attempts + MAX_FREE_ATTEMPTS
    assert decision(failure, used=2, number=last, half_published=True).status is not RunStatus.RETRY_WAIT
