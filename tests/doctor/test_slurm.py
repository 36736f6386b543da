"""The checks of SLURM, on the real one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from neuroflow.doctor import slurm as topic
from tests.doctor.conftest import Patient, free_port
from tests.support.commands import run
from tests.support.slurm import Slurm

pytestmark = pytest.mark.slurm

COMMANDS = ("slurm", "slurm-controller", "slurm-accounting")
JOBS = ("slurm-jobs", "slurm-limits", "slurm-maintenance")


@pytest.fixture
def on_slurm(patient: Patient, slurm: Slurm) -> Patient:
    patient.write(
        cluster={"kind": "slurm", "account": slurm.account, "partition": slurm.partition},
        workflow={"max_concurrent": {"qsiprep": 100, "qsirecon": 100, "qsiparc": 100}},
    )
    return patient


def test_a_cluster_without_a_flaw(on_slurm: Patient) -> None:
    assert on_slurm.codes(*COMMANDS, *JOBS) == []
    assert [one.severity for one in on_slurm.seen if one.check == "slurm-jobs"] == ["ok"] * 3


def test_nothing_is_submitted_and_nothing_written(on_slurm: Patient) -> None:
    on_slurm.look("slurm-jobs")
    assert "nf-doctor" not in run(["squeue", "-h", "-o", "%j"]).split()
    assert not (on_slurm.folder / "state_dir").exists()


@pytest.mark.provokes("slurm-no-command")
def test_no_slurm_here(patient: Patient) -> None:
    patient.write(cluster={"kind": "slurm"})
    found = patient.look(*COMMANDS, *JOBS, path="/nonexistent")
    assert [one.code for one in found if one.severity == "error"] == ["slurm-no-command"] * 7
    assert {one.severity for one in found if one.check != "slurm"} == {"skipped"}


def test_a_site_without_slurm_is_not_asked(patient: Patient) -> None:
    assert {one.severity for one in patient.look(*COMMANDS, *JOBS)} == {"skipped"}


def slurm_conf(folder: Path, **changes: str) -> str:
    """Write a copy of the cluster's slurm.conf that leads to other ports, and return its path."""
    answer = run(["scontrol", "show", "config"])
    source = Path(re.search(r"SLURM_CONF\s*=\s*(\S+)", answer)[1])  # type: ignore[index]
    text = source.read_text()
    for name, value in changes.items():
        text = re.sub(rf"^{name}=.*$", "", text, flags=re.MULTILINE) + f"\n{name}={value}\n"
    (folder / "slurm.conf").write_text(text)
    return str(folder / "slurm.conf")


@pytest.mark.provokes("slurm-down")
def test_a_controller_that_does_not_answer(on_slurm: Patient, tmp_path: Path) -> None:
    # Real commands, which look for a controller where none is.
    conf = slurm_conf(tmp_path, SlurmctldPort=str(free_port()))
    found = on_slurm.look("slurm-controller", "slurm-jobs", environ={**os.environ, "SLURM_CONF": conf})
    assert [one.code for one in found] == ["slurm-down", "slurm-jobs"]
    assert "DOWN" in found[0].what
    assert found[1].severity == "skipped"


@pytest.mark.provokes("slurm-no-accounting")
def test_an_accounting_that_does_not_answer(on_slurm: Patient, tmp_path: Path) -> None:
    conf = slurm_conf(tmp_path, AccountingStoragePort=str(free_port()))
    assert on_slurm.codes("slurm-accounting", environ={**os.environ, "SLURM_CONF": conf}) == ["slurm-no-accounting"]
    on_slurm.write(cluster={"accounting": False})
    assert [one.severity for one in on_slurm.look("slurm-accounting")] == ["skipped"]


# There is one release here: the threshold is raised instead.
@pytest.mark.provokes("slurm-old")
def test_an_old_release(on_slurm: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic, "OLDEST", (99, 11))
    assert on_slurm.codes("slurm") == ["slurm-old"]


