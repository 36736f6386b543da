"""What a look at the database plans: the runs to open and to withdraw, and what waits for what."""

from __future__ import annotations

from dataclasses import dataclass, field

from neuroflow.domain import RunProposal, RunStatus
from neuroflow.domain.overview import WaitKind

# These have no attempt in flight, so they can be withdrawn without touching the cluster.
WITHDRAWABLE = frozenset({RunStatus.PENDING, RunStatus.QUEUED, RunStatus.RETRY_WAIT})


@dataclass(frozen=True)
class Wait:
    """Why a pipeline has nothing to do for a scope yet."""

    pipeline: str
    scope: str
    reason: str
    kind: WaitKind = WaitKind.UPSTREAM
    about: str = ""  # what it has in common with others of its kind; empty: its whole reason


@dataclass(frozen=True)
class Withdrawal:
    """An open run whose inputs are no longer the current ones."""

    run_id: int
    reason: str


@dataclass(frozen=True)
class OutOfDate:
    """A completed newest run whose inputs are no longer the present ones."""

    pipeline: str
    scope: str
    is_blocked: bool  # nothing brings it on by itself; otherwise it is to be run again, or waits for that


@dataclass(frozen=True)
class Plan:
    """Runs to open, runs to withdraw, and what waits for what."""

    proposals: tuple[RunProposal, ...]
    withdrawals: tuple[Withdrawal, ...]
    waits: tuple[Wait, ...]
    # Ready scopes that nothing brings on by itself: told to people, and nothing follows from it.
    blocked: tuple[Wait, ...] = field(default=(), compare=False)
    # Told to people as well: results that exist, and are not those of the present inputs.
    out_of_date: tuple[OutOfDate, ...] = field(default=(), compare=False)
