"""The steps that every driver repeats: discover, advance, poll. Each may run twice, late, or side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import groupby
from typing import Protocol

import structlog

from neuroflow.discovery.lost import lost_folders
from neuroflow.discovery.scanner import SessionScanner
from neuroflow.domain import RunProposal, RunRecord, RunStatus, ScanOutcome
from neuroflow.orchestrator.dispatch import choose_dispatch
from neuroflow.orchestrator.keys import SCAN_KEY
from neuroflow.orchestrator.launch import Launcher, LaunchResult
from neuroflow.orchestrator.launch_array import ArrayLauncher
from neuroflow.orchestrator.out_of_date import look_for_out_of_date, remember_out_of_date, still_out_of_date
from neuroflow.orchestrator.plan import Plan, Wait
from neuroflow.orchestrator.registry import Pipeline
from neuroflow.orchestrator.scheduler import plan_runs
from neuroflow.orchestrator.services import Services
from neuroflow.orchestrator.site import admission, array_size, ask_first
from neuroflow.orchestrator.waits import remember_waits

log = structlog.get_logger(__name__)
_LOST_NAMED = 20


class Dispatcher(Protocol):
    """Hands runs to whoever launches them."""

    def send(self, runs: Sequence[RunRecord], pipeline: Pipeline) -> None:
        """Send a hint that carries the ids of one run, or of several that go out as a job array.

        Raises:
            OSError: when the broker is away; the runs stay where they are, and the next look sends them.
        """


@dataclass
class InlineDispatcher:
    """Launches at once, in this process: no broker at all."""

    services: Services
    results: list[LaunchResult] = field(default_factory=list)

    def send(self, runs: Sequence[RunRecord], pipeline: Pipeline) -> None:
        """Launch the runs."""
        self.results += launch_all(self.services, [run.id for run in runs])


def launch_all(services: Services, run_ids: Sequence[int]) -> list[LaunchResult]:
    """Launch one run by itself, several of one pipeline as a job array."""
    if len(run_ids) == 1:
        return [Launcher(services).launch(run_ids[0])]
    return ArrayLauncher(services).launch(run_ids)


@dataclass(frozen=True)
class AdvanceReport:
    """What one look at the database started."""

    opened: tuple[int, ...]
    withdrawn: tuple[int, ...]
    dispatched: tuple[int, ...]
    waits: tuple[Wait, ...]
    errors: tuple[str, ...]


def discover(services: Services) -> tuple[ScanOutcome, tuple[str, ...]]:
    """Look for sessions on disk and write them down; return what changed and what could not be read."""
    config = services.config
    scanner = SessionScanner(config.paths, config.discovery, config.protocol)
    known = services.state.known_sessions()
    report = scanner.scan(known)
    outcome = services.state.record_scan(report.found, settle_minutes=config.discovery.settle_minutes)
    if outcome.new or outcome.changed:  # results over their former files, or without them, are out of date from now on
        look_for_out_of_date(services)
    lost = lost_folders(known.values(), report.found)
    outcome = replace(outcome, not_found=len(lost), lost_folders=lost[:_LOST_NAMED])
    problems = report.problems
    if known and not report.found and not problems:
        problems = (
            f"paths.dicom_root '{config.paths.dicom_root}' holds no session folder, but some are known: "
            "check that the file system is mounted",
        )
    value = {"found": outcome.found, "not_found": outcome.not_found, "problems": list(problems[:50])}
    services.state.set_value(SCAN_KEY, value)
    for problem in problems:
        log.warning("scan.problem", problem=problem)
    log.info(
        "scan.completed",
        found=outcome.found,
        new=outcome.new,
        changed=outcome.changed,
        ready=outcome.ready,
        not_found=outcome.not_found,
    )
    return outcome, problems


def preview(services: Services, *, only: str | None = None) -> Plan:
    """Return what `advance` would open and withdraw, changing nothing."""
    return _only(plan_runs(services.state.snapshot(), services.registry), only, services)


def advance(
    services: Services,
    dispatcher: Dispatcher,
    *,
    only: str | None = None,
    workflow_run_id: int | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> AdvanceReport:
    """Open the runs that are due, withdraw those that are out of date, and dispatch what fits the limits.

    Args:
        only: one pipeline's name, to leave the others alone.
        stopped: asked between two dispatches.
    """
    whole = plan_runs(services.state.snapshot(), services.registry)
    plan = _only(whole, only, services)
    withdrawn = tuple(item.run_id for item in plan.withdrawals if _withdraw(services, item.run_id, item.reason))
    opened = _open(services, plan.proposals, workflow_run_id=workflow_run_id)
    snapshot = services.state.snapshot()
    ask_first(services)
    choice = choose_dispatch(
        snapshot,
        services.registry,
        holds=services.holds(),
        hint_lifetime=timedelta(seconds=services.config.celery.hint_lifetime),
        admission=admission(services),
    )
    remember_waits(services, (*whole.waits, *whole.blocked, *choice.waits))
    remember_out_of_date(services, still_out_of_date(whole.out_of_date, snapshot.runs))
    runs = {run.id: run for run in snapshot.runs}
    chosen = [runs[run_id] for run_id in choice.run_ids if only is None or runs[run_id].pipeline == only]
    dispatched, errors = _send(services, dispatcher, chosen, stopped=stopped)
    return AdvanceReport(opened, withdrawn, dispatched, (*plan.waits, *choice.waits), errors)


def _open(services: Services, proposals: Sequence[RunProposal], *, workflow_run_id: int | None) -> tuple[int, ...]:
    """Open the runs that are proposed, but for those that another worker has opened; return their ids."""
    opened = []
    for proposal in proposals:
        run = services.state.open_run(proposal, workflow_run_id=workflow_run_id)
        if run is not None:
            opened.append(run.id)
            log.info("run.opened", run_id=run.id, pipeline=run.pipeline, scope=run.scope, reason=proposal.reason)
    return tuple(opened)


def _send(
    services: Services, dispatcher: Dispatcher, runs: Sequence[RunRecord], *, stopped: Callable[[], bool]
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Dispatch runs in batches; return the ids of those that were, and why the next ones were not."""
    dispatched: list[int] = []
    for batch in batches(runs, services):
        if stopped():
            break
        _find_lost_hints(services, batch)
        ids = [run.id for run in batch]
        try:
            dispatcher.send(batch, services.registry.get(batch[0].pipeline))
        except OSError as error:
            # The broker is away; the others would only wait for the same time limit.
            return tuple(dispatched), (f"run {', '.join(map(str, ids))} could not be queued: {error}",)
        dispatched += ids
    return tuple(dispatched), ()


