"""The checks of folders, space and quotas: on real file systems."""

from __future__ import annotations

import errno
import fcntl
from collections.abc import Callable
from pathlib import Path

import pytest

from neuroflow.doctor.mounts import mount_of, parse_mounts
from neuroflow.doctor.space import lustre_share
from tests.doctor.conftest import Patient, changed

MEMORY = Path("/dev/shm")


def test_folders_without_a_flaw(patient: Patient) -> None:
    (patient.folder / "state_dir").mkdir(mode=0o700)
    assert patient.codes("folders-writable", "folders-locks", "folders-mode", "space", "space-apart") == []
    assert list((patient.folder / "state_dir").iterdir()) == []


@pytest.mark.provokes("folder-not-writable")
def test_a_folder_that_can_not_be_made(patient: Patient) -> None:
    # Not even root can make a folder there.
    patient.content["paths"]["derivatives_root"] = "/proc/neuroflow"
    patient.write()
    [found] = patient.look("folders-writable")
    assert found.code == "folder-not-writable"
    assert "paths.derivatives_root: /proc (/proc/neuroflow is not there yet): can't make a folder" in found.what
    assert found.mend.startswith("as root: `mkdir -p /proc/neuroflow && chown ")


@pytest.mark.provokes("folder-not-writable")
def test_a_file_system_that_is_mounted_for_reading(patient: Patient, small_disk: Callable[[str], Path]) -> None:
    patient.content["paths"]["work_root"] = str(small_disk("ro,size=1m"))
    patient.write()
    assert "Read-only file system" in patient.look("folders-writable")[0].what


# No file system without locks can be mounted everywhere: the call itself is replaced here.
@pytest.mark.provokes("folder-no-locks")
def test_a_file_system_without_locks(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert patient.codes("folders-locks") == ["folder-no-locks"]


def test_a_state_folder_that_can_not_be_written_to_is_not_one_without_locks(patient: Patient) -> None:
    patient.content["paths"]["state_dir"] = "/proc/neuroflow"
    patient.write()
    [found] = patient.look("folders-locks")
    assert (found.severity, "can't be written to" in found.what) == ("skipped", True)


@pytest.mark.provokes("state-in-memory")
def test_a_state_folder_in_memory_on_a_cluster(patient: Patient) -> None:
    patient.content["paths"]["state_dir"] = f"{MEMORY}/neuroflow-doctor-test"
    patient.write(cluster={"kind": "slurm"})
    assert "state-in-memory" in patient.codes("folders-place")
    patient.write(cluster={"kind": "local"})
    assert patient.codes("folders-place") == []


@pytest.mark.provokes("folder-temporary")
def test_folders_below_tmp_on_a_cluster(patient: Patient) -> None:
    patient.content["paths"] |= {key: f"/tmp/nf/{key}" for key in ("work_root", "state_dir")}
    patient.content["paths"] |= {key: f"/srv/nf/{key}" for key in ("bids_root", "derivatives_root")}
    patient.write(cluster={"kind": "slurm"})
    [found] = patient.look("folders-place")
    assert (found.code, found.mend.split(" to ")[0]) == ("folder-temporary", "set paths.work_root, paths.state_dir")


@pytest.mark.provokes("state-writable-by-others", "state-readable-by-others")
def test_a_state_folder_that_is_open(patient: Patient) -> None:
    state = patient.folder / "state_dir"
    state.mkdir()
    with changed(state, 0o777):
        assert patient.codes("folders-mode") == ["state-writable-by-others"]
    with changed(state, 0o755):
        assert patient.codes("folders-mode") == ["state-readable-by-others"]
    with changed(state, 0o770):  # a group that works together
        assert patient.codes("folders-mode") == []


@pytest.mark.provokes("state-path-characters")
def test_a_backslash_in_the_path(patient: Patient) -> None:
    # The configuration itself refuses a percent sign.
    patient.content["paths"]["state_dir"] = "back\\slash"
    patient.write(cluster={"kind": "slurm"})
    assert patient.codes("folders-mode") == ["state-path-characters"]


@pytest.mark.provokes("space-full")
def test_a_full_file_system(patient: Patient, small_disk: Callable[[str], Path]) -> None:
    disk = small_disk("size=1m")
    (disk / "large").write_bytes(b"x" * 900_000)
    patient.content["paths"]["state_dir"] = str(disk / "state")
    patient.write()
    [found] = patient.look("space")
    assert found.code == "space-full"
    assert f"paths.state_dir ({disk}) has 0.1 MB left" in found.what


@pytest.mark.provokes("space-low")
def test_little_room_for_working_directories(patient: Patient) -> None:
    patient.write(doctor={"free_gb": 1e9})
    assert patient.codes("space") == ["space-low"]


@pytest.mark.provokes("inodes-low")
def test_hardly_any_more_files(patient: Patient, small_disk: Callable[[str], Path]) -> None:
    patient.content["paths"]["work_root"] = str(small_disk("size=500m,nr_inodes=100"))
    patient.write()
    assert patient.codes("space") == ["inodes-low"]


@pytest.mark.provokes("folders-apart")
def test_working_directories_on_another_file_system(patient: Patient) -> None:
    if MEMORY.stat().st_dev == patient.folder.stat().st_dev:
        pytest.skip("all folders here are on one file system")
    patient.content["paths"]["work_root"] = f"{MEMORY}/neuroflow-doctor-test"
    patient.write()
    assert patient.codes("space-apart") == ["folders-apart"] * 2


LUSTRE = "/scratch 9900*    0 10000 - 12 0 0 -"


# Neither quotas nor Lustre can be had on every machine: scripts stand for the two programs.
@pytest.mark.provokes("quota-near")
def test_quotas_that_are_used_up(patient: Patient, program: Callable[[str, str], str]) -> None:
    path = program("quota", "echo 'Disk quotas for user me: over block limit on /home'; exit 1")
    path = program("lfs", f"echo '{LUSTRE}'")
    found = patient.look("quota", path=path)
    assert [one.code for one in found] == ["quota-near", "quota-near"]
    assert "over block limit on /home" in found[0].what
    assert "99% of the quota of" in found[1].what
    path = program("quota", "exit 0")
    path = program("lfs", "echo '/scratch 1 0 0 - 1 0 0 -'")
    assert patient.codes("quota", path=path) == []


def test_no_quota_is_no_finding(patient: Patient) -> None:
    assert [one.severity for one in patient.look("quota", path="/nonexistent")] == ["skipped"]


def test_lustres_answer_is_read() -> None:
    assert lustre_share("/scratch 5000 10000 11000 - 90 0 100 -") == 0.9
    assert lustre_share("/scratch 5000 0 0 - 90 0 0 -") == 0
    assert lustre_share("garbage") == 0


def test_the_table_of_mounts_is_read() -> None:
    text = "/dev/a / ext4 rw 0 0\nserver:/x /data nfs4 rw 0 0\ntmpfs /data/my\\040tmp tmpfs rw 0 0\nx\n"
    mounts = parse_mounts(text)
    assert mount_of(Path("/data/bids"), mounts).on_network
    assert mount_of(Path("/data/my tmp/x"), mounts).in_memory
    assert mount_of(Path("/database"), mounts).kind == "ext4"
