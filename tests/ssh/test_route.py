"""The way to a login node: our own configuration goes before ssh's."""

from __future__ import annotations

from pathlib import Path

import pytest

from neuroflow.cluster.ssh.route import Hop, route_to
from neuroflow.config.ssh import Ssh
from neuroflow.errors import ConfigError

CONFIG = """
Host hpc
    HostName login1.hpc.example.org
    User us123
    Port 2200
    IdentityFile /keys/hpc
    ProxyJump gate
Host gate
    HostName gate.example.org
    User them
Host alias
    HostName 10.0.0.7
    HostKeyAlias login.example.org
Host socks
    ProxyCommand nc -x proxy %h %p
"""


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    path = tmp_path / "ssh_config"
    path.write_text(CONFIG, encoding="utf-8")
    return path


def test_names_of_sshs_configuration_are_followed_through_its_jumps(config_file: Path) -> None:
    gate, login = route_to(Ssh(host="hpc", config_file=config_file))
    assert login == Hop("login1.hpc.example.org", 2200, "us123", (Path("/keys/hpc"),), "[login1.hpc.example.org]:2200")
    assert (gate.address, gate.port, gate.user, gate.known_as) == ("gate.example.org", 22, "them", "gate.example.org")


def test_our_own_configuration_goes_first(config_file: Path) -> None:
    settings = Ssh(
        host="hpc", port=22, user="me", key_file=Path("/keys/mine"), jump="you@other:2022,gate", config_file=config_file
    )
    other, gate, login = route_to(settings)
    assert (login.port, login.user, login.key_files) == (22, "me", (Path("/keys/mine"),))
    assert (other.address, other.port, other.user) == ("other", 2022, "you")
    assert (gate.address, gate.user) == ("gate.example.org", "them")


def test_no_jump_can_be_asked_for(config_file: Path) -> None:
    assert len(route_to(Ssh(host="hpc", jump="none", config_file=config_file))) == 1


def test_a_host_key_alias_is_what_known_hosts_calls_it(config_file: Path) -> None:
    (login,) = route_to(Ssh(host="alias", config_file=config_file))
    assert (login.address, login.known_as) == ("10.0.0.7", "login.example.org")


def test_a_proxy_command_is_refused_and_not_ignored(config_file: Path) -> None:
    with pytest.raises(ConfigError, match="ProxyCommand"):
        route_to(Ssh(host="socks", config_file=config_file))


def test_a_configuration_that_is_named_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't be read"):
        route_to(Ssh(host="hpc", config_file=tmp_path / "absent"))
