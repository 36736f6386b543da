"""A login node has other people's logins: what another user can reach, read and forge, tried as one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from neuroflow.cluster.folders import make_private_folder
from neuroflow.cluster.job import RECORD_NAME, SCHEMA
from neuroflow.cluster.records import read_exit_record
from neuroflow.cluster.submit import script_text
from neuroflow.config import NeuroflowConfig
from neuroflow.doctor.first_submission import refuse_unless_ready
from neuroflow.errors import ConfigError, NotReadyError
from tests.chain.site import Site
from tests.cluster_layer.builders import config_in, exit_record, python_job
from tests.security.conftest import Stranger

PING = """
import socket, sys
with socket.socket(socket.AF_UNIX) as client:
    client.connect(sys.argv[1])
    client.sendall(b"PING\\r\\n")
    print(client.recv(100))
"""
READ = "import sys; open(sys.argv[1], 'rb').read()"
WRITE = "import sys; open(sys.argv[1], 'w').write(sys.argv[2])"
LIST = "import os, sys; os.listdir(sys.argv[1])"


@pytest.mark.redis
def test_another_user_can_neither_reach_the_embedded_redis_nor_read_its_data(
    open_folder: Path, stranger: Stranger
) -> None:
    from neuroflow.cli.embedded_redis import start_embedded_redis

    config = Site(open_folder, {"redis": {"url": "embedded"}}).config()
    with start_embedded_redis(config) as server:
        assert stranger.is_refused(PING, server.socket)
        assert stranger.is_refused(LIST, config.paths.state_dir / "redis")
        # The door itself, should somebody open the folder around it.
        server.socket.parent.chmod(0o755)
        assert stranger.is_refused(PING, server.socket)
        assert (
            subprocess.run([sys.executable, "-c", PING, server.socket], capture_output=True).stdout
            == b"b'+PONG\\r\\n'\n"
        )


def test_another_user_can_read_nothing_of_the_state(open_folder: Path, stranger: Stranger) -> None:
    site = Site(open_folder)
    services = site.services()
    make_private_folder(services.config.attempts_dir / "nf-qsiprep-1-a")
    state = services.config.paths.state_dir
    found = [state, *state.rglob("*")]
    assert services.config.attempts_dir in found
    assert any(path.suffix == ".db" for path in found)
    for path in found:
        assert stranger.is_refused(LIST if path.is_dir() else READ, path), f"{path} is open"
    assert not stranger.is_refused(LIST, open_folder), "the folder around it is open, or this test shows nothing"


def test_nothing_is_submitted_first_from_a_state_folder_in_which_everybody_can_write(tmp_path: Path) -> None:
    site = Site(tmp_path, {"cluster": {"kind": "slurm"}, "redis": {"url": "embedded"}})
    state = site.services().config.paths.state_dir
    for mode in (0o777, 0o702):
        state.chmod(mode)
        with pytest.raises(NotReadyError, match=f"mend: chmod o-w {state}"):
            refuse_unless_ready(site.config())
    state.chmod(0o700)
    refuse_unless_ready(site.config())


def test_a_job_folder_is_closed_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        make_private_folder(tmp_path / "state" / "attempts" / "nf-qsiprep-1-a")
    finally:
        os.umask(before)
    assert (tmp_path / "state" / "attempts" / "nf-qsiprep-1-a").stat().st_mode & 0o777 == 0o700


def test_a_file_system_that_keeps_no_modes_is_no_place_for_job_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.chmod
    monkeypatch.setattr(os, "chmod", lambda path, mode: real(path, 0o777))  # as some mounts of a Windows share show all
    with pytest.raises(PermissionError, match="stays open to all users"):
        make_private_folder(tmp_path / "nf-qsiprep-1-a")


@pytest.mark.parametrize("attack", ["open to all", "another user's"])
def test_a_job_runs_nothing_from_a_folder_that_others_could_write_to(
    open_folder: Path, stranger: Stranger, attack: str
) -> None:
    """Run the job's own script with an `srun` that shows that it was reached: it would unpickle the payload."""
    job = python_job(open_folder, "pass")
    folder = Path(job.folder)
    config = config_in(open_folder, kind="slurm", python=sys.executable)
    script = open_folder / "script"
    script.write_text(script_text(job, config.cluster), encoding="utf-8")
    programs = open_folder / "bin"
    programs.mkdir()
    (programs / "srun").write_text("#!/bin/sh\necho reached\n", encoding="utf-8")
    (programs / "srun").chmod(0o755)
    environment = {"PATH": f"{programs}:{os.environ['PATH']}", "SLURM_JOB_ID": "7", "SLURM_CPUS_PER_TASK": "1"}

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(["bash", script], env=environment, capture_output=True, text=True, timeout=60)

    assert run().stdout == "reached\n"
    if attack == "open to all":
        folder.chmod(0o777)
        assert not stranger.is_refused(WRITE, folder / "payload.pkl", "anything"), "the attack itself works"
    else:
        os.chown(folder, stranger.uid, -1)
    answer = run()
    assert (answer.stdout, answer.returncode) == ("", 77)
    assert "open to all: nothing is run from it" in answer.stderr


def test_a_record_that_another_user_has_forged_is_no_evidence(open_folder: Path, stranger: Stranger) -> None:
    folder = open_folder / "nf-qsiprep-1-a"
    folder.mkdir()
    folder.chmod(0o777)
    record = json.dumps({"schema": SCHEMA, **asdict(exit_record(token="nf-qsiprep-1-a"))})
    path = folder / RECORD_NAME

    assert not stranger.is_refused(WRITE, path, record), "the attack itself works"
    assert read_exit_record(folder, token="nf-qsiprep-1-a") is None

    own = open_folder / "own"
    path.rename(own)
    assert not stranger.is_refused("import os, sys; os.symlink(*sys.argv[1:])", own, path)
    assert read_exit_record(folder, token="nf-qsiprep-1-a") is None

    path.unlink()
    path.write_text(record, encoding="utf-8")
    assert read_exit_record(folder, token="nf-qsiprep-1-a") is not None, "the same text of our own is one"
    assert read_exit_record(folder, token="nf-qsiprep-2-b") is None, "and of this attempt alone"


def test_a_configuration_from_a_folder_of_all_is_refused_unless_it_is_our_own(
    open_folder: Path, stranger: Stranger
) -> None:
    place = open_folder / "common"
    place.mkdir()
    place.chmod(0o1777)
    site = Site(open_folder / "site")
    text = yaml.safe_dump(yaml.safe_load(site.folder.config.read_text(encoding="utf-8")))
    assert not stranger.is_refused(WRITE, place / "neuroflow.yaml", text)
    with pytest.raises(ConfigError, match="everyone may write"):
        NeuroflowConfig.find_and_load(cwd=place, environ={})
