"""The payload executes a token once, checks what the tool made, and always leaves a record."""

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
from neuroflow.cluster.base import JobRequest
from neuroflow.cluster.folders import LocalFolders
from neuroflow.cluster.job import NOT_MINE
from neuroflow.cluster.process import Tail
from neuroflow.cluster.publish import begin, has_begun, interrupted_plan, keep, make_plan
from neuroflow.cluster.records import attempt_files, read_exit_record
from neuroflow.domain import ExitRecord, OutputRule
from tests.cluster_layer.builders import WRITES, python_job
from tests.support.images import fake_sif

ROOT = Path(__file__).resolve().parents[2]


def start(job: JobRequest, *, job_id: str = "17", limit: float | None = None, **environ: str) -> subprocess.Popen[str]:
    """Start the payload as a batch script would."""
    LocalFolders().make({job.folder: attempt_files(job, time_limit_seconds=limit)})
    code = "import sys; from neuroflow.cluster.job import payload; payload(sys.argv[1])"
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "SUBMITIT_EXECUTOR": "slurm",
        "SLURM_JOB_ID": job_id,
        **environ,
    }
    command = [sys.executable, "-c", code, job.folder]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(job: JobRequest, **options: object) -> tuple[int, str, str]:
    process = start(job, **options)  # type: ignore[arg-type]
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def record(job: JobRequest) -> ExitRecord:
    found = read_exit_record(job.folder, token=job.token)
    assert found is not None
    return found


def test_success_is_published_and_recorded(tmp_path: Path) -> None:
    job = python_job(tmp_path, WRITES)
    assert run(job) == (0, "", "")
    assert (tmp_path / "derivatives" / "qsiprep" / "sub-01" / "dwi" / "a.txt").read_text() == "hello"
    found = record(job)
    assert (found.exit_code, found.published, found.job_id, found.error) == (0, True, "17", "")
    assert found.max_rss_mb is not None
    assert found.max_rss_mb > 1
    assert (found.tool_ran, (found.cpu_seconds or 0) > 0) == (True, True)
    assert (Path(job.folder) / "exit.json").stat().st_mode & 0o777 == 0o600


def test_the_tools_exit_code_is_the_jobs_and_its_output_is_kept(tmp_path: Path) -> None:
    job = python_job(tmp_path, "import sys; print('said'); print('broke', file=sys.stderr); sys.exit(3)")
    assert run(job) == (3, "said\n", "broke\n")
    assert (record(job).exit_code, record(job).stderr_tail, record(job).published) == (3, "broke\n", False)
    assert (Path(job.folder) / "stdout.log").read_text() == "said\n"
    assert not (tmp_path / "derivatives").exists()


def test_what_a_containers_service_runs_is_not_measured(tmp_path: Path) -> None:
    """Docker's client waits; the tool's processes are its service's."""
    job = python_job(tmp_path, "pass", runtime="docker")
    run(job)
    assert record(job).exit_code == 0
    assert (record(job).tool_ran, record(job).max_rss_mb, record(job).cpu_seconds) == (True, None, None)


def test_a_tool_that_fills_both_streams_ends_and_its_tail_is_short(tmp_path: Path) -> None:
    job = python_job(
        tmp_path, "import sys; sys.stderr.write('e' * 400_000); sys.stdout.write('o' * 400_000); sys.exit(1)"
    )
    code, out, err = run(job)
    assert (code, len(out), len(err)) == (1, 400_000, 400_000)
    assert len(record(job).stderr_tail) == 16 * 1024


def test_exit_zero_without_the_declared_outputs_is_no_success(tmp_path: Path) -> None:
    job = python_job(tmp_path, WRITES, outputs=(OutputRule("sub-01/**/*.txt", 2), OutputRule("sub-01/*.nii.gz")))
    assert run(job)[0] == 1
    found = record(job)
    assert found.missing_outputs == (
        "sub-01/**/*.txt (1 of at least 2 files)",
        "sub-01/*.nii.gz (0 of at least 1 files)",
    )
    assert not (tmp_path / "derivatives").exists()


