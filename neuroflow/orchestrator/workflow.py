"""WorkflowScheduler: one pass of the master workflow, dispatched to the workers or carried through here."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from neuroflow.domain import OPEN_RUN_STATUSES, RunStatus, Stage, WorkflowStatus
from neuroflow.errors import NeuroflowError
from neuroflow.orchestrator.plan import Plan
from neuroflow.orchestrator.record import Ended
from neuroflow.orchestrator.rounds import poll_round
from neuroflow.orchestrator.services import Services
from neuroflow.orchestrator.steps import AdvanceReport, Dispatcher, advance, discover, preview

log = structlog.get_logger(__name__)

# A local job ends within seconds; SLURM is asked no oftener than the site allows.
LOCAL_POLL_SECONDS = 0.5


@dataclass(frozen=True)
class WorkflowResult:
    """What one pass of the master workflow did."""

    workflow_run_id: int | None
    status: str
    stages_completed: tuple[str, ...] = ()
    error: str | None = None
    tasks_queued: int = 0
    plan: Plan | None = None


@dataclass
class WorkflowScheduler:
    """Runs the steps in order; the database says what is due, so a second pass does nothing twice."""

    services: Services
    dispatcher: Dispatcher
    progress: Callable[[], None] = lambda: None
    sleep: Callable[[float], None] = time.sleep
    on_ended: Callable[[Ended], None] = lambda ended: None
    _queued: int = field(default=0, init=False)

    def run_workflow(
        self, *, sync: bool = False, dry_run: bool = False, force_stage: str | None = None
    ) -> WorkflowResult:
        """Discover and dispatch; with `sync`, go on until nothing more can be done.

        Args:
            sync: carry the runs through in this process, polling; without it their tasks are queued.
            dry_run: change nothing, return the plan.
            force_stage: only this stage (`discovery` or a pipeline's name).
        """
        only = self._only(force_stage)
        if dry_run:
            return WorkflowResult(None, "dry_run", plan=preview(self.services, only=only))
        workflow = self.services.state.start_workflow_run()
        structlog.contextvars.bind_contextvars(workflow_run_id=workflow.id)
        log.info("workflow.master.started", sync=sync, stage=force_stage)
        stages: list[str] = []
        error: str | None = None
        try:
            self._stages(workflow.id, force_stage, only, stages)
            if sync and force_stage != Stage.DISCOVERY:
                self._carry_through(workflow.id, only)
        except (NeuroflowError, OSError) as problem:
            error = str(problem)
        except BaseException:  # Ctrl-C or a task's time limit; what was submitted goes on, and the next pass sees it
            self._finish(workflow.id, WorkflowStatus.CANCELLED, stages, "interrupted")
            raise
        status = WorkflowStatus.FAILED if error else WorkflowStatus.COMPLETED
        self._finish(workflow.id, status, stages, error)
        log.info("workflow.master.completed", status=str(status), tasks_queued=self._queued)
        return WorkflowResult(workflow.id, str(status), tuple(stages), error, self._queued)

    def _finish(self, workflow_run_id: int, status: WorkflowStatus, stages: list[str], error: str | None) -> None:
        self.services.state.finish_workflow_run(
            workflow_run_id, status=status, stages_completed=tuple(stages), tasks_queued=self._queued, error=error
        )

    def _only(self, stage: str | None) -> str | None:
        if stage is None or stage == Stage.DISCOVERY:
            return None
        return self.services.registry.get(stage).name

    def _stages(self, workflow_run_id: int, stage: str | None, only: str | None, done: list[str]) -> None:
        if only is None:
            log.info("workflow.stage.discovery.started")
            discover(self.services)
            done.append(str(Stage.DISCOVERY))
        if stage == Stage.DISCOVERY:
            return
        for name in [only] if only else self.services.registry.names():
            log.info(f"workflow.stage.{name}.started")
            self._advance(workflow_run_id, name)
            done.append(name)

    def _advance(self, workflow_run_id: int, only: str | None) -> AdvanceReport:
        report = advance(self.services, self.dispatcher, only=only, workflow_run_id=workflow_run_id)
        self._queued += len(report.dispatched)
        if report.errors:
            raise OSError("; ".join(report.errors))
        return report

    def _carry_through(self, workflow_run_id: int, only: str | None) -> None:
        config = self.services.config.cluster
        pause = LOCAL_POLL_SECONDS if config.kind == "local" else config.poll_seconds
        while True:
            poll_round(self.services, self.on_ended)
            report = self._advance(workflow_run_id, only)
            self.progress()
            if not self._more_to_come(only) and not report.opened and not report.withdrawn:
                return
            self.sleep(pause)

    def _more_to_come(self, only: str | None) -> bool:
        held = self.services.holds()
        return any(
            run.status in OPEN_RUN_STATUSES
            and (only is None or run.pipeline == only)
            # A held pipeline's runs wait for a person.
            and not (run.pipeline in held and run.status in (RunStatus.PENDING, RunStatus.RETRY_WAIT))
            for run in self.services.state.list_runs(open_only=True)
        )
