"""A SLURM call is repeated at once only where that can do no harm."""

from __future__ import annotations

from pathlib import Path

import pytest

from neuroflow.cluster.repeat import ATTEMPTS, LONGEST_WAIT_SECONDS
from neuroflow.cluster.slurm import SlurmCluster
from neuroflow.errors import CommandError, SubmissionRefused, SubmissionUncertain
from tests.cluster_layer.builders import attempt, config_in, python_job
from tests.cluster_layer.fakes import Answer, FakeTransport, ended, hung

FAILED = "sbatch: error: Batch job submission failed: "


class Answers:
    """Answers of sbatch, one after the other."""

    def __init__(self, *answers: Answer) -> None:
        self.left = list(answers)

    def __call__(self, command: tuple[str, ...]) -> Answer:
        return self.left.pop(0)


def cluster_with(root: Path, transport: FakeTransport) -> tuple[SlurmCluster, list[float]]:
    slept: list[float] = []
    return SlurmCluster(config_in(root, kind="slurm"), transport=transport, sleep=slept.append), slept


def test_a_controller_that_was_not_reached_is_asked_again(tmp_path: Path) -> None:
    away = ended(1, stderr=f"{FAILED}Unable to contact slurm controller (connect failure)")
    transport = FakeTransport(sbatch=Answers(away, away, ended(0, stdout="4711\n")))
    cluster, slept = cluster_with(tmp_path, transport)

    assert cluster.submit(python_job(tmp_path, "pass")) == "4711"
    assert len(slept) == 2
    assert max(slept) <= LONGEST_WAIT_SECONDS


def test_after_a_few_times_it_is_left_to_the_next_look(tmp_path: Path) -> None:
    transport = FakeTransport(sbatch=ended(1, stderr=f"{FAILED}Unable to contact slurm controller (connect failure)"))
    cluster, _ = cluster_with(tmp_path, transport)

    with pytest.raises(SubmissionRefused) as caught:
        cluster.submit(python_job(tmp_path, "pass"))

    assert caught.value.transient
    assert transport.programs() == ["sbatch"] * ATTEMPTS


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (ended(1, stderr=f"{FAILED}Socket timed out on send/recv operation"), SubmissionUncertain),
        (ended(1, stderr=f"{FAILED}Unable to contact slurm controller (receive failure)"), SubmissionUncertain),
        (hung(), SubmissionUncertain),
        (ended(0, stdout="welcome to the cluster\n"), SubmissionUncertain),
        (ended(1, stderr=f"{FAILED}Job violates accounting/QOS policy (job submit limit, …)"), SubmissionRefused),
        (ended(1, stderr=f"{FAILED}Invalid account or account/partition combination specified"), SubmissionRefused),
    ],
)
def test_everything_else_is_asked_once(tmp_path: Path, answer: Answer, error: type[Exception]) -> None:
    transport = FakeTransport(sbatch=answer)
    cluster, slept = cluster_with(tmp_path, transport)

    with pytest.raises(error):
        cluster.submit(python_job(tmp_path, "pass"))

    assert (transport.programs(), slept) == (["sbatch"], [])


def test_scancel_is_repeated_because_a_second_one_changes_nothing(tmp_path: Path) -> None:
    transport = FakeTransport(scancel=Answers(hung(), ended(1, stderr="scancel: error: Socket timed out"), ended(0)))
    cluster, _ = cluster_with(tmp_path, transport)

    cluster.cancel([attempt(job_id="4711", folder=str(tmp_path))])

    assert transport.programs() == ["scancel"] * 3


def test_a_program_that_is_missing_is_not_asked_for_again(tmp_path: Path) -> None:
    missing = CommandError("`scancel` can't be started", command=("scancel",), exit_code=127)
    transport = FakeTransport(scancel=missing)
    cluster, _ = cluster_with(tmp_path, transport)

    with pytest.raises(CommandError, match="can't be started"):
        cluster.cancel([attempt(job_id="4711", folder=str(tmp_path))])

    assert transport.programs() == ["scancel"]
