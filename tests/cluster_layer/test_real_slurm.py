"""Attempts on a real SLURM: executed once, judged right, found again after any accident of sbatch."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from neuroflow.cluster import claim
from neuroflow.cluster.accounting_query import parse_sacct, sacct_command
from neuroflow.cluster.base import JobRequest, get_cluster
from neuroflow.cluster.slurm import SlurmCluster
from neuroflow.cluster.transport import LocalTransport
from neuroflow.domain import AccountingRow, AttemptRecord, FailureClass, JobState, Resources, VerdictKind
from neuroflow.errors import SubmissionRefused, SubmissionUncertain
from tests.cluster_layer.builders import WRITES, attempt_of, config_in, new_token, python_job, wait_for_verdict
from tests.support.require import require

pytestmark = pytest.mark.slurm

NOT_NOW = "--begin=now+1hour"


def _answers() -> bool:
    if shutil.which("sinfo") is None or shutil.which("sacct") is None:
        return False
    try:
        LocalTransport().run(("sacct", "-n"), timeout=10).check()
        return bool(LocalTransport().run(("sinfo", "-h", "-t", "idle,mix,alloc"), timeout=10).check().stdout.strip())
    except Exception:
        return False


@pytest.fixture(scope="module", autouse=True)
def slurm() -> None:
    require("slurm", _answers(), "start a SLURM with accounting, whose nodes see this machine's files")


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """Return a folder with a hostile name; end what is left of the test's jobs afterwards."""
    folder = tmp_path / 'it\'s a "lab"; & (x)'
    folder.mkdir()
    yield folder
    for attempt in (folder / "state" / "attempts").glob("*"):
        subprocess.run(["scancel", "-n", attempt.name], check=False, timeout=60)


@pytest.fixture
def cluster(root: Path) -> SlurmCluster:
    made = get_cluster(config_in(root, kind="slurm"))
    assert isinstance(made, SlurmCluster)
    return made


def wait_until(condition: Callable[[], bool], *, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.3)


def test_a_job_runs_and_is_judged_a_success(root: Path, cluster: SlurmCluster) -> None:
    job = python_job(root, WRITES)
    job_id = cluster.submit(job)
    verdict = wait_for_verdict(cluster, attempt_of(job, job_id=job_id))
    assert (verdict.kind, verdict.exit_code, verdict.job_id) == (VerdictKind.SUCCEEDED, 0, job_id)
    assert (root / "derivatives" / "qsiprep" / "sub-01" / "dwi" / "a.txt").read_text() == "hello"


