"""Which logs an installation has, by the names that people give them."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from neuroflow.config import NeuroflowConfig
from neuroflow.errors import NotFoundError

# What stands in the field `service` of every line.
SERVICES = ("worker", "beat", "cli", "up")
REDIS = "redis"
_HINT = (
    "set `logging: {file: FILE}` in neuroflow.yaml and restart the services; until then, read the output of whatever "
    "runs them (`journalctl --user -u neuroflow`, say)"
)


@dataclass(frozen=True)
class Source:
    """A log file, and which services' lines of it are meant."""

    path: Path
    services: frozenset[str] = frozenset()  # none: all


def find_source(config: NeuroflowConfig, name: str | None) -> Source:
    """Return the log that a name means: a service of `logging.file`, redis, or a file of the log folder.

    Raises:
        NotFoundError: when there is no such log.
    """
    if name is None:
        return Source(_own_file(config))
    if name in SERVICES:
        return Source(_own_file(config), frozenset({name}))
    if name == REDIS:
        return _redis(config)
    files = log_files(config)
    if name in files:
        return Source(files[name])
    known = [*SERVICES, REDIS, *files]
    near = difflib.get_close_matches(name, known, 1)
    guess = f"did you mean `{near[0]}`? " if near else ""
    raise NotFoundError(f"there is no log of '{name}'", hint=f"{guess}There are: {', '.join(known)}")


def log_files(config: NeuroflowConfig) -> dict[str, Path]:
    """Return the files of the log folder by their names without `.log`."""
    if not config.logs_dir.is_dir():
        return {}
    return {path.stem: path for path in sorted(config.logs_dir.glob("*.log")) if path.is_file()}


def has_text(path: Path) -> bool:
    """Tell whether something has been written to a file."""
    try:
        return path.stat().st_size > 0
    except OSError:
        return False


def _own_file(config: NeuroflowConfig) -> Path:
    path = config.logging.file
    if path is not None and path.exists():
        return path
    files = [name for name, file in log_files(config).items() if has_text(file)]
    hint = f"`neuroflow logs service NAME` shows a file of {config.logs_dir}: {', '.join(files)}" if files else _HINT
    if path is None:
        raise NotFoundError("the services' log goes to no file: logging.file is not set", hint=hint)
    raise NotFoundError(
        f"logging.file: nothing has been written to {path} yet", hint="start the services: `neuroflow up`"
    )


def _redis(config: NeuroflowConfig) -> Source:
    path = config.paths.state_dir / "redis" / "redis.log"
    if not path.exists():
        raise NotFoundError(
            f"there is no {path}: only the Redis that `neuroflow up` starts logs there",
            hint="another Redis has a log of its own, where its admin put it",
        )
    return Source(path)
