"""Two operators of one UNIX group run one installation; a third user of the machine sees nothing of it."""

from __future__ import annotations

import grp
import json
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from neuroflow import sharing
from neuroflow.cluster.files import read_own_file
from tests.chain.fast_pipeline import DOWNSTREAM, PIPELINE, FastSite
from tests.chain.test_ordinary_user import command_line, give, python_for
from tests.support.require import require
from tests.support.slurm import Slurm

pytestmark = [pytest.mark.slow, pytest.mark.slurm, pytest.mark.redis]

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make users and to become them")
GROUP, MATE, STRANGER = "nflab", "nfmate", "nfstranger"
ADD_SESSIONS = """
import sys
from pathlib import Path
from neuroflow.config import NeuroflowConfig
from neuroflow.domain import FoundSession, Series
from neuroflow.orchestrator.services import Services
services = Services.from_config(NeuroflowConfig.find_and_load(Path(sys.argv[1])))
series = (Series("1.2", 1, "dwi", "dwi", "MR", 20, 20, True),)
found = [FoundSession("01", label, f"/d/01/{label}", "f", 20, 20, 0.0, series) for label in sys.argv[2:]]
services.state.record_scan(found, settle_minutes=0)
"""
# 0001 works until it is cancelled, 0002 fails until it is mended.
WORK = """
case $session in
    0001) sleep 300 ;;
    0002) [ -e "{mended}" ] || exit 1 ;;
esac
"""


