"""Commands over a real SSH connection: what arrives, what comes back, and what happens when the connection is cut."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from neuroflow.cluster.answers import translated
from neuroflow.cluster.ssh.connection import SshConnection, connection_to
from neuroflow.cluster.ssh.transport import SshTransport
from neuroflow.errors import CommandError, HostUnreachable, SubmissionRefused, SubmissionUncertain
from tests.ssh.test_command import HOSTILE
from tests.support.cutting_proxy import CuttingProxy
from tests.support.sshd import Sshd, end

SECONDS = 20.0


def wait_for(happened: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not happened():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def out_of(transport: SshTransport, *argv: str) -> str:
    return transport.run(argv, timeout=SECONDS).check().stdout


class TestAnswers:
    def test_arguments_arrive_as_they_were(self, transport: SshTransport) -> None:
        assert out_of(transport, "printf", "<%s>", *HOSTILE) == "".join(f"<{word}>" for word in HOSTILE)

    def test_exit_code_and_both_streams_come_back(self, transport: SshTransport) -> None:
        done = transport.run(("sh", "-c", "echo out; echo err >&2; exit 3"), timeout=SECONDS)
        assert (done.exit_code, done.stdout, done.stderr) == (3, "out\n", "err\n")

    def test_input_is_given_and_ends(self, transport: SshTransport) -> None:
        text = "line\n" * 100_000
        assert transport.run(("cat",), timeout=SECONDS, input=text).stdout == text

    def test_a_command_may_leave_its_input_unread(self, transport: SshTransport) -> None:
        assert transport.run(("sh", "-c", "exit 3"), timeout=SECONDS, input="x" * 8_000_000).exit_code == 3

    def test_much_on_both_streams_does_not_hang(self, transport: SshTransport) -> None:
        script = "head -c 400000 /dev/zero | tr '\\0' e >&2; head -c 3000000 /dev/zero | tr '\\0' o"
        done = transport.run(("sh", "-c", script), timeout=SECONDS)
        assert (len(done.stdout), len(done.stderr)) == (3_000_000, 400_000)

    def test_what_login_scripts_print_is_left_out(self, sshd: Sshd, transport: SshTransport) -> None:
        sshd.write_profile("echo 'Welcome! 4711'; echo 'quota: 99 %' >&2; printf 'no end of line'")
        done = transport.run(("sh", "-c", "echo 12; echo no >&2"), timeout=SECONDS)
        assert (done.stdout, done.stderr) == ("12\n", "no\n")

    def test_login_scripts_say_where_programs_are_and_what_would_steer_slurm_is_dropped(
        self, sshd: Sshd, transport: SshTransport, tmp_path: Path
    ) -> None:
        program = tmp_path / "site-sbatch"
        program.write_text("#!/bin/sh\nenv\n", encoding="utf-8")
        program.chmod(0o755)
        sshd.write_profile(f"export PATH=$PATH:{tmp_path} SBATCH_QOS=evil SLURM_CONF=/etc/site.conf APPTAINER_BIND=/x")
        names = {line.partition("=")[0] for line in out_of(transport, "site-sbatch").splitlines()}
        assert {"PATH", "SLURM_CONF", "HOME"} <= names
        assert not {"SBATCH_QOS", "APPTAINER_BIND", "SSH_CONNECTION"} & names

    def test_a_program_that_is_missing_is_named_with_its_host(self, transport: SshTransport) -> None:
        with pytest.raises(CommandError, match=r"`sbatchh` can't be started on .*127\.0\.0\.1") as caught:
            transport.run(("sbatchh", "--parsable"), timeout=SECONDS)
        assert caught.value.returncode == 127

    def test_an_account_without_a_shell_is_unreachable(self, sshd: Sshd, transport: SshTransport) -> None:
        sshd.write_profile("echo 'no service today' >&2; exit 1")
        with pytest.raises(HostUnreachable, match="did not run a command: no service today"):
            transport.run(("sbatch",), timeout=SECONDS)


class TestTimeLimits:
    def test_a_command_that_hangs_is_ended_there_too(self, transport: SshTransport, tmp_path: Path) -> None:
        child = "echo $$ >{}; sleep 1000 & sleep 1000".format
        with pytest.raises(CommandError, match="did not end within") as caught:
            transport.run(("sh", "-c", child(tmp_path / "pid")), timeout=0.5)
        assert caught.value.timed_out
        pid = int((tmp_path / "pid").read_text())
        wait_for(lambda: not Path(f"/proc/{pid}").exists(), "it lives on")

    def test_a_login_script_that_hangs_is_given_up(self, sshd: Sshd, connection: SshConnection) -> None:
        sshd.write_profile("sleep 30")
        with pytest.raises(CommandError) as caught:
            SshTransport(connection, slack_seconds=0.5).run(("true",), timeout=0.5)
        assert caught.value.timed_out

    def test_an_interruption_ends_the_command_and_passes_through(
        self, transport: SshTransport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class SoftTimeLimitExceeded(Exception):
            pass

        def interrupted(channel: object, *, seconds: float) -> None:
            if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text():
                raise SoftTimeLimitExceeded
            time.sleep(0.02)

        monkeypatch.setattr("neuroflow.cluster.ssh.transport._wait", interrupted)
        with pytest.raises(SoftTimeLimitExceeded):
            transport.run(("sh", "-c", f"echo $$ >{tmp_path}/pid; sleep 1000"), timeout=SECONDS)
        pid = int((tmp_path / "pid").read_text())
        wait_for(lambda: not Path(f"/proc/{pid}").exists(), "it lives on")


class TestCuts:
    def cut_while_running(
        self, transport: SshTransport, started: Path, cut: Callable[[], None], script: str = "sleep 1000"
    ) -> CommandError:
        """Cut the way once a command has started, and return what its caller sees."""

        def at_the_right_moment() -> None:
            wait_for(started.exists, "the command did not start")
            cut()

        cutter = threading.Thread(target=at_the_right_moment)
        cutter.start()
        with pytest.raises(CommandError) as caught:
            transport.run(("sh", "-c", f"touch {started}; {script}"), timeout=SECONDS)
        cutter.join()
        return caught.value

    def test_a_command_whose_connection_is_cut_has_no_usable_answer(
        self, transport: SshTransport, proxy: CuttingProxy, tmp_path: Path
    ) -> None:
        error = self.cut_while_running(transport, tmp_path / "started", proxy.cut)
        assert error.returncode is None
        assert isinstance(translated(error), SubmissionUncertain), "the job may exist"
        assert out_of(transport, "echo", "again") == "again\n", "the next command has a new connection"
        assert proxy.accepted == 2

    def test_the_death_of_sshds_process_is_no_answer_either(
        self, sshd: Sshd, transport: SshTransport, tmp_path: Path
    ) -> None:
        out_of(transport, "true")
        newest = sshd.connections()
        error = self.cut_while_running(transport, tmp_path / "started", lambda: [end(pid) for pid in newest] and None)
        assert error.returncode is None
        assert out_of(transport, "echo", "again") == "again\n"

    def test_a_command_goes_on_without_its_connection_until_its_limit(
        self, transport: SshTransport, proxy: CuttingProxy, tmp_path: Path
    ) -> None:
        script = f"sleep 0.5; echo 12 >{tmp_path}/job"
        assert self.cut_while_running(transport, tmp_path / "started", proxy.cut, script).returncode is None
        wait_for((tmp_path / "job").exists, "sbatch would not have made its job")

    def test_a_connection_that_died_between_two_commands_is_made_anew(
        self, transport: SshTransport, proxy: CuttingProxy
    ) -> None:
        out_of(transport, "true")
        proxy.cut()
        assert out_of(transport, "echo", "again") == "again\n"

    def test_a_login_node_that_is_away_refuses_and_is_left_alone_for_a_while(
        self, sshd: Sshd, proxy: CuttingProxy
    ) -> None:
        now, slept = [0.0], []
        connection = SshConnection(sshd.settings(port=proxy.port), sleep=slept.append, clock=lambda: now[0])
        transport = SshTransport(connection)
        proxy.accepting = False
        with pytest.raises(HostUnreachable) as caught:
            transport.run(("sbatch",), timeout=SECONDS)
        refusal = translated(caught.value)
        assert isinstance(refusal, SubmissionRefused), "there is no job"
        assert refusal.transient
        assert len(slept) == 2, "it tried three times"
        with pytest.raises(HostUnreachable):
            transport.run(("sbatch",), timeout=SECONDS)
        assert len(slept) == 2, "and then not again before the pause is over"
        proxy.accepting = True
        now[0] = 6.0
        assert out_of(transport, "echo", "again") == "again\n"
        connection.close()


class TestSharing:
    def test_threads_share_one_connection(self, transport: SshTransport, proxy: CuttingProxy) -> None:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda number: out_of(transport, "echo", str(number)), range(16)))
        assert answers == [f"{number}\n" for number in range(16)]
        assert proxy.accepted == 1

    def test_a_process_has_one_connection_to_a_login_node(self, sshd: Sshd) -> None:
        assert connection_to(sshd.settings()) is connection_to(sshd.settings())
        assert connection_to(sshd.settings()) is not connection_to(sshd.settings(user="somebody"))

    def test_a_child_process_makes_its_own_and_leaves_its_parents_alone(
        self, transport: SshTransport, proxy: CuttingProxy
    ) -> None:
        out_of(transport, "true")
        child = os.fork()
        if child == 0:
            code = 1
            try:
                code = 0 if out_of(transport, "echo", "child") == "child\n" else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert proxy.accepted == 2
        assert out_of(transport, "echo", "parent") == "parent\n"
        assert proxy.accepted == 2

    def test_an_idle_connection_is_given_back(self, sshd: Sshd, proxy: CuttingProxy) -> None:
        connection = SshConnection(sshd.settings(port=proxy.port), idle_seconds=0.2)
        transport = SshTransport(connection)
        out_of(transport, "true")
        wait_for(lambda: not connection._is_alive(), "it is kept")
        assert out_of(transport, "echo", "again") == "again\n"
        connection.close()
