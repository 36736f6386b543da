"""Carry out `neuroflow workflow run`: as a plan, in this process, or through the workers."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from neuroflow.cli.output import escaped, make_table
from neuroflow.domain import RunStatus
from neuroflow.errors import NeuroflowError
from neuroflow.orchestrator.notifications import notify_round
from neuroflow.orchestrator.steps import InlineDispatcher
from neuroflow.orchestrator.workflow import WorkflowResult, WorkflowScheduler
from neuroflow.views.status import standing_rows
from neuroflow.views.status_leave import leave_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.table import Table

    from neuroflow.orchestrator.record import Ended
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
    failed: set[int] = set()
    dispatcher = InlineDispatcher(services)

    def on_ended(ended: Ended) -> None:
        if ended.run_status is RunStatus.FAILED:
            failed.add(ended.attempt.run_id)
        attempt = ended.attempt
        click.echo(f"run {attempt.run_id} {attempt.pipeline} {attempt.scope}: {ended.run_status}")

    with ExitStack() as stack:
        show = _progress(services, stack)

        def progress() -> None:
            show()
            leave_snapshot(services.config)

        scheduler = WorkflowScheduler(services, dispatcher, progress=progress, on_ended=on_ended)
        result = scheduler.run_workflow(sync=True, force_stage=stage)
    leave_snapshot(services.config, at_once=True)
    # No further round may come: whoever ran this by hand goes home.
    for problem in notify_round(services, gather=False).failed:
        click.echo(f"not told: {escaped(problem)}", err=True)
    # A run can fail before it has an attempt: its command could not be built, or the site refused it.
    failed |= {item.run_id for item in dispatcher.results if item.status is RunStatus.FAILED}
    _conclude(result)
    if failed:
        names = ", ".join(map(str, sorted(failed)))
        raise NeuroflowError(
            f"{len(failed)} runs failed: {names}", hint="`neuroflow runs show ID`, `neuroflow logs ID`"
        )


def _progress(services: Services, stack: ExitStack) -> Callable[[], None]:
    """Return what is called each round: a live table on a terminal, nothing elsewhere."""
    if not sys.stdout.isatty():
        return lambda: None
    from rich.live import Live

    live = stack.enter_context(Live(_table(services), auto_refresh=False))
    return lambda: live.update(_table(services), refresh=True)


def _table(services: Services) -> Table:
    rows = standing_rows(services.config)
    return make_table([*rows[0]], [[*row.values()] for row in rows])


_AFTERWARDS = "what was started goes on; `neuroflow status` shows it, and the next pass does the rest"
_NO_BROKER = "start `neuroflow up`, or a Redis with a worker and beat; the runs that are due go out then; or use --sync"


def _conclude(result: WorkflowResult) -> None:
    stages = ", ".join(result.stages_completed) or "none"
    click.echo(
        f"workflow run {result.workflow_run_id}: {result.status}; {result.tasks_queued} runs handed over; "
        f"stages: {stages}"
    )
    if result.error:
        raise NeuroflowError(
            f"workflow run {result.workflow_run_id} did not get through: {result.error}",
            hint=_NO_BROKER if "broker" in result.error else _AFTERWARDS,
        )
