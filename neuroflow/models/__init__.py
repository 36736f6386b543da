"""The tables of the state database; no behaviour, and no use outside `neuroflow.core`."""

from neuroflow.models.base import Base
from neuroflow.models.images import ImageRow
from neuroflow.models.notices import DeliveryRow, MessageRow, NoticeRow
from neuroflow.models.runs import AttemptRow, CallbackRow, RunRow
from neuroflow.models.services import (
    AuditRow,
    CallBucketRow,
    CallBudgetRow,
    CallStatisticsRow,
    LeaseRow,
    ServiceValueRow,
    WorkflowRunRow,
)
from neuroflow.models.sessions import SessionRow, SubjectRow

__all__ = [
    "AttemptRow",
    "AuditRow",
    "Base",
    "CallBucketRow",
    "CallBudgetRow",
    "CallStatisticsRow",
    "CallbackRow",
    "DeliveryRow",
    "ImageRow",
    "LeaseRow",
    "MessageRow",
    "NoticeRow",
    "RunRow",
    "ServiceValueRow",
    "SessionRow",
    "SubjectRow",
    "WorkflowRunRow",
]
