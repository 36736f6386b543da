"""A whole neuroflow in a temporary folder: configuration, phantom cohort, services, and what to check."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from neuroflow.config import NeuroflowConfig
from neuroflow.demo.cohort import DemoFolder, configuration
from neuroflow.demo.dicom_writer import write_session
from neuroflow.demo.phantom import Phantom
from neuroflow.domain import RunRecord, RunStatus
from neuroflow.orchestrator.services import Services
from neuroflow.orchestrator.steps import InlineDispatcher
from neuroflow.orchestrator.workflow import WorkflowResult, WorkflowScheduler
from tests.support.databases import make_schema

FA_TOLERANCE = 0.02
SMALL = {"cpus": 1, "memory_mb": 2000, "time_minutes": 20}
PIPELINES = ("bids_conversion", "qsiprep", "qsirecon", "qsiparc")


class Site:
    """One configuration and its folder."""

    def __init__(self, root: Path, changes: Mapping[str, Any] | None = None) -> None:
        self.root = root
        self.folder = DemoFolder(root)
        (root / "dicom").mkdir(parents=True)
        content = yaml.safe_load(configuration(self.folder))
        merge(content, changes or {})
        self.write_atlas()
        self.folder.config.write_text(yaml.safe_dump(content), encoding="utf-8")

    def write_atlas(self) -> None:
        """Write the phantom's parcellation."""
        from neuroflow.demo.cohort import write_atlas

        write_atlas(self.folder, Phantom.default())

    def add_session(self, subject: str, session: str, *, seed: int, order: str = "subject/session") -> Path:
        """Generate the DICOM of one session."""
        parts = (f"sub-{subject}", f"ses-{session}")
        target = self.root / "dicom" / Path(*(parts if order == "subject/session" else reversed(parts)))
        write_session(target, subject=subject, session=session, seed=seed)
        return target

    def config(self) -> NeuroflowConfig:
        """Load the configuration."""
        return NeuroflowConfig.find_and_load(self.folder.config)

    def services(self) -> Services:
        """Connect, with the schema in place."""
        services = Services.from_config(self.config(), check_schema=False)
        make_schema(services.database)
        return services

    def run_sync(self, services: Services) -> WorkflowResult:
        """Carry everything through, with no broker."""
        return WorkflowScheduler(services, InlineDispatcher(services)).run_workflow(sync=True)

    def region_fa(self) -> dict[tuple[str, str], dict[str, float]]:
        """Read the mean FA per region of every session from QSIParc's tables."""
        found: dict[tuple[str, str], dict[str, float]] = {}
        for path in sorted((self.root / "derivatives" / "qsiparc").rglob("*_diffmap.tsv")):
            with path.open(encoding="utf-8", newline="") as file:
                for row in csv.DictReader(file, delimiter="\t"):
                    if row["scalar"].lower() == "fa":
                        key = (path.parts[-5], path.parts[-4])
                        found.setdefault(key, {})[row["label"]] = float(row["mean"])
        return found


def merge(content: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Merge nested mappings in place."""
    for key, value in changes.items():
        if isinstance(value, Mapping) and isinstance(content.get(key), dict):
            merge(content[key], value)
        else:
            content[key] = value


def completed(runs: list[RunRecord]) -> dict[str, int]:
    """Count completed runs by pipeline."""
    return {name: sum(r.pipeline == name and r.status is RunStatus.COMPLETED for r in runs) for name in PIPELINES}


def wait_until_done(
    services: Services, *, expected: Mapping[str, int], seconds: float, processes: Sequence[subprocess.Popen[bytes]]
) -> list[RunRecord]:
    """Wait until so many runs of each pipeline have completed; stop where one has failed, or a service has died."""
    deadline = time.monotonic() + seconds
    while True:
        runs = services.state.list_runs()
        failed = [f"{r.pipeline} of {r.scope}: {r.reason}" for r in runs if r.status is RunStatus.FAILED]
        if failed:
            raise AssertionError("\n".join(failed))
        if completed(runs) == dict(expected):
            return runs
        dead = [process.args for process in processes if process.poll() is not None]
        if dead:
            raise AssertionError(f"ended by itself: {dead}")
        if time.monotonic() > deadline:
            raise AssertionError(
                f"not done in {seconds:g} s: {[(r.pipeline, r.scope, r.status, r.reason) for r in runs]}"
            )
        time.sleep(0.5)


@contextmanager
def celery(site: Site, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run `celery -A neuroflow.workers.celery_app …` for a site until the block ends."""
    command = [sys.executable, "-m", "celery", "-A", "neuroflow.workers.celery_app", *arguments]
    environment = {**os.environ, "NEUROFLOW_CONFIG": str(site.folder.config)}
    log = site.root / f"celery-{arguments[0]}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=site.root, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield process
        assert process.poll() is None, log.read_text(encoding="utf-8", errors="replace")[-3000:]
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
