"""Whether the folders can be used as neuroflow uses them: by writing, renaming and locking for real."""

from __future__ import annotations

import fcntl
import getpass
import os
import shlex
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

from neuroflow.cluster.submit import check_folder
from neuroflow.config.disk import exists
from neuroflow.doctor.check import Check, Context, Finding, error, skipped, warning, well
from neuroflow.doctor.mounts import existing, mount_of, parse_mounts
from neuroflow.errors import SubmissionRefused
from neuroflow.orchestrator.place import Place
from neuroflow.orchestrator.registry import get_registry

TOPIC = "folders"
WRITTEN = ("bids_root", "derivatives_root", "work_root", "state_dir")
_TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108

NOT_WRITABLE = error(
    "folder-not-writable",
    "a folder can't be written to, or does not do what a file system must",
    why="jobs could not publish their results, or neuroflow not keep its records",
    mend="make {folder} writable for {user} (`ls -ld {folder}`), or name another folder in paths.{key}",
)
NO_LOCKS = error(
    "folder-no-locks",
    "the file system of paths.state_dir has no file locks",
    why="two `neuroflow up` could run side by side, and SQLite could damage its file",
    mend="move paths.state_dir to a file system with locks (Lustre: mounted with `flock`), "
    "and set database.url to a PostgreSQL",
)
IN_MEMORY = error(
    "state-in-memory",
    "paths.state_dir lies in the memory of this machine",
    why="compute nodes don't see it, and all records are gone after a restart",
    mend="set paths.state_dir to a folder that the login node and the compute nodes share",
)
TEMPORARY = warning(
    "folder-temporary",
    "a folder that nodes must see lies below /tmp",
    why="on most clusters each node has a /tmp of its own, and it is cleaned",
    mend="set {keys} to folders that login node and compute nodes share; `neuroflow doctor --node` proves it",
)
OPEN_STATE = error(
    "state-writable-by-others",
    "every user can write to paths.state_dir",
    why="whoever can put job folders there has commands run as you",
    mend="chmod o-w {folder}",
)
READABLE_STATE = warning(
    "state-readable-by-others",
    "every user can read paths.state_dir",
    why="it names subjects, and has the logs of their runs",
    mend="chmod o-rwx {folder}",
)
CHARACTERS = error(
    "state-path-characters",
    "the path of paths.state_dir holds a character that SLURM replaces",
    why="sbatch would write the logs elsewhere, so every submission is refused",
    mend="choose a paths.state_dir of letters, digits, '-', '_' and '.'",
)
KINDS = (NOT_WRITABLE, NO_LOCKS, IN_MEMORY, TEMPORARY, OPEN_STATE, READABLE_STATE, CHARACTERS)


def folders(context: Context) -> dict[str, Path]:
    """Return the folders that are written to on this machine, by key."""
    # Results of a cluster behind SSH are made there, and need not be seen here.
    left_out = ("derivatives_root",) if context.config.cluster.is_remote else ()
    return {key: getattr(context.config.paths, key) for key in WRITTEN if key not in left_out}


def shared_folders(context: Context) -> dict[str, Path]:
    """Return those of this machine's folders that the cluster has to see as well, by key."""
    config = context.config
    if not config.cluster.is_remote:
        return folders(context)
    # Behind SSH the jobs have a state folder of their own, and see of this machine what has a name there. Only where
    # conversions are made here must the dataset be one.
    place = Place.of(config, where=config.cluster.kind)
    conversion = get_registry(config).get("bids_conversion")
    made_here = conversion.enabled and conversion.where == "worker"
    seen = {key: getattr(config.paths, key) for key in WRITTEN if key != "state_dir"}
    return {
        key: folder
        for key, folder in seen.items()
        if (key == "bids_root" and made_here)
        or (place.name(folder) != str(folder) and (key != "derivatives_root" or exists(folder)))
    }


def _writable(context: Context) -> Iterator[Finding]:
    problems = []
    for key, folder in folders(context).items():
        there = existing(folder)
        problem = try_writing(there)
        if problem:
            problems.append(_not_writable(key, folder, problem))
    yield from problems or [well("written to, renamed in and removed from all of them")]


