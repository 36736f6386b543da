"""Looking at a compute node: real jobs on the real SLURM, whose nodes see other things than this machine."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import neuroflow
from neuroflow.doctor import node_job
from neuroflow.doctor.check import Finding
from neuroflow.doctor.node import CONFIG_NAME, config_file, read_config
from neuroflow.doctor.node_checks import TOLD_NAME, Told, told_file
from neuroflow.doctor.node_job import Waiting, look_at_node, not_asked
from neuroflow.doctor.node_log import SETUP_DONE, JobLog
from neuroflow.doctor.registry import NODE_CHECKS
from neuroflow.errors import NeuroflowError
from tests.doctor.conftest import KEYS, Patient, bad
from tests.doctor.test_command import doctor
from tests.support.commands import run
from tests.support.slurm import Slurm

SECONDS = 90.0
CHECKOUT = Path(neuroflow.__file__).resolve().parents[1]


@pytest.fixture
def on_slurm(patient: Patient, slurm: Slurm) -> Patient:
    patient.write(cluster={"kind": "slurm", "account": slurm.account, "partition": slurm.partition})
    return patient


def look(patient: Patient, *names: str, seconds: float = SECONDS, partition: str | None = None) -> list[Finding]:
    """Look at a node, with some of its checks."""
    checks = [check for check in NODE_CHECKS if check.name in names]
    waiting = Waiting(seconds, partition, sleep=lambda wanted: time.sleep(min(wanted, 0.3)))
    return patient.note(list(look_at_node(patient.context(), waiting, checks=checks)))


def leftovers(patient: Patient) -> list[str]:
    """Return what a look has left in the folders."""
    folders = [patient.folder / key for key in KEYS[1:4]] + [patient.folder / "state_dir" / "doctor"]
    return [str(path) for folder in folders for path in folder.iterdir()]


def wrapper(folder: Path, text: str) -> str:
    """Write a script that stands for the nodes' Python, and runs `text` before the real one."""
    file = folder / "python"
    file.write_text(f'#!/bin/sh\nexport PYTHONPATH="{CHECKOUT}"\n{text}\n', encoding="utf-8")
    file.chmod(0o755)
    return str(file)


def test_a_node_without_a_flaw(on_slurm: Patient) -> None:
    names = [check.name for check in NODE_CHECKS if check.name not in ("images", "runtimes")]
    found = look(on_slurm, *names)
    assert bad(found) == []
    assert {one.check for one in found} == {*names, "node"}
    assert {one.host for one in found if one.check == "node-job"} <= {"n1", "n2", "n3", "n4"}
    assert leftovers(on_slurm) == []
    assert "in partition main: " in next(one.what for one in found if one.check == "node-job")


