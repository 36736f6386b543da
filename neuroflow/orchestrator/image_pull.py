"""Make the images that the configuration names: fetched or built under another name, then put in place."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from neuroflow.adapters.releases import known_release
from neuroflow.adapters.runtimes.execute import show
from neuroflow.adapters.runtimes.images import ENGINES, pull_command
from neuroflow.adapters.versions import tool_version
from neuroflow.errors import AdapterError, CommandError, UsageError
from neuroflow.sif import read_sif_header

if TYPE_CHECKING:
    from neuroflow.config import NeuroflowConfig
    from neuroflow.orchestrator.registry import Pipeline

_VARIABLES = ("CACHEDIR", "TMPDIR")


@dataclass(frozen=True)
class Pull:
    """How one image is made."""

    pipeline: str
    runtime: str
    source: str
    target: Path | None  # None: docker and podman have a store of their own
    command: tuple[str, ...]
    environment: Mapping[str, str]  # beside the caller's own
    version: str = ""  # of the release that is fetched, where it is a known one

    @property
    def line(self) -> str:
        """The command as it can be typed."""
        variables = [f"{name}={shlex.quote(value)}" for name, value in self.environment.items()]
        return " ".join([*variables, shlex.join(self.command)])


def plan_pull(config: NeuroflowConfig, pipeline: Pipeline, *, source: str | None, tmp: Path | None) -> Pull:
    """Return how a pipeline's image is made.

    Raises:
        UsageError: when the configuration does not say where it goes, or no known release fits.
    """
    settings = pipeline.settings
    runtime = settings.runtime or config.containers.runtime
    key = f"pipelines.{pipeline.name}.image"
    if runtime == "host":
        raise UsageError(f"{pipeline.name} runs on the host, in no image", hint="see containers.runtime")
    if settings.image is None:
        raise UsageError(
            f"{key} is not set, so nothing says where the image goes",
            hint=f"set it to a file that the nodes see, such as /shared/images/{_file_name(pipeline.name)}",
        )
    if runtime in ENGINES:
        if source is not None:
            raise UsageError(f"--source: {runtime} fetches the image that {key} names ({settings.image}), and no other")
        return Pull(pipeline.name, runtime, settings.image, None, pull_command(runtime, settings.image, ""), {})
    if "://" in settings.image:
        raise UsageError(
            f"{key} is '{settings.image}', which {runtime} would fetch in each job",
            hint=f"name a file there, such as /shared/images/{_file_name(pipeline.name)}",
        )
    version = ""
    if source is None:
        release = known_release(
            pipeline.name, tool_version(pipeline.name, image=settings.image, version=settings.version)
        )
        source, version = release.source(), release.version
    target = Path(settings.image)
    command = pull_command(runtime, source, str(partial_name(target)))
    return Pull(pipeline.name, runtime, source, target, command, _variables(config, runtime, tmp=tmp), version)


def partial_name(target: Path) -> Path:
    """Return the name under which an image is made; the ending tells Apptainer what to make."""
    return target.with_name(f".{target.stem}.partial.sif")


def run_pull(pull: Pull, *, force: bool, locks: Path, begin: Callable[[], None] = lambda: None) -> bool:
    """Make an image and put it in place, whole or not at all; False where it is there already.

    Args:
        force: put it in the place of one that is there.
        locks: a folder for lock files.
        begin: called before the runtime is, where it has something to do.

    Raises:
        UsageError: when another process makes the same one.
        CommandError: when the runtime could not make it.
        AdapterError: when what it made is no whole image, or can't be put there.
    """
    if pull.target is None:
        begin()
        _run(pull)
        return True
    with _alone(pull.target, locks) as lock:
        if pull.target.exists() and not force:
            return False
        partial = partial_name(pull.target)
        try:
            pull.target.parent.mkdir(parents=True, exist_ok=True)
            for name in pull.environment.values():
                Path(name).mkdir(parents=True, exist_ok=True)
            _remove(partial)  # what a killed one left
            begin()
            _run(pull, lock=lock)
            _check_whole(partial)
            _put(partial, pull.target, force=force)
        except OSError as error:
            raise AdapterError(
                f"{error.filename or pull.target}: {error.strerror}", hint="check free space and permissions"
            ) from error
        finally:
            _remove(partial)
    return True


def _run(pull: Pull, *, lock: int | None = None) -> None:
    code = show(pull.command, environment=pull.environment, lock=lock)
    if code != 0:
        raise CommandError(
            f"`{shlex.join(pull.command)}` ended with {code}; {pull.runtime}'s own words stand above",
            command=pull.command,
            exit_code=code,
            hint=f"is the name right ({pull.source}), the network (HTTPS_PROXY) there, and enough space under "
            + " and ".join(pull.environment.values() or ("its store",))
            + "? What was fetched is kept, and the same command goes on from there",
        )


def _check_whole(partial: Path) -> None:
    if partial.is_dir():  # a sandbox
        return
    header = read_sif_header(partial)
    if header is None or partial.stat().st_size < header.ends_at:
        raise AdapterError(f"{partial} is no whole SIF, though the runtime reported none of it", hint="try again")


def _put(partial: Path, target: Path, *, force: bool) -> None:
    """Rename; without `force`, never over a file that appeared meanwhile."""
    descriptor = os.open(partial, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if not force:
        try:
            target.hardlink_to(partial)
        except FileExistsError:
            raise AdapterError(
                f"{target} appeared while the image was made; it was left as it is", hint="see what made it"
            ) from None
        except OSError:  # a file system without hard links
            partial.rename(target)
        return
    partial.replace(target)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    with suppress(FileNotFoundError):
        path.unlink()


@contextmanager
def _alone(target: Path, locks: Path) -> Iterator[int]:
    locks.mkdir(parents=True, exist_ok=True)
    name = hashlib.sha256(os.fsencode(target.resolve())).hexdigest()[:16]
    with (locks / f"pull-{name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(f"another process makes {target} already", hint="wait until it has ended") from error
        yield lock.fileno()


def _variables(config: NeuroflowConfig, runtime: str, *, tmp: Path | None) -> dict[str, str]:
    """Return where the runtime keeps its cache and builds: layers of 10 GB must not fill a home, or /tmp."""
    prefix = runtime.upper()
    base = tmp if tmp is not None else config.paths.state_dir / "containers"
    return {
        f"{prefix}_{name}": str((base / name.lower()).absolute())
        for name in _VARIABLES
        if tmp is not None or not os.environ.get(f"{prefix}_{name}")
    }


def _file_name(pipeline: str) -> str:
    release = known_release(pipeline, None)
    return f"{release.tool}-{release.version}.sif"
