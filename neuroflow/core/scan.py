"""What one scan changes: a pure comparison of the folders that were found with those that are known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from neuroflow.domain import FoundSession, ScanOutcome, SessionStatus
from neuroflow.models.types import storable

# A folder that vanished while its files still arrived was renamed or withdrawn; its subject must not wait for ever.
GONE_AFTER = timedelta(hours=24)
DUPLICATE_PREFIX = "another folder claims this session and is ignored: "
_SETTLED = frozenset({SessionStatus.READY, SessionStatus.INVALID})

Key = tuple[str, str]  # subject and session label


@dataclass(frozen=True)
class Stored:
    """A session as the database has it, without its series."""

    id: int
    subject: str
    label: str
    path: str
    status: SessionStatus
    status_reason: str
    fingerprint: str
    fingerprint_since: datetime
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Change:
    """A session to insert (`before` is None) or to update."""

    before: Stored | None
    found: FoundSession | None  # None: it was not found, only its status and path change
    path: str
    status: SessionStatus
    reason: str
    since: datetime

    @property
    def has_new_content(self) -> bool:
        """Whether the files differ from those that were known."""
        return self.before is None or (self.found is not None and self.found.fingerprint != self.before.fingerprint)


@dataclass
class ScanPlan:
    """The changes of a scan, and how its sessions stand afterwards."""

    changes: list[Change] = field(default_factory=list)
    statuses: list[SessionStatus] = field(default_factory=list)

    def outcome(self) -> ScanOutcome:
        """Count what was found, what changed, and how it stands."""
        new = sum(change.before is None for change in self.changes)
        return ScanOutcome(
            found=len(self.statuses),
            new=new,
            changed=sum(change.has_new_content for change in self.changes) - new,
            settling=self.statuses.count(SessionStatus.SETTLING),
            ready=self.statuses.count(SessionStatus.READY),
            invalid=self.statuses.count(SessionStatus.INVALID),
        )


def plan_scan(
    found: Sequence[FoundSession], stored: Iterable[Stored], *, now: datetime, settle_minutes: float
) -> ScanPlan:
    """Compare a scan with what is known, and return what has to be written."""
    known = {(item.subject, item.label): item for item in stored}
    kept = _one_folder_each(found, known)
    plan = ScanPlan()
    for key, session in kept.items():
        before = known.get(key)
        change = _judge(session, before, now=now, settle=timedelta(minutes=settle_minutes))
        plan.statuses.append(change.status)
        if _differs(change):
            plan.changes.append(change)
    if kept:
        plan.changes += _lost_folders(known, kept, now)
    return plan


def _one_folder_each(found: Sequence[FoundSession], known: Mapping[Key, Stored]) -> dict[Key, FoundSession]:
    """Keep one folder per subject and session: the one that is known, or else the first."""
    claims: dict[Key, list[FoundSession]] = {}
    for session in found:
        claims.setdefault((session.subject, session.session), []).append(session)
    kept = {}
    for key, sessions in claims.items():
        path = known[key].path if key in known else None
        first = next((session for session in sessions if storable(session.path) == path), sessions[0])
        others = sorted({session.path for session in sessions} - {first.path})
        # The scanner hands back the problems that it was told of: a duplicate may have gone meanwhile.
        problems = [text for text in first.problems if not text.startswith(DUPLICATE_PREFIX)]
        kept[key] = replace(first, problems=(*problems, *(DUPLICATE_PREFIX + other for other in others)))
    return kept


def _judge(found: FoundSession, before: Stored | None, *, now: datetime, settle: timedelta) -> Change:
    same = before is not None and before.fingerprint == found.fingerprint
    since = before.fingerprint_since if before is not None and same else now
    settled = now - since >= settle or (before is not None and same and before.status in _SETTLED)
    status, reason = _settled(found) if settled else _settling(since, settle)
    if before is not None and before.status is SessionStatus.EXCLUDED:
        status, reason = before.status, before.status_reason
    return Change(before, found, storable(found.path), status, storable(reason), since)


def _settling(since: datetime, settle: timedelta) -> tuple[SessionStatus, str]:
    minutes = f"{settle.total_seconds() / 60:g}"
    reason = f"its files changed until {since:%Y-%m-%d %H:%M} UTC; it starts after {minutes} min without a change"
    return SessionStatus.SETTLING, reason


def _settled(found: FoundSession) -> tuple[SessionStatus, str]:
    if found.path != storable(found.path):
        return SessionStatus.INVALID, "its path is not UTF-8; rename the folder"
    if found.missing:
        return SessionStatus.INVALID, "; ".join(found.missing)
    return SessionStatus.READY, "complete"


def _differs(change: Change) -> bool:
    before, found = change.before, change.found
    if before is None or found is None:
        return True
    return (
        change.has_new_content
        or (change.path, change.status, change.reason) != (before.path, before.status, before.status_reason)
        or found.problems != before.problems
    )


def _lost_folders(known: Mapping[Key, Stored], kept: Mapping[Key, FoundSession], now: datetime) -> list[Change]:
    owners = {storable(session.path): session for session in kept.values()}
    changes = []
    for key, before in known.items():
        if key in kept:
            continue
        owner = owners.get(before.path) if before.path else None
        if owner is not None:
            text = f"its folder {before.path} is now read as sub-{owner.subject}/ses-{owner.session}"
            status = SessionStatus.INVALID
            if before.status is SessionStatus.EXCLUDED:
                status, text = before.status, before.status_reason
            changes.append(Change(before, None, "", status, text, before.fingerprint_since))
        elif before.status is SessionStatus.SETTLING and now - before.fingerprint_since >= GONE_AFTER:
            text = f"its folder {before.path} is gone, and was never complete"
            changes.append(Change(before, None, before.path, SessionStatus.INVALID, text, before.fingerprint_since))
    return changes
