"""The real SLURM that tests/cluster/services.sh starts, or one that is there already."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

from tests.support.commands import run

HOW = "run `tests/cluster/services.sh install` and `tests/cluster/services.sh up` as root on Debian"
ANSWER_SECONDS = 20.0


@dataclass(frozen=True)
class Slurm:
    """What the tests may count on."""

    account: str = "lab"
    partition: str = "main"  # two days; not preempted
    short_partition: str = "short"  # two minutes
    spot_partition: str = "spot"  # jobs of `main` preempt it: requeued
    node_to_fail: str = "n4"  # a test may set it down, and has to resume it


def find_slurm() -> Slurm | None:
    """Return the cluster, None unless the commands are there, it answers, and has the partitions of the tests."""
    slurm = Slurm()
    try:
        run(["sbatch", "--version"], seconds=ANSWER_SECONDS)
        answer = run(["scontrol", "ping"], seconds=ANSWER_SECONDS)
        partitions = run(["sinfo", "--noheader", "--format=%R"], seconds=ANSWER_SECONDS).split()
    except (OSError, RuntimeError, subprocess.TimeoutExpired):
        return None
    needed = {slurm.partition, slurm.short_partition, slurm.spot_partition}
    return slurm if " is UP" in answer and needed <= set(partitions) else None


def freest_node(partition: str, *, but: str) -> str:
    """Return the node of a partition that takes jobs and has the least memory given away."""
    columns = "--Format=StateCompact:20,AllocMem:20,NodeList:80"
    rows = [line.split() for line in run(["sinfo", "--noheader", "--Node", "-p", partition, columns]).splitlines()]
    # Not by --states=idle: a drained node is idle too.
    return min((int(memory), node) for state, memory, node in rows if state in ("idle", "mix") and node != but)[1]
