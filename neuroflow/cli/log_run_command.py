"""`neuroflow logs run`: what the tool of a run wrote, and what it was told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from neuroflow.cli.arguments import examples, json_option
from neuroflow.cli.context import AppContext, pass_app
from neuroflow.cli.log_text import LogWriter, ending_on_ctrl_c, say
from neuroflow.cli.output import escaped, when, write_json, write_table

if TYPE_CHECKING:
    from neuroflow.domain import AttemptRecord
    from neuroflow.orchestrator.services import Services


@click.command(
    "run",
    epilog=examples(
        "neuroflow logs run 12 --stderr --tail 50",
        "neuroflow logs run 12 --attempt 1 --crash",
        "neuroflow logs run 12 --script",
        "neuroflow logs run 12 --command --into /scratch/me/again",
        "neuroflow logs run 12 --list --json",
    ),
)
@click.argument("run_id", metavar="RUN", type=int)
@click.option("--attempt", "number", type=click.IntRange(min=1), help="This attempt; default: the newest.")
@click.option("--stdout", "streams", flag_value="stdout", default="stdout", help="Standard output; the default.")
@click.option("--stderr", "streams", flag_value="stderr", help="Standard error instead of standard output.")
@click.option("--both", "streams", flag_value="both", help="Both, one after the other.")
@click.option("--follow", "-f", is_flag=True, help="Go on until the run has ended, through its retries.")
@click.option("--tail", type=click.IntRange(min=1), metavar="N", help="Only the last N lines.")
@click.option("--crash", "what", flag_value="crash", help="The crash files that the tool left.")
@click.option("--script", "what", flag_value="script", help="The sbatch script, exactly as it was submitted.")
@click.option("--command", "what", flag_value="command", help="Lines for a shell that repeat it by hand.")
@click.option("--list", "what", flag_value="list", help="The files in the attempt's folder.")
@click.option("--into", type=click.Path(), metavar="FOLDER", help="With --command: what takes the repetition's files.")
@json_option
@pass_app
def run_command(
    app: AppContext,
    run_id: int,
    number: int | None,
    streams: str,
    follow: bool,
    tail: int | None,
    what: str | None,
    into: str | None,
    as_json: bool,
) -> None:
    """Show what the tool of a run wrote, or what it was told.

    To a terminal, colour codes are left out and control characters are escaped; a file or a pipe gets every byte.
    """
    from neuroflow.views.run_logs import choose_attempt

    _check_options(what, follow=follow, as_json=as_json, into=into)
    services = app.services()
    attempt = choose_attempt(services.state, run_id, number)
    if what is not None:
        _show(services, attempt, what, tail=tail, into=into, as_json=as_json)
        return
    names = [f"{stream}.log" for stream in (("stdout", "stderr") if streams == "both" else (streams,))]
    with ending_on_ctrl_c():
        if follow:
            from neuroflow.cli.log_following import Following

            Following(services, attempt, names, only=number is not None).run(tail=tail)
        else:
            _write_logs(services, attempt, names, tail=tail)


def _check_options(what: str | None, *, follow: bool, as_json: bool, into: str | None) -> None:
    from neuroflow.errors import UsageError

    if follow and what is not None:
        raise UsageError(f"--follow goes on with a log, and --{what} is none", hint="leave one of them out")
    if as_json and what not in ("crash", "command", "list"):
        raise UsageError("--json goes with --crash, --command and --list", hint="a log is text: leave --json out")
    if into is not None and what != "command":
        raise UsageError("--into goes with --command")


def _write_logs(services: Services, attempt: AttemptRecord, names: list[str], *, tail: int | None) -> None:
    from neuroflow.views.run_logs import missing_file, pieces, tail_offset

    folders = services.folders(attempt.where)
    there: list[str] = []
    written: set[str] = set()
    for name in names:
        path = f"{attempt.folder}/{name}"
        writer = LogWriter()
        try:
            offset = 0 if tail is None else tail_offset(folders, path, lines=tail)
            for index, piece in enumerate(pieces(folders, path, offset)):
                if index == 0 and len(names) > 1:
                    say(name)
                writer.write(piece)
                written.add(name)
            there.append(name)
        except FileNotFoundError:
            continue
        writer.flush()
        if len(names) > 1 and name not in written:
            say(f"{name} (empty)")
    if not there:
        raise missing_file(services, attempt, names[0])
    if not written and len(names) == 1:
        other = f"`neuroflow logs run {attempt.run_id} --attempt {attempt.number} --both`"
        say(f"{names[0]}: empty; {other} has both streams")


def _show(
    services: Services, attempt: AttemptRecord, what: str, *, tail: int | None, into: str | None, as_json: bool
) -> None:
    if what == "crash":
        _show_crashes(services, attempt, tail=tail, as_json=as_json)
    elif what == "script":
        _show_script(services, attempt)
    elif what == "command":
        _show_command(services, attempt, into=into, as_json=as_json)
    else:
        _show_files(services, attempt, as_json=as_json)


def _show_files(services: Services, attempt: AttemptRecord, *, as_json: bool) -> None:
    from neuroflow.views.run_logs import list_files

    files = list_files(services, attempt)
    if as_json:
        write_json(
            {"schema": 1, "run": attempt.run_id, "attempt": attempt.number, "folder": attempt.folder, "files": files}
        )
        return
    click.echo(f"attempt {attempt.number} of run {attempt.run_id}, {attempt.status}: {escaped(attempt.folder)}")
    rows = [(one.name, one.bytes, when(one.modified), one.meaning) for one in files]
    write_table(("file", "bytes", "changed", "what it is"), rows, empty="no files")


def _show_script(services: Services, attempt: AttemptRecord) -> None:
    from neuroflow.views.run_logs import script_of

    script = script_of(services, attempt)
    if script.note:
        say(script.note)
    writer = LogWriter()
    writer.write(script.data)
    writer.flush()


def _show_command(services: Services, attempt: AttemptRecord, *, into: str | None, as_json: bool) -> None:
    from pathlib import Path

    from neuroflow.views.repeat import repeat_attempt

    folder = Path(into or f"repeat-run-{attempt.run_id}-attempt-{attempt.number}").absolute()
    repeat = repeat_attempt(services, attempt, folder=str(folder))
    if as_json:
        write_json(
            {
                "schema": 1,
                "run": attempt.run_id,
                "attempt": attempt.number,
                "folder": repeat.folder,
                "command": repeat.command,
                "before": repeat.before,
                "environment": repeat.environment,
                "notes": repeat.notes,
                "lines": repeat.lines,
            }
        )
        return
    for note in repeat.notes:
        click.echo(f"# {escaped(note)}")
    for line in repeat.lines:
        click.echo(line)


def _show_crashes(services: Services, attempt: AttemptRecord, *, tail: int | None, as_json: bool) -> None:
    from neuroflow.errors import NotFoundError
    from neuroflow.views.run_logs import crash_files

    crashes = crash_files(services, attempt)
    if as_json:
        write_json({"schema": 1, "run": attempt.run_id, "attempt": attempt.number, "crash_files": crashes})
        return
    if not crashes:
        raise NotFoundError(
            f"attempt {attempt.number} of run {attempt.run_id} left no crash file, or its output is gone",
            hint=f"`neuroflow logs run {attempt.run_id} --attempt {attempt.number} --stderr` has the tool's own words",
        )
    for crash in crashes:
        click.echo(f"==> {escaped(crash.path)} ({crash.bytes} bytes, {when(crash.modified)}) <==")
        if crash.is_text:
            _write_file(services, attempt, crash.path, tail=tail)
        else:
            click.echo("(no text: not shown)")


def _write_file(services: Services, attempt: AttemptRecord, path: str, *, tail: int | None) -> None:
    from neuroflow.views.run_logs import pieces, tail_offset

    folders = services.folders(attempt.where)
    writer = LogWriter()
    try:
        offset = 0 if tail is None else tail_offset(folders, path, lines=tail)
        for piece in pieces(folders, path, offset):
            writer.write(piece)
    except FileNotFoundError:
        click.echo("(it has just been moved or deleted)")
    writer.flush()
