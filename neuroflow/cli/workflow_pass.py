"""Carry out `neuroflow workflow run`: as a plan, in this process, or through the workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from neuroflow.cli.output import counted, escaped
from neuroflow.cli.workflow_progress import Progress, shown_table
from neuroflow.domain import RunStatus, Stage
from neuroflow.errors import NeuroflowError
from neuroflow.orchestrator.notifications import notify_round
from neuroflow.orchestrator.steps import InlineDispatcher
from neuroflow.orchestrator.workflow import WorkflowResult, WorkflowScheduler
from neuroflow.views.status_leave import leave_snapshot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from neuroflow.orchestrator.services import Services


def show_plan(services: Services, stage: str | None) -> None:
    """Show what a pass would open and withdraw."""
    plan = WorkflowScheduler(services, InlineDispatcher(services)).run_workflow(dry_run=True, force_stage=stage).plan
    if plan is None:
        return
    for proposal in plan.proposals:
        click.echo(f"open {proposal.pipeline} {proposal.scope}: {escaped(proposal.reason)}")
    for withdrawal in plan.withdrawals:
        click.echo(f"withdraw run {withdrawal.run_id}: {escaped(withdrawal.reason)}")
    for wait in plan.waits:
        click.echo(f"wait {wait.pipeline} {wait.scope}: {escaped(wait.reason)}")
    click.echo(f"{len(plan.proposals)} to open, {len(plan.withdrawals)} to withdraw, {len(plan.waits)} wait")


def queue(services: Services, stage: str | None) -> None:
    """Hand what is due to the workers."""
    from neuroflow.workers.celery_app import create_celery_app
    from neuroflow.workers.dispatch import CeleryDispatcher

    dispatcher = CeleryDispatcher(create_celery_app(services.config), services.state, logs_failure=False)
    _conclude(WorkflowScheduler(services, dispatcher).run_workflow(force_stage=stage))


def carry_through(services: Services, stage: str | None) -> None:
    """Run everything that is due in this process, showing how it goes; end with 1 when a run failed."""
    dispatcher = InlineDispatcher(services)
    progress = Progress(services, only=None if stage == Stage.DISCOVERY else stage)
    with shown_table(services) as show:

        def step() -> None:
            progress.say_waits()
            show()
            leave_snapshot(services.config)

        scheduler = WorkflowScheduler(services, dispatcher, progress=step, on_ended=progress.ended)
        result = scheduler.run_workflow(sync=True, force_stage=stage)
    leave_snapshot(services.config, at_once=True)
    # No further round may come: whoever ran this by hand goes home.
    for problem in notify_round(services, gather=False).failed:
        click.echo(f"not told: {escaped(problem)}", err=True)
    _conclude(result)
    # A run can fail before it has an attempt: its command could not be built, or the site refused it.
    refused = {item.run_id for item in dispatcher.results if item.status is RunStatus.FAILED}
    if progress.failed or refused:
        raise _failed(sorted(progress.failed), sorted(refused - progress.failed))


def _failed(tried: Sequence[int], refused: Sequence[int]) -> NeuroflowError:
    """Return what to say of runs that failed, with what shows why the first of them did."""
    run_ids = sorted([*tried, *refused])
    first = tried[0] if tried else run_ids[0]
    log = f", `neuroflow logs {first} --stderr`" if tried else ""
    others = "; so for the others" if len(run_ids) > 1 else ""
    return NeuroflowError(
        f"{counted(len(run_ids), 'run')} failed: {', '.join(map(str, run_ids))}",
        hint=f"`neuroflow why --run {first}`{log}{others}",
    )


_AFTERWARDS = "what was started goes on; `neuroflow status` shows it, and the next pass does the rest"
_NO_BROKER = "start `neuroflow up`, or a Redis with a worker and beat; the runs that are due go out then; or use --sync"


def _conclude(result: WorkflowResult) -> None:
    stages = ", ".join(result.stages_completed) or "none"
    click.echo(
        f"workflow run {result.workflow_run_id}: {result.status}; {counted(result.tasks_queued, 'run')} handed over; "
        f"stages: {stages}"
    )
    if result.error:
        raise NeuroflowError(
            f"workflow run {result.workflow_run_id} did not get through: {result.error}",
            hint=_NO_BROKER if "broker" in result.error else _AFTERWARDS,
        )
