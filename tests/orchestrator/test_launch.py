"""A run's request says what its command needs of the site: the Python where it works, the names to leave out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from neuroflow.orchestrator.attempt_job import JobBuilder
from tests.chain.site import Site
from tests.support.states import add_session, open_run

NODES_PYTHON = "/opt/nodes/bin/python3"


def before(root: Path, changes: dict[str, Any]) -> tuple[tuple[str, ...], ...]:
    """Return the commands that come before a conversion, at a site with these settings."""
    services = Site(root, changes).services()
    run = open_run(services.state, add_session(services.state))
    job = JobBuilder(services).build(run, token="t")
    services.database.close()
    return job.run.before


@pytest.mark.parametrize(
    ("kind", "where", "python", "expected"),
    [
        ("slurm", "cluster", NODES_PYTHON, NODES_PYTHON),
        ("slurm", "cluster", None, sys.executable),
        ("slurm", "worker", NODES_PYTHON, sys.executable),
        ("local", "cluster", NODES_PYTHON, sys.executable),
    ],
)
def test_our_own_commands_run_with_the_python_of_where_they_work(
    tmp_path: Path, kind: str, where: str, python: str | None, expected: str
) -> None:
    changes = {"cluster": {"kind": kind, "python": python}, "pipelines": {"bids_conversion": {"where": where}}}
    assert {command[0] for command in before(tmp_path / "site", changes)} == {expected}


def test_the_staging_leaves_out_what_discovery_does(tmp_path: Path) -> None:
    staging = before(tmp_path / "site", {"discovery": {"ignore": ["-old*", "*.part"]}})[-1]
    assert [word for word in staging if word.startswith("--ignore")] == ["--ignore=-old*", "--ignore=*.part"]
    assert f"--root={tmp_path}/site/dicom" in staging
