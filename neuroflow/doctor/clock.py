"""Whether the clocks agree: of this host, the file servers, the database and Redis."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator

from neuroflow.core.health import server_time
from neuroflow.doctor.check import Check, Context, Finding, Kind, error, skipped, warning, well
from neuroflow.doctor.database import opened
from neuroflow.doctor.mounts import existing
from neuroflow.errors import StateError

TOPIC = "clocks"
# Leases last 60 s and are compared between hosts; sessions settle by the times of their files.
WARN_SECONDS = 5.0
ERROR_SECONDS = 30.0

DIFFERS = warning(
    "clock-differs",
    f"two clocks differ by more than {WARN_SECONDS:g} s",
    why="times in logs and in the database can't be compared, and sessions settle too early or late",
    mend="ask the admin of {whose} to switch on NTP (`timedatectl`, `chronyc tracking`)",
)
WRONG = error(
    "clock-wrong",
    f"two clocks differ by more than {ERROR_SECONDS:g} s",
    why="leases between hosts last a minute: two processes may both believe that they alone look at the jobs",
    mend="ask the admin of {whose} to switch on NTP (`timedatectl`, `chronyc tracking`); start no services until then",
)
KINDS = (DIFFERS, WRONG)


def judged(whose: str, seconds: float) -> Finding | None:
    """Return the finding of a difference between this host's clock and another one, where there is one."""
    kind: Kind | None = WRONG if abs(seconds) > ERROR_SECONDS else DIFFERS if abs(seconds) > WARN_SECONDS else None
    if kind is None:
        return None
    return kind.seen(
        f"the clock of {whose} is {abs(seconds):.0f} s {'ahead' if seconds > 0 else 'behind'}", whose=whose
    )


def _file_servers(context: Context) -> Iterator[Finding]:
    found = []
    paths = context.config.paths
    for folder in dict.fromkeys(existing(path) for path in (paths.state_dir, paths.work_root)):
        with tempfile.NamedTemporaryFile(prefix=".neuroflow-doctor-", dir=folder) as file:
            before = context.clock()
            file.write(b"x")
            file.flush()
            ahead = file_time(file.name) - (before + context.clock()) / 2
        if (finding := judged(f"the file server of {folder}", ahead)) is not None:
            found.append(finding)
    yield from found or [well("the file servers have this host's time")]


def file_time(name: str) -> float:
    """Return when a file was written, by the clock of its file server."""
    return os.stat(name).st_mtime  # noqa: PTH116  # a name, not a path of ours


def _database(context: Context) -> Iterator[Finding]:
    with opened(context) as database:
        before = context.clock()
        try:
            server = server_time(database)
        except StateError as problem:
            yield skipped(str(problem))
            return
        if server is None:
            yield skipped("SQLite has this host's clock")
            return
    ahead = server.timestamp() - (before + context.clock()) / 2
    yield judged("the database server", ahead) or well("the database server has this host's time")


CHECKS = (
    Check(
        "clock-files",
        TOPIC,
        "the file servers' clocks",
        _file_servers,
        KINDS,
        on_node=True,
        needs=("folders-writable",),
    ),
    Check("clock-database", TOPIC, "the database server's clock", _database, KINDS, needs=("database",)),
)