def test_the_exit_code_reaches_slurm(root: Path, cluster: SlurmCluster) -> None:
    job = python_job(root, "import sys; print('broke', file=sys.stderr); sys.exit(3)")
    job_id = cluster.submit(job)
    verdict = wait_for_verdict(cluster, attempt_of(job, job_id=job_id))
    assert (verdict.kind, verdict.failure, verdict.exit_code) == (VerdictKind.FAILED, FailureClass.APPLICATION, 3)
    assert (verdict.reason, verdict.job_word) == ("exit code 3: broke", "FAILED")
    told = subprocess.run(
        ["sacct", "-nXPj", job_id, "-o", "State,ExitCode"], capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "FAILED|3:0"


def test_a_job_over_its_memory_is_out_of_memory(root: Path, cluster: SlurmCluster) -> None:
    job = python_job(root, "import time; x = b'x' * 500_000_000; time.sleep(20)")
    verdict = wait_for_verdict(cluster, attempt_of(job, job_id=cluster.submit(job)))
    assert (verdict.kind, verdict.failure) == (VerdictKind.FAILED, FailureClass.OUT_OF_MEMORY)


@pytest.mark.slow
def test_a_job_over_its_time_is_timed_out(root: Path) -> None:
    cluster = get_cluster(config_in(root, kind="slurm", partition="short"))
    job = python_job(root, "import time; time.sleep(300)", resources=Resources(cpus=1, memory_mb=200, time_minutes=1))
    verdict = wait_for_verdict(cluster, attempt_of(job, job_id=cluster.submit(job)), seconds=200)
    assert (verdict.kind, verdict.failure) == (VerdictKind.FAILED, FailureClass.TIMEOUT)


def test_a_job_cancelled_while_it_waits(root: Path) -> None:
    cluster = get_cluster(config_in(root, kind="slurm", sbatch_lines=(NOT_NOW,)))
    job = python_job(root, WRITES)
    attempt = attempt_of(job, job_id=cluster.submit(job))
    waiting = cluster.sight([attempt])[job.token]
    assert waiting.queue is not None
    assert (waiting.queue.state, waiting.queue.reason) == (JobState.PENDING, "BeginTime")
    cluster.cancel([attempt])
    verdict = wait_for_verdict(cluster, attempt)
    assert (verdict.kind, verdict.failure) == (VerdictKind.FAILED, FailureClass.CANCELLED)


def test_a_running_job_cancelled_by_name_leaves_a_record(root: Path, cluster: SlurmCluster) -> None:
    job = python_job(root, "import pathlib, sys, time; pathlib.Path(sys.argv[1], 'up').write_text('x'); time.sleep(60)")
    job_id = cluster.submit(job)
    wait_until((Path(job.run.output_dir) / "up").exists)
    cluster.cancel([replace(attempt_of(job, job_id=None), folder="/nowhere")])
    attempt = attempt_of(job, job_id=job_id)
    verdict = wait_for_verdict(cluster, attempt)
    assert (verdict.kind, verdict.failure) == (VerdictKind.FAILED, FailureClass.CANCELLED)
    record = cluster.sight([attempt])[job.token].exit_record
    assert record is not None
    assert (record.stopped_by, record.signal) == ("SIGTERM", 15)


def test_a_wrong_account_is_refused_for_good(root: Path) -> None:
    cluster = get_cluster(config_in(root, kind="slurm", account="nobody-has-this"))
    with pytest.raises(SubmissionRefused, match="account") as caught:
        cluster.submit(python_job(root, WRITES))
    assert not caught.value.transient


def test_the_workers_environment_neither_leaks_nor_overrides(root: Path) -> None:
    leaks = {"SBATCH_JOB_NAME": "other", "SBATCH_TIMELIMIT": "1", "NEUROFLOW_SECRET": "x", "APPTAINER_BIND": "/none"}
    transport = LocalTransport({**os.environ, **leaks})
    cluster = get_cluster(config_in(root, kind="slurm"), transport=transport)
    code = WRITES + "; assert 'APPTAINER_BIND' not in os.environ and 'NEUROFLOW_SECRET' not in os.environ"
    job = python_job(root, code)
    verdict = wait_for_verdict(cluster, attempt_of(job, job_id=cluster.submit(job)))
    assert verdict.kind is VerdictKind.SUCCEEDED


# --- accidents of sbatch ---


def sbatch_wrapped(root: Path, script: str) -> LocalTransport:
    """Return a transport whose `sbatch` is a script of the site; $real is the true one."""
    folder = root / "bin"
    folder.mkdir()
    wrapper = folder / "sbatch"
    wrapper.write_text(f"#!/bin/bash\nreal={shutil.which('sbatch')}\n{script}\n")
    wrapper.chmod(0o755)
    return LocalTransport({**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"})


def test_a_banner_before_the_job_id_does_no_harm(root: Path) -> None:
    transport = sbatch_wrapped(root, 'echo "Welcome to job 999"; "$real" "$@"')
    cluster = get_cluster(config_in(root, kind="slurm"), transport=transport)
    job = python_job(root, WRITES)
    job_id = cluster.submit(job)
    assert job_id != "999"
    assert wait_for_verdict(cluster, attempt_of(job, job_id=job_id)).kind is VerdictKind.SUCCEEDED


def test_a_job_whose_id_was_lost_is_found_and_runs(root: Path) -> None:
    # In a session of its own, or a slow sbatch would be ended together with the one that is given up.
    transport = sbatch_wrapped(root, 'setsid "$real" "$@" >/dev/null; sleep 100')
    cluster = get_cluster(config_in(root, kind="slurm", command_timeout_seconds=3), transport=transport)
    job = python_job(root, WRITES)
    with pytest.raises(SubmissionUncertain):
        cluster.submit(job)
    lost = attempt_of(job, job_id=None)
    never = replace(lost, token="nf-never-submitted", folder=f"{job.folder}-never")
    wait_until(lambda: cluster.sight([lost])[job.token].job_id is not None)
    seen = cluster.sight([lost, never])
    found, nothing = seen[job.token].job_id, seen[never.token].job_id
    assert (found is not None, nothing) == (True, None)
    verdict = wait_for_verdict(cluster, attempt_of(job, job_id=found))
    assert (verdict.kind, verdict.job_id) == (VerdictKind.SUCCEEDED, found)


def test_a_job_whose_id_was_lost_is_judged_by_its_name(root: Path, cluster: SlurmCluster) -> None:
    job = python_job(root, "raise SystemExit(4)")
    cluster.submit(job)
    verdict = wait_for_verdict(cluster, attempt_of(job, job_id=None))
    assert (verdict.failure, verdict.exit_code) == (FailureClass.APPLICATION, 4)


def test_a_token_that_was_submitted_twice_is_executed_once(root: Path, cluster: SlurmCluster) -> None:
    code = WRITES + f"; open({str(root / 'count')!r}, 'a').write('x')"
    job = python_job(root, code)
    first = cluster.submit(job)
    second = cluster.submit(job)
    assert first != second
    verdict = wait_for_verdict(cluster, attempt_of(job, job_id=second))
    assert verdict.kind is VerdictKind.SUCCEEDED
    loser = ({first, second} - {verdict.job_id}).pop()
    wait_until((Path(job.folder) / f"exit-{loser}.json").exists)
    assert (root / "count").read_text() == "x"


def test_a_revoked_token_is_never_executed(root: Path) -> None:
    held = get_cluster(config_in(root, kind="slurm", sbatch_lines=("--hold",)))
    job = python_job(root, WRITES)
    job_id = held.submit(job)
    attempt = attempt_of(job, job_id=job_id)
    assert held.revoke(attempt)
    subprocess.run(["scontrol", "release", job_id], check=True, timeout=60)
    wait_until((Path(job.folder) / f"exit-{job_id}.json").exists)
    assert not (root / "derivatives").exists()


@pytest.mark.slow
def test_a_requeued_job_waits_and_then_runs_again(root: Path, cluster: SlurmCluster) -> None:
    up = root / "up"
    code = f"import pathlib, time; up = pathlib.Path({str(up)!r}); again = up.exists(); up.touch(); "
    code += "again or time.sleep(600); "
    job: JobRequest = python_job(root, code + WRITES)
    job_id = cluster.submit(job)
    attempt = attempt_of(job, job_id=job_id)
    wait_until(up.exists)
    subprocess.run(["scontrol", "requeue", job_id], check=True, timeout=60)
    wait_until(lambda: is_waiting(cluster, attempt), seconds=60)
    verdict = wait_for_verdict(cluster, attempt, seconds=300)
    assert (verdict.kind, verdict.job_id) == (VerdictKind.SUCCEEDED, job_id)


def is_waiting(cluster: SlurmCluster, attempt: AttemptRecord) -> bool:
    row = cluster.sight([attempt])[attempt.token].queue
    return row is not None and row.state is JobState.PENDING


def start_soon(job_id: str) -> None:
    """Shorten the two minutes that SLURM lets a requeued job wait.

    A start in the second of the requeue is refused by slurmd ("Job credential revoked": it counts in whole seconds).
    """
    subprocess.run(["scontrol", "update", f"jobid={job_id}", "StartTime=now+2"], check=True, timeout=60)


def test_a_fenced_job_that_slurm_requeues_steps_back(root: Path, cluster: SlurmCluster) -> None:
    lives = root / "lives"
    job = python_job(root, f"import time; open({str(lives)!r}, 'a').write('x'); time.sleep(600)")
    job_id = cluster.submit(job)
    wait_until(lives.exists)
    claim.fence(Path(job.folder))
    subprocess.run(["scontrol", "requeue", job_id], check=True, timeout=60)
    note = Path(job.folder) / f"exit-{job_id}.json"
    wait_until(lambda: is_waiting(cluster, attempt_of(job, job_id=job_id)))
    start_soon(job_id)
    wait_until(note.exists, seconds=60)
    found = json.loads(note.read_text())
    assert (found["restart_count"], found["error"]) == (1, "not executed: this attempt was given up, and is fenced")
    assert lives.read_text() == "x"


def test_a_retired_attempts_job_neither_goes_on_nor_comes_back(root: Path, cluster: SlurmCluster) -> None:
    lives = root / "lives"
    job = python_job(root, f"import time; open({str(lives)!r}, 'a').write('x'); time.sleep(600)")
    attempt = attempt_of(job, job_id=cluster.submit(job))
    wait_until(lives.exists)
    cluster.retire([attempt, replace(attempt, token=f"{job.token}-old", job_id="99999999", folder=f"{job.folder}-old")])
    verdict = wait_for_verdict(cluster, attempt)
    assert (verdict.kind, verdict.failure) == (VerdictKind.FAILED, FailureClass.CANCELLED)
    assert claim.is_fenced(Path(job.folder))


# --- arrays and limits ---


def test_one_element_of_an_array_is_found_and_cancelled_and_its_siblings_are_left_alone(
    root: Path, cluster: SlurmCluster
) -> None:
    name = new_token()
    command = ["sbatch", "--parsable", "--array=0-3%2", NOT_NOW, f"--job-name={name}", "--mem=100", "--wrap", "true"]
    array_id = subprocess.run(command, check=True, timeout=60, capture_output=True, text=True, cwd=root).stdout.strip()
    try:
        base = attempt_of(python_job(root, WRITES), job_id=None)
        elements = [
            replace(base, token=f"{name}-{index}", folder=f"{root}/{index}", array_token=name, array_index=index)
            for index in range(4)
        ]
        seen = cluster.sight(elements)
        found = {token: one.job_id for token, one in seen.items()}
        assert found == {f"{name}-{index}": f"{array_id}_{index}" for index in range(4)}
        assert cluster.revoke(elements[1])
        cluster.cancel([elements[1]])
        known = [replace(one, job_id=f"{array_id}_{one.array_index}") for one in elements]
        assert wait_for_verdict(cluster, known[1]).failure is FailureClass.CANCELLED
        words = [seen.queue and seen.queue.word for seen in cluster.sight([known[0], *known[2:]]).values()]
        assert words == ["PENDING"] * 3
    finally:
        subprocess.run(["scancel", array_id], check=False, timeout=60)


def test_the_limits_of_the_site_are_known(cluster: SlurmCluster) -> None:
    limits = cluster.site_limits()
    assert (limits.max_array_size, limits.max_job_count) == (1001, 10_000)
    assert (limits.partitions or {})["short"].time_minutes == 2
    assert "lab" in {one.account for one in limits.associations or ()}
    assert limits.reservations is not None


# Two processes at one time, each with 60 MiB more than Python itself and 2 s of CPU time.
USES = """
import os, time
child = os.fork()
held = bytearray(b"x" * 60 * 1024**2)
while time.process_time() < 2:
    pass
time.sleep(3)
if child == 0:
    os._exit(0)
os.waitpid(child, 0)
"""


@pytest.mark.slow
def test_what_a_job_used_is_measured_by_itself_and_by_slurm(root: Path, cluster: SlurmCluster) -> None:
    job = python_job(root, USES + WRITES, resources=Resources(cpus=1, memory_mb=500, time_minutes=5))
    attempt = attempt_of(job, job_id=cluster.submit(job))
    verdict = wait_for_verdict(cluster, attempt)
    assert verdict.kind is VerdictKind.SUCCEEDED
    # Python and its libraries add some; SLURM measures our own payload, some 25 MiB and 1 s, as well.
    assert 120 < (verdict.max_rss_mb or 0) < 250
    assert 4 <= (verdict.cpu_seconds or 0) < 8

    command = sacct_command(ids=[attempt.job_id or ""], names=(), user="", since=attempt.created_at)
    rows: list[AccountingRow] = []

    def accounted() -> bool:
        rows[:] = parse_sacct(LocalTransport().run(command, timeout=30).check().stdout)
        return any(row.state is JobState.COMPLETED and row.cpu_seconds for row in rows)

    wait_until(accounted)
    assert 4 <= (rows[0].cpu_seconds or 0) < 9
    assert 120 < (rows[0].max_rss_mb or 0) < 400
    assert (rows[0].elapsed_seconds or 0) + 1 >= 5
