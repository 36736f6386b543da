"""`neuroflow up --status`: what it says, what it measures, and its exit codes; the lock that it looks at."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from neuroflow.cli.up_command import up_command
from neuroflow.cli.up_lock import AlreadyUpError, hold_up_lock, holder, read_status
from neuroflow.cli.up_usage import measure
from neuroflow.config import NeuroflowConfig
from tests.cli.test_supervise import is_running, write_config

WELL = {
    "name": "worker",
    "pid": os.getpid(),
    "state": "running",
    "starts": 2,
    "last_exit": -9,
    "health": "ok",
    "hung": 1,
}


def status(folder: Path, *arguments: str) -> Result:
    context = SimpleNamespace(config_path=write_config(folder, redis_url="redis://127.0.0.1:1/0"))
    return CliRunner().invoke(up_command, ["--status", *arguments], obj=context)


def report(folder: Path, **values: Any) -> Result:
    """Return the status as JSON while somebody holds the lock and says this of himself."""
    with hold_up_lock(folder / "state") as lock:
        lock.write_status({"services": [WELL], **values})
        return status(folder, "--json")


def test_nothing_runs_and_the_redis_of_redis_url_is_named_as_silent(tmp_path: Path) -> None:
    result = status(tmp_path)
    assert result.exit_code == 3
    assert result.output.startswith("not running")
    assert "problem: redis.url (redis://127.0.0.1:1/0) does not answer" in result.output


def test_a_running_one_tells_its_children_their_usage_and_what_is_wrong(tmp_path: Path) -> None:
    with hold_up_lock(tmp_path / "state") as lock:
        lock.write_status({"services": [WELL, {**WELL, "name": "beat", "health": "silent"}]})
        result = status(tmp_path)
    assert result.exit_code == 4
    assert "worker: running, process" in result.output
    assert "started 2 times, hung 1 times, last exit code -9" in result.output
    assert "beat is running, and gives no sign of life" in result.output
    assert "redis.url (redis://127.0.0.1:1/0) does not answer" in result.output
    assert "total" in result.output


def test_programs_get_the_usage_of_every_part_and_the_total(tmp_path: Path) -> None:
    told = json.loads(report(tmp_path).output)
    assert told["running"]
    names = [part["name"] for part in told["usage"]]
    assert names[0] == "up"
    assert names[-1] == "total"
    assert told["usage"][0]["rss_mb"] > 1
    assert told["redis"]["answers"] is False


def test_a_configuration_that_was_changed_since_is_a_problem(tmp_path: Path) -> None:
    told = json.loads(report(tmp_path, config_digest="another").output)
    assert told["config_outdated"]
    assert any("another configuration" in text for text in told["problems"])


def test_one_that_is_not_ready_yet_is_not_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answering = {"url": "", "answers": True, "error": "", "queues": {}, "taken": 0}
    monkeypatch.setattr("neuroflow.cli.up_status._redis", lambda config: answering)
    early = report(tmp_path, ready=False)
    assert early.exit_code == 4
    assert json.loads(early.output)["problems"] == ["it is not ready yet: not every service has given a sign of life"]
    assert report(tmp_path, ready=True).exit_code == 0


def test_json_goes_with_status_alone(tmp_path: Path) -> None:
    context = SimpleNamespace(config_path=write_config(tmp_path))
    result = CliRunner().invoke(up_command, ["--json"], obj=context)
    assert "--json goes with --status" in str(result.exception)


def test_the_processes_of_a_conversion_are_counted_though_their_worker_is_gone(tmp_path: Path) -> None:
    attempt = tmp_path / "attempts" / "nf-bids_conversion-1-abc"
    attempt.mkdir(parents=True)
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    command = [sys.executable, "-c", code, "-m", "submitit.core._submit", str(attempt)]
    job = subprocess.Popen(command, start_new_session=True)
    try:
        deadline = time.monotonic() + 20
        found: dict[str, int] = {}
        while found.get("conversions") != 2:
            assert time.monotonic() < deadline, found
            parts = measure(os.getpid(), [], state_dir=tmp_path, seconds=0.01)
            found = {part.name: part.processes for part in parts}
        assert found["total"] == found["up"] + 2
    finally:
        os.killpg(job.pid, signal.SIGKILL)
        job.wait()


# --- the lock ---


def foreign(folder: Path, *, seconds_ago: float) -> Path:
    """Write what another host's `neuroflow up` leaves, on a file system without locks across hosts."""
    state = folder / "state"
    state.mkdir(parents=True)
    (state / "up.lock").write_text(json.dumps({**holder(), "host": "login9", "pid": 7}))
    (state / "up.json").write_text(json.dumps({"host": "login9", "pid": 7, "services": []}))
    then = time.time() - seconds_ago
    os.utime(state / "up.json", (then, then))
    return state


