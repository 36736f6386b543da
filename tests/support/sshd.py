"""A real sshd for tests: its own port on loopback, its own host key, accounts by key alone, a home of its own."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from neuroflow.config.ssh import Ssh
from tests.support.commands import run

HOW = "install openssh-server and openssh-client (Debian)"
START_SECONDS = 20.0
STOP_SECONDS = 10.0


def find_sshd() -> str | None:
    """Return sshd, which has to be started by its full path."""
    search = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
    needed = [shutil.which(name, path=search) for name in ("sshd", "ssh-keygen")]
    return needed[0] if all(needed) else None


def make_key(path: Path, *, kind: str = "ed25519", passphrase: str = "") -> Path:
    """Make a pair of keys."""
    run(["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "test", "-f", path])
    return path


class Sshd:
    """A server in a folder that exists."""

    def __init__(self, folder: Path, *, options: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.port = free_port()
        self.home = folder / "home"
        self.home.mkdir(mode=0o700)
        self.host_key = make_key(folder / "host_key")
        self.user_key = make_key(folder / "user_key")
        self.authorized = folder / "authorized_keys"
        self.authorized.write_text(self.user_key.with_suffix(".pub").read_text())
        self.log = folder / "sshd.log"
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        # Read by the login shell: what a site's scripts say, and where they look for SLURM.
        self.write_profile("")

    def write_profile(self, text: str) -> None:
        """Let login shells run these lines."""
        path = os.environ["PATH"]
        (self.home / ".bash_profile").write_text(f"export PATH='{path}'\n{text}\n", encoding="utf-8")

    def known_hosts(self, *, port: int | None = None) -> Path:
        """Write a file that knows this server, directly or through another port."""
        public = self.host_key.with_suffix(".pub").read_text().split()
        path = self.folder / f"known_hosts-{port or self.port}"
        path.write_text(f"[127.0.0.1]:{port or self.port} {public[0]} {public[1]}\n", encoding="utf-8")
        return path

    def settings(self, *, port: int | None = None, **changes: object) -> Ssh:
        """Return the way to this server, directly or through another port."""
        empty = self.folder / "ssh_config"
        empty.touch()
        values: dict[str, object] = {
            "host": "127.0.0.1",
            "port": port or self.port,
            "user": getpass.getuser(),
            "key_file": self.user_key,
            "known_hosts": self.known_hosts(port=port),
            "config_file": empty,
            "connect_timeout_seconds": 10.0,
            "state_dir": str(self.folder / "cluster-state"),
        }
        return Ssh.model_validate(values | changes)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where it locks its unprivileged part up
        lines = [
            f"Port {self.port}",
            "ListenAddress 127.0.0.1",
            f"HostKey {self.host_key}",
            f"AuthorizedKeysFile {self.authorized}",
            f"PidFile {self.folder}/sshd.pid",
            f"SetEnv HOME={self.home}",
            "UsePAM no",
            "StrictModes no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PermitRootLogin prohibit-password",
            "MaxStartups 100",
            "PrintMotd no",
            "Subsystem sftp internal-sftp",
            *self._options,
        ]
        config = self.folder / "sshd_config"
        config.write_text("\n".join(lines) + "\n", encoding="utf-8")
        setpriv = shutil.which("setpriv")
        prefix = [setpriv, "--pdeathsig", "TERM", "--"] if setpriv else []
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*prefix, str(find_sshd()), "-D", "-e", "-f", str(config)], stdout=log, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=5) as client:
                    client.recv(10)
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError(f"sshd did not start: {self.log.read_text(encoding='utf-8', errors='replace')}")

    def stop(self) -> None:
        """End it, with the connections that it serves."""
        if self._process is None:
            return
        children = run_children(self._process.pid)
        self._process.terminate()
        self._process.wait(STOP_SECONDS)
        for child in children:
            end(child)
        self._process = None

    def connections(self) -> list[int]:
        """Return the processes that serve a connection each."""
        assert self._process is not None
        return run_children(self._process.pid)

    def accepted(self) -> int:
        """Count the logins that have succeeded."""
        return self.log.read_text(encoding="utf-8", errors="replace").count("Accepted publickey")


def run_children(pid: int) -> list[int]:
    """Return the children of a process."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in path.read_text(encoding="ascii").split()] if path.exists() else []


def end(pid: int) -> None:
    """Kill a process that may have ended."""
    try:
        os.kill(pid, 9)
    except ProcessLookupError:
        return


def free_port() -> int:
    """Return a port that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_sshd(*, options: tuple[str, ...] = ()) -> Iterator[Sshd]:
    """Run a server in a temporary folder of its own until the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="nfsshd-"))
    server = Sshd(folder, options=options)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
