"""StateManager: the one door to the state database."""

from __future__ import annotations

from neuroflow.core.attempts import AttemptState
from neuroflow.core.audit_log import AuditFilter, AuditLogState
from neuroflow.core.calls import CallState
from neuroflow.core.claims import ClaimState, NewAttempt
from neuroflow.core.dead_letters import DeadLetterState
from neuroflow.core.deliveries import DeliveryState
from neuroflow.core.failures import FailureState
from neuroflow.core.history import HistoryState
from neuroflow.core.holds import HoldState
from neuroflow.core.images import ImageState
from neuroflow.core.lines import LineState
from neuroflow.core.notices import NoticeState
from neuroflow.core.pages import PageState
from neuroflow.core.priorities import PriorityState
from neuroflow.core.reruns import RerunState
from neuroflow.core.run_changes import RunChangeState
from neuroflow.core.runs import RunState
from neuroflow.core.selection import SelectionState
from neuroflow.core.services import ServiceState
from neuroflow.core.sessions import SessionState
from neuroflow.core.sightings import SeenAttempt, SightingState
from neuroflow.core.store import utcnow
from neuroflow.core.tallies import TallyState
from neuroflow.core.usage import UsageState
from neuroflow.core.verdicts import Ending, VerdictState
from neuroflow.core.workflows import WorkflowState


class StateManager(
    SessionState,
    RunState,
    RunChangeState,
    RerunState,
    PriorityState,
    SelectionState,
    ClaimState,
    AttemptState,
    SightingState,
    VerdictState,
    WorkflowState,
    DeadLetterState,
    FailureState,
    HistoryState,
    HoldState,
    ImageState,
    LineState,
    ServiceState,
    AuditLogState,
    CallState,
    TallyState,
    UsageState,
    NoticeState,
    DeliveryState,
    PageState,
):
    """Every read and write of the state database.

    Each method is one transaction, but for `record_sightings`, `history` and those that read pages. A move of a run or
    an attempt is a compare-and-set with its audit row in the same transaction; rows stay inside, callers get frozen
    dataclasses with aware times in UTC. Safe to share between threads, and to carry into a forked process.
    """


__all__ = ["AuditFilter", "Ending", "NewAttempt", "SeenAttempt", "StateManager", "utcnow"]
