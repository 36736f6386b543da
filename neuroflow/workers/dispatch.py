"""Send a run's hint to the Celery queue of its pipeline."""

from __future__ import annotations

from dataclasses import dataclass

from celery import Celery
from kombu.exceptions import OperationalError

from neuroflow.core.state import StateManager
from neuroflow.domain import RunRecord, RunStatus
from neuroflow.orchestrator.registry import Pipeline
from neuroflow.workers.celery_app import QUEUES, redis_priority

TASK = "neuroflow.workers.tasks.run_pipeline"


@dataclass(frozen=True)
class CeleryDispatcher:
    """A hint carries the run's id; the database holds everything else."""

    app: Celery
    state: StateManager

    def send(self, run: RunRecord, pipeline: Pipeline) -> None:
        """Queue the run's task, then mark the run as queued.

        In this order: a crash between the two leaves a pending run with a task, which may claim it, or a second hint.

        Raises:
            OSError: when the broker does not answer.
        """
        highest = QUEUES.get(pipeline.queue)
        try:
            self.app.send_task(
                TASK,
                args=[run.id, run.pipeline],
                kwargs={"session_id": run.session_id, "subject_id": run.subject_id},
                queue=pipeline.queue,
                routing_key=pipeline.routing_key,
                priority=redis_priority(highest if highest is not None else 5),
                # The database has the truth: waiting for a result backend that is away would block for 20 s.
                ignore_result=True,
                retry=False,
            )
        except (OperationalError, RuntimeError) as error:
            raise OSError(f"the broker does not answer: {error}") from error
        self.state.move_run(
            run.id,
            expected={RunStatus.PENDING, RunStatus.RETRY_WAIT},
            to=RunStatus.QUEUED,
            reason=f"queued on {pipeline.queue}",
        )
