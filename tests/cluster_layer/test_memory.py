"""The kernel's count of processes killed for memory, of both versions of control groups."""

from __future__ import annotations

from pathlib import Path

import pytest

from neuroflow.cluster.memory import is_in_group_of, oom_kills


def test_version_1(tmp_path: Path) -> None:
    (tmp_path / "own").write_text("5:cpu,cpuacct:/x\n4:memory:/slurm/job_1/step_0\n1:name=systemd:/\n0::/\n")
    folder = tmp_path / "memory" / "slurm" / "job_1" / "step_0"
    folder.mkdir(parents=True)
    (folder / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
    assert oom_kills(tmp_path / "own", tmp_path) == 2


def test_version_2(tmp_path: Path) -> None:
    (tmp_path / "own").write_text("0::/system.slice/job_1\n")
    (tmp_path / "cgroup.controllers").write_text("memory")
    folder = tmp_path / "system.slice" / "job_1"
    folder.mkdir(parents=True)
    (folder / "memory.events").write_text("low 0\nhigh 0\nmax 9\noom 3\noom_kill 3\noom_group_kill 0\n")
    assert oom_kills(tmp_path / "own", tmp_path) == 3


def test_what_can_not_be_read_counts_nothing(tmp_path: Path) -> None:
    assert oom_kills(tmp_path / "absent", tmp_path) == 0
    (tmp_path / "own").write_text("4:memory:/gone\n")
    assert oom_kills(tmp_path / "own", tmp_path) == 0


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ("5:memory:/slurm/uid_7/job_18/step_0/task_0\n", True),
        ("0::/system.slice/slurmstepd.scope/job_18/step_0/user/task_0\n", True),
        ("0::/system.slice/slurmd.service\n", False),
        ("5:memory:/slurm/uid_7/job_180/step_0\n", False),
        ("", False),
    ],
)
def test_the_group_is_the_jobs_own_where_slurm_made_one(tmp_path: Path, groups: str, expected: bool) -> None:
    (tmp_path / "own").write_text(groups)
    assert is_in_group_of("18", tmp_path / "own") is expected
    assert not is_in_group_of("18", tmp_path / "absent")
