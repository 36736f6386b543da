"""What `neuroflow` alone says: the commands, and the one to give next."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from neuroflow.cli.output import counted
from neuroflow.errors import ConfigError, NeuroflowError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from neuroflow.cli.context import AppContext
    from neuroflow.config import NeuroflowConfig

_AT_WORK = ("queued", "submitting", "submitted", "running")


def greet(context: click.Context, app: AppContext) -> None:
    """Show the help, and below it what to do next."""
    click.echo(context.get_help())
    click.echo()
    for line in next_step(app):
        click.echo(line)


def next_step(app: AppContext) -> list[str]:
    """Return how far this installation is, and which command comes next."""
    try:
        config = app.config(check_files=False)
    except ConfigError as error:
        if app.config_path is None and "there is no configuration" in str(error):
            return [
                "There is no configuration here yet. Next:",
                "  neuroflow init study    write one",
                "  neuroflow demo          or first see everything at work, on made-up data; with the demo's packages:",
                "                          pip install '.[demo]' in the checkout",
            ]
        return [f"The configuration can't be used: {str(error).splitlines()[0]}", "Next: neuroflow config validate"]
    except NeuroflowError as error:
        return [str(error)]
    return _next_step_of(config)


def _next_step_of(config: NeuroflowConfig) -> list[str]:
    from neuroflow.core.glance import glance

    file = f"Configuration: {config.files[0]}"
    try:
        with glance(config.database_url()) as look:
            sessions = look.counts("sessions")
            runs = look.counts("pipeline_runs")
    except OSError:
        return [file, "The database is not there, has no tables, or doesn't answer. Next: neuroflow db upgrade"]
    if not sessions:
        return [file, "No session is known yet. Next: neuroflow scan"]
    return [file, f"{_runs(runs)}; {_sessions(sessions)}. Next: neuroflow status"]


def _runs(counts: Mapping[str, int]) -> str:
    waiting = counts.get("pending", 0)
    retrying = counts.get("retry_wait", 0)
    at_work = sum(counts.get(status, 0) for status in _AT_WORK)
    text = f"runs: {counts.get('completed', 0)} completed, {at_work} at work, {counts.get('failed', 0)} failed"
    return text + (f", {retrying} retrying" if retrying else "") + (f", {waiting} waiting" if waiting else "")


def _sessions(counts: Mapping[str, int]) -> str:
    text = counted(sum(counts.values()), "session")
    invalid = counts.get("invalid", 0)
    return text + (f", {invalid} invalid (`neuroflow session list --status invalid`)" if invalid else "")
