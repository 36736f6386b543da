"""Measure one poll of 10,000 open attempts, of which 500 have ended, beside submitit's own watcher of the same jobs.

Both ask scripts named squeue and sacct that print what SLURM would. Each is measured in a process of its own; a quiet
round, in which nothing has ended since the last, is measured as well. The memory includes what this file imports.

Run: python benchmarks/poll_10000.py [ATTEMPTS]
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import insert

from neuroflow.cluster.job import SCHEMA
from neuroflow.config import NeuroflowConfig
from neuroflow.core.database import Database
from neuroflow.domain import AttemptStatus, ExitRecord, Level, Resources, RunStatus
from neuroflow.models import AttemptRow, RunRow, SubjectRow

ENDED_SHARE = 20  # one in so many has ended; every second of these has published its results
ARRAY_SIZE = 1000  # the first half of the attempts are elements of arrays, the others jobs of their own
NOW = datetime.now(UTC).replace(microsecond=0)
STARTED = int((NOW - timedelta(hours=1)).timestamp())
ENDED = int((NOW - timedelta(minutes=10)).timestamp())
SEPARATOR = "\x1f"


def config_in(root: Path) -> NeuroflowConfig:
    """Return a configuration below a folder."""
    names = {"dicom_root": "dicom", "bids_root": "bids", "derivatives_root": "deriv", "work_root": "work"}
    paths = {key: root / name for key, name in names.items()} | {"state_dir": root / "state"}
    return NeuroflowConfig(paths=paths, cluster={"kind": "slurm"})


def job_of(number: int, attempts: int) -> tuple[str, str | None, int | None]:
    """Return an attempt's job id, its array's token and its index."""
    if number >= attempts // 2:
        return str(100_000 + number), None, None
    array, index = divmod(number, ARRAY_SIZE)
    return f"{array + 1}_{index}", f"nf-array-{array + 1}", index


def has_ended(number: int) -> bool:
    """Tell whether an attempt's job is over."""
    return number % ENDED_SHARE == 0


def fill(config: NeuroflowConfig, attempts: int) -> None:
    """Write the open attempts into a new database, and what the ended ones left into their folders."""
    database = Database.from_config(config)
    config.attempts_dir.mkdir(parents=True)
    database.upgrade()
    common = {"pipeline": "qsiprep", "reason": "", "created_at": NOW, "updated_at": NOW}
    runs, rows = [], []
    for number in range(attempts):
        token = f"nf-qsiprep-{number}-abcdef012345"
        folder = config.attempts_dir / token
        folder.mkdir()
        job_id, array_token, index = job_of(number, attempts)
        if has_ended(number):
            leave_record(folder, job_id, published=number % (2 * ENDED_SHARE) == 0)
        runs.append(
            {
                **common,
                "id": number + 1,
                "level": Level.SUBJECT,
                "scope": f"sub-{number}",
                "subject_id": 1,
                "inputs_key": "k",
                "status": RunStatus.RUNNING,
                "superseded": False,
                "attempts": 0,
                "error_message": "",
                "exclude_nodes": (),
                "metrics": {},
            }
        )
        rows.append(
            {
                "run_id": number + 1,
                "number": 1,
                "token": token,
                "status": AttemptStatus.RUNNING,
                "where": "slurm",
                "folder": str(folder),
                "job_id": job_id,
                "job_word": "RUNNING",
                "job_reason": "SLURM: RUNNING",
                "resources": Resources(8, 32_000, 1440),
                "counted": True,
                "message": "",
                "host": "n1",
                "created_at": NOW - timedelta(hours=2),
                "submitted_at": NOW - timedelta(hours=2),
                "last_seen_at": NOW - timedelta(minutes=1),
                "array_token": array_token,
                "array_index": index,
            }
        )
    with database.write() as session:
        session.execute(insert(SubjectRow), [{"id": 1, "label": "01", "created_at": NOW}])
        session.execute(insert(RunRow), runs)
        session.execute(insert(AttemptRow), rows)
    database.close()


def leave_record(folder: Path, job_id: str, *, published: bool) -> None:
    """Write the exit record of a success, or of a failure."""
    record = ExitRecord(
        token=folder.name,
        job_id=job_id,
        exit_code=0 if published else 1,
        signal=None,
        host="n1",
        started_at=STARTED,
        ended_at=ENDED,
        stderr_tail="",
        max_rss_mb=900.0,
        published=published,
    )
    path = folder / "exit.json"
    path.write_text(json.dumps({"schema": SCHEMA, **asdict(record)}), encoding="utf-8")


def squeue_lines(attempts: int) -> Iterator[str]:
    """Print what squeue would: every job that is not over."""
    for number in range(attempts):
        job_id, array_token, _ = job_of(number, attempts)
        name = array_token or f"nf-qsiprep-{number}-abcdef012345"
        if not has_ended(number):
            start = datetime.fromtimestamp(STARTED, UTC).strftime("%Y-%m-%dT%H:%M:%S+0000")
            yield SEPARATOR.join((job_id, "RUNNING", "None", start, start, "lab", "normal", name))


