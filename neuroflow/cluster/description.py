"""Say in a dataset's `dataset_description.json` what made it; standard library only, because jobs import it.

Any number of jobs may do it at once, on any number of nodes, without a lock that a killed one would leave behind. What
is to be said lies first in a file of its own, named by its content, in `.neuroflow/generated-by/`; then the description
is made from all of these. Whoever wrote the description last looks at the folder again and goes on until it says all:
a file that came later belongs to a job that writes later.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

DESCRIPTION_NAME = "dataset_description.json"
BIDS_VERSION = "1.10.0"
OWN_FOLDER = ".neuroflow"
ENTRIES_FOLDER = "generated-by"
_GENERATED_BY = "GeneratedBy"
_LINKS = "DatasetLinks"
_ROUNDS = 100

Json = dict[str, Any]


def describe_dataset(
    dataset: Path,
    entries: Sequence[Mapping[str, Any]],
    *,
    written_by_tool: Mapping[str, Any] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> bool:
    """Add what made a dataset to its description, each entry once; False where nothing had to be written.

    Args:
        dataset: its top folder.
        entries: members of GeneratedBy.
        written_by_tool: the description that the tool wrote now: its fields win over those that are there.
        extra: fields for a description that lacks them, its name say.

    Raises:
        OSError: when it can't be written.
        ValueError: when a description is there that can't be read as one: it stays as it is.
    """
    folder = dataset / OWN_FOLDER / ENTRIES_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    tools = _entries((written_by_tool or {}).get(_GENERATED_BY))
    for entry in (*tools, *map(dict, entries)):
        _keep(folder, entry)
    changed = False
    for _ in range(_ROUNDS):
        present = read_description(dataset / DESCRIPTION_NAME)
        said = _said(folder)
        wanted = merged(present, said, written_by_tool=written_by_tool, extra=extra)
        if wanted != present:
            put_in_place(dataset / DESCRIPTION_NAME, wanted)
            changed = True
        if _is_complete(read_description(dataset / DESCRIPTION_NAME), _said(folder)):
            break
    return changed


def merged(
    present: Mapping[str, Any] | None,
    entries: Iterable[Json],
    *,
    written_by_tool: Mapping[str, Any] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Json:
    """Return a description that keeps what is there and what the tool wrote, and names everything that made it."""
    tool = {name: value for name, value in (written_by_tool or {}).items() if name != _GENERATED_BY}
    result = {**(extra or {}), **(present or {}), **tool}
    links = [source.get(_LINKS) for source in (extra or {}, present or {}, tool)]
    if any(links):
        result[_LINKS] = {key: value for part in links if isinstance(part, Mapping) for key, value in part.items()}
    together = distinct([*_entries((present or {}).get(_GENERATED_BY)), *entries])
    return {**result, _GENERATED_BY: together} if together else result


def _is_complete(present: Json | None, entries: Sequence[Json]) -> bool:
    known = _entries((present or {}).get(_GENERATED_BY))
    return all(any(_is_part_of(entry, other) for other in known) for entry in entries)


def distinct(entries: Sequence[Json]) -> list[Json]:
    """Leave out entries that say no more than another one does, in their order."""
    kept: list[Json] = []
    for entry in entries:
        if any(_is_part_of(entry, other) for other in kept):
            continue
        larger = [index for index, other in enumerate(kept) if _is_part_of(other, entry)]
        if larger:
            kept[larger[0]] = entry
            kept = [other for index, other in enumerate(kept) if index not in larger[1:]]
        else:
            kept.append(entry)
    return kept


def _is_part_of(entry: Json, other: Json) -> bool:
    return all(name in other and other[name] == value for name, value in entry.items())


def read_description(path: Path) -> Json | None:
    """Return a description, None where there is none.

    Raises:
        ValueError: when it is no JSON object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no JSON, and stays as it is: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path} holds no JSON object, and stays as it is")
    return value


def _entries(value: object) -> list[Json]:
    return [dict(item) for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _keep(folder: Path, entry: Json) -> None:
    name = hashlib.sha256(json.dumps(entry, sort_keys=True).encode()).hexdigest()[:16]
    path = folder / f"{name}.json"
    if not path.exists():
        put_in_place(path, entry)


def _said(folder: Path) -> list[Json]:
    """Return the entries that jobs have left, those that came first before the others."""
    found = []
    with os.scandir(folder) as scan:
        names = [entry.name for entry in scan if entry.name.endswith(".json") and not entry.name.startswith(".")]
    for name in names:
        with suppress(OSError, ValueError):
            value = json.loads((folder / name).read_text(encoding="utf-8"))
            if isinstance(value, dict):
                found.append(((folder / name).stat().st_mtime, name, value))
    return [value for _, _, value in sorted(found, key=lambda item: item[:2])]


def put_in_place(path: Path, value: object) -> None:
    """Write a JSON file of a dataset as `put_bytes_in_place` does.

    Raises:
        OSError: when it can't be written.
    """
    put_bytes_in_place(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def put_bytes_in_place(path: Path, data: bytes) -> None:
    """Write a file of a dataset whole; who may read it stays as it was, or is as the process's umask says."""
    temporary = path.with_name(f".{path.name}.{os.urandom(6).hex()}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        with suppress(OSError):
            temporary.chmod(stat.S_IMODE(path.stat().st_mode))
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