@dataclass
class SharedSite:
    """One installation, and the people around it."""

    site: FastSite
    python: Path
    owner: str

    def call(self, user: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run neuroflow as a user."""
        command = command_line(user, self.python, self.site, *arguments)
        return subprocess.run(command, cwd="/", capture_output=True, text=True, check=False, timeout=120)

    def ok(self, user: str, *arguments: str) -> str:
        """Run neuroflow as a user, without an error."""
        done = self.call(user, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def runs(self, user: str) -> dict[str, dict[str, object]]:
        """Return the newest QSIRecon run of each session."""
        found = json.loads(self.ok(user, "runs", "list", "--json"))["runs"]
        return {run["session"]: run for run in reversed(found) if run["pipeline"] == PIPELINE}

    @contextmanager
    def up(self, user: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run `neuroflow up` as a user until the block ends."""
        with (self.site.root.parent / f"up-{user}.log").open("wb") as log:
            process = subprocess.Popen(
                command_line(user, self.python, self.site, "up"), cwd="/", stdout=log, stderr=subprocess.STDOUT
            )
        try:
            self.wait(lambda: '"ready": true' in self.call(user, "up", "--status", "--json").stdout, process)
            yield process
        finally:
            process.terminate()
            process.wait(90)

    def wait(self, condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
        """Wait until something has happened."""
        deadline = time.monotonic() + 120
        while not condition():
            logs = [path.read_text(errors="replace")[-3000:] for path in self.site.root.parent.glob("up-*.log")]
            assert process.poll() is None, logs
            assert time.monotonic() < deadline, logs
            time.sleep(0.5)


def make_users(owner: str) -> None:
    """Make the group and its people, unless they are there."""
    if GROUP not in {entry.gr_name for entry in grp.getgrall()}:
        subprocess.run(["groupadd", GROUP], check=True, timeout=60)
    for name in (MATE, STRANGER):
        if name not in {entry.pw_name for entry in pwd.getpwall()}:
            subprocess.run(["useradd", "--create-home", name], check=True, timeout=60)
    for name in (owner, MATE):
        subprocess.run(["usermod", "--append", "--groups", GROUP, name], check=True, timeout=60)


@pytest.fixture
def shared(ordinary_user: str, slurm: Slurm) -> Iterator[SharedSite]:
    """An installation that `ordinary_user` made, for the group."""
    require("redis", shutil.which("redis-server") is not None, "install redis-server")
    make_users(ordinary_user)
    home = Path(tempfile.mkdtemp(prefix="nfgroup-"))
    home.chmod(0o755)
    changes = {
        "paths": {"group": GROUP},
        "redis": {"url": "embedded"},
        "celery": {"hint_lifetime": 20},
        "workflow": {"retry": {"max_attempts": 1}},
        "cluster": {"array_size": 1},
    }
    site = FastSite(home / "site", slurm, changes, extra=WORK.format(mended=home / "mended"))
    python = python_for(ordinary_user, home)
    give(ordinary_user, site.root)
    yield SharedSite(site, python, ordinary_user)
    shutil.rmtree(home, ignore_errors=True)


@needs_root
def test_a_mate_runs_commands_that_the_service_of_the_other_one_carries_out(shared: SharedSite) -> None:
    state = shared.site.root / "state"
    shared.ok(shared.owner, "db", "upgrade")
    as_owner = ["runuser", "-u", shared.owner, "--", str(shared.python), "-c", ADD_SESSIONS]
    subprocess.run([*as_owner, str(shared.site.folder.config), "0001", "0002"], cwd="/", check=True, timeout=60)
    with shared.up(shared.owner) as up:
        shared.wait(lambda: ended(shared, "0002", "failed") and ended(shared, "0001", "running"), up)

        told = json.loads(shared.ok(MATE, "up", "--status", "--json"))
        assert told["user"] == shared.owner
        assert told["usage"][-1]["rss_mb"] > 50
        assert "0001" in shared.ok(MATE, "runs", "list")

        (shared.site.root.parent / "mended").touch()
        shared.ok(MATE, "runs", "retry", str(shared.runs(MATE)["0002"]["id"]))
        shared.ok(MATE, "tick")  # its squeue may not list the owner's jobs: they are not taken for lost
        run = shared.runs(MATE)["0001"]
        assert run["status"] == "running"
        shared.ok(MATE, "runs", "cancel", str(run["id"]))
        shared.wait(lambda: ended(shared, "0002", "completed") and not jobs_of(shared.owner), up)
        assert shared.runs(MATE)["0001"]["status"] == "cancelled"

        nobody_else_sees_anything(shared)
        assert "already runs" in shared.call(MATE, "up").stderr
    with shared.up(MATE):
        assert json.loads(shared.ok(shared.owner, "up", "--status", "--json"))["user"] == MATE
    assert state.stat().st_mode & 0o7777 == 0o2770
    for path in [*(state / "attempts").iterdir(), state / "neuroflow.db"]:
        assert path.stat().st_gid == grp.getgrnam(GROUP).gr_gid, path
        assert path.stat().st_mode & 0o007 == 0, path


def ended(shared: SharedSite, session: str, status: str) -> bool:
    return shared.runs(shared.owner).get(session, {}).get("status") == status


def jobs_of(user: str) -> list[str]:
    """List that user's jobs that are named like attempts of these tests."""
    command = ["squeue", "-h", "-u", user, "-o", "%j"]
    names = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.split()
    return [name for name in names if name.startswith((f"nf-{PIPELINE}-", f"nf-{DOWNSTREAM}-"))]


def nobody_else_sees_anything(shared: SharedSite) -> None:
    """A user outside of the group reads no file and no folder, and can run no command."""
    for command in (("status",), ("up", "--status"), ("runs", "list")):
        done = shared.call(STRANGER, *command)
        assert done.returncode != 0, done.stdout
        assert "Traceback" not in done.stderr
    folders = [shared.site.root / name for name in ("state", "work", "bids", "derivatives")]
    look = ["runuser", "-u", STRANGER, "--", "find", *map(str, filter(Path.is_dir, folders)), "-readable"]
    seen = subprocess.run(look, capture_output=True, text=True, check=False, timeout=60).stdout
    assert seen == ""


@needs_root
def test_a_record_forged_by_somebody_outside_of_the_group_is_refused(
    ordinary_user: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_users(ordinary_user)
    monkeypatch.setattr(sharing, "_process", sharing._Process(shares=True))
    folder = tmp_path / "attempt"
    folder.mkdir()
    os.chown(folder, pwd.getpwnam(ordinary_user).pw_uid, grp.getgrnam(GROUP).gr_gid)
    folder.chmod(0o2770)
    record = folder / "exit.json"
    record.write_text("{}")
    os.chown(record, pwd.getpwnam(MATE).pw_uid, -1)
    assert read_own_file(record, limit_bytes=100) == b"{}"
    os.chown(record, pwd.getpwnam(STRANGER).pw_uid, -1)
    with pytest.raises(ValueError, match="belongs to user"):
        read_own_file(record, limit_bytes=100)
    os.chown(record, pwd.getpwnam(MATE).pw_uid, -1)
    monkeypatch.setattr(sharing, "_process", sharing._Process(shares=False))
    with pytest.raises(ValueError, match="belongs to user"):
        read_own_file(record, limit_bytes=100)
    monkeypatch.setattr(sharing, "_process", sharing._Process(shares=True))
    # A folder that others may write to is nobody's word, whoever owns the file.
    folder.chmod(0o2777)
    with pytest.raises(ValueError, match="belongs to user"):
        read_own_file(record, limit_bytes=100)
