"""Attempts as processes of this machine: they outlive their submitter, keep their limits, and are never mistaken."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from neuroflow.cluster import claim
from neuroflow.cluster.base import JobRequest, get_cluster
from neuroflow.cluster.local import LocalCluster
from neuroflow.cluster.process_table import is_alive, local_id, pid_of
from neuroflow.domain import FailureClass, JobState, Resources, VerdictKind
from tests.cluster_layer.builders import WRITES, attempt_of, config_in, python_job, wait_for_verdict

ROOT = Path(__file__).resolve().parents[2]
SLEEPS = "import os, pathlib, sys, time; pathlib.Path(sys.argv[1], 'up').write_text(str(os.getpid())); time.sleep(60)"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / 'it\'s a "lab"; & (x)'
    folder.mkdir()
    return folder


@pytest.fixture
def cluster(root: Path) -> LocalCluster:
    made = get_cluster(config_in(root, kind="local"))
    assert isinstance(made, LocalCluster)
    return made


def tool_pid(job: JobRequest) -> int:
    up = Path(job.run.output_dir) / "up"
    end = time.monotonic() + 20
    while not (up.exists() and up.read_text()):
        assert time.monotonic() < end, "the tool did not start"
        time.sleep(0.05)
    return int(up.read_text())


def is_gone(pid: int) -> bool:
    end = time.monotonic() + 5
    while local_id(pid) is not None:
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def test_success(root: Path, cluster: LocalCluster) -> None:
    job = python_job(root, WRITES)
    job_id = cluster.submit(job)
    verdict = wait_for_verdict(cluster, attempt_of(job, job_id=job_id, where="local"))
    assert (verdict.kind, verdict.job_id) == (VerdictKind.SUCCEEDED, job_id)
    assert (root / "derivatives" / "qsiprep" / "sub-01" / "dwi" / "a.txt").read_text() == "hello"
    assert cluster.sight([attempt_of(job, job_id=None, where="local")])[job.token].job_id == job_id


def test_failure_is_judged_at_once(root: Path, cluster: LocalCluster) -> None:
    job = python_job(root, "import sys; print('broke', file=sys.stderr); sys.exit(3)")
    attempt = attempt_of(job, job_id=cluster.submit(job), where="local")
    verdict = wait_for_verdict(cluster, attempt, grace=9999)
    assert (verdict.failure, verdict.exit_code, verdict.reason) == (FailureClass.APPLICATION, 3, "exit code 3: broke")


def test_a_running_process_is_seen(root: Path, cluster: LocalCluster) -> None:
    job = python_job(root, SLEEPS)
    attempt = attempt_of(job, job_id=cluster.submit(job), where="local")
    tool_pid(job)
    seen = cluster.sight([attempt])[job.token]
    assert seen.queue is not None
    assert (seen.queue.state, seen.queue_answered) == (JobState.RUNNING, True)
    cluster.cancel([attempt])
    verdict = wait_for_verdict(cluster, attempt)
    assert verdict.failure is FailureClass.CANCELLED


def test_a_payload_that_is_killed_takes_its_tool_with_it(root: Path, cluster: LocalCluster) -> None:
    job = python_job(root, SLEEPS)
    job_id = cluster.submit(job)
    attempt = attempt_of(job, job_id=job_id, where="local")
    tool = tool_pid(job)
    payload = pid_of(job_id)
    assert payload is not None
    os.kill(payload, signal.SIGKILL)
    verdict = wait_for_verdict(cluster, attempt, grace=9999)
    assert (verdict.kind, verdict.failure) == (VerdictKind.FAILED, FailureClass.NODE)
    assert "no exit record" in verdict.reason
    assert is_gone(tool)


def test_a_retired_attempt_is_fenced_and_nothing_of_it_goes_on(root: Path, cluster: LocalCluster) -> None:
    job = python_job(root, SLEEPS)
    attempt = attempt_of(job, job_id=cluster.submit(job), where="local")
    tool = tool_pid(job)
    cluster.retire([attempt])
    cluster.retire([attempt])
    assert is_gone(tool)
    assert claim.is_fenced(Path(job.folder))


def test_processes_of_another_machine_are_only_fenced(root: Path, cluster: LocalCluster) -> None:
    job = python_job(root, WRITES)
    place = {"job_id": local_id(os.getpid()), "host": "another-login-node", "boot": _boot()}
    (Path(job.folder) / "process.json").write_text(json.dumps(place))
    cluster.retire([attempt_of(job, job_id=local_id(os.getpid()), where="local")])
    assert claim.is_fenced(Path(job.folder))


@pytest.mark.slow
def test_a_job_outlives_its_submitter_and_the_submitters_ctrl_c(root: Path, cluster: LocalCluster) -> None:
    job = python_job(root, "import time; time.sleep(1.5); " + WRITES)
    Path(job.folder).rmdir()
    code = f"""
