"""`neuroflow doctor`: look at everything that a run needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from neuroflow.cli.arguments import examples
from neuroflow.cli.context import AppContext, pass_app
from neuroflow.cli.output import write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from neuroflow.cli.doctor_output import Writer
    from neuroflow.config import NeuroflowConfig
    from neuroflow.doctor.check import Check, Context, Finding

no_doctor_option = click.option(
    "--no-doctor", is_flag=True, help="Don't run doctor's quick checks before the first submission."
)


def ask_doctor(config: NeuroflowConfig, *, skip: bool) -> None:
    """Refuse to start an installation that has never submitted a run, and is not ready for it."""
    if not skip:
        import structlog

        from neuroflow import log
        from neuroflow.doctor.first_submission import refuse_unless_ready

        if not structlog.is_configured():  # `up` and `run worker` do it for themselves, later
            log.configure(config.logging.model_copy(update={"level": "WARNING"}), service="cli")
        refuse_unless_ready(config)


@click.command(
    "doctor",
    epilog=examples("neuroflow doctor", "neuroflow doctor --node --partition main", "neuroflow doctor --only images"),
)
@click.option("--only", multiple=True, metavar="NAME", help="Only this check, or all of a topic; may be repeated.")
@click.option("--skip", multiple=True, metavar="NAME", help="Leave out a check, or a topic; may be repeated.")
@click.option("--list", "list_checks", is_flag=True, help="List the checks, and run none.")
@click.option("--node", is_flag=True, help="Also look at a compute node, inside a tiny SLURM job.")
@click.option("--partition", metavar="NAME", help="With --node: the partition to look at.")
@click.option(
    "--node-timeout",
    type=click.FloatRange(min=1),
    metavar="SECONDS",
    help="With --node: how long to wait for the job; default: doctor.node_timeout_seconds.",
)
@click.option("--strict", is_flag=True, help="Warnings count as errors.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@pass_app
def doctor_command(
    app: AppContext,
    only: tuple[str, ...],
    skip: tuple[str, ...],
    list_checks: bool,
    node: bool,
    partition: str | None,
    node_timeout: float | None,
    strict: bool,
    as_json: bool,
) -> None:
    """Look for what is wrong with this installation, why it matters, and what mends it.

    Exit code 0: no errors; 1: errors (with --strict, warnings too). Nothing is changed, and nothing is submitted
    but the job of --node.
    """
    from neuroflow.cli.doctor_output import Writer
    from neuroflow.doctor.registry import CHECKS, NODE_CHECKS
    from neuroflow.doctor.report import as_json as json_of
    from neuroflow.doctor.report import exit_code
    from neuroflow.errors import UsageError

    if list_checks:
        _list(CHECKS, NODE_CHECKS)
        return
    if not node and (partition or node_timeout):
        raise UsageError("--partition and --node-timeout need --node")
    chosen = _choice((*CHECKS, *NODE_CHECKS), only, skip)
    context = _context(app)
    writer = Writer(quiet=as_json)
    for finding in _login(context, CHECKS, chosen, writer, debug=app.debug):
        writer.add(finding)
    if node:
        for finding in _node(context, NODE_CHECKS, chosen, writer, partition=partition, seconds=node_timeout):
            writer.add(finding)
    if as_json:
        write_json(json_of(writer.findings, strict=strict))
    else:
        writer.conclude()
    raise click.exceptions.Exit(exit_code(writer.findings, strict=strict))


def _context(app: AppContext) -> Context:
    import io

    from neuroflow import log
    from neuroflow.config import NeuroflowConfig
    from neuroflow.config.sections import Logging
    from neuroflow.doctor.check import Context

    # Findings say what the log would; without this, structlog writes it among them.
    log.configure(Logging(), service="cli", stream=None if app.verbose else io.StringIO())
    return Context(load=lambda: NeuroflowConfig.find_and_load(app.config_path, check_files=False))


def _choice(checks: Sequence[Check], only: Sequence[str], skip: Sequence[str]) -> Callable[[Check], bool]:
    """Return which checks were asked for.

    Raises:
        UsageError: for a name that is neither a check nor a topic.
    """
    import difflib

    from neuroflow.errors import UsageError

    known = {name for check in checks for name in (check.name, check.topic.lower())}
    for name in (*only, *skip):
        if name.lower() not in known:
            near = difflib.get_close_matches(name, known, n=1)
            guess = f"; did you mean '{near[0]}'?" if near else ""
            raise UsageError(f"there is no check or topic '{name}'{guess}", hint="`neuroflow doctor --list` lists them")
    wanted, left_out = ({name.lower() for name in names} for names in (only, skip))

    def chosen(check: Check) -> bool:
        names = {check.name, check.topic.lower()}
        return (not wanted or bool(names & wanted)) and not names & left_out

    return chosen


def _login(
    context: Context, checks: Sequence[Check], chosen: Callable[[Check], bool], writer: Writer, *, debug: bool
) -> Iterator[Finding]:
    from neuroflow.doctor.runner import run_checks

    return run_checks(checks, context, chosen=chosen, on_start=lambda check: writer.now(check.name), raising=debug)


def _node(
    context: Context,
    checks: Sequence[Check],
    chosen: Callable[[Check], bool],
    writer: Writer,
    *,
    partition: str | None,
    seconds: float | None,
) -> Iterator[Finding]:
    import signal

    from neuroflow.doctor.node_job import Waiting, look_at_node, not_asked

    reason = not_asked(context)
    if reason:
        yield reason
        return
    wait = Waiting(seconds or context.config.doctor.node_timeout_seconds, partition, progress=writer.now)
    # As Ctrl-C does: the job is cancelled, and its folder removed, however the wait ends.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield from look_at_node(context, wait, checks=[check for check in checks if chosen(check)])
    finally:
        signal.signal(signal.SIGTERM, before)


def _list(checks: Sequence[Check], node_checks: Sequence[Check]) -> None:
    from neuroflow.cli.output import write_table

    names = {check.name for check in checks}
    on_node = {check.name for check in node_checks}
    rows = [
        (check.name, check.topic, check.about, "yes" if check.name in on_node else "")
        for check in (*checks, *(one for one in node_checks if one.name not in names))
    ]
    write_table(("check", "topic", "looks at", "with --node"), rows, empty="no checks")
