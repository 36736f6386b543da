"""A private PostgreSQL server for tests: its own folder, a Unix socket, no TCP port."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

ROLE = "neuroflow"
START_SECONDS = 60.0
STOP_SECONDS = 20.0
HOW = "install PostgreSQL's server (Debian: postgresql), or put initdb and postgres on PATH"


def find_postgres() -> Path | None:
    """Return the folder of PostgreSQL's server programs, None when it is not installed."""
    on_path = shutil.which("initdb")
    candidates = [Path(on_path).resolve().parent] if on_path else []
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    complete = (folder for folder in candidates if (folder / "postgres").exists() and (folder / "initdb").exists())
    return next(complete, None)


def short_folder() -> Path:
    """Make a folder for a server; a socket's path may have 107 characters, pytest's folders are longer."""
    return Path(tempfile.mkdtemp(prefix="nfpg-"))


@contextmanager
def start_postgres(folder: Path) -> Iterator[str]:
    """Run a server in an empty folder that other users can reach, and give the URL of its database `postgres`.

    Root can't run PostgreSQL: it is run as the user `postgres`, or `nobody`, who then owns the folder.
    """
    programs = find_postgres()
    if programs is None:
        raise RuntimeError(f"there is no PostgreSQL: {HOW}")
    user = _server_user()
    if user is not None:
        os.chown(folder, user.pw_uid, user.pw_gid)
    data = folder / "data"
    prefix = _as_user(user)
    initdb = [programs / "initdb", "-D", data, "-U", ROLE, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
    subprocess.run([*prefix, *map(str, initdb)], check=True, capture_output=True, cwd=folder, timeout=START_SECONDS)
    settings = [f"unix_socket_directories={folder}", "listen_addresses=", "fsync=off", "max_connections=100"]
    options = [word for setting in settings for word in ("-c", setting)]
    command = [*prefix, str(programs / "postgres"), "-D", str(data), *options]
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait_until_it_answers(server, folder)
        yield f"postgresql://{ROLE}@/postgres?host={folder}"
    finally:
        _stop(server)


@contextmanager
def postgres_server() -> Iterator[str]:
    """Run a server in a short temporary folder of its own."""
    folder = short_folder()
    try:
        with start_postgres(folder) as url:
            yield url
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def create_database(server_url: str, name: str, *, template: str = "template1") -> str:
    """Create a database on a server and return its URL."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    return server_url.replace("/postgres?", f"/{name}?")


def drop_database(server_url: str, name: str) -> None:
    """Drop a database, whoever is connected to it."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def _server_user() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    return names.get("postgres") or names["nobody"]


def _as_user(user: pwd.struct_passwd | None) -> list[str]:
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return [] if user is None else ["runuser", "-u", user.pw_name, "--"]
    # The server ends with the tests, even when they are killed.
    command = [setpriv, "--pdeathsig", "INT"]
    if user is not None:
        command += ["--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups"]
    return [*command, "--"]


def _wait_until_it_answers(server: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            psycopg.connect(host=str(folder), user=ROLE, dbname="postgres").close()
        except psycopg.OperationalError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"PostgreSQL did not start: {(folder / 'server.log').read_text(errors='replace')}")


def _stop(server: subprocess.Popen[bytes]) -> None:
    for signal_number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):  # fast, immediate, hard
        if server.poll() is not None:
            return
        server.send_signal(signal_number)
        try:
            server.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            continue