def test_crash_files_are_no_success(tmp_path: Path) -> None:
    code = WRITES + "; (out / 'crash-1.log').write_text('Traceback')"
    job = python_job(tmp_path, code, crash_globs=("**/crash*",))
    assert run(job)[0] == 1
    assert record(job).crash_files == ("sub-01/dwi/crash-1.log",)
    assert not record(job).published


def test_the_line_that_refuses_the_input_is_quoted(tmp_path: Path) -> None:
    code = r"import sys; sys.stderr.write('50%\rERROR: no DWI found for sub-01\rmore'); sys.exit(1)"
    job = python_job(tmp_path, code, bad_input_patterns=("no DWI found",))
    run(job)
    assert record(job).bad_input == "ERROR: no DWI found for sub-01"


def test_a_program_that_is_missing_is_recorded(tmp_path: Path) -> None:
    job = python_job(tmp_path, WRITES)
    job = JobRequest(**{**job.__dict__, "command": ("no-such-apptainer", "run")})
    assert run(job)[0] == 127
    assert "'no-such-apptainer' can't be started" in record(job).error


def test_a_command_that_comes_first_and_fails_is_the_last(tmp_path: Path) -> None:
    job = python_job(tmp_path, WRITES, before=((sys.executable, "-c", "raise SystemExit(9)"),))
    assert run(job)[0] == 9
    assert "ended with 9" in record(job).error


def test_a_payload_that_can_not_read_its_job_leaves_a_record(tmp_path: Path) -> None:
    job = python_job(tmp_path, WRITES)
    process = start(job)
    process.communicate(timeout=60)
    again = python_job(tmp_path, WRITES)
    (Path(again.folder) / "job.json").write_text("{")
    code = "import sys; from neuroflow.cluster.job import run_job; sys.exit(run_job(sys.argv[1]))"
    environment = {"PYTHONPATH": str(ROOT), "SUBMITIT_EXECUTOR": "slurm", "SLURM_JOB_ID": "18"}
    done = subprocess.run([sys.executable, "-c", code, again.folder], env=environment, capture_output=True, check=False)
    assert done.returncode == 70
    assert "JSONDecodeError" in record(again).error


def test_results_that_can_not_be_published_are_no_success(tmp_path: Path) -> None:
    (tmp_path / "derivatives").write_text("a file, where a folder is needed")
    job = python_job(tmp_path, WRITES)
    assert run(job)[0] == 1
    assert record(job).exit_code == 0
    assert not record(job).published
    assert "Error" in record(job).error


def test_scratch_is_the_sites_own_and_is_removed(tmp_path: Path) -> None:
    site = tmp_path / "scratch"
    code = WRITES + f"; assert sys.argv[2].startswith({str(site)!r})"
    assert run(python_job(tmp_path, code), NEUROFLOW_SCRATCH=str(site))[0] == 0
    assert list(site.iterdir()) == []


def test_without_a_usable_scratch_the_work_directory_serves(tmp_path: Path) -> None:
    code = WRITES + f"; assert sys.argv[2].startswith({str(tmp_path / 'work' / 'work' / 'tmp')!r})"
    code_out, _, err = run(python_job(tmp_path, code), NEUROFLOW_SCRATCH="/proc/none")
    assert code_out == 0
    assert "no scratch folder in /proc/none" in err


def test_the_tool_sees_nothing_of_ours(tmp_path: Path) -> None:
    code = WRITES + "; assert not [n for n in os.environ if n.startswith(('NEUROFLOW', 'SUBMITIT', 'PYTHONPATH'))]"
    assert run(python_job(tmp_path, code), NEUROFLOW_SCRATCH=str(tmp_path))[0] == 0


