"""SLURM is called within a budget, and each call is counted."""

from __future__ import annotations

import pytest

from neuroflow.cluster.answers import translated
from neuroflow.cluster.metered import LONGEST_WAIT_SECONDS, MeteredTransport, program_of
from neuroflow.errors import CallBudgetExhausted, CommandError, StateError, SubmissionRefused
from tests.cluster_layer.fakes import FakeTransport, ended, hung


class FakeMeter:
    """A budget that has a call after the given waits."""

    def __init__(self, *waits: float, broken: bool = False) -> None:
        self.waits = list(waits)
        self.broken = broken
        self.recorded: list[tuple[str, bool]] = []

    def take(self) -> float:
        return self.waits.pop(0) if self.waits else 0.0

    def record(self, program: str, *, seconds: float, failed: bool) -> None:
        if self.broken:
            raise StateError("the database is away")
        self.recorded.append((program, failed))


def metered(transport: FakeTransport, meter: FakeMeter) -> tuple[MeteredTransport, list[float]]:
    slept: list[float] = []
    return MeteredTransport(transport, meter, sleep=slept.append), slept


def test_within_the_budget_a_command_runs_at_once() -> None:
    meter = FakeMeter()
    transport, slept = metered(FakeTransport(squeue="rows"), meter)

    assert transport.run(("env", "A=b", "squeue", "-h"), timeout=5).stdout == "rows"
    assert (slept, meter.recorded) == ([], [("squeue", False)])


def test_it_waits_for_the_budget_to_fill() -> None:
    transport, slept = metered(FakeTransport(sbatch="4711"), FakeMeter(2.0, 1.0))

    transport.run(("sbatch",), timeout=5)

    assert slept == [2.0, 1.0]


def test_after_a_minute_of_waiting_the_command_is_not_run() -> None:
    inner = FakeTransport(sbatch="4711")
    transport, slept = metered(inner, FakeMeter(40.0, 40.0))

    with pytest.raises(CallBudgetExhausted, match="`sbatch` was not called"):
        transport.run(("sbatch",), timeout=5)

    assert (inner.calls, slept) == ([], [40.0])
    assert sum(slept) <= LONGEST_WAIT_SECONDS


def test_a_submission_without_budget_is_refused_for_now_and_no_job_exists() -> None:
    transport, _ = metered(FakeTransport(), FakeMeter(90.0))
    with pytest.raises(CallBudgetExhausted) as caught:
        transport.run(("sbatch",), timeout=5)

    refusal = translated(caught.value)

    assert isinstance(refusal, SubmissionRefused)
    assert refusal.transient


def test_failures_are_counted_as_such() -> None:
    meter = FakeMeter()
    transport, _ = metered(FakeTransport(sacct=ended(1), squeue=hung()), meter)

    transport.run(("sacct",), timeout=5)
    with pytest.raises(CommandError):
        transport.run(("squeue",), timeout=5)

    assert meter.recorded == [("sacct", True), ("squeue", True)]


def test_an_answer_is_never_lost_to_the_counting_of_it() -> None:
    transport, _ = metered(FakeTransport(sbatch="4711"), FakeMeter(broken=True))

    assert transport.run(("sbatch",), timeout=5).stdout == "4711"


def test_the_program_is_found_behind_env_and_a_folder() -> None:
    assert program_of(("env", "X=1", "/usr/bin/sacct", "-n")) == "sacct"
    assert program_of(()) == ""
