"""A cluster behind SSH: a real sshd, and where it has to, the real SLURM behind it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from neuroflow.doctor.check import Finding
from neuroflow.doctor.node_job import Waiting, look_at_node
from neuroflow.doctor.registry import NODE_CHECKS
from tests.doctor.conftest import Patient, bad, free_port
from tests.doctor.test_command import doctor
from tests.doctor.test_node import SECONDS
from tests.ssh.conftest import write_python
from tests.support.slurm import Slurm
from tests.support.sshd import Sshd, make_key

LOOKS = ("ssh", "ssh-state", "ssh-paths")
FOLDERS = ("folders-writable", "folders-locks", "folders-place", "folders-mode", "space", "space-apart")
TOOLS = ("licence", "templates", "heuristic", "commands", "runtimes", "binds", "images", "heuristic-import")


@pytest.fixture
def there(patient: Patient, sshd: Sshd) -> Iterator[Callable[..., Patient]]:
    """Put the installation on a lab server, whose data folders the cluster knows by another name."""
    sshd.write_profile("echo 'Welcome to the cluster'")
    cluster = patient.folder / "cluster"
    cluster.mkdir()
    (patient.folder / "lab").symlink_to(cluster)
    python = write_python(patient.folder / "python")
    names = {key: f"lab/{key}" for key in ("dicom_root", "bids_root", "derivatives_root", "work_root")}
    for name in names.values():
        (patient.folder / name).mkdir()

    def write(*, python: Path = python, **changes: Any) -> Patient:
        mapped = {str(patient.folder / "lab"): str(cluster)}
        ways: dict[str, Any] = {"state_dir": str(patient.folder / "jobs"), "paths": mapped, **changes}
        ssh = sshd.settings(**ways)
        values = {"transport": "ssh", "python": str(python), "ssh": ssh.model_dump(mode="json", exclude_none=True)}
        patient.write(paths=names, cluster={"kind": "slurm", **values})
        return patient

    yield write
    sshd.write_profile("")


def test_a_way_without_a_flaw(there: Callable[..., Patient]) -> None:
    patient = there()
    found = patient.look(*LOOKS)
    assert [one.severity for one in found] == ["ok"] * 3
    assert f"{patient.folder}/lab/bids_root is {patient.folder}/cluster/bids_root there" in found[2].what
    assert list((patient.folder / "cluster" / "bids_root").iterdir()) == []
    assert list((patient.folder / "jobs" / "doctor").iterdir()) == []


def test_folders_that_are_made_later_are_proved_by_those_around_them(there: Callable[..., Patient]) -> None:
    patient = there()
    for key in ("bids_root", "derivatives_root", "work_root"):
        (patient.folder / "cluster" / key).rmdir()
    [found] = patient.look("ssh-paths")
    assert (found.severity, found.what) == ("ok", f"{patient.folder}/lab is {patient.folder}/cluster there")


def test_json_holds_nothing_else(there: Callable[..., Patient]) -> None:
    patient = there(user="nobody")
    result = doctor(patient, "--only", "ssh", "--json", code=1)
    assert [one["code"] for one in json.loads(result.stdout)["findings"]] == [
        "ssh-unreachable",
        "ssh-state",
        "ssh-paths",
    ]
    assert result.stderr == ""


def test_what_is_on_the_cluster_is_not_looked_for_here(there: Callable[..., Patient]) -> None:
    patient = there()
    (patient.folder / "cluster" / "derivatives_root").rmdir()
    licence = {"freesurfer_license": "/cluster/only/license.txt", "templateflow_home": "/cluster/only/templates"}
    patient.write(
        paths=licence,
        containers={"runtime": "apptainer", "binds": ["/cluster/only:/data"]},
        pipelines={
            "bids_conversion": {"where": "cluster", "image": "/cluster/only/heudiconv.sif"},
            **{name: {"image": f"/cluster/only/{name}-26.0.0.sif"} for name in ("qsiprep", "qsirecon", "qsiparc")},
        },
    )
    assert set(patient.codes(*FOLDERS)) <= {"folder-temporary"}
    assert patient.codes(*TOOLS, "configuration-files", path="/nonexistent") == []
    skipped = {one.check: one.what for one in patient.seen if one.severity == "skipped"}
    assert {*TOOLS} - {"commands"} <= set(skipped)
    assert all("--node" in what for name, what in skipped.items() if name in TOOLS)


def test_a_conversion_in_the_worker_is_looked_at_here(there: Callable[..., Patient]) -> None:
    patient = there()
    patient.write(pipelines={"bids_conversion": {"program": ["/opt/none/heudiconv"]}})
    assert patient.codes("runtimes", path="/nonexistent") == ["runtime-missing"]


def test_a_site_without_ssh_is_not_asked(patient: Patient) -> None:
    assert {one.severity for one in patient.look(*LOOKS)} == {"skipped"}


@pytest.mark.provokes("ssh-unreachable")
def test_a_port_that_nobody_listens_on(there: Callable[..., Patient], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuroflow.cluster.ssh.connection._LONGEST_WAIT_SECONDS", 0.01)
    found = there(port=free_port()).look(*LOOKS, "slurm", "slurm-jobs")
    assert [one.code for one in found if one.severity != "skipped"] == ["ssh-unreachable"]
    assert "can't be reached" in found[0].what
    assert "cluster.ssh.host" in found[0].mend


@pytest.mark.provokes("ssh-unreachable")
@pytest.mark.parametrize("known", ["", "other"], ids=["unknown", "changed"])
def test_a_host_key_that_is_not_the_known_one(there: Callable[..., Patient], sshd: Sshd, known: str) -> None:
    patient = there()
    hosts = patient.folder / "known_hosts"
    key = make_key(patient.folder / "other").with_suffix(".pub").read_text() if known else ""
    hosts.write_text(f"[127.0.0.1]:{sshd.port} {key}" if known else "")
    [found] = [one for one in there_again(patient, known_hosts=str(hosts)) if one.severity == "error"]
    assert found.code == "ssh-unreachable"
    assert "key" in found.what
    assert found.mend


def there_again(patient: Patient, **changes: object) -> list[Finding]:
    """Look by another way to the same host."""
    patient.content["cluster"]["ssh"].update(changes)
    patient.write()
    return patient.look("ssh")


@pytest.mark.provokes("ssh-unreachable")
def test_a_user_who_is_refused(there: Callable[..., Patient], tmp_path: Path) -> None:
    [found] = there(key_file=str(make_key(tmp_path / "stranger"))).look("ssh")
    assert (found.code, "refuses this user" in found.what) == ("ssh-unreachable", True)
    assert "authorized_keys" in found.mend


@pytest.mark.provokes("ssh-unreachable")
def test_a_configuration_of_ssh_that_can_not_be_followed(there: Callable[..., Patient], tmp_path: Path) -> None:
    file = tmp_path / "ssh_config"
    file.write_text("Host *\n  ProxyCommand nc %h %p\n")
    [found] = there(config_file=str(file)).look("ssh")
    assert (found.code, "ProxyCommand" in found.what) == ("ssh-unreachable", True)


@pytest.mark.provokes("ssh-no-neuroflow")
@pytest.mark.parametrize("text", [None, '#!/bin/sh\nexec env -i python3 -I -S "$@"\n'], ids=["no file", "no neuroflow"])
def test_a_python_that_is_not_the_one(there: Callable[..., Patient], tmp_path: Path, text: str | None) -> None:
    python = tmp_path / "nowhere" / "python"
    if text is not None:
        python.parent.mkdir()
        python.write_text(text)
        python.chmod(0o755)
    found = there(python=python).look(*LOOKS)
    assert bad(found) == ["ssh-no-neuroflow"]
    assert f"{python} -m pip install" in found[0].mend


@pytest.mark.provokes("ssh-other-version")
def test_another_release_there(there: Callable[..., Patient], tmp_path: Path) -> None:
    (tmp_path / "old" / "neuroflow").mkdir(parents=True)
    (tmp_path / "old" / "neuroflow" / "__init__.py").write_text('__version__ = "0.0.1"\n')
    [found] = there(python=write_python(tmp_path / "old python", root=tmp_path / "old")).look("ssh")
    assert (found.code, "has neuroflow 0.0.1" in found.what) == ("ssh-other-version", True)


@pytest.mark.provokes("ssh-state-not-writable")
def test_a_state_folder_that_can_not_be_made(there: Callable[..., Patient]) -> None:
    [found] = there(state_dir="/proc/neuroflow").look("ssh-state")
    assert (found.code, "/proc/neuroflow" in found.what) == ("ssh-state-not-writable", True)


@pytest.mark.provokes("ssh-other-folder")
def test_a_folder_by_a_name_that_is_not_its_own(there: Callable[..., Patient], tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    patient = there()
    patient.content["cluster"]["ssh"]["paths"][str(tmp_path / "lab/work_root")] = str(tmp_path / "elsewhere")
    patient.write()
    [found] = patient.look("ssh-paths")
    assert (found.code, found.what.partition(":")[0].split()[0]) == ("ssh-other-folder", "paths.work_root")
    assert f"{tmp_path}/elsewhere" in found.mend


@pytest.mark.provokes("image-off-pin")
def test_a_pin_that_can_not_be_compared_from_here(there: Callable[..., Patient]) -> None:
    patient = there()
    patient.make_database().close()
    pinned = {"runtime": "apptainer", "image": "/cluster/qsiprep-26.1.1.sif", "image_digest": f"sha256:{'0' * 64}"}
    patient.write(pipelines={"qsiprep": pinned})
    assert patient.codes("images-same") == ["image-off-pin"]


@pytest.fixture
def on_slurm(there: Callable[..., Patient], slurm: Slurm) -> Patient:
    patient = there()
    patient.write(cluster={"account": slurm.account, "partition": "auto"})
    return patient


def test_slurm_is_asked_there(on_slurm: Patient, slurm: Slurm) -> None:
    found = on_slurm.look("slurm", "slurm-controller", "slurm-jobs", "slurm-limits", path="/nonexistent")
    assert bad(found) == []
    assert f"partition {slurm.partition}, " in next(one.what for one in found if one.check == "slurm-jobs")


def look(patient: Patient, *names: str) -> list[Finding]:
    """Look at a node, with commands here that don't exist."""
    checks = [check for check in NODE_CHECKS if check.name in names]
    waiting = Waiting(SECONDS, sleep=lambda wanted: time.sleep(min(wanted, 0.3)))
    return patient.note(list(look_at_node(patient.context(path="/nonexistent"), waiting, checks=checks)))