def test_the_nodes_own_settings_of_the_runtime_do_not_reach_the_tool(tmp_path: Path) -> None:
    code = WRITES + "; (out / 'seen.txt').write_text(' '.join(sorted(n for n in os.environ if 'TAINER' in n)))"
    node = {"APPTAINER_BIND": "/gpfs", "APPTAINERENV_LC_ALL": "de", "APPTAINER_TMPDIR": "/fast"}
    assert run(python_job(tmp_path, code), **node)[0] == 0
    seen = tmp_path / "derivatives" / "qsiprep" / "sub-01" / "dwi" / "seen.txt"
    assert seen.read_text() == "APPTAINER_TMPDIR"


# --- once ---


def test_another_job_of_the_same_token_steps_back(tmp_path: Path) -> None:
    code = WRITES + f"; open({str(tmp_path / 'count')!r}, 'a').write('x')"
    job = python_job(tmp_path, code)
    first, second = start(job, job_id="17"), start(job, job_id="18")
    codes = {first.communicate(timeout=60) and first.returncode, second.communicate(timeout=60) and second.returncode}
    assert codes == {0, NOT_MINE}
    assert (tmp_path / "count").read_text() == "x"
    loser = "18" if record(job).job_id == "17" else "17"
    assert "held by" in json.loads((Path(job.folder) / f"exit-{loser}.json").read_text())["error"]


def test_a_revoked_token_is_not_executed(tmp_path: Path) -> None:
    job = python_job(tmp_path, WRITES)
    assert claim.revoke(Path(job.folder))
    assert run(job)[0] == NOT_MINE
    assert read_exit_record(job.folder, token=job.token) is None
    assert not (tmp_path / "derivatives").exists()


def test_an_executed_token_can_not_be_revoked(tmp_path: Path) -> None:
    job = python_job(tmp_path, WRITES)
    run(job)
    assert not claim.revoke(Path(job.folder))


@pytest.mark.slow
def test_an_empty_claim_belongs_to_nobody(tmp_path: Path) -> None:
    (tmp_path / "claim").write_text("")
    assert claim.take(tmp_path, "17") is claim.Hold.DENIED
    assert claim.claimed_job_id(tmp_path) is None


def test_a_fenced_attempt_is_not_executed_although_its_job_holds_the_claim(tmp_path: Path) -> None:
    job = python_job(tmp_path, "raise SystemExit(5)")
    assert run(job)[0] == 5
    claim.fence(Path(job.folder))
    claim.fence(Path(job.folder))
    again = JobRequest(**{**job.__dict__, "command": (*job.command[:2], WRITES, *job.command[3:])})
    code, _, err = run(again, SLURM_RESTART_COUNT="1")
    assert (code, "given up" in err) == (NOT_MINE, True)
    assert record(job).exit_code == 5, "the record of the life that worked stays"
    assert "fenced" in json.loads((Path(job.folder) / "exit-17.json").read_text())["error"]
    assert not (tmp_path / "derivatives").exists()


def test_an_attempt_that_is_fenced_while_its_tool_works_publishes_nothing(tmp_path: Path) -> None:
    site = tmp_path / "scratch"
    job = python_job(tmp_path, WRITES + "; pathlib.Path(os.environ['FOLDER'], 'fenced').touch()")
    code, _, err = run(job, FOLDER=job.folder, NEUROFLOW_SCRATCH=str(site))
    assert (code, "given up" in err) == (NOT_MINE, True)
    assert read_exit_record(job.folder, token=job.token) is None
    assert not (tmp_path / "derivatives").exists()
    assert not has_begun(Path(job.folder)), "whoever fenced it must not take it for publishing"
    assert list(site.iterdir()) == []


def test_a_fence_that_comes_after_the_publication_changes_nothing(tmp_path: Path) -> None:
    job = python_job(tmp_path, WRITES)
    run(job)
    claim.fence(Path(job.folder))
    assert run(job)[0] == 0
    assert record(job).published