def sacct_lines(attempts: int) -> Iterator[str]:
    """Print what sacct would to neuroflow: the jobs that are over, with their steps."""
    for number in filter(has_ended, range(attempts)):
        job_id, array_token, _ = job_of(number, attempts)
        name = array_token or f"nf-qsiprep-{number}-abcdef012345"
        word, code = ("COMPLETED", "0:0") if number % (2 * ENDED_SHARE) == 0 else ("FAILED", "1:0")
        times = (str(ENDED - STARTED), str(STARTED), str(STARTED), str(ENDED), "n1", "")
        for step, size, label in (("", "", name), (".batch", "4000K", "batch"), (".0", "900M", "python")):
            yield SEPARATOR.join((job_id + step, word, code, size, *times, label))


def watcher_lines(attempts: int) -> Iterator[str]:
    """Print what sacct would to submitit, which asks it for the jobs that still run as well."""
    yield "JobID|State|NodeList"
    for number in range(attempts):
        job_id, _, _ = job_of(number, attempts)
        word = "COMPLETED" if has_ended(number) else "RUNNING"
        for step in ("", ".batch", ".0"):
            yield f"{job_id}{step}|{word}|n1"


def write_program(root: Path, name: str, lines: Iterator[str]) -> None:
    """Make a program of SLURM's that prints lines, and notes that it was called."""
    folder = root / "bin"
    folder.mkdir(exist_ok=True)
    (root / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    script = folder / name
    script.write_text(f"#!/bin/sh\necho {name} >>'{root}/calls'\ncat '{root}/{name}.txt'\n", encoding="utf-8")
    script.chmod(0o755)


def poll(root: Path, attempts: int) -> Callable[[], None]:
    """Prepare neuroflow's poll."""
    from neuroflow.orchestrator.reconcile import Poller
    from neuroflow.orchestrator.services import Services

    poller = Poller(Services.from_config(config_in(root)))

    def work() -> None:
        report = poller.poll()
        assert report.looked_at == attempts
        assert len(report.ended) == sum(map(has_ended, range(attempts)))
        assert report.errors == ()

    return work


def quiet(root: Path, attempts: int) -> Callable[[], None]:
    """Prepare the round after that in which the ended attempts were seen."""
    from neuroflow.orchestrator.reconcile import Poller
    from neuroflow.orchestrator.services import Services

    poller = Poller(Services.from_config(config_in(root)))

    def work() -> None:
        report = poller.poll()
        assert report.looked_at == attempts - sum(map(has_ended, range(attempts)))
        assert report.ended == ()

    return work


def watch(root: Path, attempts: int) -> Callable[[], None]:
    """Prepare submitit's watcher."""
    from submitit.slurm.slurm import SlurmInfoWatcher

    watcher = SlurmInfoWatcher(delay_s=600)

    def work() -> None:
        for number in range(attempts):
            watcher.register_job(job_of(number, attempts)[0])
        watcher.update()
        done = sum(watcher.is_done(job_of(number, attempts)[0], mode="cache") for number in range(attempts))
        assert done == sum(map(has_ended, range(attempts)))

    return work


def measured(root: Path, what: str, attempts: int) -> dict[str, float]:
    """Run one side in a process of its own; return calls, CPU and wall seconds, and MiB at the most."""
    (root / "calls").write_text("", encoding="utf-8")
    path = f"{root / 'bin'}{os.pathsep}{os.environ['PATH']}"
    command = [sys.executable, __file__, "--measure", what, str(root), str(attempts)]
    answer = subprocess.run(command, check=True, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    found: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    return found | {"calls": len((root / "calls").read_text(encoding="utf-8").split())}


def measure(what: str, root: Path, attempts: int) -> None:
    """Measure this process, and print what was found."""
    work = {"poll": poll, "quiet": quiet, "watch": watch}[what](root, attempts)
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    found = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    print(json.dumps(found | {"rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


def main() -> None:
    """Measure both and print the ratios."""
    attempts = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        fill(config_in(root), attempts)
        write_program(root, "squeue", squeue_lines(attempts))
        write_program(root, "sacct", sacct_lines(attempts))
        ours = measured(root, "poll", attempts)
        calm = measured(root, "quiet", attempts)
        write_program(root, "sacct", watcher_lines(attempts))
        theirs = measured(root, "watch", attempts)
    for name, found in (("neuroflow", ours), ("quiet", calm), ("submitit", theirs)):
        numbers = f"{found['cpu']:.2f} s CPU, {found['wall']:.2f} s, {found['rss']:.0f} MiB"
        print(f"{name:9s}  {found['calls']:.0f} calls, {numbers}")
    ratios = f"{ours['cpu'] / theirs['cpu']:.0f} times, quiet {calm['cpu'] / theirs['cpu']:.0f} times"
    memory = ours["rss"] / theirs["rss"]
    print(f"CPU by that of submitit, which neither judges nor stores: {ratios}; memory {memory:.1f} times")
    assert ours["calls"] <= 2, "more than one squeue and one sacct"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
    else:
        main()