@pytest.mark.provokes("slurm-refuses")
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"account": "nosuch"}, "Invalid account"),
        ({"partition": "nosuch"}, "nosuch"),
        ({"qos": "nosuch"}, "Invalid qos"),
        ({"gpus": 1}, "Invalid generic resource"),
        ({"sbatch_lines": ["--no-such-option"]}, "unrecognized option"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_slurm_refuses_of_one_pipeline(on_slurm: Patient, changes: dict[str, Any], said: str) -> None:
    on_slurm.write(pipelines={"qsirecon": changes})
    bad = [one for one in on_slurm.look("slurm-jobs") if one.severity == "error"]
    assert [one.code for one in bad] == ["slurm-refuses"]
    assert bad[0].what.startswith("qsirecon (")
    assert said in bad[0].what
    assert "pipelines.qsirecon" in bad[0].mend


def test_a_partition_that_is_chosen_for_each_request(on_slurm: Patient, slurm: Slurm) -> None:
    short = {"partition": "auto", "time_minutes": 1, "memory_mb": 500, "cpus": 1}
    on_slurm.write(cluster={"partition": "auto"}, pipelines={"qsiparc": short})
    said = {one.what.split()[0]: one.what for one in on_slurm.look("slurm-jobs", "slurm-limits")}
    assert on_slurm.codes("slurm-jobs", "slurm-limits") == []
    assert f"partition {slurm.partition}, " in said["qsiprep"]
    assert f"partition {slurm.short_partition}, " in said["qsiparc"]


@pytest.mark.provokes("slurm-no-partition")
def test_a_request_that_no_partition_takes(on_slurm: Patient) -> None:
    on_slurm.write(cluster={"partition": "auto"}, pipelines={"qsirecon": {"cpus": 5000}})
    [found] = [one for one in on_slurm.look("slurm-jobs", "slurm-limits") if one.severity == "error"]
    assert found.code == "slurm-no-partition"
    assert "no partition takes a job of qsirecon (5000 cores" in found.what
    assert "pipelines.qsirecon" in found.mend


@pytest.mark.provokes("slurm-refuses")
def test_what_a_partitions_own_settings_ask_for(on_slurm: Patient, slurm: Slurm) -> None:
    on_slurm.write(cluster={"partitions": {slurm.partition: {"qos": "nosuch"}}})
    assert on_slurm.codes("slurm-jobs") == ["slurm-refuses"] * 3
    assert f"partition {slurm.partition}, qos nosuch, " in next(one.what for one in on_slurm.seen if one.mend)


@pytest.mark.provokes("slurm-refuses")
def test_a_feature_that_no_node_has(on_slurm: Patient) -> None:
    on_slurm.write(cluster={"constraint": "nosuch"})
    assert on_slurm.codes("slurm-jobs") == ["slurm-refuses"] * 3


@pytest.mark.parametrize(
    "said",
    [
        "sbatch: error: QOSMaxSubmitJobPerUserLimit",
        "allocation failure: Socket timed out on send/recv operation",
        "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying",
    ],
)
def test_what_passes_is_no_refusal(on_slurm: Patient, program: Callable[[str, str], str], said: str) -> None:
    # A queue that is full just now can't be had at will: a script says what sbatch would.
    path = program("sbatch", f'case "$1" in --version) echo slurm 22.05.8;; *) echo "{said}" >&2; exit 1;; esac')
    assert {one.severity for one in on_slurm.look("slurm-jobs", path=path)} == {"skipped"}


@pytest.mark.provokes("slurm-request-cut")
def test_a_request_above_the_partitions_limit(on_slurm: Patient, slurm: Slurm) -> None:
    on_slurm.write(pipelines={"qsiparc": {"partition": slurm.short_partition}})
    [found] = on_slurm.look("slurm-limits")
    assert (found.code, "120 min, and gets 2 cores, 8000 MiB, 2 min" in found.what) == ("slurm-request-cut", True)


@pytest.mark.provokes("slurm-request-cut")
def test_a_request_above_the_largest_node(on_slurm: Patient) -> None:
    on_slurm.write(pipelines={"qsirecon": {"memory_mb": 900_000}})
    assert on_slurm.codes("slurm-jobs", "slurm-limits") == ["slurm-request-cut"]


@pytest.mark.provokes("slurm-submit-limit")
def test_more_at_once_than_the_cluster_takes(on_slurm: Patient) -> None:
    on_slurm.write(workflow={"max_concurrent": {"qsiprep": 10_000_000, "qsirecon": 1, "qsiparc": 1}})
    assert on_slurm.codes("slurm-limits") == ["slurm-submit-limit"]


@pytest.fixture
def maintenance() -> Iterator[Callable[[], str]]:
    """Reserve one node in five days, too far ahead to be in the way of any job of the tests."""
    names: list[str] = []

    def reserve() -> str:
        command = ["scontrol", "create", "reservation", f"user={os.environ.get('USER', 'root')}", "start=now+5days"]
        said = run([*command, "duration=10", "flags=maint,ignore_jobs", "nodes=n4"])
        names.append(said.split()[-1])
        return names[-1]

    yield reserve
    for name in names:
        subprocess.run(["scontrol", "delete", f"reservation={name}"], check=True)


@pytest.mark.provokes("slurm-maintenance")
def test_a_maintenance_within_a_week(on_slurm: Patient, maintenance: Callable[[], str]) -> None:
    if os.geteuid() != 0 or shutil.which("scontrol") is None:
        pytest.skip("only SLURM's admin can reserve nodes")
    name = maintenance()
    [found] = [one for one in on_slurm.look("slurm-maintenance") if name in one.what]
    assert (found.code, "n4" in found.what) == ("slurm-maintenance", True)
