"""Everything that the cluster does, over SSH: the lab server has the database, Redis and workers, and other names.

The real sshd leads to the real SLURM. A proxy cuts the connection in the middle of submissions, at another place each
time, and nothing is lost or executed twice.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from neuroflow.domain import AttemptStatus
from neuroflow.orchestrator import lost
from neuroflow.orchestrator.services import Services
from neuroflow.orchestrator.steps import launch_all
from tests.chain.fast_pipeline import FastSite
from tests.chain.site import Site
from tests.chain.test_celery_slurm import carry_through, real_site
from tests.chain.test_killed_submission import check, settle
from tests.chain.test_sync import check_against_truth
from tests.ssh.conftest import write_python
from tests.support.apptainer import Apptainer
from tests.support.cutting_proxy import CuttingProxy, proxy_to
from tests.support.demo_images import DemoImages
from tests.support.slurm import Slurm
from tests.support.sshd import Sshd

pytestmark = [pytest.mark.slow, pytest.mark.slurm]

# sbatch is called, and answers, in the last of the bytes that a submission sends and receives.
EVENLY = 3
LAST_SENT_BYTES = range(100, 1700, 200)
LAST_RECEIVED_BYTES = range(50, 600, 80)
MOST_LATE = 4


def over_ssh(root: Path, sshd: Sshd, *, port: int | None = None) -> dict[str, Any]:
    """Return the keys that lead to the cluster, which knows the site's folder by another name."""
    sshd.write_profile("echo 'Welcome to the cluster. Your quota: 12 %'")
    (root / "cluster").mkdir(parents=True)
    (root / "lab").symlink_to(root / "cluster")  # as the lab server has it mounted
    ssh = sshd.settings(
        port=port, state_dir=str(root / "cluster-state"), paths={str(root / "lab"): str(root / "cluster")}
    )
    return {
        "transport": "ssh",
        "python": str(write_python(root / "python")),
        "ssh": ssh.model_dump(mode="json", exclude_none=True),
    }


def check_names(services: Services, root: Path) -> None:
    """Check that the jobs were told the cluster's names alone; the lab server keeps what a restored backup needs."""
    attempts = [one for run in services.state.list_runs() for one in services.state.attempts_of(run.id)]
    for one in attempts:
        folder = Path(one.folder)
        assert folder.parent == root / "cluster-state" / "attempts"
        for name in ("job.json", "container.json"):
            assert str(root / "lab") not in (folder / name).read_text(encoding="utf-8"), name
    copies = {path.relative_to(services.config.attempts_dir) for path in services.config.attempts_dir.glob("*/*")}
    assert copies == {Path(one.token, "attempt.json") for one in attempts}


def test_the_whole_chain_passes_over_ssh(
    tmp_path: Path, sshd: Sshd, slurm: Slurm, apptainer: Apptainer, demo_images: DemoImages, redis_server: str
) -> None:
    place = {"account": slurm.account, "partition": slurm.partition, "poll_seconds": 2}
    cluster = {"name": "test", "kind": "slurm", **place, **over_ssh(tmp_path, sshd)}
    atlas = str(tmp_path / "cluster" / "site" / "atlas")  # what only jobs read is named as the cluster does
    site = real_site(
        tmp_path / "lab" / "site",
        slurm,
        apptainer,
        demo_images,
        redis_server,
        cluster=cluster,
        pipelines={"qsirecon": {"datasets": {"Phantom": atlas}}},
    )
    site.add_session("01", "01", seed=6)
    services = site.services()
    before = sshd.accepted()
    carry_through(site, services, sessions=1, subjects=1)
    assert sshd.accepted() - before <= 2, "one connection of each of the worker's two processes"
    check_against_truth(site, {("sub-01", "ses-01")})
    check_names(services, tmp_path)
    for run in services.state.list_runs():
        assert str(run.output_path).startswith(str(tmp_path / "lab")), "people are told their own names"
        check_logs(site, services, run.id)
    services.database.close()


def check_logs(site: Site, services: Services, run_id: int) -> None:
    (attempt,) = services.state.attempts_of(run_id)
    command = [sys.executable, "-m", "neuroflow.cli.main", "--config", str(site.folder.config), "logs", str(run_id)]
    shown = subprocess.run([*command, "--follow"], capture_output=True, check=True, timeout=60).stdout
    assert shown == (Path(attempt.folder) / "stdout.log").read_bytes()


def connect(services: Services) -> None:
    """Use the connection, so that it is there."""
    services.folders("slurm").look(["/"], ["none"])


def bytes_of(proxy: CuttingProxy, services: Services, run_ids: list[int]) -> tuple[int, int]:
    """Return how much a submission sends and receives, once the connection is there."""
    connect(services)
    sent, received = proxy.sent, proxy.received
    launch_all(services, run_ids)
    return proxy.sent - sent, proxy.received - received


def places(sizes: Mapping[int, tuple[int, int]]) -> Iterator[tuple[int, bool, int]]:
    """Give where to cut: how many runs go together, on the way there or back, after how many bytes.

    Places are spread over all of a submission, and lie close together where sbatch is called and answers.
    """
    for size, (sent, received) in sizes.items():
        yield from ((size, True, sent * part // EVENLY) for part in range(EVENLY))
        yield from ((size, False, received * part // EVENLY) for part in range(EVENLY))
    for number, left in enumerate(LAST_SENT_BYTES):
        yield 1 + number % 2, True, sizes[1 + number % 2][0] - left
    for number, left in enumerate(LAST_RECEIVED_BYTES):
        yield 1 + number % 2, False, sizes[1 + number % 2][1] - left


def test_a_submission_cut_at_any_place_runs_once(
    tmp_path: Path, sshd: Sshd, slurm: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lost, "SUBMISSION_SLACK_SECONDS", 8.0)  # no slurmctld of a test needs half a minute
    with proxy_to(sshd.port) as proxy:
        quick = {"accounting_grace_seconds": 4, "command_timeout_seconds": 8}
        changes = {
            "cluster": {**quick, **over_ssh(tmp_path, sshd, port=proxy.port)},
            "celery": {"default_retry_delay": 1},
        }
        site = FastSite(tmp_path / "lab" / "site", slurm, changes)
        services = site.services()
        sizes = {
            size: bytes_of(proxy, services, [run.id for run in site.open_runs(services, size, subject=f"warm{size}")])
            for size in (1, 2)
        }
        cuts = [(number, *place) for number, place in enumerate(places(sizes))]
        total = sum(size for _, size, _, _ in cuts) + 1
        runs = site.open_runs(services, total)
        late = []  # a submission is some bytes longer or shorter each time, and the last places may lie behind its end
        for number, size, upwards, count in cuts:
            ids = [runs.pop().id for _ in range(size)]
            connect(services)
            (proxy.cut_after_sending if upwards else proxy.cut_after_receiving)(count)
            before = proxy.cuts
            launch_all(services, ids)
            proxy.spare()
            if proxy.cuts == before:
                late.append((number, size, upwards, count))
        assert len(late) <= MOST_LATE, late
        proxy.accepting = False  # the network is away for a while
        proxy.cut()
        launch_all(services, [runs.pop().id])
        proxy.accepting = True
        results = {one.status for run in services.state.list_runs() for one in services.state.attempts_of(run.id)}
        assert {AttemptStatus.SUBMITTING, AttemptStatus.SUBMITTED, AttemptStatus.FAILED} <= results, "each way was met"
        settle(services)
        check(site, services, runs=total + 3)
        services.database.close()
