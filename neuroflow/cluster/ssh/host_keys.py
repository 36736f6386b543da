"""Refuse a host that does not show a key that somebody has checked; none is ever added here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from paramiko import HostKeys, PKey, Transport
from paramiko.hostkeys import InvalidHostKey

from neuroflow.cluster.ssh.route import Hop
from neuroflow.errors import HostUnreachable

_SHA2_OF_RSA = ("rsa-sha2-512", "rsa-sha2-256")


class KnownHosts:
    """The host keys of one or more files in the format of OpenSSH."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files
        self._keys = HostKeys()
        self._revoked: set[str] = set()
        for path in files:
            self._load(path)

    def _load(self, path: Path) -> None:
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            self._keys.load(str(path))
        except (OSError, InvalidHostKey) as error:
            raise HostUnreachable(
                f"the known host keys in {path} can't be read: {error}",
                lasting=True,
                hint="see cluster.ssh.known_hosts; `man sshd` describes the format",
            ) from error
        self._revoked.update(word for line in lines if line.startswith("@revoked") for word in line.split()[2:])

    def prefer(self, transport: Transport, hop: Hop) -> None:
        """Ask a host for a key of a type that is known of it, before all others."""
        known = self._known(hop)
        wanted = [name for key in known for name in (_SHA2_OF_RSA if key == "ssh-rsa" else (key,))]
        options = transport.get_security_options()
        first = [name for name in wanted if name in options.key_types]
        if first:
            options.key_types = [*first, *(name for name in options.key_types if name not in first)]

    def check(self, hop: Hop, key: PKey) -> None:
        """Accept a host's key.

        Raises:
            HostUnreachable: when it is unknown, or another one than it was.
        """
        if key.get_base64() in self._revoked:
            raise HostUnreachable(f"the key of {hop} is revoked: {_shown(key)}", lasting=True, hint="ask its admins")
        known = self._known(hop)
        if not known:
            raise self._unknown(hop, key)
        expected = known.get(key.get_name())
        if expected == key:
            return
        if expected is None:
            raise self._unknown(hop, key, others=known.keys())
        raise HostUnreachable(
            f"THE HOST KEY OF {hop} HAS CHANGED: it shows {_shown(key)}, and known is {_shown(expected)} "
            f"(in {self._named()}). Somebody may be listening in between; nothing was sent",
            lasting=True,
            hint=f"ask the cluster's admins for the fingerprint; only if it is the new one, `ssh-keygen -R "
            f"'{hop.known_as}'` and add the new key",
        )

    def _known(self, hop: Hop) -> dict[str, PKey]:
        found = self._keys.lookup(hop.known_as)
        return {} if found is None else {name: found[name] for name in found.keys()}  # noqa: SIM118 - no real mapping

    def _unknown(self, hop: Hop, key: PKey, *, others: Iterable[str] = ()) -> HostUnreachable:
        also = f"; keys of other types are known: {', '.join(others)}" if others else ""
        port = f"-p {hop.port} " if hop.port != 22 else ""
        return HostUnreachable(
            f"the host key of {hop} is unknown: {_shown(key)}, and {self._named()} does not have it{also}",
            lasting=True,
            hint=f"compare this fingerprint with the one that the cluster's documentation names; if they agree, add "
            f"the line of `ssh-keyscan {port}-t {_short(key)} {hop.address}`",
        )

    def _named(self) -> str:
        return " or ".join(map(str, self._files)) or "~/.ssh/known_hosts"


def _shown(key: PKey) -> str:
    return f"{key.get_name()} {key.fingerprint}"


def _short(key: PKey) -> str:
    """Return a key's type as ssh-keyscan takes it."""
    name = key.get_name().removeprefix("ssh-")
    return "ecdsa" if name.startswith("ecdsa") else name