def _not_writable(key: str, folder: Path, problem: str) -> Finding:
    there, user = existing(folder), _user()
    if there == folder:
        return NOT_WRITABLE.seen(f"paths.{key}: {folder}: {problem}", folder=folder, user=user, key=key)
    words = f"paths.{key}: {there} ({folder} is not there yet): {problem}"
    # Nobody should open /var/lib to a user: the folder itself is made for them.
    path = shlex.quote(str(folder))
    mend = f"as root: `mkdir -p {path} && chown {user} {path}`, or name another folder in paths.{key}"
    return replace(NOT_WRITABLE.seen(words, folder=folder, user=user, key=key), mend=mend)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def try_writing(folder: Path) -> str:
    """Write, create exclusively, rename and remove in a folder; return what went wrong, or nothing."""
    step = "make a folder"
    try:
        with tempfile.TemporaryDirectory(prefix=".neuroflow-doctor-", dir=folder) as made:
            first, second = Path(made) / "a", Path(made) / "b"
            step = "write a file"
            first.write_text("neuroflow", encoding="utf-8")
            step = "create a file exclusively"
            with suppress(FileExistsError):
                os.close(os.open(first, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
                return "a file that exists can be created exclusively, so jobs could run twice"
            step = "rename a file"
            first.rename(second)
            if first.exists() or second.read_text(encoding="utf-8") != "neuroflow":
                return "a renamed file is not where it should be"
    except OSError as problem:
        return f"can't {step}: {problem.strerror}"
    return ""


def _locks(context: Context) -> Iterator[Finding]:
    folder = existing(context.config.paths.state_dir)
    with ExitStack() as stack:
        try:
            file = stack.enter_context(tempfile.NamedTemporaryFile(prefix=".neuroflow-doctor-", dir=folder))
        except OSError as problem:
            yield skipped(f"{folder} can't be written to ({problem.strerror}), so locks can't be tried")
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.flock(file, fcntl.LOCK_UN)
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kind that SQLite uses
        except OSError as problem:
            yield NO_LOCKS.seen(f"{folder}: {problem.strerror}")
            return
    yield well(f"{folder} has both kinds of locks")


def _places(context: Context) -> Iterator[Finding]:
    config = context.config
    mounts = parse_mounts((context.root / "proc/self/mounts").read_text(encoding="utf-8", errors="replace"))
    found = []
    slurm = config.cluster.kind == "slurm"
    state = mount_of(existing(config.paths.state_dir), mounts)
    if slurm and state.in_memory:
        found.append(IN_MEMORY.seen(f"{config.paths.state_dir} is on {state.point}, a {state.kind}"))
    temporary = {key: folder for key, folder in _of_nodes(context).items() if _is_temporary(folder)}
    if slurm and temporary:
        words = ", ".join(f"{key} is {folder}" for key, folder in temporary.items())
        found.append(TEMPORARY.seen(words, keys=", ".join(temporary)))
    yield from found
    kinds = {key: mount_of(existing(folder), mounts).kind for key, folder in folders(context).items()}
    if not found:
        yield well(", ".join(f"{key}: {kind}" for key, kind in kinds.items()))


def _of_nodes(context: Context) -> dict[str, Path]:
    """Return the folders that nodes must see, by the names that they have there, and by key."""
    config = context.config
    place = Place.of(config, where=config.cluster.kind)
    named = {f"paths.{key}": Path(place.name(getattr(config.paths, key))) for key in WRITTEN}
    if config.cluster.is_remote:
        del named["paths.state_dir"]
        named["cluster.ssh.state_dir"] = Path(str(config.cluster.ssh.state_dir))
    return named


def _is_temporary(folder: Path) -> bool:
    return any(str(folder).startswith(f"{top}/") for top in _TEMPORARY)


def _modes(context: Context) -> Iterator[Finding]:
    folder = context.config.paths.state_dir
    if slurm_refuses := _refusal(context):
        yield CHARACTERS.seen(slurm_refuses)
    if not exists(folder):
        yield skipped(f"{folder} is not there yet; it is made with the mode 700")
        return
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & stat.S_IWOTH:
        yield OPEN_STATE.seen(f"{folder} has the mode {mode:03o}", folder=folder)
    elif mode & (stat.S_IROTH | stat.S_IXOTH):
        yield READABLE_STATE.seen(f"{folder} has the mode {mode:03o}", folder=folder)
    else:
        yield well(f"{folder} has the mode {mode:03o}")


def _refusal(context: Context) -> str:
    cluster = context.config.cluster
    if cluster.kind != "slurm":
        return ""
    try:
        check_folder(str(cluster.ssh.state_dir if cluster.is_remote else context.config.paths.state_dir))
    except SubmissionRefused as problem:
        return str(problem)
    return ""


CHECKS = (
    Check(
        "folders-writable",
        TOPIC,
        "the folders can be written to",
        _writable,
        (NOT_WRITABLE,),
        quick=True,
        on_node=True,
    ),
    Check("folders-locks", TOPIC, "file locks work in paths.state_dir", _locks, (NO_LOCKS,), quick=True, on_node=True),
    Check("folders-place", TOPIC, "nodes can see them", _places, (IN_MEMORY, TEMPORARY), quick=True),
    Check(
        "folders-mode",
        TOPIC,
        "paths.state_dir is closed to others",
        _modes,
        (OPEN_STATE, READABLE_STATE, CHARACTERS),
        quick=True,
    ),
)
