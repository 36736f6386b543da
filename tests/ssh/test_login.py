"""Who is let in, and who is refused, on a real sshd: host keys, keys, agents, jumps."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from neuroflow.cluster.ssh.connection import SshConnection
from neuroflow.cluster.ssh.transport import SshTransport
from neuroflow.config.ssh import Ssh
from neuroflow.errors import HostUnreachable
from tests.support.commands import run
from tests.support.sshd import Sshd, free_port, make_key, running_sshd


def say_hello(settings: Ssh) -> str:
    with closing(SshConnection(settings, sleep=lambda _: None)) as connection:
        return SshTransport(connection).run(("echo", "hello"), timeout=20).check().stdout


def refused(settings: Ssh) -> HostUnreachable:
    with pytest.raises(HostUnreachable) as caught:
        say_hello(settings)
    return caught.value


def fingerprint(key: Path) -> str:
    return run(["ssh-keygen", "-l", "-f", key]).split()[1]


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An agent of this test's own."""
    address = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(address)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    monkeypatch.setenv("SSH_AUTH_SOCK", str(address))
    yield
    process.terminate()
    process.wait(10)
    process.stdout.close()


@pytest.fixture(autouse=True)
def no_agent_of_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


class TestHostKeys:
    def test_a_known_host_is_entered_with_a_key(self, sshd: Sshd) -> None:
        assert say_hello(sshd.settings()) == "hello\n"

    def test_an_unknown_one_is_refused_and_never_added(self, sshd: Sshd, tmp_path: Path) -> None:
        known = tmp_path / "known_hosts"
        known.touch()
        error = refused(sshd.settings(known_hosts=known))
        assert error.lasting
        assert f"127.0.0.1:{sshd.port}" in str(error)
        assert fingerprint(sshd.host_key) in str(error)
        assert f"ssh-keyscan -p {sshd.port} -t ed25519 127.0.0.1" in error.hint
        assert known.read_text() == ""

    def test_what_the_message_asks_for_lets_it_in(self, sshd: Sshd, tmp_path: Path) -> None:
        known = tmp_path / "known_hosts"
        known.write_text(run(["ssh-keyscan", "-p", str(sshd.port), "-t", "ed25519", "127.0.0.1"]), encoding="utf-8")
        assert say_hello(sshd.settings(known_hosts=known)) == "hello\n"
        run(["ssh-keygen", "-H", "-f", known])  # the names hashed, as Debian and others do
        assert say_hello(sshd.settings(known_hosts=known)) == "hello\n"

    def test_a_changed_one_is_refused_loudly(self, sshd: Sshd, tmp_path: Path) -> None:
        other = make_key(tmp_path / "other")
        known = tmp_path / "known_hosts"
        known.write_text(f"[127.0.0.1]:{sshd.port} {other.with_suffix('.pub').read_text()}", encoding="utf-8")
        error = refused(sshd.settings(known_hosts=known))
        assert "HAS CHANGED" in str(error)
        assert fingerprint(sshd.host_key) in str(error)
        assert fingerprint(other) in str(error)
        assert f"ssh-keygen -R '[127.0.0.1]:{sshd.port}'" in error.hint

    def test_a_revoked_one_is_refused_though_it_is_known(self, sshd: Sshd, tmp_path: Path) -> None:
        line = sshd.known_hosts().read_text()
        known = tmp_path / "known_hosts"
        known.write_text(f"{line}@revoked * {line.split(maxsplit=1)[1]}", encoding="utf-8")
        assert "revoked" in str(refused(sshd.settings(known_hosts=known)))

    def test_a_file_that_is_named_has_to_be_there(self, sshd: Sshd, tmp_path: Path) -> None:
        assert "can't be read" in str(refused(sshd.settings(known_hosts=tmp_path / "absent")))


class TestKeys:
    def test_a_key_that_is_not_authorized_is_refused(self, sshd: Sshd, tmp_path: Path) -> None:
        key = make_key(tmp_path / "key")
        error = refused(sshd.settings(key_file=key))
        assert error.lasting
        assert str(key) in str(error)
        assert "authorized_keys" in error.hint

    def test_an_agent_holds_the_key(self, sshd: Sshd, agent: None) -> None:
        run(["ssh-add", "-q", sshd.user_key], env=dict(os.environ))
        assert say_hello(sshd.settings(key_file=None)) == "hello\n"

    @pytest.mark.parametrize("kind", ["ed25519", "rsa", "ecdsa"])
    def test_an_encrypted_key_needs_an_agent_and_nobody_is_asked(self, sshd: Sshd, tmp_path: Path, kind: str) -> None:
        key = make_key(tmp_path / "key", kind=kind, passphrase="secret")
        error = refused(sshd.settings(key_file=key))
        assert f"the key {key} is encrypted" in str(error)
        assert f"ssh-add {key}" in error.hint

    def test_of_an_encrypted_key_the_agents_is_taken(self, sshd: Sshd, tmp_path: Path, agent: None) -> None:
        key = make_key(tmp_path / "key", kind="rsa")
        run(["ssh-add", "-q", make_key(tmp_path / "another")], env=dict(os.environ))
        run(["ssh-add", "-q", key], env=dict(os.environ))
        run(["ssh-keygen", "-q", "-p", "-P", "", "-N", "secret", "-f", key])
        before = sshd.authorized.read_text()
        sshd.authorized.write_text(before + key.with_suffix(".pub").read_text())
        try:
            assert say_hello(sshd.settings(key_file=key)) == "hello\n"
        finally:
            sshd.authorized.write_text(before)

    def test_a_file_that_is_no_key_is_named(self, sshd: Sshd, tmp_path: Path) -> None:
        broken = tmp_path / "key"
        broken.write_text("no key", encoding="utf-8")
        assert f"the key {broken} can't be read" in str(refused(sshd.settings(key_file=broken)))

    def test_a_site_that_wants_a_second_factor_is_told_from_a_wrong_key(self, sshd: Sshd) -> None:
        with running_sshd(
            options=("AuthenticationMethods publickey,hostbased", "HostbasedAuthentication yes")
        ) as strict:
            error = refused(strict.settings())
        assert "wants more than a key: hostbased" in str(error)
        assert "second factor" in error.hint


class TestTheWay:
    def test_a_host_that_is_away_is_named(self, sshd: Sshd) -> None:
        error = refused(sshd.settings(port=free_port()))
        assert not error.lasting
        assert "can't be reached" in str(error)

    def test_a_jump_host_leads_on_and_is_checked_itself(self, sshd: Sshd, tmp_path: Path) -> None:
        with running_sshd() as gate:
            gate.authorized.write_text(sshd.user_key.with_suffix(".pub").read_text())
            both = tmp_path / "known_hosts"
            both.write_text(sshd.known_hosts().read_text() + gate.known_hosts().read_text(), encoding="utf-8")
            jump = f"127.0.0.1:{gate.port}"
            before = gate.accepted()
            assert say_hello(sshd.settings(jump=jump, known_hosts=both)) == "hello\n"
            assert gate.accepted() == before + 1

            both.write_text(sshd.known_hosts().read_text(), encoding="utf-8")
            error = refused(sshd.settings(jump=jump, known_hosts=both))
            assert fingerprint(gate.host_key) in str(error)
            both.write_text(gate.known_hosts().read_text(), encoding="utf-8")
            error = refused(sshd.settings(jump=jump, known_hosts=both))
            assert fingerprint(sshd.host_key) in str(error)
