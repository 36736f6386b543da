"""What runs on the node: claim the folder, run the command, check and publish its results, leave an exit record.

Standard library only, and little of it: every job imports this module, thousands of them from one file system.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from neuroflow.cluster import claim
from neuroflow.cluster.environment import node_environment, without_our_code
from neuroflow.cluster.files import sync_tree, write_json
from neuroflow.cluster.findings import Findings, exit_code_of, host_name, named, record_of
from neuroflow.cluster.globs import files_matching, listed_matching
from neuroflow.cluster.lives import begin_life, present_life
from neuroflow.cluster.memory import is_in_group_of, oom_kills
from neuroflow.cluster.orphans import adopt_orphans, end_orphans
from neuroflow.cluster.process import Ended, Stopper, Tail, run
from neuroflow.cluster.process_table import own_local_id, write_place
from neuroflow.cluster.provenance import Work, leave_provenance, note_inputs
from neuroflow.cluster.publish import PLAN_NAME, Plan, begin, interrupted_plan, keep, make_plan, publish
from neuroflow.cluster.quarantine import PutAside, put_aside, unfinished_publication
from neuroflow.cluster.scratch import filled, make_scratch
from neuroflow.cluster.usage import Meter
from neuroflow.sharing import is_shared, share
from neuroflow.sif import read_sif_header

SCHEMA = 1
JOB_NAME = "job.json"
RECORD_NAME = "exit.json"
NOT_MINE = 75  # EX_TEMPFAIL: another job executes this folder, or none may any more
# SLURM's signal reaches a job's processes one after the other: a tool whose child has had it may end before it is here
# (6 ms were seen; more on a busy node).
_SIGNAL_LAG_SECONDS = 1.0
_GIVEN_UP = "this attempt was given up, and is fenced"
_FOLLOWED = "SLURM has started this job again, and its later life goes on with the work"


class _GivenUp(Exception):
    """This attempt was fenced while it worked, or its job lives on elsewhere."""


def payload(folder: str) -> None:
    """Run a job for submitit; end the process with the job's exit code.

    SystemExit passes submitit's own `except Exception`, so that SLURM sees the code and the state FAILED.
    """
    adopt_orphans()
    code = run_job(folder)
    if code:
        raise SystemExit(code)


def run_job(folder: str) -> int:
    """Execute the attempt that a folder describes, once, and return an exit code; 0 means published."""
    place = Path(folder)
    if is_shared(place):
        share()  # its maker made it so, and nobody else could
    job_id = own_job_id()
    started = time.time()
    hold = claim.take(place, job_id)
    if hold is claim.Hold.DENIED:
        return _step_back(place, job_id, started, why=f"the folder is held by '{claim.holder(place)}'")
    again = hold is claim.Hold.AGAIN
    if again and _has_published(place):
        return 0
    if claim.is_fenced(place):
        return _step_back(place, job_id, started, why=_GIVEN_UP)
    life = begin_life(place)
    if again:
        _put_record_aside(place)
    if ":" in job_id:
        write_place(place, job_id)
    findings = Findings(job_id=job_id, started=started, life=life, oom_kills_before=oom_kills())
    stopped_by = ""
    token, scratch = place.name, None
    try:
        job = json.loads((place / JOB_NAME).read_text(encoding="utf-8"))
        token = job["token"]
        findings.tail = Tail([re.compile(pattern) for pattern in job["bad_input_patterns"]])
        findings.image_id = _image_id(job.get("image"))
        scratch = make_scratch(job)
        with Stopper(time_limit_seconds=job["time_limit_seconds"]) as stopper:
            try:
                _execute(job, place, findings, stopper, scratch=scratch, again=again)
            finally:
                stopped_by = stopper.stopped_by
    except _GivenUp:
        _remove(scratch)
        return _step_back(place, job_id, started, why=_GIVEN_UP if claim.is_fenced(place) else _FOLLOWED)
    except Exception as error:  # the payload's shell: whatever happens, a record is left
        findings.error = f"{type(error).__name__}: {error}"
        print(f"neuroflow: {findings.error}", file=sys.stderr, flush=True)
    findings.oom_kills = max(oom_kills() - findings.oom_kills_before, 0)
    if present_life(place) != life:
        _remove(scratch)
        return _step_back(place, job_id, started, why=_FOLLOWED)
    record = record_of(findings, token=token, stopped_by=stopped_by)
    write_json(place / RECORD_NAME, {"schema": SCHEMA, **asdict(record)})
    _remove(scratch)
    _remove(findings.emptied)
    return exit_code_of(record)


def _image_id(image: str | None) -> str:
    """Return the id of the SIF that this node sees, which may be another one than the host that submitted saw."""
    try:
        header = read_sif_header(image) if image else None
    except (OSError, ValueError):  # the runtime will say what is wrong with it
        return ""
    return header.sif_id if header else ""


def own_job_id() -> str:
    """Return this job's id: SLURM's, or the process id with its start time."""
    if _is_on_slurm():
        array = os.environ.get("SLURM_ARRAY_JOB_ID")
        # An element has a number of its own too, but squeue, sacct and scancel name it by the array's.
        return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ["SLURM_JOB_ID"]
    return own_local_id()


def _is_on_slurm() -> bool:
    return os.environ.get("SUBMITIT_EXECUTOR") == "slurm"


def _execute(
    job: Mapping[str, Any], place: Path, findings: Findings, stopper: Stopper, *, scratch: Path | None, again: bool
) -> None:
    output_dir, work_dir = Path(job["output_dir"]), Path(job["work_dir"])
    plan = _unfinished(job, place, findings.life, again=again)
    if plan is not None and _finish(plan, job, place, findings):
        return
    findings.quarantined = named(_put_aside(job, again=again).moved)
    for made in (output_dir, work_dir):
        made.mkdir(parents=True, exist_ok=True)
    findings.provenance = note_inputs(job, place, stopped=lambda: bool(stopper.stopped_by))
    findings.tool_ran = True
    with Meter() as meter:
        ended = _run_commands(job, place, findings, stopper, scratch=scratch)
    end_orphans()
    findings.usage = meter.usage() if job.get("measured", True) else None
    findings.exit_code, findings.signal = ended.exit_code, ended.signal
    findings.error = findings.error or ended.error
    findings.crash_files = named(path for glob in job["crash_globs"] for path in files_matching(output_dir, glob))
    if ended.exit_code != 0 or findings.crash_files:
        return
    if doubt := _doubt(findings, stopper):
        findings.error = f"{doubt}: the tool's exit code 0 is not trusted"
        return
    findings.missing_outputs = missing_outputs(output_dir, job["outputs"])
    if not findings.missing_outputs:
        # The record outlives a node that crashes now; what it vouches for has to as well.
        sync_tree(output_dir)
        new = make_plan(output_dir, Path(job["publish_dir"]), owned=job["owned"], token=job["token"])
        _begin(new, place, findings.life)
        publish(new)
        findings.published, findings.emptied = True, output_dir
        _leave_provenance(new, job, place, findings, scratch=scratch)


def _unfinished(job: Mapping[str, Any], place: Path, life: int, *, again: bool) -> Plan | None:
    """Return the plan of a publication that had begun: by the former life of this job, or by an earlier attempt."""
    plan = interrupted_plan(place, life=life - 1) if again else None
    if plan is not None:
        keep(plan, folder=place, life=life)
        return plan
    plan = unfinished_publication(Path(job["output_dir"]), attempts=place.parent)
    _begin(plan, place, life)
    return plan


def _doubt(findings: Findings, stopper: Stopper) -> str:
    """Say what befell the tool that its exit code 0 may hide: a script may go on without a child that was killed."""
    if stopper.is_stopped(within_seconds=_SIGNAL_LAG_SECONDS if _is_on_slurm() else 0.0):
        return f"{stopper.stopped_by} arrived while the tool ran, or just after"
    if is_in_group_of(os.environ.get("SLURM_JOB_ID", "")) and oom_kills() > findings.oom_kills_before:
        return "the kernel killed a process of the job for memory"
    return ""


def _finish(plan: Plan, job: Mapping[str, Any], place: Path, findings: Findings) -> bool:
    """Publish what is left of results that had been checked, without the tool; False where a part of them is gone."""
    findings.exit_code = 0
    publish(plan)
    gone = missing_outputs(Path(plan.publish_dir), job["outputs"], names=(*plan.owned, *plan.shared))
    if gone:  # a purge of old files, for example, while the next attempt waited in the queue
        print(f"neuroflow: results of {plan.token} are gone and made anew: {'; '.join(gone)}", file=sys.stderr)
        (place / PLAN_NAME).rename(place / f"incomplete-{PLAN_NAME}")
        findings.exit_code = None
        return False
    findings.results_of = plan.token if plan.token != job["token"] else ""
    findings.published, findings.emptied = True, Path(plan.output_dir)
    if findings.results_of:
        place = place.parent / plan.token
        with suppress(OSError, ValueError):  # gone or damaged: this job's own is of the same run
            job = json.loads((place / JOB_NAME).read_text(encoding="utf-8"))
    _leave_provenance(plan, job, place, findings, scratch=None)
    return True


def _leave_provenance(
    plan: Plan, job: Mapping[str, Any], place: Path, findings: Findings, *, scratch: Path | None
) -> None:
    """Say with the results where they come from; they are good without it, too."""
    work = Work(
        place=place,
        job=job,
        plan=plan,
        job_id=findings.job_id,
        host=host_name(),
        started=findings.started,
        image_id=findings.image_id,
        scratch=scratch,
        usage=findings.usage,
    )
    findings.provenance = "; ".join(filter(None, (findings.provenance, leave_provenance(work))))
    if findings.provenance:
        print(f"neuroflow: the provenance is not complete: {findings.provenance}", file=sys.stderr, flush=True)


def _begin(plan: Plan | None, place: Path, life: int) -> None:
    """Let this attempt publish, unless it was given up meanwhile; once it has begun, it goes on to the end.

    A publication that stopped half way would leave results of two runs in the dataset.
    """
    if plan is not None and not begin(plan, folder=place, life=life):
        raise _GivenUp


def _put_aside(job: Mapping[str, Any], *, again: bool) -> PutAside:
    """Clear the way of what was left half done, and say in the job's log what was moved."""
    found = put_aside(Path(job["output_dir"]), Path(job["work_dir"]), token=job["token"], again=again)
    for line in (*(f"put aside as {name}" for name in found.moved), *found.problems):
        print(f"neuroflow: {line}", file=sys.stderr, flush=True)
    return found


