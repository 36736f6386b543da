"""The checks of this machine."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from neuroflow.doctor.host import memory_limit
from tests.doctor.conftest import Patient


@contextmanager
def lowered(what: int, limit: int) -> Iterator[None]:
    before = resource.getrlimit(what)
    resource.setrlimit(what, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(what, before)


@pytest.mark.provokes("host-few-files")
def test_few_open_files(patient: Patient) -> None:
    with lowered(resource.RLIMIT_NOFILE, 512):
        assert patient.codes("host-limits") == ["host-few-files"]


@pytest.mark.provokes("host-few-processes")
def test_few_processes(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0:
        # The tests of an ordinary user could not go on below such a limit.
        real = resource.getrlimit
        monkeypatch.setattr(
            resource, "getrlimit", lambda what: (100, 100) if what == resource.RLIMIT_NPROC else real(what)
        )
        assert patient.codes("host-limits") == ["host-few-processes"]
        return
    with lowered(resource.RLIMIT_NPROC, 100):
        assert patient.codes("host-limits") == ["host-few-processes"]


@pytest.mark.provokes("host-open-umask")
def test_an_open_umask(patient: Patient) -> None:
    before = os.umask(0)
    try:
        assert patient.codes("host-umask") == ["host-open-umask"]
    finally:
        os.umask(before)


def cgroup(root: Path, line: str, file: str, limit: str) -> Path:
    (root / "proc/self").mkdir(parents=True, exist_ok=True)
    (root / "proc/self/cgroup").write_text(line)
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / file).write_text(limit)
    return root


# Control groups can't be changed everywhere: files stand for the kernel's.
@pytest.mark.provokes("host-little-memory")
def test_a_session_with_little_memory(patient: Patient, tmp_path: Path) -> None:
    root = cgroup(tmp_path / "r", "0::/user/me\n", "sys/fs/cgroup/user/memory.max", "500000000\n")
    [found] = patient.look("host-memory", root=root)
    assert (found.code, "0.50 GB" in found.what) == ("host-little-memory", True)


@pytest.mark.parametrize(
    ("line", "file", "limit", "expected"),
    [
        ("0::/a/b\n", "sys/fs/cgroup/a/b/memory.max", "max\n", None),
        ("0::/a/b\n", "sys/fs/cgroup/a/memory.max", "4096\n", 4096),
        ("5:memory:/x\n1:name=systemd:/y\n", "sys/fs/cgroup/memory/x/memory.limit_in_bytes", "8192\n", 8192),
        ("5:memory:/x\n", "sys/fs/cgroup/memory/x/memory.limit_in_bytes", "9223372036854771712\n", None),
        ("garbage", "sys/fs/cgroup/memory.max", "1\n", 1),
    ],
)
def test_memory_limits_of_both_versions(tmp_path: Path, line: str, file: str, limit: str, expected: int | None) -> None:
    assert memory_limit(cgroup(tmp_path, line, file, limit)) == expected


# systemd does not run everywhere: a script stands for loginctl.
@pytest.mark.provokes("host-no-linger")
def test_services_that_end_with_the_session(patient: Patient, program: Callable[[str, str], str]) -> None:
    assert patient.codes("host-session", path=program("loginctl", "echo Linger=no")) == ["host-no-linger"]
    assert patient.codes("host-session", path=program("loginctl", "echo Linger=yes")) == []
    [found] = patient.look("host-session", path=program("loginctl", "exit 1"))
    assert found.severity == "skipped"