def test_a_requeued_job_goes_on_and_starts_from_a_clean_output_folder(tmp_path: Path) -> None:
    job = python_job(tmp_path, "import pathlib, sys; pathlib.Path(sys.argv[1], 'half').write_text('x'); sys.exit(5)")
    assert run(job)[0] == 5
    again = JobRequest(**{**job.__dict__, "command": (*job.command[:2], WRITES, *job.command[3:])})
    assert run(again, SLURM_RESTART_COUNT="1")[0] == 0
    assert (record(job).exit_code, record(job).restart_count) == (0, 1)
    assert json.loads((Path(job.folder) / "exit-before-1.json").read_text())["exit_code"] == 5
    assert not (tmp_path / "derivatives" / "qsiprep" / "half").exists()
    place = f"quarantine/{job.token}-life-2/out-{job.token}"
    assert record(job).quarantined == (place,)
    assert (tmp_path / "work" / place / "half").read_text() == "x"


def test_a_requeued_job_that_had_published_does_nothing(tmp_path: Path) -> None:
    job = python_job(tmp_path, WRITES)
    run(job)
    fails = JobRequest(**{**job.__dict__, "command": ("false",)})
    assert run(fails)[0] == 0
    assert record(job).published


def test_a_requeued_job_finishes_an_interrupted_publication_without_the_tool(tmp_path: Path) -> None:
    job = python_job(tmp_path, WRITES)
    run(job)
    place = Path(job.folder)
    (place / "exit.json").unlink()  # as if it had ended between publication and record
    fails = JobRequest(**{**job.__dict__, "command": ("false",)})
    assert run(fails)[0] == 0
    assert record(job).published
    assert (tmp_path / "derivatives" / "qsiprep" / "sub-01" / "dwi" / "a.txt").exists()


# --- what earlier attempts left ---


def killed(job: JobRequest, *files: str) -> None:
    """Leave of an attempt what a job that was killed would."""
    claim.take(Path(job.folder), "16")
    for file in files:
        path = Path(job.run.output_dir) / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"of {job.token}")


def test_output_and_locks_of_an_earlier_attempt_are_put_aside_and_named(tmp_path: Path) -> None:
    earlier, job = python_job(tmp_path, WRITES), python_job(tmp_path, WRITES)
    killed(earlier, "sub-01/half.txt")
    lock = Path(job.run.work_dir) / "fs" / "sub-01" / "scripts" / "IsRunning.lh"
    lock.parent.mkdir(parents=True)
    lock.write_text("PID 4711")
    code, _, err = run(job)
    assert code == 0
    place = f"quarantine/{job.token}"
    assert record(job).quarantined == (f"{place}/out-{earlier.token}", f"{place}/work/fs/sub-01/scripts/IsRunning.lh")
    assert [line for line in err.splitlines() if "put aside as" in line] == [
        f"neuroflow: put aside as {name}" for name in record(job).quarantined
    ]
    assert (tmp_path / "work" / place / f"out-{earlier.token}" / "sub-01" / "half.txt").exists()
    assert not lock.exists()
    assert claim.is_fenced(Path(earlier.folder))


def test_a_publication_that_an_earlier_attempt_left_unfinished_is_finished_without_the_tool(tmp_path: Path) -> None:
    earlier, job = python_job(tmp_path, WRITES), python_job(tmp_path, "raise SystemExit(9)")
    killed(earlier, "sub-01.html", "sub-01/dwi/a.txt", "shared.json")
    output, dataset = Path(earlier.run.output_dir), tmp_path / "derivatives" / "qsiprep"
    plan = make_plan(output, dataset, owned=earlier.run.owned, token=earlier.token)
    assert begin(plan, folder=Path(earlier.folder))
    dataset.mkdir(parents=True)
    (output / "sub-01").rename(dataset / "sub-01")  # as far as it came
    assert run(job)[0] == 0
    for name in ("sub-01.html", "sub-01/dwi/a.txt", "shared.json"):
        assert (dataset / name).read_text() == f"of {earlier.token}"
    found = record(job)
    assert (found.exit_code, found.published, found.results_of) == (0, True, earlier.token)
    assert (found.tool_ran, found.max_rss_mb, found.cpu_seconds) == (False, None, None)
    assert not output.exists()
    assert claim.is_fenced(Path(earlier.folder)), "a requeued job of it would find nothing, and call that published"


