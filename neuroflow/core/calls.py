"""The budget of calls to a program that all processes of an installation share, and how the calls went."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from neuroflow.core import records
from neuroflow.core.store import Store, alone, insert_into
from neuroflow.domain import CallStatistics
from neuroflow.models import CallBucketRow, CallBudgetRow, CallStatisticsRow

# Upper bounds (s). A controller under load answers in seconds; sbatch itself tries for up to two minutes.
CALL_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


class CallState(Store):
    """Ration calls, and count them."""

    def take_call(self, budget: str, *, per_minute: float) -> float:
        """Take one call out of a token bucket; return 0, or after how many seconds there will be one to take.

        The bucket holds the calls of one minute, and fills at that rate.
        """
        with self._write() as (session, now):
            alone(session, f"budget:{budget}")
            tokens = _tokens(session, budget, now, per_minute)
            wait = 0.0 if tokens >= 1 else (1 - tokens) * 60 / per_minute
            left = tokens - 1 if wait == 0 else tokens
            changes = {"tokens": left, "updated_at": now}
            statement = insert_into(session, CallBudgetRow, {"name": budget, **changes})
            session.execute(statement.on_conflict_do_update(index_elements=["name"], set_=changes))
            return wait

    def calls_left(self, budget: str, *, per_minute: float) -> float:
        """Return how many calls may be made now."""
        with self._read() as session:
            return _tokens(session, budget, self._clock(), per_minute)

    def record_call(self, program: str, *, seconds: float, failed: bool) -> None:
        """Count a call and how long it took."""
        with self._write() as (session, now):
            new = {"calls": 0, "failures": 0, "seconds": 0.0, "last_seconds": 0.0, "updated_at": now}
            statement = insert_into(session, CallStatisticsRow, {"program": program, **new})
            session.execute(statement.on_conflict_do_nothing())
            session.execute(
                update(CallStatisticsRow)
                .where(CallStatisticsRow.program == program)
                .values(
                    calls=CallStatisticsRow.calls + 1,
                    failures=CallStatisticsRow.failures + int(failed),
                    seconds=CallStatisticsRow.seconds + seconds,
                    last_seconds=seconds,
                    updated_at=now,
                )
            )
            bucket = next((bound for bound in CALL_BUCKETS if seconds <= bound), None)
            if bucket is not None:
                one = insert_into(session, CallBucketRow, {"program": program, "up_to_seconds": bucket, "calls": 1})
                more = {"calls": CallBucketRow.calls + 1}
                session.execute(one.on_conflict_do_update(index_elements=["program", "up_to_seconds"], set_=more))

    def call_buckets(self) -> dict[str, dict[float, int]]:
        """Return how many calls fell into each bucket, by program and upper bound (s); the slowest are in none."""
        found: dict[str, dict[float, int]] = {}
        query = select(CallBucketRow.program, CallBucketRow.up_to_seconds, CallBucketRow.calls)
        with self._read() as session:
            for program, bound, calls in session.execute(query):
                found.setdefault(program, {})[bound] = calls
        return found

    def call_statistics(self) -> list[CallStatistics]:
        """Return how the calls went, by program."""
        with self._read() as session:
            rows = session.execute(records.call_statistics().order_by(CallStatisticsRow.program)).all()
        return [CallStatistics(*row) for row in rows]


def _tokens(session: Session, budget: str, now: datetime, per_minute: float) -> float:
    query = select(CallBudgetRow.tokens, CallBudgetRow.updated_at).where(CallBudgetRow.name == budget)
    row = session.execute(query).first()
    if row is None:
        return per_minute
    # Clocks of several machines differ: time that runs backwards fills nothing, and takes nothing away.
    passed = max((now - row.updated_at).total_seconds(), 0.0)
    filled: float = row.tokens + passed * per_minute / 60
    return min(filled, per_minute)