import os, pathlib, signal, sys, time
from neuroflow.cluster.base import get_cluster
from tests.cluster_layer.builders import config_in, python_job
root = pathlib.Path(sys.argv[1])
job = python_job(root, sys.argv[2], token={job.token!r})
print(get_cluster(config_in(root, kind="local")).submit(job), flush=True)
os.killpg(0, signal.SIGINT)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(root), job.command[2]],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        start_new_session=True,
        check=False,
    )
    assert done.returncode == -signal.SIGINT
    attempt = attempt_of(job, job_id=done.stdout.strip(), where="local")
    assert wait_for_verdict(cluster, attempt).kind is VerdictKind.SUCCEEDED


@pytest.mark.slow
def test_the_wall_time_is_kept(root: Path, cluster: LocalCluster) -> None:
    job = python_job(root, SLEEPS, resources=Resources(cpus=1, memory_mb=100, time_minutes=1))
    job = replace(job, resources=replace(job.resources, time_minutes=0.03))  # type: ignore[arg-type]
    attempt = attempt_of(job, job_id=cluster.submit(job), where="local")
    verdict = wait_for_verdict(cluster, attempt, seconds=20)
    assert (verdict.kind, verdict.failure) == (VerdictKind.FAILED, FailureClass.TIMEOUT)


def test_a_token_is_executed_once(root: Path, cluster: LocalCluster) -> None:
    job = python_job(root, WRITES + f"; open({str(root / 'count')!r}, 'a').write('x')")
    ids = [cluster.submit(job), cluster.submit(job)]
    verdict = wait_for_verdict(cluster, attempt_of(job, job_id=ids[1], where="local"))
    assert verdict.kind is VerdictKind.SUCCEEDED
    assert verdict.job_id in ids
    end = time.monotonic() + 20
    while any(is_alive(job_id) for job_id in ids):
        assert time.monotonic() < end
        time.sleep(0.1)
    assert (root / "count").read_text() == "x"


def test_a_process_id_that_was_given_out_again_is_not_ours(root: Path, cluster: LocalCluster) -> None:
    job = python_job(root, WRITES)
    attempt = attempt_of(job, job_id=f"{os.getpid()}:1", where="local")
    place = {"job_id": attempt.job_id, "host": os.uname().nodename, "boot": _boot()}
    (Path(job.folder) / "process.json").write_text(json.dumps(place))
    seen = cluster.sight([attempt])[job.token]
    assert seen.queue is None
    assert seen.accounting is not None
    assert seen.accounting.state is JobState.NODE_FAIL
    cluster.cancel([attempt])  # or else this very process would end here


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def test_after_a_restart_of_the_machine_everything_has_ended(root: Path, cluster: LocalCluster) -> None:
    job = python_job(root, WRITES)
    attempt = attempt_of(job, job_id=local_id(os.getpid()), where="local")
    place = {"job_id": attempt.job_id, "host": os.uname().nodename, "boot": "another"}
    (Path(job.folder) / "process.json").write_text(json.dumps(place))
    verdict = wait_for_verdict(cluster, attempt)
    assert verdict.failure is FailureClass.NODE


def test_a_session_that_was_given_an_old_jobs_number_after_a_restart_is_left_alone(
    root: Path, cluster: LocalCluster
) -> None:
    job = python_job(root, WRITES)
    shell = subprocess.Popen(["sh", "-c", "sleep 60 & echo $!"], start_new_session=True, stdout=subprocess.PIPE)
    assert shell.stdout is not None
    foreign = int(shell.stdout.readline())
    shell.stdout.close()
    shell.wait()
    try:
        attempt = attempt_of(job, job_id=f"{shell.pid}:17", where="local")
        place = {"job_id": attempt.job_id, "host": os.uname().nodename, "boot": "another"}
        (Path(job.folder) / "process.json").write_text(json.dumps(place))
        cluster.sight([attempt])
        cluster.retire([attempt])
        assert local_id(foreign) is not None
    finally:
        os.kill(foreign, signal.SIGKILL)


@pytest.mark.parametrize("host", ["another-login-node", None])
def test_another_machines_process_table_is_no_witness(root: Path, cluster: LocalCluster, host: str | None) -> None:
    job = python_job(root, WRITES)
    attempt = attempt_of(job, job_id="99999999:1", where="local")
    if host is not None:
        place = {"job_id": attempt.job_id, "host": host, "boot": _boot()}
        (Path(job.folder) / "process.json").write_text(json.dumps(place))
    seen = cluster.sight([attempt])[job.token]
    assert (seen.queue_answered, seen.accounting_answered, seen.queue) == (False, False, None)


def test_secrets_stay_out_of_the_job(root: Path, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROFLOW_DATABASE__URL", "secret")
    job = python_job(root, WRITES + "; assert 'secret' not in os.environ.values()")
    attempt = attempt_of(job, job_id=cluster.submit(job), where="local")
    assert wait_for_verdict(cluster, attempt).kind is VerdictKind.SUCCEEDED


def test_nothing_is_found_of_a_token_that_nobody_claimed(root: Path, cluster: LocalCluster) -> None:
    job = python_job(root, WRITES)
    seen = cluster.sight([attempt_of(job, job_id=None, where="local")])[job.token]
    assert (seen.all_answered, seen.job_id) == (True, None)


def test_the_command_line_is_shown(root: Path, cluster: LocalCluster) -> None:
    text = cluster.render(python_job(root, WRITES))
    assert "submitit.core._submit" in text
    assert "@SCRATCH@" in text