def test_a_job_that_was_killed_after_its_publication_and_before_its_record_is_not_run_twice(tmp_path: Path) -> None:
    earlier, job = python_job(tmp_path, WRITES), python_job(tmp_path, "raise SystemExit(9)")
    blocked = Path(earlier.folder) / "exit.json"
    blocked.mkdir()  # its record can't be written, as on a full disk
    assert run(earlier)[0] != 0
    blocked.rmdir()
    assert run(job)[0] == 0
    assert (record(job).published, record(job).results_of) == (True, earlier.token)
    assert not Path(earlier.run.output_dir).exists()


def test_results_that_have_partly_vanished_are_made_anew(tmp_path: Path) -> None:
    earlier, job = python_job(tmp_path, WRITES), python_job(tmp_path, WRITES)
    killed(earlier, "sub-01/dwi/b.json")  # a purge of old files has taken a.txt
    dataset = tmp_path / "derivatives" / "qsiprep"
    plan = make_plan(Path(earlier.run.output_dir), dataset, owned=earlier.run.owned, token=earlier.token)
    assert begin(plan, folder=Path(earlier.folder))
    code, _, err = run(job)
    assert code == 0
    assert "made anew: sub-01/**/*.txt (0 of at least 1 files)" in err
    assert (record(job).results_of, record(job).exit_code, record(job).published) == ("", 0, True)
    assert [path.name for path in (dataset / "sub-01" / "dwi").iterdir()] == ["a.txt"]
    assert len(record(job).quarantined) == 1


def test_a_publication_that_can_not_be_finished_is_left_to_the_next_attempt(tmp_path: Path) -> None:
    first, second, third = (python_job(tmp_path, WRITES) for _ in range(3))
    (tmp_path / "derivatives").write_text("a file, where a folder is needed")
    for job in (first, second):
        assert run(job)[0] == 1
        assert (record(job).exit_code, record(job).published) == (0, False)
    (tmp_path / "derivatives").unlink()
    assert run(third)[0] == 0
    assert record(third).results_of == first.token
    assert (tmp_path / "derivatives" / "qsiprep" / "sub-01" / "dwi" / "a.txt").read_text() == "hello"


# --- a former life that goes on: SLURM has given its node up, and started its job again ---

GATED = """
import pathlib, sys, time
out = pathlib.Path(sys.argv[1], 'sub-01'); out.mkdir(parents=True, exist_ok=True)
(out / 'a.txt').write_text({text!r})
pathlib.Path({up!r}).touch()
while not pathlib.Path({gate!r}).exists(): time.sleep(0.02)
sys.exit({code})
"""


def gated(job: JobRequest, name: str, *, code: int = 0) -> JobRequest:
    """Return a job whose tool, once up, waits for a file beside its attempt's folder."""
    up, gate = f"{job.folder}-{name}-up", f"{job.folder}-{name}-gate"
    program = GATED.format(text=f"of life {name}", up=up, gate=gate, code=code)
    return replace(job, command=(*job.command[:2], program, *job.command[3:]))


def started(job: JobRequest, name: str, **environ: str) -> subprocess.Popen[str]:
    process = start(job, **environ)
    end = time.monotonic() + 20
    while not Path(f"{job.folder}-{name}-up").exists():
        assert time.monotonic() < end, "the tool did not start"
        time.sleep(0.02)
    return process


def let_end(job: JobRequest, name: str, process: subprocess.Popen[str]) -> str:
    Path(f"{job.folder}-{name}-gate").touch()
    return process.communicate(timeout=30)[1]


def test_a_former_life_that_goes_on_publishes_nothing_of_the_present_one(tmp_path: Path) -> None:
    job = python_job(tmp_path, WRITES)
    former = started(gated(job, "1"), "1")
    present = started(gated(job, "2", code=3), "2", SLURM_RESTART_COUNT="1")  # with half of its output
    said = let_end(job, "1", former)
    assert (former.returncode, "its later life goes on" in said) == (NOT_MINE, True)
    assert not has_begun(Path(job.folder))
    assert not (tmp_path / "derivatives").exists()
    let_end(job, "2", present)
    assert (record(job).exit_code, record(job).published, record(job).restart_count) == (3, False, 1)


