"""Log in with keys, from files or an agent; nobody is ever asked for a password."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from paramiko import (
    Agent,
    AuthenticationException,
    BadAuthenticationType,
    PasswordRequiredException,
    PKey,
    SSHException,
    Transport,
)
from paramiko.pkey import PublicBlob, UnknownKeyType

from neuroflow.cluster.ssh.route import Hop
from neuroflow.errors import HostUnreachable

# sshd counts each key that it is shown (MaxAuthTries, 6 by default), and sites ban addresses that show too many.
_MOST_KEYS = 5
_DEFAULT_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")


def log_in(transport: Transport, hop: Hop) -> None:
    """Prove to a host that has been checked who we are.

    Raises:
        HostUnreachable: when it takes none of the keys, or wants more than a key.
        SSHException: when the connection breaks.
    """
    keys = _Keys(hop)
    tried = []
    try:
        for key, name in keys.found():
            tried.append(name)
            if len(tried) > _MOST_KEYS:
                break
            try:
                wanted = transport.auth_publickey(hop.user, key)
            except BadAuthenticationType as error:
                raise _needs_more(hop, error.allowed_types) from error
            except AuthenticationException:
                continue
            if wanted:
                raise _needs_more(hop, wanted)
            return
    finally:
        keys.close()
    said = f"it was shown {', '.join(tried)}" if tried else "there is no key to show it"
    raise HostUnreachable(
        f"{hop} refuses this user: {'; '.join((said, *keys.problems))}",
        lasting=True,
        hint=keys.hint
        or "add the public key to ~/.ssh/authorized_keys there (`ssh-copy-id`), or as the site asks; "
        "see cluster.ssh.user and cluster.ssh.key_file",
    )


def _needs_more(hop: Hop, wanted: list[str]) -> HostUnreachable:
    return HostUnreachable(
        f"{hop} wants more than a key: {', '.join(wanted)}",
        lasting=True,
        hint="a password or a second factor can't be given by a service: ask the site for access by key alone, "
        "or run neuroflow on the login node",
    )


class _Keys:
    """The keys that one host is shown."""

    def __init__(self, hop: Hop) -> None:
        self._hop = hop
        self._agent = Agent()
        self.problems: list[str] = []
        self.hint = ""

    def close(self) -> None:
        self._agent.close()

    def found(self) -> Iterator[tuple[PKey, str]]:
        """Give each key with its name: the files that are named, or else the agent's keys and the usual files."""
        held: list[PKey] = list(self._agent.get_keys())
        if self._hop.key_files:
            for path in self._hop.key_files:
                yield from self._of_file(path, held)
            return
        for key in held:
            yield key, f"the agent's key {key.fingerprint}"
        for name in _DEFAULT_KEYS:
            path = Path("~/.ssh", name).expanduser()
            if path.exists():
                yield from self._of_file(path, [])

    def _of_file(self, path: Path, held: list[PKey]) -> Iterator[tuple[PKey, str]]:
        try:
            yield PKey.from_path(str(path)), str(path)
        except (PasswordRequiredException, TypeError):  # cryptography calls a missing passphrase a TypeError
            yield from self._of_agent(path, held)
        except (OSError, ValueError, SSHException, UnknownKeyType) as error:
            self.problems.append(f"the key {path} can't be read: {error}")
            self.hint = "see cluster.ssh.key_file; `ssh-keygen -y -f FILE` tells whether it is a private key"

    def _of_agent(self, path: Path, held: list[PKey]) -> Iterator[tuple[PKey, str]]:
        """Give the key that an agent holds of an encrypted file."""
        public = Path(f"{path}.pub")
        wanted = PublicBlob.from_file(str(public)).key_blob if public.exists() else None
        matching = [key for key in held if wanted is None or key.asbytes() == wanted]
        if not matching:
            there = "an agent runs, and does not hold it" if held else "no agent holds keys (SSH_AUTH_SOCK)"
            self.problems.append(f"the key {path} is encrypted, and {there}")
            self.hint = f"`ssh-add {path}` in the session that starts neuroflow, or a key without a passphrase for it"
        for key in matching:
            yield key, f"the agent's key of {path}"
