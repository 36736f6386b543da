"""Find the main configuration file and the site file."""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from neuroflow.config.disk import is_file, is_folder
from neuroflow.config.environment import CONFIG_VARIABLE
from neuroflow.data import data_path
from neuroflow.errors import ConfigError

FILE_NAME = "neuroflow.yaml"
_SITE_ENDINGS = (".yaml", ".yml")


def find_main_file(path: Path | None, *, environ: Mapping[str, str], cwd: Path) -> Path:
    """Return the main file: the argument, NEUROFLOW_CONFIG, the working directory and its parents, ~/.config.

    Raises:
        ConfigError: naming where it looked.
    """
    if path is not None:
        return _named(cwd / Path(path).expanduser(), "as it was asked for")
    if environ.get(CONFIG_VARIABLE):
        return _named(cwd / Path(environ[CONFIG_VARIABLE]).expanduser(), f"which {CONFIG_VARIABLE} names")
    for folder in (cwd, *cwd.parents):
        candidate = folder / FILE_NAME
        if is_file(candidate):
            _check_owner(candidate)
            return candidate
    home = _home(environ)
    candidates = [home / ".config" / "neuroflow" / FILE_NAME] if home is not None else []
    for candidate in candidates:
        if is_file(candidate):
            return candidate
    places = [f"{cwd / FILE_NAME}", "the folders above it", *map(str, candidates)]
    raise ConfigError(
        f"there is no configuration: neither an argument nor {CONFIG_VARIABLE} names one, and none was found at "
        + ", ".join(places),
        hint="`neuroflow init` writes one, --config names another; "
        "`neuroflow demo` needs none, but the demo's packages",
    )


def _named(path: Path, why: str) -> Path:
    if is_file(path):
        return path
    reason = "is a folder" if is_folder(path) else "does not exist"
    raise ConfigError(
        f"the configuration {path}, {why}, {reason}",
        hint=f"name the file itself, such as {path / FILE_NAME}"
        if is_folder(path)
        else "run `neuroflow init` to write one",
    )


def _home(environ: Mapping[str, str]) -> Path | None:
    try:
        return Path(environ["HOME"]) if environ.get("HOME") else Path.home()
    except RuntimeError:
        return None


def _check_owner(path: Path) -> None:
    """Refuse a file that a stranger left in a folder where everyone may write, such as /tmp.

    A configuration names commands that neuroflow runs, so reading it is trusting its author.
    """
    folder = path.parent.stat()
    if folder.st_mode & stat.S_IWOTH and path.stat().st_uid not in (os.getuid(), 0):
        raise ConfigError(
            f"the configuration {path} belongs to another user, and everyone may write to its folder",
            hint=f"if you trust it, name it yourself: --config {path}",
        )


def find_site_file(site: str, *, base: Path, beside: Path) -> Path:
    """Return a site file, by path (relative to `base`) or by name (in `beside`/site-configs, then the shipped ones).

    Raises:
        ConfigError: naming where it looked, and the sites that there are.
    """
    if "\0" in site:
        raise ConfigError(f"site: {site!r} holds a control character")
    if "/" in site or site.startswith("~") or site.endswith(_SITE_ENDINGS):
        return _site_path(site, base)
    folders = (beside / "site-configs", data_path("site-configs"))
    for folder in folders:
        for ending in _SITE_ENDINGS:
            if is_file(folder / f"{site}{ending}"):
                return folder / f"{site}{ending}"
    near = near_site(site, beside=beside)
    guess = f"; did you mean '{near}'?" if near else ""
    raise ConfigError(
        f"there is no site {site!r}{guess} Known: {', '.join(known_sites(beside)) or 'none'}; "
        f"looked in {', '.join(map(str, folders))}"
    )


def known_sites(beside: Path) -> list[str]:
    """Return the names of the sites that there are: in `beside`/site-configs, and the shipped ones."""
    folders = (beside / "site-configs", data_path("site-configs"))
    files = (file for folder in folders if is_folder(folder) for file in folder.iterdir())
    return sorted({file.stem for file in files if file.suffix in _SITE_ENDINGS})


def near_site(site: str, *, beside: Path) -> str | None:
    """Return the name of a known site that a name may have been meant for."""
    return next(iter(difflib.get_close_matches(site, known_sites(beside), n=1)), None)


def _site_path(site: str, base: Path) -> Path:
    try:
        path = base / Path(site).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"site: {site!r} names a home folder that does not exist") from error
    if not is_file(path):
        raise ConfigError(f"the site file {path} does not exist")
    return path
