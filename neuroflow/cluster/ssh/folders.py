"""The attempts' folders on a cluster behind SSH."""

from __future__ import annotations

import json
import shlex
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any

from neuroflow import __version__
from neuroflow.cluster.folders import FileLook, FoundFile
from neuroflow.cluster.folders_call import decoded_look, encoded, encoded_files
from neuroflow.cluster.ssh.connection import BROKEN, SshConnection
from neuroflow.cluster.transport import Transport
from neuroflow.errors import ClusterError, CommandError, HostUnreachable

# So many folders go into one call: an exit record may have a megabyte.
_FOLDERS_IN_A_CALL = 500


class SshFolders:
    """Folders that the cluster's own neuroflow works on, each call one command; logs are read by SFTP."""

    def __init__(self, connection: SshConnection, transport: Transport, *, python: str, timeout: float) -> None:
        self._connection = connection
        self._transport = transport
        self._python = python
        self._timeout = timeout

    def make(self, folders: Mapping[str, Mapping[str, bytes]]) -> None:
        """Make folders that are closed to other users, and write these files in them, each whole."""
        self._call("make", folders=encoded_files(folders))

    def look(self, folders: Sequence[str], names: Sequence[str]) -> dict[str, dict[str, FileLook]]:
        """Read files of these names that belong to this user, by folder and name."""
        found: dict[str, dict[str, FileLook]] = {}
        for start in range(0, len(folders), _FOLDERS_IN_A_CALL):
            answer = self._call("look", folders=list(folders[start : start + _FOLDERS_IN_A_CALL]), names=list(names))
            for folder, looks in answer.items():
                found[folder] = {name: decoded_look(raw) for name, raw in looks.items()}
        return found

    def tails(self, paths: Sequence[str], *, limit_bytes: int) -> dict[str, FileLook]:
        """Read the ends of files that belong to this user, by path."""
        answer = self._call("tails", paths=list(paths), limit_bytes=limit_bytes)
        return {path: decoded_look(raw) for path, raw in answer.items()}

    def publishing(self, folders: Sequence[str]) -> frozenset[str]:
        """Return those of the folders whose attempt began to publish its results."""
        return frozenset(self._call("publishing", folders=list(folders)))

    def revoke(self, folder: str) -> bool:
        """Take the claim of a folder that no job has; False when one has."""
        return bool(self._call("revoke", folder=folder))

    def revoke_all(self, folders: Sequence[str]) -> frozenset[str]:
        """Take the claims of those of the folders that no job has, and return these."""
        return frozenset(self._call("revoke_all", folders=list(folders))) if folders else frozenset()

    def fence(self, folders: Sequence[str]) -> None:
        """Forbid attempts to work from now on."""
        self._call("fence", folders=list(folders))

    def read_from(self, path: str, *, offset: int, limit_bytes: int) -> bytes:
        """Read a piece of a log."""
        try:
            return self._read_from(path, offset=offset, limit_bytes=limit_bytes)
        except (FileNotFoundError, PermissionError):
            raise
        except BROKEN:  # the connection may have died while nobody used it
            self._connection.close()
        try:
            return self._read_from(path, offset=offset, limit_bytes=limit_bytes)
        except (FileNotFoundError, PermissionError):
            raise
        except BROKEN as error:
            raise HostUnreachable(f"{path} on {self._connection.name} can't be read: {error}") from error

    def find(self, folders: Mapping[str, Sequence[str]]) -> dict[str, list[FoundFile]]:
        """Return the files that globs name below folders, by folder; at most a thousand of each."""
        answer = self._call("find", folders={folder: list(patterns) for folder, patterns in folders.items()})
        return {folder: [FoundFile(*one) for one in files] for folder, files in answer.items()}

    def missing(self, paths: Sequence[str]) -> frozenset[str]:
        """Return those of the paths that are not there."""
        return frozenset(self._call("missing", paths=list(paths)))

    def place(self, path: str, data: bytes) -> None:
        """Write a file of a dataset, whole, with the folders that it needs."""
        self._call("place", path=path, data=b64encode(data).decode())

    def describe(self, dataset: str, entries: Sequence[Mapping[str, Any]], *, extra: Mapping[str, Any]) -> None:
        """Name in a dataset's description what made it."""
        self._call("describe", dataset=dataset, entries=[dict(entry) for entry in entries], extra=dict(extra))

    def _read_from(self, path: str, *, offset: int, limit_bytes: int) -> bytes:
        with self._connection.transfer() as sftp, sftp.open(path, "rb") as stream:
            size = stream.stat().st_size or 0
            start = offset if offset >= 0 else max(size + offset, 0)
            wanted = max(min(limit_bytes, size - start), 0)
            return b"".join(stream.readv([(start, wanted)])) if wanted else b""

    def _call(self, call: str, **arguments: Any) -> Any:
        text = encoded(call, **arguments)
        try:
            answer = self._asked(text)
        except CommandError as error:
            if error.returncode is not None:
                raise
            answer = self._asked(text)  # every call may be repeated without harm
        if answer.get("other_version"):
            raise ClusterError(
                f"{self._connection.name} has neuroflow {answer['version']}, and this machine {__version__}",
                hint=f"install the same release in both: there it is {self._python}",
            )
        if "error" in answer:
            raise ClusterError(
                f"on {self._connection.name}: {answer['error']}", hint="see whether cluster.ssh.state_dir is writable"
            )
        return answer["value"]

    def _asked(self, text: str) -> Any:
        command = (self._python, "-m", "neuroflow.cluster.folders_call")
        done = self._transport.run(command, timeout=self._timeout, input=text)
        try:
            return json.loads(done.check().stdout)
        except (CommandError, ValueError) as error:
            raise ClusterError(
                f"the neuroflow of {self._connection.name} does not answer: {error}",
                hint=f"cluster.python has to have this release: try `{shlex.join((self._python, '-c'))} "
                "'import neuroflow; print(neuroflow.__version__)'` there",
            ) from error
