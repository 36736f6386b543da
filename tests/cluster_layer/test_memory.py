"""The kernel's count of processes killed for memory, of both versions of control groups."""

from __future__ import annotations

from pathlib import Path

from neuroflow.cluster.memory import oom_kills


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
