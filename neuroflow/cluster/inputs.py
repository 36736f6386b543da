"""Say which files a tool is given: names, sizes and SHA-256; standard library only, because jobs import it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from neuroflow.cluster.globs import owned_names

# Of one run. What comes after it is named with its size alone: reading 64 GiB takes minutes on most file systems.
HASH_LIMIT_BYTES = 64 * 1024**3
# What the tools read; reports and tractograms, which can be the largest part by far, are not among it.
DATA_ENDINGS = (
    *(".nii", ".nii.gz", ".json", ".bval", ".bvec", ".tsv", ".b", ".txt", ".mat", ".h5", ".yaml", ".yml", ".py"),
    *(".mif", ".mif.gz", ".fib.gz", ".label.gii", ".surf.gii", ".dlabel.nii"),
)
_CHUNK_BYTES = 4 * 1024 * 1024


def describe_inputs(
    rules: Sequence[Mapping[str, Any]],
    *,
    stopped: Callable[[], bool] = lambda: False,
    limit_bytes: int = HASH_LIMIT_BYTES,
) -> list[dict[str, Any]]:
    """Return what each rule's files are now; files that can't be read say why.

    Args:
        rules: InputRules as mappings.
        stopped: asked while files are read; the rest is left without hashes.
        limit_bytes: how much is read at most.
    """
    budget = _Budget(limit_bytes, stopped)
    return [_described(rule, budget) for rule in rules]


class _Budget:
    """How much may still be read."""

    def __init__(self, left: int, stopped: Callable[[], bool]) -> None:
        self.left = left
        self.stopped = stopped

    def take(self, size: int) -> bool:
        if self.stopped() or size > self.left:
            return False
        self.left -= size
        return True


def _described(rule: Mapping[str, Any], budget: _Budget) -> dict[str, Any]:
    root, hashed = Path(rule["root"]), rule["hashed"]
    files: list[dict[str, Any]] = []
    count = total = 0
    for name in _names(root, rule["names"], endings=DATA_ENDINGS if hashed else ()):
        count += 1
        try:
            size = (root / name).stat().st_size
        except OSError as error:
            files.append({"path": name, "problem": error.strerror or str(error)})
            continue
        total += size
        if hashed:
            files.append({"path": name, "bytes": size, "sha256": _sha256(root / name, size, budget)})
    return {"root": str(root), "count": count, "bytes": total, **({"files": files} if hashed or files else {})}


def _sha256(path: Path, size: int, budget: _Budget) -> str | None:
    if not budget.take(size):
        return None
    found = hashlib.sha256()
    try:
        with path.open("rb", buffering=0) as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                if budget.stopped():
                    return None
                found.update(chunk)
    except OSError:
        return None
    return found.hexdigest()


def _names(root: Path, patterns: Sequence[str], *, endings: Sequence[str]) -> Iterator[str]:
    """Yield the files below a folder that the patterns lead to, once each, in order."""
    seen: set[str] = set()
    for pattern in patterns:
        for start in owned_names(root, pattern) if pattern else ("",):
            for name in _below(root, start):
                if name not in seen and (not endings or name.lower().endswith(tuple(endings))):
                    seen.add(name)
                    yield name


def _below(root: Path, start: str) -> Iterator[str]:
    if not (root / start).is_dir():
        if start:
            yield start
        return
    for folder, folders, names in os.walk(root / start):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            yield os.path.relpath(os.path.join(folder, name), root)  # noqa: PTH118
