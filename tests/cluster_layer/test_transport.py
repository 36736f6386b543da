"""Commands end, whatever they do, and see nothing of our environment that they should not."""

from __future__ import annotations

import os
import sys
import time
import traceback
from pathlib import Path
from types import FrameType

import pytest

from neuroflow.cluster.transport import LocalTransport, scrubbed
from neuroflow.errors import CommandError


def test_both_streams_and_the_exit_code_come_back() -> None:
    answer = LocalTransport().run(("sh", "-c", "echo out; echo err >&2; exit 3"), timeout=10)
    assert (answer.exit_code, answer.stdout, answer.stderr) == (3, "out\n", "err\n")
    with pytest.raises(CommandError, match="ended with 3: err") as caught:
        answer.check()
    assert (caught.value.returncode, caught.value.stdout, caught.value.stderr) == (3, "out\n", "err\n")


def test_a_command_that_fills_both_pipes_does_not_hang() -> None:
    code = "import sys; sys.stderr.write('e' * 400_000); sys.stdout.write('o' * 400_000)"
    answer = LocalTransport().run((sys.executable, "-c", code), timeout=30)
    assert (len(answer.stdout), len(answer.stderr)) == (400_000, 400_000)


def test_input_reaches_the_command() -> None:
    assert LocalTransport().run(("cat",), timeout=10, input="héllo").stdout == "héllo"


def test_a_time_limit_ends_the_command_and_its_children(tmp_path: Path) -> None:
    script = f"(sleep 30; touch '{tmp_path}/late') & echo id; echo $! > '{tmp_path}/pid'; sleep 30"
    begun = time.monotonic()
    with pytest.raises(CommandError, match=r"did not end within 0\.5 s") as caught:
        LocalTransport().run(("sh", "-c", script), timeout=0.5)
    assert caught.value.timed_out
    assert caught.value.stdout == "id\n"
    assert time.monotonic() - begun < 10
    child = int((tmp_path / "pid").read_text())
    stat = Path(f"/proc/{child}/stat")
    assert not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"


def test_a_missing_program_is_named_and_is_no_time_out() -> None:
    with pytest.raises(CommandError, match="`no-such-sbatch` can't be started") as caught:
        LocalTransport().run(("no-such-sbatch",), timeout=1)
    assert caught.value.returncode == 127
    assert not caught.value.timed_out


def test_an_exception_that_interrupts_the_wait_is_passed_on_and_leaves_no_orphan(tmp_path: Path) -> None:
    import signal

    class SoftTimeLimitExceeded(Exception):
        pass

    pid = tmp_path / "pid"

    def interrupt(number: int, frame: FrameType | None) -> None:
        is_waited_for = any(one.f_code.co_name == "communicate" for one, _ in traceback.walk_stack(frame))
        if is_waited_for and pid.exists() and pid.read_text():
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise SoftTimeLimitExceeded

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
    try:
        with pytest.raises(SoftTimeLimitExceeded):
            LocalTransport().run(("sh", "-c", f"echo $$ > '{pid}'; exec sleep 60"), timeout=50)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert not Path("/proc", pid.read_text().strip()).exists()


@pytest.mark.parametrize(
    "name",
    ["SBATCH_TIMELIMIT", "SLURM_JOB_ID", "SUBMITIT_EXECUTOR", "APPTAINER_BIND", "NEUROFLOW_REDIS__URL", "PYTHONPATH"],
)
def test_what_would_override_or_leak_is_dropped(name: str) -> None:
    assert scrubbed({name: "x"}) == {}


@pytest.mark.parametrize("name", ["PATH", "HOME", "LC_ALL", "SLURM_CONF", "MODULEPATH", "BASH_FUNC_module%%"])
def test_what_commands_need_is_kept(name: str) -> None:
    assert scrubbed({name: "x"}) == {name: "x"}


def test_the_command_itself_sees_the_scrubbed_environment() -> None:
    transport = LocalTransport({**os.environ, "SBATCH_PARTITION": "wrong", "NEUROFLOW_DATABASE__URL": "secret"})
    names = transport.run(("env",), timeout=10).stdout
    assert "SBATCH" not in names
    assert "secret" not in names
