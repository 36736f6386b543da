"""The status of an installation as another user of the machine sees it: by its database, by its snapshot, or not."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from neuroflow.config import NeuroflowConfig
from neuroflow.orchestrator.services import Services
from neuroflow.views.status_leave import leave_snapshot
from tests.chain.test_ordinary_user import python_for
from tests.security.conftest import Stranger
from tests.support.states import add_session, end_run, open_run

pytestmark = pytest.mark.slow  # a Python that the other user may execute has to be made


@dataclass(frozen=True)
class Installation:
    """Somebody's installation, and a command line of somebody else."""

    folder: Path
    python: Path
    user: str

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def config(self, **changes: object) -> NeuroflowConfig:
        """Write the configuration, and load it."""
        names = ("dicom_root", "bids_root", "derivatives_root", "work_root", "state_dir")
        paths = {name: str(self.folder / name.partition("_")[0]) for name in names}
        content = {"paths": paths, "cluster": {"kind": "local"}, "containers": {"runtime": "host"}, **changes}
        file = self.folder / "neuroflow.yaml"
        file.write_text(yaml.safe_dump(content), encoding="utf-8")
        return NeuroflowConfig.find_and_load(file, check_files=False)

    def call(self, *arguments: object, config: bool = True) -> subprocess.CompletedProcess[str]:
        """Run neuroflow as the other user."""
        named = ["--config", self.folder / "neuroflow.yaml"] if config else []
        command = [self.python, "-m", "neuroflow.cli.main", *named, *arguments]
        return subprocess.run(
            [*map(str, command)],
            user=self.user,
            group=self.user,
            extra_groups=[],
            cwd="/",
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            timeout=60,
        )


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory, ordinary_user: str) -> Path:
    """A Python with our packages, for the other user."""
    if os.geteuid() != 0:
        pytest.skip("only root can act as another user")
    folder = tmp_path_factory.mktemp("python")
    for parent in [folder, *folder.parents[:3]]:
        if parent != Path("/tmp"):
            parent.chmod(0o755)
    return python_for(ordinary_user, folder)


@pytest.fixture
def theirs(open_folder: Path, python: Path, stranger: Stranger) -> Installation:
    """An installation of root's with one failed run."""
    made = Installation(open_folder, python, stranger.name)
    services = Services.from_config(made.config(), check_schema=False)
    services.database.upgrade()
    end_run(services.state, open_run(services.state, add_session(services.state)).id, success=False)
    services.database.close()
    return made


def seen(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]}


def test_a_database_that_others_may_read_is_read_and_left_as_it_is(theirs: Installation) -> None:
    theirs.state.chmod(0o755)
    (theirs.state / "neuroflow.db").chmod(0o644)
    before = seen(theirs.folder)
    found = json.loads(theirs.call("status", "--failed", "--json").stdout)
    assert (found["runs_total"], found["runs"][0]["scope"]) == (1, "sub-01/ses-a")
    assert "bids_conversion application" in theirs.call("status").stdout
    assert len(theirs.call("status", "--tsv").stdout.splitlines()) == 5
    assert seen(theirs.folder) == before


def test_of_a_closed_database_the_snapshot_that_was_opened_is_shown(theirs: Installation) -> None:
    snapshot = theirs.folder / "status.json"
    leave_snapshot(theirs.config(status={"snapshot": str(snapshot), "open": True}), at_once=True)
    answer = theirs.call("status")
    assert answer.returncode == 0, answer.stderr
    assert "closed to you; this is its snapshot" in answer.stderr
    assert f"(snapshot {snapshot})" in answer.stdout
    alone = theirs.call("status", "--snapshot", snapshot, config=False)
    assert (alone.returncode, alone.stderr) == (0, "")
    assert "bids_conversion application" in alone.stdout


def test_without_one_the_answer_is_no_and_what_to_ask_for(theirs: Installation) -> None:
    answer = theirs.call("status")
    assert answer.returncode == 4
    assert "is missing or closed to you" in answer.stderr
    assert "hint: is database.url right? Of another user's installation, read its snapshot" in answer.stderr


def test_a_snapshot_names_subjects_and_is_closed_unless_its_owner_opens_it(theirs: Installation) -> None:
    snapshot = theirs.folder / "status.json"
    leave_snapshot(theirs.config(status={"snapshot": str(snapshot)}), at_once=True)
    answer = theirs.call("status", "--snapshot", snapshot, config=False)
    assert answer.returncode == 2
    assert "`status.open: true` lets other users read it" in answer.stderr
