"""Whether the state database answers, is whole, and is of this release."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from neuroflow.config.disk import exists
from neuroflow.core.database import Database
from neuroflow.core.health import integrity_problems, server_version
from neuroflow.doctor.check import Check, Context, Finding, error, skipped, warning, well
from neuroflow.doctor.mounts import existing, mount_of, parse_mounts
from neuroflow.errors import StateError

TOPIC = "database"
OLDEST_POSTGRES = 13
# Of `neuroflow up`: who holds the state folder.
UP_FILES = ("up.json", "up.lock")

UNREACHABLE = error(
    "database-unreachable",
    "the database does not answer",
    why="all state is there: nothing is started, and nothing that runs is judged",
    mend="see whether its server runs, and whether database.url is right; `neuroflow db current` tries again",
)
SCHEMA = error(
    "database-schema",
    "the database has no tables, or those of another release",
    why="no command that reads or writes state works",
    mend="{hint}",
)
DAMAGED = error(
    "database-damaged",
    "the file of the database is damaged",
    why="reads and writes fail, or give wrong answers",
    mend="stop all services, then restore the last backup over {file}",
)
ON_NETWORK = warning(
    "database-on-network",
    "the SQLite database lies on a network file system",
    why="its locks may not be reliable there (https://www.sqlite.org/faq.html#q5)",
    mend="set database.url to a PostgreSQL, or to sqlite:////a/local/disk/neuroflow.db where one host runs everything",
)
HOSTS = warning(
    "database-hosts",
    "an SQLite database is used from several hosts",
    why="it is made for the processes of one machine; locks between machines fail sooner or later",
    mend="run all commands and services on {host}, or set database.url to a PostgreSQL",
)
OLD_SERVER = warning(
    "database-old-server",
    "the PostgreSQL server is older than any that neuroflow is tested with",
    why="its own support has ended, and migrations may use what it lacks",
    mend=f"use PostgreSQL {OLDEST_POSTGRES} or later",
)


@contextmanager
def opened(context: Context) -> Iterator[Database]:
    """Connect to the configured database, whatever its schema."""
    database = Database.from_config(context.config)
    try:
        yield database
    finally:
        database.close()


def _reachable(context: Context) -> Iterator[Finding]:
    with opened(context) as database:
        if database.file is not None and not exists(database.file):
            yield skipped(f"{database.file} is not there yet")
            return
        try:
            version = server_version(database)
        except StateError as problem:
            yield UNREACHABLE.seen(str(problem))
            return
        kind = "PostgreSQL" if database.file is None else "SQLite"
        number = re.match(r"\d+", version)
        if database.file is None and number is not None and int(number[0]) < OLDEST_POSTGRES:
            yield OLD_SERVER.seen(f"{database.name} is version {version}")
            return
        yield well(f"{database.name} answers ({kind} {version})")


def _schema(context: Context) -> Iterator[Finding]:
    with opened(context) as database:
        try:
            database.check()
        except StateError as problem:
            yield SCHEMA.seen(str(problem), hint=problem.hint or "run `neuroflow db upgrade`")
            return
        yield well(f"its schema is {database.current()}, as this release needs")


def _whole(context: Context) -> Iterator[Finding]:
    with opened(context) as database:
        if database.file is None or not exists(database.file):
            yield skipped("PostgreSQL looks after itself" if database.file is None else "it is not there yet")
            return
        try:
            problems = integrity_problems(database)
        except StateError as problem:
            problems = [str(problem)]
        for text in problems:
            yield DAMAGED.seen(f"{database.file}: {text}", file=database.file)
        if not problems:
            yield well(f"{database.file} is whole")


def _place(context: Context) -> Iterator[Finding]:
    with opened(context) as database:
        file = database.file
    if file is None:
        yield skipped("PostgreSQL may be anywhere")
        return
    mounts = parse_mounts((context.root / "proc/self/mounts").read_text(encoding="utf-8", errors="replace"))
    mount = mount_of(existing(file), mounts)
    found = []
    if mount.on_network:
        found.append(ON_NETWORK.seen(f"{file} is on {mount.point}, which is {mount.kind}"))
    other = _other_host(context)
    if other:
        found.append(HOSTS.seen(f"`neuroflow up` ran on {other}, and this is {socket.gethostname()}", host=other))
    yield from found or [well(f"{file} lies on {mount.kind}, and is used from this host")]


def _other_host(context: Context) -> str:
    """Return another host on which `neuroflow up` holds, or held, this state folder."""
    for name in UP_FILES:
        try:
            value = json.loads((context.config.paths.state_dir / name).read_bytes())
            host = str(value["host"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
        return host if host != socket.gethostname() else ""
    return ""


CHECKS = (
    Check("database", TOPIC, "it answers", _reachable, (UNREACHABLE, OLD_SERVER), quick=True),
    # Before the schema: of a damaged file that can't be read.
    Check("database-whole", TOPIC, "its file is whole", _whole, (DAMAGED,), needs=("configuration",)),
    Check(
        "database-schema", TOPIC, "it has this release's tables", _schema, (SCHEMA,), needs=("database",), quick=True
    ),
    Check("database-place", TOPIC, "SQLite is on one host's own disk", _place, (ON_NETWORK, HOSTS)),
)
