"""Attempts' folders on the other side of a real SSH connection are treated as those of this machine are."""

from __future__ import annotations

import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from neuroflow.cluster import claim
from neuroflow.cluster.folders import LIMIT_BYTES, FileLook, Folders, LocalFolders
from neuroflow.cluster.publish import PLAN_NAME
from neuroflow.cluster.ssh.connection import SshConnection
from neuroflow.cluster.ssh.folders import SshFolders
from neuroflow.cluster.ssh.transport import SshTransport
from neuroflow.errors import ClusterError, HostUnreachable
from tests.ssh.conftest import write_python
from tests.support.cutting_proxy import CuttingProxy

NOBODY = 65534


@pytest.fixture
def ssh(connection: SshConnection, transport: SshTransport, cluster_python: str) -> SshFolders:
    return SshFolders(connection, transport, python=cluster_python, timeout=20)


@pytest.fixture(params=["local", "ssh"])
def folders(request: pytest.FixtureRequest) -> Folders:
    return LocalFolders() if request.param == "local" else request.getfixturevalue("ssh")


def test_folders_are_made_closed_to_others_and_their_files_whole(folders: Folders, tmp_path: Path) -> None:
    folder = tmp_path / "state dir" / "attempts" / "nf-1"
    files = {"job.json": b"{}", "payload.pkl": bytes(range(256))}
    mask = os.umask(0)
    try:
        for _ in range(2):  # repeated without harm
            folders.make({str(folder): files, f"{folder}-2": {}})
    finally:
        os.umask(mask)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files
    for path in (folder, folder.parent, folder / "payload.pkl"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    assert Path(f"{folder}-2").is_dir()


def test_a_folder_that_can_not_be_made_is_named(folders: Folders, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises((OSError, ClusterError), match="file"):
        folders.make({str(tmp_path / "file" / "nf-1"): {"job.json": b"{}"}})


def test_what_is_there_is_read_and_what_can_not_be_trusted_is_said(folders: Folders, tmp_path: Path) -> None:
    (tmp_path / "good").write_bytes(b"\x00\xff")
    (tmp_path / "large").write_bytes(bytes(LIMIT_BYTES + 1))
    (tmp_path / "link").symlink_to(tmp_path / "good")
    os.mkfifo(tmp_path / "fifo")
    names = ["good", "large", "link", "fifo", "absent"]
    if os.geteuid() == 0:
        (tmp_path / "other").write_bytes(b"{}")
        os.chown(tmp_path / "other", NOBODY, -1)
        names.append("other")
    found = folders.look([str(tmp_path), str(tmp_path / "no folder")], names)
    looks = found[str(tmp_path)]
    assert looks["good"] == FileLook(b"\x00\xff")
    assert looks["absent"] == FileLook()
    for name, problem in (("large", "larger"), ("link", "link"), ("fifo", "no regular file"), ("other", "belongs to")):
        if name in looks:
            assert looks[name].data is None
            assert problem in looks[name].problem
    assert set(found[str(tmp_path / "no folder")].values()) == {FileLook()}


def test_the_ends_of_logs_are_read(folders: Folders, tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"a" * 100 + b"end")
    paths = [str(tmp_path / "log"), str(tmp_path / "absent")]
    assert folders.tails(paths, limit_bytes=3) == {paths[0]: FileLook(b"end"), paths[1]: FileLook()}


@pytest.mark.parametrize(
    ("offset", "piece"), [(0, b"0123"), (8, b"89"), (10, b""), (99, b""), (-3, b"789"), (-99, b"0123")]
)
def test_logs_are_read_piece_by_piece(folders: Folders, tmp_path: Path, offset: int, piece: bytes) -> None:
    (tmp_path / "log").write_bytes(b"0123456789")
    assert folders.read_from(str(tmp_path / "log"), offset=offset, limit_bytes=4) == piece


def test_a_log_that_is_not_there_is_told_from_an_empty_one(folders: Folders, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert folders.read_from(str(tmp_path / "empty"), offset=0, limit_bytes=4) == b""
    with pytest.raises(FileNotFoundError):
        folders.read_from(str(tmp_path / "absent"), offset=0, limit_bytes=4)


def test_files_are_found_by_globs_and_missing_ones_named(folders: Folders, tmp_path: Path) -> None:
    (tmp_path / "a" / "deep").mkdir(parents=True)
    for name in ("a/x.txt", "a/.hidden", "a/deep/crash-1.txt"):
        (tmp_path / name).write_text("four")
    found = folders.find({str(tmp_path / "a"): ["*"], str(tmp_path / "none"): ["*"]})
    assert [(one.path, one.bytes) for one in found[str(tmp_path / "a")]] == [("x.txt", 4)]
    assert found[str(tmp_path / "none")] == []
    deep = folders.find({str(tmp_path): ["**/crash-*"]})[str(tmp_path)]
    assert [one.path for one in deep] == ["a/deep/crash-1.txt"]
    gone = str(tmp_path / "gone")
    assert folders.missing([str(tmp_path), gone]) == {gone}


def test_a_datasets_files_are_written_whole_and_described(folders: Folders, tmp_path: Path) -> None:
    folders.place(str(tmp_path / "new" / "b.json"), b"\xff{}")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["b.json"]
    assert (tmp_path / "new" / "b.json").read_bytes() == b"\xff{}"
    folders.describe(str(tmp_path), [{"Name": "T"}], extra={"Name": "d"})
    text = (tmp_path / "dataset_description.json").read_text()
    assert json.loads(text) == {"Name": "d", "GeneratedBy": [{"Name": "T"}]}
    (tmp_path / "dataset_description.json").write_text("mine")
    with pytest.raises((ValueError, ClusterError), match="stays as it is"):
        folders.describe(str(tmp_path), [{"Name": "T"}], extra={})


def test_a_claim_is_revoked_unless_a_job_has_it(folders: Folders, tmp_path: Path) -> None:
    assert folders.revoke(str(tmp_path / "new"))
    assert folders.revoke(str(tmp_path / "new")), "repeated without harm"
    (tmp_path / "taken").mkdir()
    assert claim.take(tmp_path / "taken", "17") is claim.Hold.FIRST
    assert not folders.revoke(str(tmp_path / "taken"))


def test_many_claims_are_revoked_in_one_call_but_those_that_jobs_have(folders: Folders, tmp_path: Path) -> None:
    names = [str(tmp_path / name) for name in ("new", "taken", "it's; (x)")]
    (tmp_path / "taken").mkdir()
    assert claim.take(tmp_path / "taken", "17") is claim.Hold.FIRST
    assert folders.revoke_all(names) == {names[0], names[2]}
    assert folders.revoke_all([]) == frozenset()


def test_of_a_job_and_whoever_revokes_it_one_wins(ssh: SshFolders, tmp_path: Path) -> None:
    names = [tmp_path / f"nf-{number}" for number in range(6)]
    for folder in names:
        folder.mkdir()
    with ThreadPoolExecutor(2) as pool:
        revoked = pool.submit(lambda: [ssh.revoke(str(folder)) for folder in names])
        claimed = pool.submit(lambda: [claim.take(folder, "17") is claim.Hold.FIRST for folder in reversed(names)])
    for won, lost in zip(revoked.result(), reversed(claimed.result()), strict=True):
        assert won is not lost


def test_attempts_are_fenced_and_publications_seen(folders: Folders, tmp_path: Path) -> None:
    names = [str(tmp_path / name) for name in ("one", "two")]
    folders.fence(names)
    folders.fence(names)
    assert all(claim.is_fenced(Path(name)) for name in names)
    (tmp_path / "two" / PLAN_NAME).touch()
    assert folders.publishing(names) == {names[1]}
    with pytest.raises((OSError, ClusterError)):
        folders.fence([str(tmp_path / "file system that is away" / "nf-1")])


def test_however_many_folders_are_one_command(ssh: SshFolders, proxy: CuttingProxy, tmp_path: Path) -> None:
    names = [str(tmp_path / f"nf-{number}") for number in range(500)]
    ssh.make({name: {"claim": b"17", "exit.json": b"{}" * 1000} for name in names})
    before = proxy.round_trips
    found = ssh.look(names, ["claim", "exit.json"])
    assert all(found[name]["claim"].data == b"17" for name in names)
    # Flow control answers once in a while; two round trips a file would be a thousand.
    assert proxy.round_trips - before < 60


@pytest.mark.parametrize("on_the_way_back", [False, True])
def test_a_cut_connection_is_asked_once_more(
    ssh: SshFolders, proxy: CuttingProxy, tmp_path: Path, on_the_way_back: bool
) -> None:
    ssh.look([str(tmp_path)], ["claim"])
    cut = proxy.cut_after_receiving if on_the_way_back else proxy.cut_after_sending
    cut(250)  # a command is longer, and so is its answer
    assert ssh.revoke(str(tmp_path / "nf-1"))
    assert not proxy.spare(), "it was not cut"
    assert claim.holder(tmp_path / "nf-1") == claim.REVOKED
    (tmp_path / "log").write_bytes(b"text")
    proxy.cut()
    assert ssh.read_from(str(tmp_path / "log"), offset=0, limit_bytes=10) == b"text"


def test_a_host_that_is_away_is_no_empty_folder(ssh: SshFolders, proxy: CuttingProxy, tmp_path: Path) -> None:
    proxy.accepting = False
    with pytest.raises(HostUnreachable):
        ssh.look([str(tmp_path)], ["claim"])
    with pytest.raises(HostUnreachable):
        ssh.read_from(str(tmp_path / "log"), offset=0, limit_bytes=10)


def test_another_release_on_the_cluster_gets_no_jobs_and_is_still_asked(
    connection: SshConnection, transport: SshTransport, tmp_path: Path
) -> None:
    code = tmp_path / "other"
    code.mkdir()
    (code / "sitecustomize.py").write_text("import neuroflow; neuroflow.__version__ = '0.0.9'\n", encoding="utf-8")
    python = write_python(tmp_path / "python", root=Path(f"{code}:{Path(__file__).resolve().parents[2]}"))
    folders = SshFolders(connection, transport, python=str(python), timeout=20)
    with pytest.raises(ClusterError, match=r"has neuroflow 0\.0\.9, and this machine") as caught:
        folders.make({str(tmp_path / "nf-1"): {}})
    assert "same release" in caught.value.hint
    assert not (tmp_path / "nf-1").exists()
    assert folders.look([str(tmp_path)], ["claim"])[str(tmp_path)]["claim"] == FileLook()


def test_a_python_without_neuroflow_is_named(
    connection: SshConnection, transport: SshTransport, tmp_path: Path
) -> None:
    python = write_python(tmp_path / "python", root=tmp_path)
    python.write_text("#!/bin/sh\necho 'No module named neuroflow' >&2; exit 1\n", encoding="utf-8")
    with pytest.raises(ClusterError, match="No module named neuroflow") as caught:
        SshFolders(connection, transport, python=str(python), timeout=20).look([str(tmp_path)], ["claim"])
    assert "cluster.python" in caught.value.hint
