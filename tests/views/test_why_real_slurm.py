"""What `why` says of jobs that a real SLURM keeps waiting."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from neuroflow.orchestrator.rounds import poll_round
from neuroflow.orchestrator.services import Services
from neuroflow.orchestrator.steps import InlineDispatcher, advance
from neuroflow.views.why import Question, why
from neuroflow.views.why_answer import PlaceAnswer
from tests.chain.fast_pipeline import PIPELINE, FastSite
from tests.support.commands import run
from tests.support.require import require
from tests.support.slurm import Slurm

pytestmark = [pytest.mark.slow, pytest.mark.slurm]

QOS = f"nfwhy{os.getpid()}"


@pytest.fixture
def tiny_qos(slurm: Slurm) -> Iterator[str]:
    """A QOS whose jobs may have less memory together than one of ours asks for."""
    require("slurm", os.geteuid() == 0, "only SLURM's admin can make a QOS")
    run(["sacctmgr", "-i", "add", "qos", QOS, "GrpTRES=mem=100"], seconds=60)
    run(["sacctmgr", "-i", "modify", "user", "root", f"account={slurm.account}", "set", f"qos+={QOS}"], seconds=60)
    yield QOS
    subprocess.run(["sacctmgr", "-i", "delete", "qos", QOS], check=False, timeout=60, capture_output=True)


def ask(services: Services, *, ask_slurm: bool = True) -> PlaceAnswer:
    question = Question(services.state.get_subject("01"), pipeline=PIPELINE, ask_slurm=ask_slurm)
    (answer,) = why(services, question).pipelines
    return answer


def ask_of_job(folder: Path, slurm: Slurm, sbatch_line: str, *, reason: str) -> tuple[PlaceAnswer, PlaceAnswer]:
    """Submit a job that has to wait; return what is said of it with SLURM's help, and by the last poll alone.

    Args:
        folder: where to make its site.
        slurm: the cluster.
        sbatch_line: why it has to wait.
        reason: SLURM's word for that.
    """
    site = FastSite(folder, slurm, {"cluster": {"sbatch_lines": [sbatch_line]}})
    services = site.services()
    site.add_sessions(services, 1)
    try:
        assert advance(services, InlineDispatcher(services)).dispatched
        poll_round(services, at_once=True)
        # SLURM's scheduler comes by when it likes: until then there is no reason, or `Priority` while others wait.
        for _ in range(60):
            answer = ask(services)
            if answer.causes[0].slurm_reason == reason:
                break
            time.sleep(0.5)
        poll_round(services, at_once=True)
        return answer, ask(services, ask_slurm=False)
    finally:
        services.cluster("slurm").cancel(services.state.open_attempts())
        services.database.close()


def test_a_held_job_needs_a_person(tmp_path: Path, slurm: Slurm) -> None:
    now, polled = ask_of_job(tmp_path / "site", slurm, "--hold", reason="JobHeldUser")
    assert (now.state, now.causes[0].slurm_reason) == ("queued", "JobHeldUser")
    assert "somebody holds it" in now.summary
    assert now.next.needs_person
    assert polled.causes[0].slurm_reason == "JobHeldUser"


def test_a_job_that_begins_later_is_told_with_its_start(tmp_path: Path, slurm: Slurm) -> None:
    now, polled = ask_of_job(tmp_path / "site", slurm, "--begin=now+1hour", reason="BeginTime")
    assert now.causes[0].slurm_reason == polled.causes[0].slurm_reason == "BeginTime"
    assert now.next.at is not None
    assert 50 * 60 < (now.next.at - (now.since or now.next.at)).total_seconds() <= 61 * 60
    assert polled.next.needs_person is False


def test_a_limit_of_the_qos_is_told_in_words(tmp_path: Path, slurm: Slurm, tiny_qos: str) -> None:
    now, _ = ask_of_job(tmp_path / "site", slurm, f"--qos={tiny_qos}", reason="QOSGrpMemLimit")
    assert now.causes[0].slurm_reason == "QOSGrpMemLimit"
    assert "the QOS uses as much as it may (memory)" in now.summary
