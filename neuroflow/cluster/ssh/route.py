"""Find the way to a host: what our configuration and ssh's own say of it, and of the hosts before it."""

from __future__ import annotations

import getpass
from dataclasses import dataclass
from pathlib import Path

from paramiko import ConfigParseError, SSHConfig

from neuroflow.config.ssh import Ssh
from neuroflow.errors import ConfigError

DEFAULT_PORT = 22
_SYSTEM_HOSTS = Path("/etc/ssh/ssh_known_hosts")


@dataclass(frozen=True)
class Hop:
    """One host on the way."""

    address: str
    port: int
    user: str
    key_files: tuple[Path, ...]  # the only keys that it is offered, if there are any
    known_as: str  # its name in the files of known hosts

    def __str__(self) -> str:
        port = "" if self.port == DEFAULT_PORT else f":{self.port}"
        return f"{self.user}@{self.address}{port}"


def route_to(settings: Ssh) -> tuple[Hop, ...]:
    """Return the hosts on the way, the login node last.

    Raises:
        ConfigError: when ssh's configuration can't be read, or asks for what is not supported.
    """
    config = _ssh_config(settings)
    found = config.lookup(str(settings.host))
    if found.get("proxycommand", "none") != "none":
        raise ConfigError(
            f"ssh's configuration has a ProxyCommand for '{settings.host}', which is not supported",
            hint="use ProxyJump there, or cluster.ssh.jump",
        )
    jump = settings.jump or found.get("proxyjump", "")
    own_keys = (settings.key_file,) if settings.key_file is not None else None
    jumps = [_jump(config, text.strip(), own_keys) for text in jump.split(",") if text.strip() not in ("", "none")]
    target = _hop(config, str(settings.host), user=settings.user, port=settings.port, keys=own_keys)
    return (*jumps, target)


def known_hosts_files(settings: Ssh) -> tuple[Path, ...]:
    """Return the files of known host keys that are read; one that is named has to be there."""
    if settings.known_hosts is not None:
        return (settings.known_hosts,)
    return tuple(path for path in (Path("~/.ssh/known_hosts").expanduser(), _SYSTEM_HOSTS) if path.exists())


def _ssh_config(settings: Ssh) -> SSHConfig:
    path = settings.config_file or Path("~/.ssh/config").expanduser()
    if settings.config_file is None and not path.exists():
        return SSHConfig()
    try:
        return SSHConfig.from_path(str(path))
    except (OSError, ConfigParseError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"ssh's configuration {path} can't be read: {error}", hint="see cluster.ssh.config_file"
        ) from error


def _jump(config: SSHConfig, text: str, keys: tuple[Path, ...] | None) -> Hop:
    """Read one host of a ProxyJump: `user@host:port`, or a name in ssh's configuration."""
    user, at, rest = text.rpartition("@")
    host, colon, port = rest.rpartition(":")
    if not colon or not port.isdigit():
        host, port = rest, ""
    return _hop(config, host.strip("[]"), user=user if at else None, port=int(port) if port else None, keys=keys)


def _hop(config: SSHConfig, name: str, *, user: str | None, port: int | None, keys: tuple[Path, ...] | None) -> Hop:
    found = config.lookup(name)
    address = found.get("hostname", name)
    at = port or int(found.get("port", DEFAULT_PORT))
    files = keys if keys is not None else tuple(Path(path).expanduser() for path in found.get("identityfile", ()))
    known = found.get("hostkeyalias") or (address if at == DEFAULT_PORT else f"[{address}]:{at}")
    return Hop(address, at, user or found.get("user") or getpass.getuser(), files, known)
