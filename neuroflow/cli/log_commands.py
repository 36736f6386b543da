"""`neuroflow logs`: what a run's tool wrote."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from neuroflow.cli.arguments import examples
from neuroflow.cli.context import AppContext, pass_app
from neuroflow.cli.output import one_line

if TYPE_CHECKING:
    from neuroflow.cluster.folders import Folders
    from neuroflow.core.state import StateManager
    from neuroflow.domain import AttemptRecord
    from neuroflow.orchestrator.services import Services

_PIECE_BYTES = 1024 * 1024
# The files may lie on a network file system, and the database is shared.
_FOLLOW_SECONDS = 1.0


@click.command("logs", epilog=examples("neuroflow logs 12 --stderr", "neuroflow logs 12 --follow"))
@click.argument("run_id", metavar="RUN", type=int)
@click.option("--follow", "-f", is_flag=True, help="Go on until the run has ended, through its retries.")
@click.option("--attempt", "number", type=click.IntRange(min=1), help="This attempt; default: the newest.")
@click.option("--stderr", is_flag=True, help="Standard error instead of standard output.")
@pass_app
def logs_command(app: AppContext, run_id: int, follow: bool, number: int | None, stderr: bool) -> None:
    """Show what the tool of a run wrote."""
    from neuroflow.errors import NotFoundError

    services = app.services()
    state = services.state
    name = "stderr.log" if stderr else "stdout.log"
    attempt = choose_attempt(state, run_id, number)
    if follow:
        _follow(services, attempt, name, only=number is not None)
        return
    path = f"{attempt.folder}/{name}"
    if _copy(services.folders(attempt.where), path, 0) is None:
        if attempt.ended_at is not None and _is_gone(services.folders(attempt.where), attempt.folder):
            raise NotFoundError(
                f"the folder of attempt {attempt.number} of run {run_id} is gone, its logs with it: {attempt.folder}",
                hint=f"`neuroflow runs show {run_id}` has what the database keeps of it",
            )
        raise NotFoundError(
            f"attempt {attempt.number} of run {run_id} has written no {name} (it is {attempt.status}): {path}",
            hint=f"see `neuroflow runs show {run_id}`",
        )


def choose_attempt(state: StateManager, run_id: int, number: int | None) -> AttemptRecord:
    """Return an attempt of a run: the one of that number, else the newest.

    Raises:
        NotFoundError: when there is no such run or attempt.
    """
    from neuroflow.errors import NotFoundError

    run = state.get_run(run_id)
    attempts = {attempt.number: attempt for attempt in state.attempts_of(run_id)}
    if not attempts:
        raise NotFoundError(f"run {run_id} has no attempt yet: it is {run.status} ({run.reason})")
    wanted = max(attempts) if number is None else number
    if wanted not in attempts:
        raise NotFoundError(f"run {run_id} has no attempt {wanted}; there are: {', '.join(map(str, sorted(attempts)))}")
    return attempts[wanted]


def _is_gone(folders: Folders, folder: str) -> bool:
    from neuroflow.cluster.job import JOB_NAME

    look = folders.look([folder], [JOB_NAME])[folder][JOB_NAME]
    return look.data is None and not look.problem


def _follow(services: Services, attempt: AttemptRecord, name: str, *, only: bool) -> None:
    """Copy an attempt's file as it grows, then the next attempt's, until the run has ended."""
    from neuroflow.domain import OPEN_ATTEMPT_STATUSES, OPEN_RUN_STATUSES

    state = services.state
    offset = 0
    said: set[int] = set()
    while True:
        # Asked before the file is read: what was written before the end is then shown for certain.
        run = state.get_run(attempt.run_id)
        present = state.get_attempt(attempt.id)
        offset = _copy(services.folders(attempt.where), f"{attempt.folder}/{name}", offset) or offset
        # A cancelled run has ended, though its attempt stays open until a poll has seen the job end.
        if run.status not in OPEN_RUN_STATUSES:
            _say(f"run {run.id} {run.status}: {run.reason}")
            return
        if present.status not in OPEN_ATTEMPT_STATUSES:
            if present.id not in said:
                said.add(present.id)
                _say(f"attempt {present.number} {present.status}; run {run.id} is {run.status}: {run.reason}")
            if only:
                return
            newest = choose_attempt(state, attempt.run_id, None)
            if newest.id != attempt.id:
                attempt, offset = newest, 0
                _say(f"attempt {attempt.number}")
                continue
        time.sleep(_FOLLOW_SECONDS)


def _say(text: str) -> None:
    """Say something beside the log, which goes to standard output alone."""
    click.echo(f"==> {one_line(text)} <==", err=True)


def _copy(folders: Folders, path: str, offset: int) -> int | None:
    """Copy a file to standard output from an offset on; return where it ended, None for a file that is not there."""
    output = sys.stdout.buffer
    try:
        while piece := folders.read_from(path, offset=offset, limit_bytes=_PIECE_BYTES):
            output.write(piece)
            offset += len(piece)
    except FileNotFoundError:
        return None
    output.flush()
    return offset
