"""Say what a folder of this machine is called on the cluster."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


class PathMap:
    """Prefixes of paths on this machine, each with its name on the cluster; other paths are the same on both."""

    def __init__(self, names: Mapping[str, str]) -> None:
        # The longest prefix first: a mount inside another one has a name of its own.
        self._there = sorted(names.items(), key=lambda pair: len(pair[0]), reverse=True)
        self._here = sorted(((there, here) for here, there in names.items()), key=lambda pair: -len(pair[0]))

    def there(self, path: str) -> str:
        """Return the cluster's name of a path of this machine."""
        return _translated(path, self._there)

    def here(self, path: str) -> str:
        """Return this machine's name of a path of the cluster."""
        return _translated(path, self._here)


def _translated(path: str, pairs: Iterable[tuple[str, str]]) -> str:
    for old, new in pairs:
        stem = old.rstrip("/")  # of `/` nothing is left
        if path == old or path.startswith(stem + "/"):
            return (new.rstrip("/") + path[len(stem) :]) or "/"
    return path