def test_a_former_lifes_late_failure_does_not_replace_the_present_ones_record(tmp_path: Path) -> None:
    job = python_job(tmp_path, WRITES)
    former = started(gated(job, "1", code=4), "1")
    assert run(job, SLURM_RESTART_COUNT="1")[0] == 0
    let_end(job, "1", former)
    assert (former.returncode, record(job).published) == (NOT_MINE, True)


def test_a_plan_that_a_former_life_left_too_late_is_nobodys(tmp_path: Path) -> None:
    job = python_job(tmp_path, WRITES)
    present = started(gated(job, "2", code=3), "2")
    plan = make_plan(Path(job.run.output_dir), tmp_path / "derivatives" / "qsiprep", owned=job.run.owned, token="t")
    keep(plan, folder=Path(job.folder), life=0)
    let_end(job, "2", present)
    assert interrupted_plan(Path(job.folder)) is None
    assert run(job, SLURM_RESTART_COUNT="1")[0] == 0
    assert (record(job).tool_ran, len(record(job).quarantined)) == (True, 1)


def test_whoever_asks_for_a_folder_learns_whose_it_is(tmp_path: Path) -> None:
    """A further life of a job must know that it is one: a look of its own might have found the claim unreadable."""
    assert [claim.take(tmp_path, job_id) for job_id in ("17", "17", "18")] == [
        claim.Hold.FIRST,
        claim.Hold.AGAIN,
        claim.Hold.DENIED,
    ]


def test_a_process_in_a_session_of_its_own_writes_nothing_into_published_results(tmp_path: Path) -> None:
    up, pid = tmp_path / "up", tmp_path / "pid"
    child = (
        "import os, pathlib, sys, time; pathlib.Path(sys.argv[1]).write_text(str(os.getpid())); "
        "pathlib.Path(sys.argv[2]).touch(); time.sleep(60)"
    )
    leave = (
        f"; import subprocess, time; subprocess.Popen([sys.executable, '-c', {child!r}, {str(pid)!r}, {str(up)!r}], "
        "start_new_session=True, stdin=-3, stdout=-3, stderr=-3)"
        f"\nwhile not pathlib.Path({str(up)!r}).exists(): time.sleep(0.02)"
    )
    job = python_job(tmp_path, "import sys; " + WRITES + leave)
    assert run(job)[0] == 0
    assert record(job).published
    assert not Path("/proc", pid.read_text()).exists()


# --- signals ---

SLEEPS = "import pathlib, sys, time; pathlib.Path(sys.argv[1], 'up').write_text('x'); time.sleep(60)"


def wait_until_up(job: JobRequest) -> None:
    end = time.monotonic() + 20
    while not (Path(job.run.output_dir) / "up").exists():
        assert time.monotonic() < end, "the tool did not start"
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2, signal.SIGINT])
def test_a_signal_reaches_the_tool_and_is_recorded(tmp_path: Path, number: signal.Signals) -> None:
    job = python_job(tmp_path, SLEEPS)
    process = start(job)
    wait_until_up(job)
    process.send_signal(number)
    process.communicate(timeout=10)
    found = record(job)
    assert found.stopped_by == number.name
    assert found.signal == number
    assert process.returncode == found.exit_code


@pytest.mark.slow
def test_a_tool_that_ignores_sigterm_is_killed_before_slurm_kills_the_payload(tmp_path: Path) -> None:
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEPS
    job = python_job(tmp_path, code)
    process = start(job)
    wait_until_up(job)
    begun = time.monotonic()
    process.terminate()
    process.communicate(timeout=10)
    assert time.monotonic() - begun < 5
    assert (record(job).exit_code, record(job).signal, record(job).stopped_by) == (137, 9, "SIGTERM")