def test_a_node_behind_ssh(on_slurm: Patient) -> None:
    found = look(on_slurm, "node-folders", "node-version", "folders-writable", "configuration-files", "commands")
    assert bad(found) == []
    assert {one.host for one in found} & {"n1", "n2", "n3", "n4"}
    assert "clock" in next(one.what for one in found if one.check == "node")
    left = [*(on_slurm.folder / "cluster").glob("*/*"), *(on_slurm.folder / "jobs" / "doctor").iterdir()]
    assert left == []


@pytest.mark.provokes("node-other-folder")
def test_a_node_behind_ssh_that_sees_another_folder(on_slurm: Patient, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    on_slurm.content["cluster"]["ssh"]["paths"][str(tmp_path / "lab/work_root")] = str(tmp_path / "elsewhere")
    on_slurm.write()
    found = look(on_slurm, "node-folders", "folders-writable")
    [bad_one] = [one for one in found if one.code == "node-other-folder"]
    assert f"paths.work_root ({tmp_path}/elsewhere)" in bad_one.what
    assert "cluster.ssh.paths" in bad_one.mend


@pytest.mark.provokes("node-job-failed")
def test_a_job_behind_ssh_that_breaks_keeps_its_log(on_slurm: Patient, tmp_path: Path) -> None:
    on_slurm.write(cluster={"setup_lines": ["echo no such module >&2", "exit 3"]})
    [found] = look(on_slurm, "node-version")
    assert (found.code, "no such module" in found.what) == ("node-job-failed", True)
    assert "no such module" in Path(found.mend.split(";")[0].removeprefix("see ")).read_text()
