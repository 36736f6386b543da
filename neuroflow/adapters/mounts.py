"""Collect the binds of a run, and tell each path as its tool will see it."""

from __future__ import annotations

from pathlib import Path

from neuroflow.domain import Bind
from neuroflow.errors import AdapterError


class Mounts:
    """The binds of one run; on the host runtime there are none, and tools see the host's own paths."""

    def __init__(self, runtime: str) -> None:
        self._on_host = runtime == "host"
        self._binds: list[Bind] = []

    @property
    def binds(self) -> tuple[Bind, ...]:
        """What was added, in that order."""
        return tuple(self._binds)

    def add(self, target: str, source: str | Path, *, read_only: bool = True) -> str:
        """Bind a host path, and return the path that the tool is to be given.

        Raises:
            AdapterError: when the path is relative or can't be written into a mount option, or the target is taken.
        """
        text = str(source)
        _check(text)
        if self._on_host:
            return text
        if any(bind.target == target for bind in self._binds):
            raise AdapterError(
                f"two folders are bound at {target} in the container; the second one is {text!r}",
                hint=f"choose another place than {target} in containers.binds",
            )
        self._binds.append(Bind(text, target, read_only))
        return target

    def seen(self, target: str, source: str) -> str:
        """Return the path that the tool sees of a bind that was added before."""
        return source if self._on_host else target

    def add_configured(self, text: str) -> None:
        """Add a bind as the configuration spells it: `/host/path:/container/path[:ro]`.

        Raises:
            AdapterError: when it is spelled otherwise.
        """
        source, target, mode = _split(text)
        if not (source.startswith("/") and target.startswith("/") and mode in {"ro", "rw"}):
            raise AdapterError(
                f"containers.binds: {text!r} is not /host/path:/container/path, with :ro or :rw behind it or nothing"
            )
        self.add(target, source, read_only=mode == "ro")


def _split(text: str) -> tuple[str, str, str]:
    parts = text.split(":")
    if len(parts) == 2:
        return parts[0], parts[1], "rw"
    if len(parts) == 3:
        return parts[0], parts[1], parts[2]
    return "", "", ""


def _check(path: str) -> None:
    if not path.startswith("/"):
        raise AdapterError(f"the path {path!r} is relative; containers need absolute paths")
    # The mount options of all runtimes are read as CSV, and CSV readers turn \r\n into \n.
    if "\r" in path or "\0" in path:
        raise AdapterError(f"the path {path!r} holds a carriage return or NUL, which no container runtime can bind")