def test_exit_zero_after_a_signal_is_not_trusted(tmp_path: Path) -> None:
    handler = "import signal; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); "
    job = python_job(tmp_path, "import sys; " + handler + WRITES + "; " + SLEEPS)
    process = start(job)
    wait_until_up(job)
    process.terminate()
    process.communicate(timeout=10)
    assert process.returncode != 0
    assert (record(job).exit_code, record(job).published) == (0, False)
    assert "not trusted" in record(job).error


def test_exit_zero_just_before_a_signal_is_not_trusted(tmp_path: Path) -> None:
    """A script whose child SLURM has ended goes on without it, and is done before its own signal is there."""
    pid = tmp_path / "pid"
    job = python_job(tmp_path, WRITES + f"; pathlib.Path({str(pid)!r}).write_text(f'{{os.getpid()}}\\n')")
    process = start(job)
    once_gone = (
        f"until [ -s {pid} ]; do sleep 0.01; done; read -r tool < {pid}; "
        f"while kill -0 $tool; do sleep 0.01; done; kill -TERM {process.pid}"
    )
    with subprocess.Popen(["sh", "-c", once_gone], stderr=subprocess.DEVNULL):
        process.communicate(timeout=30)
    code = process.returncode
    assert code != 0
    found = record(job)
    assert (found.exit_code, found.published, found.stopped_by) == (0, False, "SIGTERM")
    assert found.error == "SIGTERM arrived while the tool ran, or just after: the tool's exit code 0 is not trusted"
    assert not (tmp_path / "derivatives").exists()


def test_the_time_limit_is_kept_where_no_scheduler_does(tmp_path: Path) -> None:
    job = python_job(tmp_path, SLEEPS)
    process = start(job, limit=1.0)
    process.communicate(timeout=15)
    assert (record(job).stopped_by, record(job).signal) == ("TIME_LIMIT", signal.SIGTERM)


def test_grandchildren_do_not_outlive_the_tool_nor_hold_it_open(tmp_path: Path) -> None:
    note = f"open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid))"
    code = WRITES + f"; import subprocess; child = subprocess.Popen(['sleep', '50']); {note}"
    begun = time.monotonic()
    assert run(python_job(tmp_path, code))[0] == 0
    assert time.monotonic() - begun < 10
    stat = Path("/proc", (tmp_path / "pid").read_text(), "stat")
    assert not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"


# --- small parts ---


def test_a_line_that_comes_in_pieces_is_matched() -> None:
    import re

    tail = Tail([re.compile("no DWI")])
    for piece in (b"x\nERROR: no", b" DW", b"I here"):
        tail.feed(piece)
    assert tail.matched == ""
    tail.close()
    assert tail.matched == "ERROR: no DWI here"


def test_the_payload_imports_little(tmp_path: Path) -> None:
    code = (
        "import sys; import neuroflow.cluster.job as job; "
        "heavy = {'pydantic', 'structlog', 'sqlalchemy', 'jinja2', 'submitit', 'celery', 'yaml'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def in_an_image(job: JobRequest, image: Path) -> JobRequest:
    """Return the job as one of Apptainer's, whose environment is part of the command."""
    variables = [f"{name}={value}" for name, value in job.run.environment.items()]
    container = replace(job.run, runtime="apptainer", image=str(image))
    return replace(job, command=("/usr/bin/env", *variables, *job.command), run=container)


def test_the_record_names_the_image_that_the_node_saw(tmp_path: Path) -> None:
    job = python_job(tmp_path, WRITES)
    sif_id = fake_sif(tmp_path / "an image.sif")
    assert run(in_an_image(job, tmp_path / "an image.sif"))[0] == 0
    assert record(job).image_id == sif_id


def test_an_image_that_the_node_does_not_see_is_left_to_the_runtime(tmp_path: Path) -> None:
    job = python_job(tmp_path, WRITES)
    assert run(in_an_image(job, tmp_path / "missing.sif"))[0] == 0
    assert record(job).image_id == ""