def batches(runs: Sequence[RunRecord], services: Services) -> Iterator[list[RunRecord]]:
    """Divide runs into those that go out together: as arrays where the cluster takes them, else one by one.

    A run with a request of its own, which is one that is tried again, goes by itself.
    """
    for pipeline_name, group in groupby(runs, key=lambda run: run.pipeline):
        size = array_size(services, services.registry.get(pipeline_name))
        waiting: list[RunRecord] = []
        for run in group:
            if size == 1 or run.resources is not None:
                yield [run]
            else:
                waiting.append(run)
        for start in range(0, len(waiting), size):
            yield waiting[start : start + size]


def _find_lost_hints(services: Services, batch: Sequence[RunRecord]) -> None:
    for run in batch:
        if run.status is RunStatus.QUEUED:
            services.state.move_run(
                run.id, expected={RunStatus.QUEUED}, to=RunStatus.PENDING, reason="its task was lost: queued again"
            )


def _withdraw(services: Services, run_id: int, reason: str) -> bool:
    moved = services.state.move_run(
        run_id,
        expected={RunStatus.PENDING, RunStatus.QUEUED, RunStatus.RETRY_WAIT},
        to=RunStatus.CANCELLED,
        reason=f"withdrawn: {reason}",
        superseded=True,  # nobody decided against it: the same inputs may come back
    )
    if moved:
        log.info("run.withdrawn", run_id=run_id, reason=reason)
    return moved


def _only(plan: Plan, name: str | None, services: Services) -> Plan:
    if name is None:
        return plan
    services.registry.get(name)
    return Plan(
        tuple(item for item in plan.proposals if item.pipeline == name),
        plan.withdrawals,
        tuple(item for item in plan.waits if item.pipeline == name),
    )
