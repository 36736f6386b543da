"""Call `LocalFolders` on the cluster from another machine; `python -m neuroflow.cluster.folders_call` does it.

One JSON object in, one out, whatever the number of folders: each round trip over SSH costs more than the work. So the
rules of whose files are trusted, of whole files and of claims are applied by the same code on both sides. Standard
library only.
"""

from __future__ import annotations

import json
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from neuroflow import __version__
from neuroflow.cluster.folders import FileLook, LocalFolders

_FOLDERS = LocalFolders()


def encoded(call: str, **arguments: Any) -> str:
    """Return a call as the text that the cluster's side reads."""
    return json.dumps({"version": __version__, "call": call, "arguments": arguments})


def encoded_files(folders: Mapping[str, Mapping[str, bytes]]) -> dict[str, dict[str, str]]:
    """Return files as JSON can hold them."""
    return {
        folder: {name: b64encode(data).decode() for name, data in files.items()} for folder, files in folders.items()
    }


def decoded_look(raw: Sequence[str | None]) -> FileLook:
    """Return a look as it was before `_encoded_look`."""
    data, problem = raw
    return FileLook(None if data is None else b64decode(data), problem or "")


def _encoded_look(look: FileLook) -> list[str | None]:
    return [None if look.data is None else b64encode(look.data).decode(), look.problem]


def _make(folders: Mapping[str, Mapping[str, str]]) -> None:
    _FOLDERS.make(
        {folder: {name: b64decode(data) for name, data in files.items()} for folder, files in folders.items()}
    )


def _look(folders: Sequence[str], names: Sequence[str]) -> dict[str, dict[str, list[str | None]]]:
    found = _FOLDERS.look(folders, names)
    return {folder: {name: _encoded_look(look) for name, look in looks.items()} for folder, looks in found.items()}


def _tails(paths: Sequence[str], limit_bytes: int) -> dict[str, list[str | None]]:
    return {path: _encoded_look(look) for path, look in _FOLDERS.tails(paths, limit_bytes=limit_bytes).items()}


def _publishing(folders: Sequence[str]) -> list[str]:
    return sorted(_FOLDERS.publishing(folders))


def _revoke_all(folders: Sequence[str]) -> list[str]:
    return sorted(_FOLDERS.revoke_all(folders))


def _find(folders: Mapping[str, Sequence[str]]) -> dict[str, list[list[str | int | float]]]:
    found = _FOLDERS.find(folders)
    return {folder: [[one.path, one.bytes, one.modified] for one in files] for folder, files in found.items()}


def _missing(paths: Sequence[str]) -> list[str]:
    return sorted(_FOLDERS.missing(paths))


def _place(path: str, data: str) -> None:
    _FOLDERS.place(path, b64decode(data))


def _describe(dataset: str, entries: Sequence[Mapping[str, Any]], extra: Mapping[str, Any]) -> None:
    _FOLDERS.describe(dataset, entries, extra=extra)


_CALLS: dict[str, Callable[..., Any]] = {
    "make": _make,
    "look": _look,
    "tails": _tails,
    "publishing": _publishing,
    "revoke": _FOLDERS.revoke,
    "revoke_all": _revoke_all,
    "fence": _FOLDERS.fence,
    "find": _find,
    "missing": _missing,
    "place": _place,
    "describe": _describe,
}


def answer(text: str) -> str:
    """Make a call, and return its answer as text: a value, or what went wrong."""
    asked = json.loads(text)
    if asked["call"] == "make" and asked["version"] != __version__:
        return json.dumps({"version": __version__, "other_version": True})
    try:
        value = _CALLS[asked["call"]](**asked["arguments"])
    except (OSError, ValueError) as error:
        return json.dumps({"version": __version__, "error": str(error)})
    return json.dumps({"version": __version__, "value": value})


if __name__ == "__main__":
    sys.stdout.write(answer(sys.stdin.read()) + "\n")