def _run_commands(
    job: Mapping[str, Any], place: Path, findings: Findings, stopper: Stopper, *, scratch: Path | None
) -> Ended:
    """Run the commands that come first, then the tool; the first that fails is the last."""
    logs = (place / "stdout.log", place / "stderr.log")
    cwd = Path(job["work_dir"])
    ours = node_environment(os.environ)
    for command in job["before"]:
        ended = run(filled(command, scratch), environment=ours, cwd=cwd, logs=logs, tail=findings.tail, stopper=stopper)
        if ended.exit_code != 0:
            findings.error = ended.error or f"`{' '.join(command)}` ended with {ended.exit_code}"
            return ended
    extra = dict(zip(job["environment"], filled(list(job["environment"].values()), scratch), strict=True))
    environment = without_our_code({**ours, **extra})
    return run(
        filled(job["command"], scratch),
        environment=environment,
        cwd=cwd,
        logs=logs,
        tail=findings.tail,
        stopper=stopper,
    )


def missing_outputs(
    folder: Path, rules: Sequence[Mapping[str, Any]], *, names: Sequence[str] | None = None
) -> tuple[str, ...]:
    """Return the declared outputs that are not there, in words.

    Args:
        names: where to look in a folder that holds other runs' files too.
    """
    missing = []
    for rule in rules:
        pattern = rule["pattern"]
        found = files_matching(folder, pattern) if names is None else listed_matching(folder, pattern, names=names)
        count = len(found)
        if count < rule["min_count"]:
            missing.append(f"{rule['pattern']} ({count} of at least {rule['min_count']} files)")
    return tuple(missing)


def _has_published(place: Path) -> bool:
    """Tell whether an earlier life of this job has published its results."""
    try:
        return json.loads((place / RECORD_NAME).read_text(encoding="utf-8"))["published"] is True
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return False


def _put_record_aside(place: Path) -> None:
    lives = sum(1 for _ in place.glob("exit-before-*.json"))
    with suppress(FileNotFoundError):
        (place / RECORD_NAME).rename(place / f"exit-before-{lives + 1}.json")


def _step_back(place: Path, job_id: str, started: float, *, why: str) -> int:
    """Leave a note, which is no exit record, that this job did nothing."""
    findings = Findings(job_id=job_id, started=started, error=f"not executed: {why}")
    record = record_of(findings, token=place.name, stopped_by="")
    write_json(place / f"exit-{job_id}.json", {"schema": SCHEMA, **asdict(record)})
    print(f"neuroflow: {findings.error}", file=sys.stderr, flush=True)
    return NOT_MINE


def _remove(scratch: Path | None) -> None:
    if scratch is not None:
        shutil.rmtree(scratch, ignore_errors=True)