def test_another_hosts_signs_of_life_are_respected_without_its_lock(tmp_path: Path) -> None:
    state = foreign(tmp_path, seconds_ago=20)
    with pytest.raises(AlreadyUpError, match=r"seems to run on login9 \(process 7\)") as caught, hold_up_lock(state):
        pass
    assert "--take-over" in caught.value.hint
    assert (read_status(state) or {}).get("host") == "login9"
    with hold_up_lock(state, take_over=True):
        pass


def test_the_lock_of_a_dead_host_is_taken(tmp_path: Path) -> None:
    state = foreign(tmp_path, seconds_ago=1000)
    assert read_status(state) is None
    with hold_up_lock(state):
        assert json.loads((state / "up.lock").read_text())["pid"] == os.getpid()
    assert json.loads((state / "up.lock").read_text()) == {}


def killed_one(state: Path, *, command: tuple[str, ...] = ("sleep", "60")) -> int:
    """Run one that is killed and leaves a worker, which says that it is there; return its process id."""
    code = (
        "import os, signal, subprocess, sys\n"
        "from pathlib import Path\n"
        "from neuroflow.cli.up_lock import hold_up_lock\n"
        "from neuroflow.cluster.process_table import local_id\n"
        "with hold_up_lock(Path(sys.argv[1])) as lock:\n"
        "    child = subprocess.Popen(['sh', '-c', 'echo >&2; exec \"$@\"', 'sh', *sys.argv[2:]],\n"
        "                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, pass_fds=(lock.descriptor,),\n"
        "                             start_new_session=True)\n"
        "    child.stderr.readline()\n"
        "    process = local_id(child.pid)\n"
        "    worker = {'name': 'worker', 'state': 'running', 'pid': child.pid, 'process': process}\n"
        "    lock.write_status({'services': [worker]})\n"
        "    print(child.pid, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code, str(state), *command], stdout=subprocess.PIPE, check=False, timeout=60
    )
    return int(killed.stdout)


def test_what_a_killed_one_left_is_ended_on_request(tmp_path: Path) -> None:
    child = killed_one(tmp_path)
    with pytest.raises(AlreadyUpError, match="is gone, but its services still end") as caught, hold_up_lock(tmp_path):
        pass
    assert "--take-over" in caught.value.hint
    with hold_up_lock(tmp_path, take_over=True):
        assert not is_running(child)


def test_what_a_killed_one_left_is_waited_for(tmp_path: Path) -> None:
    marker = tmp_path / "ended by itself"
    child = killed_one(tmp_path / "state", command=("sh", "-c", f"sleep 0.5; touch '{marker}'"))
    with hold_up_lock(tmp_path / "state", left_over_seconds=60):
        assert not is_running(child)
    assert marker.exists()


@pytest.mark.slow
@pytest.mark.parametrize("command", [("sleep", "60"), ("sh", "-c", "trap '' QUIT; while :; do sleep 1; done")])
def test_a_left_over_worker_that_never_ends_is_ended_when_its_time_is_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setattr("neuroflow.cli.left_over.ENDING_SECONDS", 2.0)
    child = killed_one(tmp_path, command=command)
    with hold_up_lock(tmp_path, left_over_seconds=0.1):
        assert not is_running(child)


def test_the_status_of_a_killed_one_does_not_say_that_it_runs(tmp_path: Path) -> None:
    child = killed_one(tmp_path / "state")
    try:
        result = status(tmp_path)
    finally:
        os.killpg(child, signal.SIGKILL)
    assert result.exit_code == 4
    assert result.output.startswith("killed: process ")
    assert "problem: the supervisor is gone" in result.output


def test_one_that_another_one_has_taken_over_meanwhile_is_left_alone(tmp_path: Path) -> None:
    child = killed_one(tmp_path)
    told = json.loads((tmp_path / "up.json").read_text())
    (tmp_path / "up.json").write_text(json.dumps({**told, "process": "1:1"}))
    try:
        with pytest.raises(AlreadyUpError, match="could not be ended"), hold_up_lock(tmp_path, take_over=True):
            pass
        assert is_running(child)
    finally:
        os.killpg(child, signal.SIGKILL)


def test_a_folder_that_is_closed_to_this_user_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "state" / "up.lock").parent.mkdir()
    (tmp_path / "state" / "up.lock").symlink_to("up.lock")  # an endless link: no user can open it
    config = NeuroflowConfig.find_and_load(write_config(tmp_path), environ={})
    with pytest.raises(Exception, match=r"up\.lock can't be read"):
        read_status(config.paths.state_dir)
