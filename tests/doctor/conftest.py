"""An installation to look at, and the proof that a test has provoked what it says it provokes."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from neuroflow.cluster.transport import LocalTransport
from neuroflow.config import NeuroflowConfig
from neuroflow.core.database import Database
from neuroflow.doctor.check import Check, Context, Finding, Severity
from neuroflow.doctor.registry import CHECKS
from neuroflow.doctor.runner import run_checks
from tests.support.databases import make_schema

KEYS = ("dicom_root", "bids_root", "derivatives_root", "work_root", "state_dir")


class Patient:
    """A small installation, and what doctor has said of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "neuroflow.yaml"
        self.seen: list[Finding] = []
        self.content: dict[str, Any] = {
            "paths": {key: key for key in KEYS},
            "containers": {"runtime": "host"},
            "doctor": {"free_gb": 0},
        }
        (folder / "dicom_root").mkdir()
        self.write()

    def write(self, **changes: Any) -> Path:
        """Write the configuration, with changes to its sections, key by key."""
        for section, values in changes.items():
            self.content[section] = {**self.content.get(section, {}), **values}
        self.file.write_text(yaml.safe_dump(self.content), encoding="utf-8")
        self.file.chmod(0o600)
        return self.file

    def config(self) -> NeuroflowConfig:
        """Load the configuration as doctor does."""
        return NeuroflowConfig.find_and_load(self.file, environ={}, check_files=False)

    def context(self, *, path: str | None = None, environ: Mapping[str, str] | None = None, **changes: Any) -> Context:
        """Return what checks are given; `path` takes the place of PATH."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("NEUROFLOW_")}
        environ = dict(own if environ is None else environ)
        if path is not None:
            environ["PATH"] = path
        transport = LocalTransport(environ)
        return Context(load=self.config, **{"transport": transport, "environ": environ, **changes})

    def look(self, *names: str, checks: Sequence[Check] = CHECKS, **changes: Any) -> list[Finding]:
        """Run checks by name, and return what they found."""
        context = self.context(**changes)
        found = list(run_checks(checks, context, chosen=lambda check: check.name in names))
        assert {one.check for one in found} == set(names)
        return self.note(found)

    def note(self, found: list[Finding]) -> list[Finding]:
        """Remember findings that a test has got by another way."""
        self.seen += found
        return found

    def codes(self, *names: str, **changes: Any) -> list[str]:
        """Return the codes of what is not well."""
        return bad(self.look(*names, **changes))

    def make_database(self) -> Database:
        """Make an empty database with the present schema."""
        database = Database.from_config(self.config())
        make_schema(database)
        return database


def bad(found: Sequence[Finding]) -> list[str]:
    """Return the codes of the errors and warnings."""
    return [one.code for one in found if one.severity in (Severity.ERROR, Severity.WARNING)]


@pytest.fixture
def patient(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Patient]:
    """An installation without a flaw; afterwards, whatever the test says it provokes must have been seen."""
    made = Patient(tmp_path)
    yield made
    wanted = {code for mark in request.node.iter_markers("provokes") for code in mark.args}
    report = getattr(request.node, "doctor_call", None)
    if report is not None and report.passed:
        missing = wanted - {one.code for one in made.seen}
        assert not missing, f"the test passed without provoking {missing}"
        assert all(one.what and one.why and one.mend for one in made.seen if one.code in wanted)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    if report.when == "call":
        item.doctor_call = report  # type: ignore[attr-defined]
    return report


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str, str], str]:
    """Make a shell script of a name, and return a PATH that has it first."""
    folder = tmp_path / "programs"

    def make(name: str, text: str) -> str:
        folder.mkdir(exist_ok=True)
        file = folder / name
        file.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        file.chmod(0o755)
        return f"{folder}:{os.environ['PATH']}"

    return make


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mount small file systems of a given kind of options; only root can."""
    mounted: list[Path] = []

    def mount(options: str) -> Path:
        folder = tmp_path / f"disk{len(mounted)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode != 0:
            pytest.skip("only root can mount a small file system")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def free_port() -> int:
    """Return a TCP port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def changed(folder: Path, mode: int) -> Iterator[None]:
    """Change a folder's mode for a while, so that pytest can remove it."""
    before = folder.stat().st_mode
    folder.chmod(mode)
    try:
        yield
    finally:
        folder.chmod(before)
