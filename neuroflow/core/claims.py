"""Claim a run for an attempt: the one door from waiting to being executed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from neuroflow.core import records
from neuroflow.core.audit import Audit, write_audit
from neuroflow.core.moves import Cause, lock_run, move_run
from neuroflow.core.store import DEFAULT_ACTOR, Store, alone, attempt_is_open
from neuroflow.core.transitions import CLAIMABLE
from neuroflow.domain import IN_FLIGHT_RUN_STATUSES, AttemptRecord, AttemptStatus, Resources, RunStatus
from neuroflow.errors import NotFoundError
from neuroflow.models import AttemptRow, RunRow


@dataclass(frozen=True)
class NewAttempt:
    """What is known of an attempt before it is submitted."""

    run_id: int
    token: str
    where: str
    folder: str
    resources: Resources
    image: str | None
    array_token: str | None = None
    image_record_id: int | None = None
    image_version: str = ""


class ClaimState(Store):
    """Turn waiting runs into attempts."""

    def claim_run(
        self,
        run_id: int,
        *,
        token: str,
        where: str,
        folder: str,
        resources: Resources,
        image: str | None,
        limit: int,
        image_record_id: int | None = None,
        image_version: str = "",
    ) -> AttemptRecord | None:
        """Move a run to submitting and write its attempt's row; None when it is not there to take.

        It is not when it isn't waiting, its next attempt is not due, `limit` runs of its pipeline are in flight, or
        an earlier attempt of its pipeline and scope, even of a cancelled run, may still be executing.

        Raises:
            NotFoundError: when there is no such run.
            StateError: when the token is in use.
        """
        new = NewAttempt(
            run_id,
            token,
            where,
            folder,
            resources,
            image,
            image_record_id=image_record_id,
            image_version=image_version,
        )
        return next(iter(self.claim_runs([new], limit=limit)), None)

    def claim_runs(self, news: Sequence[NewAttempt], *, limit: int) -> list[AttemptRecord]:
        """Claim many runs of one pipeline in one transaction; return the attempts of those that were there to take.

        Elements of an array get their index in this order, without gaps.

        Raises:
            NotFoundError: when there is no such run.
            StateError: when a token is in use.
        """
        claimed: list[AttemptRecord] = []
        with self._write() as (session, now):
            # In the order of ids, so that two workers at once can't lock each other out.
            for new in sorted(news, key=lambda item: item.run_id):
                attempt_id = _claim(session, new, index=len(claimed), limit=limit, now=now)
                if attempt_id is not None:
                    row = session.execute(records.attempts().where(AttemptRow.id == attempt_id)).one()
                    claimed.append(AttemptRecord(*row))
        return claimed


def _claim(session: Session, new: NewAttempt, *, index: int, limit: int, now: datetime) -> int | None:
    pipeline, scope = _identity(session, new.run_id)
    # Claims of a pipeline pass one at a time: each counts what the others have taken.
    alone(session, f"claim:{pipeline}")
    before = lock_run(session, new.run_id)
    if not _is_due(session, new.run_id, before, now):
        return None
    if _in_flight(session, pipeline) >= limit or _may_be_executing(session, pipeline, scope):
        return None
    last = select(func.coalesce(func.max(AttemptRow.number), 0)).where(AttemptRow.run_id == new.run_id)
    number = 1 + session.scalars(last).one()
    cause = Cause(f"attempt {number} is being submitted", now)
    move_run(session, new.run_id, before=before, to=RunStatus.SUBMITTING, cause=cause, values={"next_attempt_at": None})
    values = {
        **asdict(new),
        "array_index": None if new.array_token is None else index,
        "resources": new.resources,
        "number": number,
        "status": AttemptStatus.SUBMITTING,
        "job_word": "",
        "job_reason": "",
        "counted": True,
        "message": "",
        "host": "",
        "created_at": now,
    }
    attempt_id = session.scalars(insert(AttemptRow).values(values).returning(AttemptRow.id)).one()
    write_audit(session, _opened(attempt_id, new.run_id, new.token, cause))
    return attempt_id


def _identity(session: Session, run_id: int) -> tuple[str, str]:
    row = session.execute(select(RunRow.pipeline, RunRow.scope).where(RunRow.id == run_id)).first()
    if row is None:
        raise NotFoundError(f"there is no run {run_id}")
    return row.pipeline, row.scope


def _is_due(session: Session, run_id: int, status: RunStatus, now: datetime) -> bool:
    if status not in CLAIMABLE:
        return False
    if status is not RunStatus.RETRY_WAIT:
        return True
    due = session.scalar(select(RunRow.next_attempt_at).where(RunRow.id == run_id))
    return due is None or due <= now


def _in_flight(session: Session, pipeline: str) -> int:
    query = select(func.count()).where(RunRow.pipeline == pipeline, RunRow.status.in_(IN_FLIGHT_RUN_STATUSES))
    return session.scalars(query).one()


def _may_be_executing(session: Session, pipeline: str, scope: str) -> bool:
    query = (
        select(AttemptRow.id)
        .join(RunRow, RunRow.id == AttemptRow.run_id)
        .where(RunRow.pipeline == pipeline, RunRow.scope == scope, attempt_is_open())
        .limit(1)
    )
    return session.scalar(query) is not None


def _opened(attempt_id: int, run_id: int, token: str, cause: Cause) -> Audit:
    details = {"run_id": run_id, "token": token}
    after = AttemptStatus.SUBMITTING.value
    return Audit(cause.at, DEFAULT_ACTOR, "attempt.opened", "attempt", attempt_id, None, after, cause.reason, details)
