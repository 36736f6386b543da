"""Measure what a poll and a submission cost over SSH, by round trips and by seconds, on a way that takes time.

    python benchmarks/ssh_poll.py [ATTEMPTS]

Needs openssh-server. A proxy before a private sshd holds each packet back for half of the round trip's time. "file by
file" reads the same files as a plain SFTP client would, of a tenth of the attempts; it is there to be compared with.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from neuroflow.cluster.ssh.connection import SshConnection
from neuroflow.cluster.ssh.folders import SshFolders
from neuroflow.cluster.ssh.transport import SshTransport
from tests.ssh.conftest import write_python
from tests.support.cutting_proxy import CuttingProxy, proxy_to
from tests.support.sshd import Sshd, running_sshd

ROUND_TRIPS_MS = (0, 20, 60)
NAMES = ("claim", "exit.json")
RECORD = b'{"stderr_tail": "' + b"x" * 2000 + b'"}'


def main(attempts: int = 500) -> None:
    """Measure each way, and print one line each."""
    with running_sshd() as sshd, tempfile.TemporaryDirectory() as root:
        python = str(write_python(Path(root) / "python"))
        for milliseconds in ROUND_TRIPS_MS:
            print(f"round trip {milliseconds} ms")
            with proxy_to(sshd.port, delay_seconds=milliseconds / 2000) as proxy:
                measure(sshd, proxy, root=Path(root) / str(milliseconds), python=python, attempts=attempts)


def measure(sshd: Sshd, proxy: CuttingProxy, *, root: Path, python: str, attempts: int) -> None:
    """Print what each thing costs."""
    connection = SshConnection(sshd.settings(port=proxy.port))
    transport = SshTransport(connection)
    folders = SshFolders(connection, transport, python=python, timeout=600)
    names = [str(root / f"nf-qsiprep-{number}") for number in range(attempts)]
    files = {"job.json": RECORD, "container.json": RECORD, "payload.pkl": b"x" * 500, "claim": b"17"}
    # Half of the jobs have ended.
    whole = {name: files | ({"exit.json": RECORD} if number % 2 else {}) for number, name in enumerate(names)}

    def say(what: str, work: Callable[[], object]) -> None:
        trips, began = proxy.round_trips, time.monotonic()
        work()
        print(f"  {what:44} {time.monotonic() - began:7.2f} s {proxy.round_trips - trips:6} turns")

    say("connect, first command", lambda: transport.run(("true",), timeout=60))
    say("a command such as squeue", lambda: transport.run(("true",), timeout=60))
    say("write the files of one attempt", lambda: folders.make({names[0]: files}))
    say(f"write the files of an array of {attempts}", lambda: folders.make(whole))
    say(f"read the records of {attempts} attempts", lambda: folders.look(names, NAMES))
    part = names[: max(attempts // 10, 1)]
    say(f"the records of {len(part)} attempts file by file", lambda: file_by_file(connection, part))
    connection.close()


def file_by_file(connection: SshConnection, folders: list[str]) -> None:
    """Read the records as a plain SFTP client does."""
    with connection.transfer() as sftp:
        for folder in folders:
            for name in NAMES:
                with suppress(FileNotFoundError), sftp.open(f"{folder}/{name}", "rb") as stream:
                    stream.stat()
                    stream.read(1024 * 1024)


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
