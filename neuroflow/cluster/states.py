"""SLURM's words for a job's state, gathered into ours by one table."""

from __future__ import annotations

import structlog

from neuroflow.domain import JobState

log = structlog.get_logger(__name__)

# SLURM's base states, then the flags that it may print instead (job_state_codes in its documentation).
STATE_OF_WORD = {
    "PENDING": JobState.PENDING,
    "RUNNING": JobState.RUNNING,
    "SUSPENDED": JobState.SUSPENDED,
    "COMPLETED": JobState.COMPLETED,
    "CANCELLED": JobState.CANCELLED,
    "FAILED": JobState.FAILED,
    "TIMEOUT": JobState.TIMEOUT,
    "NODE_FAIL": JobState.NODE_FAIL,
    "PREEMPTED": JobState.PREEMPTED,
    "BOOT_FAIL": JobState.NODE_FAIL,
    "DEADLINE": JobState.CANCELLED,  # more time would not help: the job's own deadline has passed
    "OUT_OF_MEMORY": JobState.OUT_OF_MEMORY,
    "COMPLETING": JobState.ENDING,
    "CONFIGURING": JobState.PENDING,  # nodes are booting, nothing of the job runs yet
    "EXPEDITING": JobState.PENDING,
    "LAUNCH_FAILED": JobState.REQUEUED,  # the node could not start it, and has asked for it to be requeued, held
    "POWER_UP_NODE": JobState.PENDING,
    "RECONFIG_FAIL": JobState.REQUEUED,
    "REQUEUED": JobState.REQUEUED,
    "REQUEUE_FED": JobState.REQUEUED,
    "REQUEUE_HOLD": JobState.REQUEUED,
    "RESIZING": JobState.RUNNING,
    "RESV_DEL_HOLD": JobState.PENDING,
    "REVOKED": JobState.REQUEUED,  # a sibling of the federation has started the job
    "SIGNALING": JobState.RUNNING,
    "SPECIAL_EXIT": JobState.REQUEUED,
    "STAGE_OUT": JobState.ENDING,
    "STOPPED": JobState.SUSPENDED,
    "UPDATE_DB": JobState.RUNNING,
}

ENDED_STATES = frozenset(
    {
        JobState.COMPLETED,
        JobState.FAILED,
        JobState.TIMEOUT,
        JobState.OUT_OF_MEMORY,
        JobState.NODE_FAIL,
        JobState.PREEMPTED,
        JobState.CANCELLED,
    }
)


def job_state(text: str) -> JobState:
    """Return the state that SLURM's text stands for; UNRECOGNISED, and logged, when the table lacks it.

    `CANCELLED by 1000` carries a user id, and `OUT_OF_ME+` is cut off by the column's width.
    """
    words = text.split()
    word = words[0].upper() if words else ""
    if word in STATE_OF_WORD:
        return STATE_OF_WORD[word]
    if word.endswith("+") and len(word) > 1:
        meant = {state for full, state in STATE_OF_WORD.items() if full.startswith(word[:-1])}
        if len(meant) == 1:
            return meant.pop()
    log.warning("slurm.state_unrecognised", word=text)
    return JobState.UNRECOGNISED
