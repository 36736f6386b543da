"""Whether there is room: free space, inodes, quotas, and whether results are renamed or copied."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from neuroflow.cluster.transport import CompletedCommand
from neuroflow.doctor.check import Check, Context, Finding, error, skipped, warning, well, where_jobs_see_it
from neuroflow.doctor.folders import folders
from neuroflow.doctor.mounts import existing
from neuroflow.errors import CommandError

TOPIC = "folders"
_GB = 1e9
FULL_BYTES = 100e6
FEWEST_INODES = 1_000
# Below this share of a quota's limit there is room.
QUOTA_SHARE = 0.95

FULL = error(
    "space-full",
    "a file system is full",
    why="job records, results and the database can't be written: runs fail, or go on and can't be judged",
    mend="free space there (`df -h {folder}`), or move {keys} to another file system",
)
LOW = warning(
    "space-low",
    "a file system has little room",
    why="one QSIPrep run may keep 100 GB and more in its working directory",
    mend="free space there (`df -h {folder}`), or lower doctor.free_gb, if that is all your data needs",
)
INODES = error(
    "inodes-low",
    "a file system can take hardly any more files",
    why="each run makes thousands of small files, and fails with `No space left on device`, however much is free",
    mend="remove files there (`df -i {folder}`), or ask for a larger file quota",
)
QUOTA = warning(
    "quota-near",
    "a quota is used up, or nearly so",
    why="runs fail with `Disk quota exceeded` as soon as it is reached",
    mend="free space, or ask for a larger quota; `{command}` shows it",
)
APART = warning(
    "folders-apart",
    "working directories and datasets lie on different file systems",
    why="results are copied into the datasets rather than renamed, which takes time and space",
    mend="set paths.work_root to a folder on the file system of paths.{key}, where there is one that is large enough",
)
KINDS = (FULL, LOW, INODES, QUOTA, APART)


def _space(context: Context) -> Iterator[Finding]:
    found, seen = [], []
    for keys, folder in _by_disk(folders(context)):
        names = ", ".join(f"paths.{key}" for key in keys)
        disk = os.statvfs(folder)
        free = disk.f_bavail * disk.f_frsize
        seen.append(f"{names} ({folder}): {_size(free)}")
        # Only results and working directories are large.
        wanted = context.config.doctor.free_gb if set(keys) & {"work_root", "derivatives_root"} else 0.0
        if free < FULL_BYTES:
            found.append(FULL.seen(f"{names} ({folder}) has {_size(free)} left", folder=folder, keys=names))
        elif free < wanted * _GB:
            words = f"{names} ({folder}) has {_size(free)} left, doctor.free_gb is {wanted:g}"
            found.append(LOW.seen(words, folder=folder))
        # Some file systems have no fixed number of inodes, and say 0.
        if disk.f_files and disk.f_favail < FEWEST_INODES:
            found.append(INODES.seen(f"{names} ({folder}) can take {disk.f_favail} more files", folder=folder))
    yield from found or [well(f"free: {'; '.join(seen)}")]


def _by_disk(places: Mapping[str, Path]) -> list[tuple[list[str], Path]]:
    """Return each file system once, with the keys of the folders on it."""
    disks: dict[int, tuple[list[str], Path]] = {}
    for key, folder in places.items():
        there = existing(folder)
        disks.setdefault(there.stat().st_dev, ([], there))[0].append(key)
    return list(disks.values())


def _size(count: float) -> str:
    return f"{count / _GB:.1f} GB" if count >= _GB else f"{count / 1e6:.1f} MB"


def _apart(context: Context) -> Iterator[Finding]:
    if reason := where_jobs_see_it(context):
        yield skipped(reason)
        return
    places = {key: existing(folder) for key, folder in folders(context).items()}
    work = places["work_root"].stat().st_dev
    apart = [key for key in ("bids_root", "derivatives_root") if places[key].stat().st_dev != work]
    for key in apart:
        yield APART.seen(f"paths.work_root ({places['work_root']}) and paths.{key} ({places[key]})", key=key)
    if not apart:
        yield well("results are renamed into the datasets")


def _quota(context: Context) -> Iterator[Finding]:
    """Ask `quota` and `lfs quota`, where they are there; both answer in their own way, or not at all."""
    user = getpass.getuser()
    found, asked = [], False
    answer = _answer(context, "quota", "-q")
    if answer is not None:
        asked = True
        # With -q it names only file systems on which a quota is exceeded.
        said = " / ".join(line.strip() for line in answer.stdout.splitlines() if line.strip())
        if said:
            found.append(QUOTA.seen(f"`quota -q` says: {said}", command="quota"))
    for folder in dict.fromkeys(existing(path) for path in folders(context).values()):
        answer = _answer(context, "lfs", "quota", "-q", "-u", user, str(folder))
        if answer is None:
            continue
        asked = True
        used = lustre_share(answer.stdout)
        if used >= QUOTA_SHARE:
            command = f"lfs quota -h -u {user} {folder}"
            found.append(QUOTA.seen(f"{used:.0%} of the quota of {folder} is used", command=command))
    if found:
        yield from found
    else:
        yield well("no quota is near") if asked else skipped("neither `quota` nor `lfs quota` answers here")


def _answer(context: Context, *argv: str) -> CompletedCommand | None:
    try:
        answer = context.run(*argv, seconds=10)
    except CommandError:
        return None
    # `quota` ends with 1 when a quota is exceeded.
    return answer if answer.exit_code == 0 or (argv[0] == "quota" and answer.stdout.strip()) else None


def lustre_share(text: str) -> float:
    """Read `lfs quota -q`: the largest used share of a limit, of kilobytes or files; 0 where there is no limit.

    A row is: file system, kilobytes, quota, limit, grace, files, quota, limit, grace; a value that is over its
    quota bears a `*`.
    """
    words = text.split()
    shares = [0.0]
    for used_at, limits_at in ((1, (2, 3)), (5, (6, 7))):
        if len(words) <= limits_at[1]:
            continue
        used = _number(words[used_at])
        limits = [limit for at in limits_at if (limit := _number(words[at])) > 0]
        shares += [used / limit for limit in limits[:1]]
    return max(shares)


def _number(text: str) -> float:
    digits = text.rstrip("*")
    return float(digits) if digits.isdigit() else 0.0


CHECKS = (
    Check("space", TOPIC, "free space and inodes", _space, (FULL, LOW, INODES), quick=True, on_node=True),
    Check("space-apart", TOPIC, "results are renamed, not copied", _apart, (APART,)),
    Check("quota", TOPIC, "quotas, where they can be asked for", _quota, (QUOTA,)),
)
