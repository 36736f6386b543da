"""Send a run's hint to the Celery queue of its pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog
from celery import Celery
from kombu.exceptions import OperationalError

from neuroflow.core.state import StateManager
from neuroflow.domain import RunRecord
from neuroflow.orchestrator.registry import Pipeline
from neuroflow.workers.celery_app import message_priority, redis_priority

log = structlog.get_logger(__name__)

TASK = "neuroflow.workers.tasks.run_pipeline"
ARRAY_TASK = "neuroflow.workers.tasks.submit_array"


@dataclass(frozen=True)
class CeleryDispatcher:
    """A hint carries the run's id; the database holds everything else."""

    app: Celery
    state: StateManager
    logs_failure: bool = True  # False: whoever called says it by himself

    def send(self, runs: Sequence[RunRecord], pipeline: Pipeline) -> None:
        """Queue the runs' task, then mark the runs as queued.

        In this order: a crash between the two leaves pending runs with a task, which may claim them, or a second hint.

        Raises:
            OSError: when the broker does not answer.
        """
        ids = [run.id for run in runs]
        try:
            if len(runs) == 1:
                scope = {"session_id": runs[0].session_id, "subject_id": runs[0].subject_id}
                self._send(TASK, [ids[0], pipeline.name], scope, pipeline, priority=runs[0].priority)
            else:
                priority = max(run.priority for run in runs)
                self._send(ARRAY_TASK, [ids, pipeline.name], {}, pipeline, priority=priority)
        except OSError as error:
            if self.logs_failure:
                log.error("run.not_queued", run_ids=ids, error=str(error))
            raise
        self.state.queue_runs(ids, reason=f"queued on {pipeline.queue}")

    def _send(
        self, task: str, arguments: list[object], named: Mapping[str, object], pipeline: Pipeline, *, priority: int
    ) -> None:
        try:
            self.app.send_task(
                task,
                args=arguments,
                kwargs=dict(named),
                queue=pipeline.queue,
                routing_key=pipeline.routing_key,
                priority=redis_priority(message_priority(pipeline.queue, priority)),
                # The database has the truth: waiting for a result backend that is away would block for 20 s.
                ignore_result=True,
                retry=False,
            )
        except (OperationalError, RuntimeError) as error:
            raise OSError(f"the broker does not answer: {error}") from error
