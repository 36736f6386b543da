"""`neuroflow runs`: look at runs; what changes them is in `run_acts`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from neuroflow.cli.arguments import SESSION, SUBJECT, examples, json_option, run_status_option
from neuroflow.cli.context import AppContext, pass_app
from neuroflow.cli.output import counted, escaped, no_match, one_line, when, write_json, write_values
from neuroflow.cli.run_acts import cancel, priority_command, retry
from neuroflow.cli.run_table import write_runs

if TYPE_CHECKING:
    from neuroflow.domain import AttemptRecord, ImageRecord, Resources, RunStatus
    from neuroflow.orchestrator.services import Services


@click.group("runs", epilog=examples("neuroflow runs list --status failed", "neuroflow runs show 12"))
def runs_group() -> None:
    """Look at runs, cancel them, run them again."""


@runs_group.command("list", epilog=examples("neuroflow runs list --pipeline qsiprep --status failed --json"))
@click.option("--pipeline", metavar="NAME", help="Only this pipeline's.")
@run_status_option
@click.option("--subject", type=SUBJECT, help="Only this subject's.")
@click.option("--session", type=SESSION, help="Only this session's.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="How many, newest first.")
@json_option
@pass_app
def list_command(
    app: AppContext,
    pipeline: str | None,
    statuses: tuple[RunStatus, ...],
    subject: str | None,
    session: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List runs, newest first."""
    from neuroflow.cli.lists import tell_of_more, write_json_rows

    services = app.services()
    if pipeline is not None:
        services.registry.get(pipeline)
    if subject is not None:
        services.state.get_subject(subject)
    runs = services.state.list_runs(
        pipeline=pipeline, status=statuses or None, subject=subject, session=session, limit=limit + 1
    )
    are_more, runs = len(runs) > limit, runs[:limit]
    if as_json:
        write_json_rows("runs", runs)
    else:
        write_runs(
            services.state, runs, empty="" if runs else _no_runs(services, pipeline, statuses or None, subject, session)
        )
    if are_more:
        tell_of_more(f"the newest {limit}")


def _no_runs(services: Services, *filters: object) -> str:
    total = sum(services.state.state_counts().runs.values())
    if total and any(value is not None for value in filters):
        return no_match(total, "run")
    return "no runs: `neuroflow workflow run` opens those that are due"


@runs_group.command("show", epilog=examples("neuroflow runs show 12", "neuroflow runs show 12 --json"))
@click.argument("run_id", metavar="ID", type=int)
@json_option
@pass_app
def show(app: AppContext, run_id: int, as_json: bool) -> None:
    """Show a run, its attempts and its history."""
    from neuroflow.domain.priority import priority_in_words

    state = app.services().state
    run = state.get_run(run_id)
    attempts = state.attempts_of(run_id)
    images = state.get_images([attempt.image_record_id for attempt in attempts if attempt.image_record_id])
    audit = sorted(state.list_audit(entity="run", entity_id=run_id), key=lambda entry: entry.id)
    if as_json:
        write_json({"schema": 1, "run": run, "attempts": attempts, "images": list(images.values()), "audit": audit})
        return
    write_values(
        {
            "run": run.id,
            "pipeline": run.pipeline,
            "scope": run.scope,
            "status": f"{run.status}{' (to be run again)' if run.superseded else ''}",
            "reason": run.reason,
            "failure": run.failure,
            "error": run.error_message,
            "signature": run.signature,
            "resolution": run.resolution,
            "output": run.output_path,
            "next attempt": when(run.next_attempt_at),
            "priority": priority_in_words(run.priority) if run.priority else "",
            "started": when(run.started_at),
            "ended": when(run.ended_at),
        }
    )
    for attempt in attempts:
        click.echo(
            f"attempt {attempt.number}: {attempt.status} on {attempt.where}"
            + (f" as job {attempt.job_id}" if attempt.job_id else ", no job")
            + (f" {escaped(attempt.job_word)}" if attempt.job_word else "")
            + (f", exit code {attempt.exit_code}" if attempt.exit_code is not None else "")
        )
        write_values(
            {
                "  folder": attempt.folder,
                "  request": _request(attempt.resources),
                "  used": _used(attempt),
                "  host": attempt.host,
                "  message": one_line(attempt.message),
            }
        )
        write_values(_image_values(attempt, images.get(attempt.image_record_id or 0)))
    for entry in audit:
        move = f" {entry.before or 'new'} -> {entry.after}" if entry.after else ""
        click.echo(f"{when(entry.at)} {entry.actor} {entry.event}{move}: {one_line(entry.reason)}")


def _request(asked: Resources) -> str:
    gpus = f", {counted(asked.gpus, 'GPU')}" if asked.gpus else ""
    partition = f", in partition {escaped(asked.partition)}" if asked.partition else ""
    return f"{counted(asked.cpus, 'core')}, {asked.memory_mb} MiB, {asked.time_minutes} min{gpus}{partition}"


def _used(attempt: AttemptRecord) -> str:
    """Say what an attempt used of its request; what was not measured is left out."""
    asked, elapsed, parts = attempt.resources, attempt.elapsed_seconds, []
    if attempt.cpu_seconds is not None and elapsed:
        parts.append(f"{attempt.cpu_seconds / elapsed:.1f} cores")
    if attempt.max_rss_mb is not None:
        parts.append(f"{attempt.max_rss_mb:,.0f} MiB ({attempt.max_rss_mb / asked.memory_mb:.0%})")
    if elapsed is not None:
        parts.append(f"{elapsed / 60:,.1f} min ({elapsed / 60 / asked.time_minutes:.0%})")
    return ", ".join(parts)


def _image_values(attempt: AttemptRecord, image: ImageRecord | None) -> dict[str, object]:
    """Return with which image an attempt was made, and whether its node saw the same."""
    identity = image.identity if image is not None else ""
    other = attempt.node_image if attempt.node_image != identity else ""
    return {
        "  image": attempt.image,
        "  version": attempt.image_version,
        "  image id": identity or attempt.node_image,
        "  digest": image.digest if image is not None else "",
        "  on its node": f"ANOTHER IMAGE, with the id {other}" if identity and other else "",
    }


for _command in (cancel, retry, priority_command):
    runs_group.add_command(_command)
