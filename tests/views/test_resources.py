"""Requests are suggested from what runs used, told honestly where they were stopped, and priced with their retries."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroflow.config.partitions import Limits
from neuroflow.config.recovery import ClassRetry, Retry
from neuroflow.domain import FailureClass, Resources
from neuroflow.domain.usage import UsedAttempt
from neuroflow.orchestrator.registry import Pipeline, get_registry
from neuroflow.views.resources import Question, Sizing, size
from neuroflow.views.resources_cores import as_with, choose_cores, slowdown
from neuroflow.views.resources_cost import Prices
from neuroflow.views.resources_estimate import Spread, rounded_up, spread_of
from neuroflow.views.resources_needs import Need, runs_of

ASKED = Resources(cpus=8, memory_mb=40_000, time_minutes=1440)
QSIPREP = get_registry().get("qsiprep")


def used(run_id: int, *, failure: FailureClass | None = None, **changes: object) -> UsedAttempt:
    """Return an attempt of two hours with 10 GiB and two cores of eight."""
    base = UsedAttempt(
        run_id=run_id,
        failure=failure,
        request=ASKED,
        max_rss_mb=10_240.0,
        cpu_seconds=2 * 7200.0,
        elapsed_seconds=7200.0,
        version="1.0",
        inputs_key="bids_conversion:3",
        day="2026-03-01",
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def sizing(
    attempts: list[UsedAttempt], *, limits: Limits | None = None, pipeline: Pipeline = QSIPREP, **asked: object
) -> Sizing:
    return size(pipeline, runs_of(attempts), limits=limits or Limits(), question=Question(**asked))  # type: ignore[arg-type]


def many(count: int, **changes: object) -> list[UsedAttempt]:
    return [used(number, **changes) for number in range(count)]  # type: ignore[arg-type]


def test_a_suggestion_covers_what_was_used_with_a_margin_and_costs_less() -> None:
    found = sizing(many(40))
    assert found.suggestions == {"memory_mb": 13_000, "time_minutes": 195, "cpus": 3}
    assert found.cost is not None
    assert found.suggested_cost is not None
    assert found.cost.core_hours == pytest.approx(100 * 8 * 2)
    assert found.suggested_cost.core_hours == pytest.approx(100 * 3 * 2 * slowdown(2, asked=8, cores=3))
    assert (found.cost.retries, found.suggested_cost.retries) == (0, 0)


def test_too_few_runs_suggest_nothing() -> None:
    found = sizing(many(19))
    assert found.suggestions == {}
    assert {part.note for part in found.parts} == {
        "not enough history (19 of 20 runs)",
        "not enough history with 8 cores (19 of 20 runs)",
    }
    assert found.cost is None


def test_a_rarer_percentile_needs_more_runs() -> None:
    assert sizing(many(99), share=0.99).suggestions == {}
    assert sizing(many(100), share=0.99).suggestions != {}


def test_no_history_is_no_error() -> None:
    found = sizing([])
    assert (found.runs, found.first_day, found.suggestions) == (0, "", {})


def test_what_was_never_measured_is_not_guessed() -> None:
    found = sizing(many(40, max_rss_mb=None, cpu_seconds=None))
    assert set(found.suggestions) == {"time_minutes"}
    assert found.cost is None


def test_a_run_that_was_stopped_and_then_succeeded_needs_at_least_where_it_was_stopped() -> None:
    """A measurement misses peaks, and an attempt goes on where the one before it was stopped."""
    first = used(1, failure=FailureClass.OUT_OF_MEMORY, max_rss_mb=11_000.0)
    late = used(1, failure=FailureClass.TIMEOUT, request=replace(ASKED, memory_mb=60_000))
    second = used(1, request=replace(ASKED, memory_mb=60_000, time_minutes=2160))
    (run,) = runs_of([second, late, first])
    assert (run.memory_mb, run.minutes, run.attempts) == (Need(40_000), Need(1440), 3)


def test_a_run_that_never_succeeded_needs_more_than_it_had() -> None:
    (run,) = runs_of([used(1, failure=FailureClass.TIMEOUT)])
    assert (run.memory_mb, run.minutes, run.cores) == (None, Need(1440, more=True), None)


def test_runs_that_were_stopped_weigh_on_those_that_needed_more() -> None:
    needs = [Need(1), Need(2), Need(2, more=True), Need(4)]
    spread = spread_of(needs)
    assert spread.weights == ((1, 0.25), (2, 0.25), (4, 0.5))
    assert (spread.beyond, spread.stopped_at) == (0, 2)
    assert spread.covering(0.5) == 2
    assert spread.covering(0.51) == 4


def test_nothing_covers_what_no_run_was_seen_to_survive() -> None:
    spread = spread_of([Need(1)] * 9 + [Need(3, more=True)])
    assert (spread.covering(0.9), spread.covering(0.95)) == (1, None)
    found = sizing([*many(30), *(used(100 + n, failure=FailureClass.OUT_OF_MEMORY) for n in range(3))])
    assert "memory_mb" not in found.suggestions
    assert found.parts[0].note.startswith("95% can't be told: too many runs were stopped, at up to 40,000 MiB")


@given(st.lists(st.builds(Need, st.integers(1, 50).map(float), st.booleans()), min_size=1))
def test_the_weights_add_up_and_never_say_less_than_leaving_stopped_runs_out(needs: list[Need]) -> None:
    spread = spread_of(needs)
    assert sum(weight for _, weight in spread.weights) + spread.beyond == pytest.approx(1)
    known = sorted(need.amount for need in needs if not need.more)
    covered = spread.covering(0.5)
    if known and covered is not None:
        assert covered >= known[(len(known) - 1) // 2]


def test_more_is_suggested_where_more_is_needed() -> None:
    grown = replace(ASKED, memory_mb=60_000)
    runs = [one for n in range(30) for one in (used(n, failure=FailureClass.OUT_OF_MEMORY), used(n, request=grown))]
    assert sizing(runs).suggestions["memory_mb"] == 48_000


def test_no_more_is_suggested_than_a_partition_takes() -> None:
    runs = many(30, max_rss_mb=50_000.0, request=replace(ASKED, memory_mb=64_000))
    found = sizing(runs, limits=Limits(memory_mb=50_000))
    assert found.suggestions["memory_mb"] == 50_000
    assert found.parts[0].note == "the partition takes no more than 50,000"


def test_a_small_change_is_not_worth_it() -> None:
    assert "memory_mb" not in sizing(many(40, max_rss_mb=31_000.0)).suggestions


def test_only_the_newest_version_counts_where_it_has_enough_runs() -> None:
    old, new = many(40, max_rss_mb=30_000.0), [used(100 + n, version="2.0") for n in range(20)]
    found = sizing([*new, *old])
    assert (found.version, found.runs, found.parts[0].largest) == ("2.0", 20, 10_240)
    found = sizing([*new[1:], *old])
    assert (found.version, found.runs) == ("", 59)
    assert "too few runs of 2.0" in found.notes[0]


def test_cores_are_counted_among_runs_that_had_as_many() -> None:
    assert "cpus" not in sizing(many(40, request=replace(ASKED, cpus=16))).suggestions


def test_bursts_keep_cores() -> None:
    """2.1 of 8 on average: with 3, what uses all eight at times takes 26 % longer; with 4 it is 16 %."""
    choice = choose_cores([2.1] * 20, asked=8, share=0.95)
    assert (choice.cores, round(choice.slower, 2)) == (4, 1.16)
    assert choose_cores([7.5] * 20, asked=8, share=0.95).cores == 8
    assert choose_cores([0.4] * 20, asked=1, share=0.95).cores == 1


def test_the_time_allows_for_fewer_cores() -> None:
    assert sizing(many(40), only=("time",)).suggestions == {"time_minutes": 150}
    assert sizing(many(40), only=("time", "cores")).suggestions == {"time_minutes": 195, "cpus": 3}
    assert sizing(many(40, elapsed_seconds=70_000.0, cpu_seconds=140_000.0), only=("cores",)).suggestions == {}


def test_a_run_that_had_more_cores_needs_more_time_with_fewer() -> None:
    (run,) = runs_of([used(1)])
    assert as_with(run, 4).minutes == Need(pytest.approx(120 * slowdown(2, asked=8, cores=4)))
    assert as_with(run, 8) == run


def test_figures_by_sessions_add_up() -> None:
    two = [used(100 + n, inputs_key="bids_conversion:3,7") for n in range(25)]
    groups = sizing([*many(5), *two], split="sessions").groups
    assert [(group.name, group.runs) for group in groups] == [("1 session", 5), ("2 sessions", 25)]


def prices(memory: Spread, **policy: object) -> Prices:
    return Prices(memory, spread_of([Need(60.0)]), Retry(**policy), Limits())  # type: ignore[arg-type]


def test_a_retry_costs_what_it_wastes() -> None:
    """One run in ten is killed once at 10 GiB, and fits into 15."""
    memory = spread_of([Need(9_000.0)] * 9 + [Need(12_000.0)])
    cost = prices(memory).cost(Resources(cpus=4, memory_mb=10_240, time_minutes=120))
    assert cost.retries == pytest.approx(10)
    assert (cost.core_hours, cost.wasted_core_hours) == (pytest.approx(440), pytest.approx(40))
    assert cost.gb_hours == pytest.approx(90 * 10 + 10 * (10 + 15))


def test_a_run_that_outgrows_its_attempts_is_given_up() -> None:
    memory = spread_of([Need(9_000.0)] * 9 + [Need(100_000.0)])
    cost = prices(memory).cost(Resources(cpus=1, memory_mb=10_000, time_minutes=120))
    assert (cost.given_up, cost.retries) == (pytest.approx(10), pytest.approx(20))


def test_a_policy_without_retries_gives_up_at_once() -> None:
    memory = spread_of([Need(9_000.0)] * 9 + [Need(12_000.0)])
    never = {FailureClass.OUT_OF_MEMORY: ClassRetry(retry=False)}
    cost = prices(memory, classes=never).cost(Resources(cpus=1, memory_mb=10_000, time_minutes=120))
    assert (cost.given_up, cost.retries) == (pytest.approx(10), pytest.approx(0))


def test_a_time_limit_wastes_all_of_its_time() -> None:
    found = Prices(spread_of([Need(1.0)]), spread_of([Need(60.0), Need(100.0)]), Retry(), Limits())
    cost = found.cost(Resources(cpus=2, memory_mb=1024, time_minutes=80))
    assert cost.retries == pytest.approx(50)
    assert cost.wasted_core_hours == pytest.approx(50 * 2 * 80 / 60)


@given(st.floats(1, 1e6))
def test_rounding_goes_up(amount: float) -> None:
    found = rounded_up(amount, ((1000.0, 100), (10_000.0, 500), (float("inf"), 1000)))
    assert amount - 1e-3 <= found < amount + 1000
