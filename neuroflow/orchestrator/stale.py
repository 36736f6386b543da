"""End attempts that no witness has known for days: by evidence, not by age."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import structlog

from neuroflow.cluster.queue_query import is_listed
from neuroflow.cluster.states import ENDED_STATES
from neuroflow.domain import AttemptRecord, FailureClass, Sighting, Verdict, VerdictKind
from neuroflow.errors import ClusterError
from neuroflow.orchestrator.record import Recorder
from neuroflow.orchestrator.services import Services
from neuroflow.orchestrator.signature import code_of

log = structlog.get_logger(__name__)


def clean_up_stale(services: Services, *, hours: float) -> Mapping[str, int]:
    """End attempts that no witness has known for `hours`; a job that merely waits in a queue is known.

    Returns:
        `{"stale_found": …, "cancelled": …}`.
    """
    stale = services.state.find_stale_runs(hours)
    cancelled = 0
    for run in stale:
        attempt = services.state.latest_attempt(run.id)
        if attempt is not None and _end_stale(services, attempt, hours=hours):
            cancelled += 1
    return {"stale_found": len(stale), "cancelled": cancelled}


def is_known(sighting: Sighting) -> bool:
    """Tell whether a witness knows what became of a job, or may yet.

    A job that sacct calls pending or running, and that squeue does not list, is forgotten by the controller: its row in
    the accounting will never change.
    """
    row = sighting.accounting
    return (
        not sighting.queue_answered
        or sighting.accounting_silent
        or is_listed(sighting.queue)
        or sighting.exit_record is not None
        or (row is not None and row.state in ENDED_STATES)
    )


def _end_stale(services: Services, attempt: AttemptRecord, *, hours: float) -> bool:
    cluster = services.cluster(attempt.where)
    if is_known(cluster.sight([attempt])[attempt.token]):
        return False  # the next poll judges it
    recorder = Recorder(services)
    reason = f"no witness has known its job for {hours:g} hours"
    verdict = Verdict(
        VerdictKind.FAILED, reason, failure=FailureClass.NODE, ended_at=services.clock(), job_id=attempt.job_id
    )
    try:
        cluster.retire([attempt])
        decision = recorder.decision(attempt, verdict, services.state.get_run(attempt.run_id))
    except ClusterError as error:  # tomorrow again
        log.warning("cleanup.not_retired", run_id=attempt.run_id, token=attempt.token, error=str(error))
        return False
    decision = replace(decision, reason=f"stale: {reason}; {decision.status} next")
    signature = code_of(attempt, verdict, stderr_tail="")
    ended = services.state.record_verdict(attempt.id, verdict, decision, None, signature=signature)
    if ended:
        log.warning("cleanup.cancelled_stale", run_id=attempt.run_id, token=attempt.token, job_id=attempt.job_id)
    return ended
