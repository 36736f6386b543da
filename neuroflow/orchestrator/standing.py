"""How a pipeline stands for a scope, or for a session."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeGuard

from neuroflow.domain import RunRecord, RunStatus, SessionRecord
from neuroflow.domain.overview import WaitKind
from neuroflow.orchestrator.plan import Wait

Place = tuple[str, str]  # a pipeline's name, and a scope


class Kind(StrEnum):
    """How a pipeline stands for a scope."""

    CURRENT = "current"  # completed over the present inputs
    COMING = "coming"  # open, proposed, or about to be
    SETTLING = "settling"  # its files still arrive
    BLOCKED = "blocked"  # failed or cancelled over the present inputs
    ABSENT = "absent"  # nothing to do: excluded, invalid, or nothing upstream


@dataclass(frozen=True)
class Standing:
    """How a pipeline stands for a scope, with the run that says so, or what that depends on."""

    kind: Kind
    reason: str = ""
    run: RunRecord | None = None
    waits_for: WaitKind = WaitKind.UPSTREAM
    about: str = ""
    upon: tuple[Place, ...] = ()  # what has to change before this does

    def wait(self, pipeline: str, scope: str, kind: WaitKind) -> Wait:
        """Return what is told of a scope that waits so."""
        return Wait(pipeline, scope, self.reason, kind, self.about)


@dataclass(frozen=True)
class SessionResult:
    """How one pipeline stands for one session, at whichever level it runs."""

    session: SessionRecord
    pipeline: str
    kind: Kind  # a session that settles is coming
    reason: str
    run: RunRecord | None  # that was completed, failed or is open; None where there is none over the present inputs


@dataclass(frozen=True)
class Scope:
    """One subject or session that a pipeline can cover."""

    name: str
    subject_id: int
    session: SessionRecord | None  # None at subject level

    @property
    def session_id(self) -> int | None:
        return self.session.id if self.session else None


def is_done(newest: RunRecord | None) -> TypeGuard[RunRecord]:
    """Tell whether a scope's newest run has left results that nobody asks for again."""
    return newest is not None and newest.status is RunStatus.COMPLETED and not newest.superseded