@pytest.mark.provokes("node-other-folder", "node-no-scratch")
def test_a_node_with_a_work_folder_and_a_scratch_of_its_own(on_slurm: Patient, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a job other mounts")
    # Another file system at the same path, for this job alone.
    inner = f'mount -t tmpfs none {tmp_path}/work_root && exec {sys.executable} "$@"'
    python = wrapper(tmp_path, f"exec unshare -m sh -c '{inner}' python \"$@\"")
    on_slurm.write(cluster={"python": python, "scratch": "$NO_SUCH_VARIABLE"})
    found = look(on_slurm, "node-folders", "node-scratch")
    assert bad(found) == ["node-other-folder", "node-no-scratch"]
    assert {one.what.split()[0] for one in found if one.code == "node-other-folder"} == {"paths.work_root"}
    assert "$NO_SUCH_VARIABLE becomes ''" in next(one.what for one in found if one.code == "node-no-scratch")
    assert leftovers(on_slurm) == []


@pytest.mark.provokes("node-no-scratch")
@pytest.mark.parametrize(("folder", "said"), [("", "it is empty"), ("/proc/x", "can't make it"), ("/proc", "can't")])
def test_a_scratch_that_can_not_be_used(patient: Patient, folder: str, said: str) -> None:
    patient.write(cluster={"scratch": "$SCRATCH"})
    environ = {"NEUROFLOW_SCRATCH": folder}
    [found] = patient.look("node-scratch", checks=NODE_CHECKS, environ=environ, on_node=True)
    assert (found.code, said in found.what) == ("node-no-scratch", True)


def test_a_scratch_that_is_made_by_the_job(patient: Patient) -> None:
    patient.write(cluster={"scratch": "$SCRATCH"})
    environ = {"NEUROFLOW_SCRATCH": str(patient.folder / "new" / "one")}
    assert patient.codes("node-scratch", checks=NODE_CHECKS, environ=environ, on_node=True) == []


@pytest.mark.provokes("node-other-version")
def test_a_node_with_another_release(on_slurm: Patient, tmp_path: Path) -> None:
    other = tmp_path / "other"
    for name in ("neuroflow", "slurm", "site-configs"):
        shutil.copytree(CHECKOUT / name, other / name, ignore=shutil.ignore_patterns("__pycache__"))
    init = other / "neuroflow" / "__init__.py"
    init.write_text(init.read_text() + '\n__version__ = "0.0.1"\n')
    on_slurm.write(cluster={"python": wrapper(tmp_path, f'PYTHONPATH="{other}" exec {sys.executable} "$@"')})
    found = look(on_slurm, "node-version")
    assert bad(found) == ["node-other-version"]
    assert "has neuroflow 0.0.1" in found[0].what


@pytest.mark.provokes("node-job-failed")
def test_a_node_without_our_python(on_slurm: Patient) -> None:
    on_slurm.write(cluster={"python": "/opt/none/bin/python"})
    [found] = look(on_slurm, "node-version")
    assert found.code == "node-job-failed"
    assert "/opt/none/bin/python" in found.what
    log = Path(found.mend.split(";")[0].removeprefix("see "))
    assert "/opt/none/bin/python" in log.read_text()
    assert leftovers(on_slurm) == []


@pytest.mark.provokes("node-setup-said")
def test_a_set_up_line_that_fails_and_the_job_goes_on(on_slurm: Patient) -> None:
    on_slurm.write(cluster={"setup_lines": ["no_such_module_command apptainer", "echo all is well"]})
    found = look(on_slurm, "node-job")
    assert bad(found) == ["node-setup-said"]
    assert "no_such_module_command: command not found" in next(one.what for one in found if one.code == bad(found)[0])


@pytest.mark.provokes("node-job-failed")
def test_a_set_up_line_that_ends_the_job(on_slurm: Patient) -> None:
    on_slurm.write(cluster={"setup_lines": ["exit 3"]})
    [found] = look(on_slurm, "node-job")
    ended = "FAILED, exit code 3; its set-up lines did not come to their end; its log is empty"
    assert (found.code, found.what.partition(": ")[2]) == ("node-job-failed", ended)


def test_a_job_without_a_log_is_told_from_one_with_an_empty_log() -> None:
    assert "no log" in JobLog().last_words
    assert JobLog(b"", b"").last_words == "its log is empty"
    assert JobLog(f"{SETUP_DONE}\n".encode(), b"").last_words == "its log is empty"
    assert JobLog(f"a\n\nb\n{SETUP_DONE}\nc".encode(), b"").setup_words == "a / b"


@pytest.mark.provokes("node-not-started")
def test_a_job_that_waits_too_long_is_cancelled(on_slurm: Patient) -> None:
    on_slurm.write(cluster={"sbatch_lines": ["--begin=now+1hour"]})
    [found] = look(on_slurm, "node-version", seconds=1)
    assert found.code == "node-not-started"
    assert "PENDING, for the reason BeginTime" in found.what
    job = found.what.split()[1].rstrip(":")
    assert run(["squeue", "-h", "-j", job, "-o", "%T"]).strip() in ("", "CANCELLED")
    assert leftovers(on_slurm) == []


def test_an_interrupted_look_cancels_its_job(on_slurm: Patient) -> None:
    on_slurm.write(cluster={"sbatch_lines": ["--begin=now+1hour"]})
    told: list[str] = []

    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    waiting = Waiting(60, progress=told.append, sleep=interrupt)
    with pytest.raises(KeyboardInterrupt):
        list(look_at_node(on_slurm.context(), waiting, checks=[]))
    job = told[0].split()[1]
    assert run(["squeue", "-h", "-j", job, "-o", "%T"]).strip() in ("", "CANCELLED")
    assert leftovers(on_slurm) == []


@pytest.mark.provokes("node-refused")
def test_a_partition_that_there_is_not(on_slurm: Patient) -> None:
    [found] = look(on_slurm, "node-version", partition="nosuch")
    assert (found.code, "nosuch" in found.what or "partition" in found.what) == ("node-refused", True)


def test_a_partition_that_is_chosen(on_slurm: Patient, slurm: Slurm) -> None:
    # The tiny job goes where the largest pipeline's would: none of the short one's two minutes is enough for that.
    on_slurm.write(cluster={"partition": "auto", "partitions": {slurm.partition: {}, slurm.short_partition: {}}})
    on_slurm.write(cluster={"account": None})
    on_slurm.content["cluster"]["partitions"][slurm.partition] = {"account": slurm.account}
    on_slurm.write()
    found = look(on_slurm, "node-version", "node-job")
    assert bad(found) == []
    assert f"in partition {slurm.partition}: " in next(one.what for one in found if one.check == "node-job")


@pytest.mark.provokes("node-refused")
def test_a_request_that_no_partition_takes(on_slurm: Patient, slurm: Slurm) -> None:
    on_slurm.write(cluster={"partition": "auto", "partitions": {slurm.short_partition: {}}})
    [found] = look(on_slurm, "node-version")
    assert (found.code, "no partition takes a job of qsiprep" in found.what) == ("node-refused", True)


@pytest.mark.provokes("node-not-asked")
def test_folders_that_can_not_be_made(patient: Patient) -> None:
    patient.content["paths"]["bids_root"] = "/proc/neuroflow"
    patient.write(cluster={"kind": "slurm"})
    [found] = look(patient, "node-version")
    assert (found.code, "/proc/neuroflow" in found.what) == ("node-not-asked", True)


def test_the_command_shows_both_hosts_findings(on_slurm: Patient) -> None:
    arguments = ("--only", "folders-locks", "--only", "node-version", "--node", "--partition", "main", "--json")
    findings = json.loads(doctor(on_slurm, *arguments).stdout)["findings"]
    assert [one["check"] for one in findings] == ["folders-locks", "folders-locks", "node-version", "node"]
    assert len({one["host"] for one in findings[:2]}) == 2


# The node has this machine's clock: what it tells is shifted instead.
@pytest.mark.provokes("clock-wrong")
@pytest.mark.parametrize(("began", "ended", "said"), [(-100, 1, "behind"), (1, 200, "ahead")])
def test_a_node_with_another_time(patient: Patient, began: float, ended: float, said: str) -> None:
    told = Told("1", sent_at=1000, folders={}, nonce="x")
    report = {"host": "n1", "began_at": 1000 + began, "ended_at": 1000 + ended}
    [found] = patient.note(list(node_job._clock(told, report, now=1010)))
    assert (found.code, said in found.what) == ("clock-wrong", True)


def test_findings_of_another_release_are_read_as_far_as_they_can_be() -> None:
    row = {"code": "x", "severity": "error", "check": "y", "what": "z", "newer": 1}
    [found] = node_job._findings({"findings": [row]})
    assert (found.code, found.severity, found.what) == ("x", "error", "z")
    with pytest.raises(NeuroflowError, match="can't be read"):
        list(node_job._findings({"findings": [{**row, "severity": "worse"}]}))


def test_the_node_gets_no_secrets(patient: Patient) -> None:
    patient.write(redis={"url": "redis://:geheim@h:1/0"}, database={"url": "postgresql://me:geheim@h/x"})
    file = patient.folder / CONFIG_NAME
    file.write_bytes(config_file(patient.config()))
    assert "geheim" not in file.read_text()
    assert read_config(patient.folder).paths == patient.config().paths


def test_the_node_sees_a_file_of_another_content(patient: Patient) -> None:
    told = Told("1", 0, {"work_root": str(patient.folder)}, nonce="n")
    (patient.folder / TOLD_NAME).write_bytes(told_file(told))
    (patient.folder / ".neuroflow-doctor-n-login").write_text("something else")
    environ: dict[str, Any] = {"NEUROFLOW_DOCTOR_FOLDER": str(patient.folder)}
    assert patient.codes("node-folders", checks=NODE_CHECKS, environ=environ) == ["node-other-folder"]


def test_no_node_is_looked_at_without_slurm(patient: Patient, program: Callable[[str, str], str]) -> None:
    found = not_asked(patient.context())
    assert found is not None
    assert found.severity == "skipped"
