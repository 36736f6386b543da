"""Delete what ended runs have left, as old as the site wants it: only what the database proves to be theirs."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from neuroflow.cluster.folders import Folders, LocalFolders
from neuroflow.cluster.job import JOB_NAME, RECORD_NAME
from neuroflow.cluster.quarantine import FOLDER_NAME as QUARANTINE
from neuroflow.cluster.quarantine import OUTPUT_PREFIX
from neuroflow.cluster.records import parse_exit_record
from neuroflow.cluster.removal import TRASH_PREFIX, folders_in, remove, remove_if_empty, size_of
from neuroflow.config.upkeep import Retention, days
from neuroflow.domain import (
    ENDED_RUN_STATUSES,
    OPEN_ATTEMPT_STATUSES,
    AttemptRecord,
    FailureClass,
    RunRecord,
    RunStatus,
)
from neuroflow.errors import NeuroflowError
from neuroflow.orchestrator.services import Services

log = structlog.get_logger(__name__)

RETENTION_KEY = "retention"
KINDS = ("work", "attempts", "quarantine", "replaced")
_RUN_FOLDER = re.compile(r"run-(\d{1,15})", re.ASCII)
_REPLACED = (".neuroflow", "replaced")


@dataclass(frozen=True)
class Leftover:
    """A folder that may go."""

    kind: str
    root: Path
    parts: tuple[str, ...]  # below the root
    run_id: int | None
    reason: str
    bytes: int | None = None  # None: not measured

    @property
    def path(self) -> Path:
        """Its path."""
        return self.root.joinpath(*self.parts)


@dataclass(frozen=True)
class Cleanup:
    """What was deleted, and what could not be."""

    deleted: tuple[Leftover, ...]
    errors: tuple[str, ...]

    @property
    def freed(self) -> int:
        """How much room was made (bytes)."""
        return sum(item.bytes or 0 for item in self.deleted)


@dataclass(frozen=True)
class Ages:
    """After how many days what may go; None: never."""

    retention: Retention
    older_than: float | None = None  # instead of everything that the configuration says

    def of_work(self, run: RunRecord) -> float | None:
        """Return the age for a run's work directory."""
        failure = None if run.status is RunStatus.COMPLETED else run.failure or FailureClass.CANCELLED
        return self.retention.work_days_of(failure) if self.older_than is None else self.older_than

    def of(self, kind: str) -> float | None:
        """Return the age for another kind."""
        return days(getattr(self.retention, f"{kind}_days")) if self.older_than is None else self.older_than


@dataclass(frozen=True)
class Keeper:
    """Finds what may go, and deletes it."""

    services: Services
    ages: Ages
    kinds: Collection[str] = KINDS

    def find(self) -> list[Leftover]:
        """Return what is old enough to go, in the order of deleting it."""
        open_runs = {attempt.run_id for attempt in self.services.state.open_attempts()}
        found: list[Leftover] = []
        if {"work", "quarantine"} & {*self.kinds}:
            found += self._in_work_root(open_runs)
        if "attempts" in self.kinds:
            found += self._attempts()
            found += self._arrays({item.parts[-1] for item in found if item.kind == "attempts"})
        if "replaced" in self.kinds:
            found += self._replaced()
        return found

    def delete(self, leftovers: Sequence[Leftover], *, actor: str) -> Cleanup:
        """Delete what was found, with an audit row for each."""
        deleted, errors = [], []
        for item in leftovers:
            try:
                self._fence(item)
                size = remove(item.root, item.parts)
            except FileNotFoundError:
                continue  # another clean-up was faster
            except (OSError, NeuroflowError) as error:
                errors.append(f"{item.path}: {getattr(error, 'strerror', None) or error}")
                log.warning("retention.not_deleted", path=str(item.path), error=str(error))
                continue
            deleted.append(replace(item, bytes=size))
            self.services.state.add_audit(
                "retention.deleted",
                entity="run",
                entity_id=item.run_id,
                reason=item.reason,
                details={"path": str(item.path), "bytes": size, "kind": item.kind},
                actor=actor,
            )
            if item.kind in ("work", "quarantine"):
                for depth in (3, 2):  # the run's folder, and its scope's
                    remove_if_empty(item.root, item.parts[:depth])
        return Cleanup(tuple(deleted), tuple(errors))

    def _in_work_root(self, open_runs: Collection[int]) -> Iterator[Leftover]:
        root = self.services.config.paths.work_root
        places = [
            (int(match[1]), (pipeline, scope, name))
            for pipeline in self.services.registry.names()
            for scope in folders_in(root, (pipeline,))
            for name in folders_in(root, (pipeline, scope))
            if (match := _RUN_FOLDER.fullmatch(name))
        ]
        runs = self.services.state.get_runs({run_id for run_id, _ in places})
        for run_id, place in places:
            run = runs.get(run_id)
            if run is None or run.status not in ENDED_RUN_STATUSES or run_id in open_runs:
                continue
            if (run.pipeline, run.scope.replace("/", "_")) == place[:2]:
                yield from self._of_run(run, place)

    def _of_run(self, run: RunRecord, place: tuple[str, ...]) -> Iterator[Leftover]:
        root = self.services.config.paths.work_root
        names = folders_in(root, place)
        outputs = [name for name in names if name.startswith(OUTPUT_PREFIX)]
        tokens = [name.removeprefix(OUTPUT_PREFIX) for name in outputs]
        if run.status is not RunStatus.COMPLETED and self._is_one_half_published(tokens):
            return  # the only whole copy of results that took hours
        for name in names:
            if name == QUARANTINE:
                kind, age = "quarantine", self.ages.of("quarantine")
            elif name == "work" or name in outputs:
                kind, age = "work", self.ages.of_work(run)
            elif name.startswith(TRASH_PREFIX):
                kind, age = "work", 0.0
            else:
                continue
            if kind in self.kinds and self._is_old(run.ended_at, age):
                yield Leftover(kind, root, (*place, name), run.id, self._why(run))

    def _is_one_half_published(self, tokens: Sequence[str]) -> bool:
        return any(map(self._is_half_published, tokens)) or any(
            _is_half_published_in(self.services.folders(attempt.where), attempt.folder, token=attempt.token)
            for attempt in self.services.state.find_attempts(tokens)
            if Path(attempt.folder) != self.services.config.attempts_dir / attempt.token  # as behind SSH
        )

    def _is_half_published(self, token: str) -> bool:
        return _is_half_published_in(LocalFolders(), str(self.services.config.attempts_dir / token), token=token)

    def _attempts(self) -> Iterator[Leftover]:
        root = self.services.config.attempts_dir
        names = folders_in(root)
        # A person has yet to decide about these, and needs their logs.
        wanted = {run.id for run in self.services.state.dead_letters()}
        for attempt, run in self._owned(names):
            if run.id in wanted or self._is_half_published(attempt.token):
                continue
            if self._is_old(run.ended_at, self.ages.of("attempts")):
                yield Leftover("attempts", root, (attempt.token,), run.id, self._why(run))
        yield from _trash(root, names)

    def _arrays(self, going: Collection[str]) -> Iterator[Leftover]:
        root = self.services.config.arrays_dir
        names = folders_in(root)
        if self.ages.of("attempts") is not None:
            there = {*folders_in(self.services.config.attempts_dir)} - {*going}
            for name, tokens in self.services.state.array_members(names).items():
                if tokens and not there & {*tokens}:
                    yield Leftover("attempts", root, (name,), None, "the folders of all its elements are gone")
        yield from _trash(root, names)

    def _replaced(self) -> Iterator[Leftover]:
        paths = self.services.config.paths
        datasets: list[tuple[Path, tuple[str, ...]]] = [(paths.bids_root, ())]
        datasets += [(paths.derivatives_root, (name,)) for name in folders_in(paths.derivatives_root)]
        for root, parts in datasets:
            place = (*parts, *_REPLACED)
            names = folders_in(root, place)
            for attempt, run in self._owned(names):
                # Not before the run that replaced them has completed.
                if run.status is RunStatus.COMPLETED and self._is_old(attempt.ended_at, self.ages.of("replaced")):
                    reason = f"run {run.id} replaced these results, and completed at {run.ended_at:%Y-%m-%d %H:%M} UTC"
                    yield Leftover("replaced", root, (*place, attempt.token), run.id, reason)
            yield from (replace(item, kind="replaced", parts=(*place, *item.parts)) for item in _trash(root, names))

    def _owned(self, names: Sequence[str]) -> Iterator[tuple[AttemptRecord, RunRecord]]:
        """Yield the ended attempts of ended runs among some tokens."""
        attempts = self.services.state.find_attempts(names)
        runs = self.services.state.get_runs([attempt.run_id for attempt in attempts])
        for attempt in attempts:
            run = runs[attempt.run_id]
            if attempt.status not in OPEN_ATTEMPT_STATUSES and run.status in ENDED_RUN_STATUSES:
                yield attempt, run

    def _is_old(self, since: datetime | None, age: float | None) -> bool:
        return age is not None and since is not None and self.services.clock() - since >= timedelta(days=age)

    def _why(self, run: RunRecord) -> str:
        failure = f" ({run.failure})" if run.failure is not None else ""
        return f"run {run.id} {run.status}{failure} at {run.ended_at:%Y-%m-%d %H:%M} UTC"

    def _fence(self, item: Leftover) -> None:
        """Keep whatever may be left of the run's jobs from working in a folder that goes."""
        if item.kind != "work" or item.run_id is None:
            return
        for attempt in self.services.state.attempts_of(item.run_id):
            folders = self.services.folders(attempt.where)
            if folders.look([attempt.folder], [JOB_NAME])[attempt.folder][JOB_NAME].data is not None:
                folders.fence([attempt.folder])


def _is_half_published_in(folders: Folders, folder: str, *, token: str) -> bool:
    """Tell whether an attempt began to publish and did not end; what can't be looked at is kept."""
    try:
        if folder not in folders.publishing([folder]):
            return False
        look = folders.look([folder], [RECORD_NAME])[folder][RECORD_NAME]
    except (OSError, NeuroflowError) as error:
        log.warning("retention.not_asked", token=token, error=str(error))
        return True
    record = parse_exit_record(look, token=token)
    return record is None or not record.published


def _trash(root: Path, names: Sequence[str]) -> Iterator[Leftover]:
    for name in names:
        if name.startswith(TRASH_PREFIX):
            yield Leftover("attempts", root, (name,), None, "an earlier clean-up was interrupted here")


def measured(leftovers: Sequence[Leftover]) -> list[Leftover]:
    """Return the folders with their sizes; one that can't be looked at has none."""
    found = []
    for item in leftovers:
        try:
            found.append(replace(item, bytes=size_of(item.root, item.parts)))
        except OSError as error:
            found.append(replace(item, reason=f"{item.reason}; it can't be looked at: {error.strerror or error}"))
    return found


def clean_up_if_due(services: Services, *, hours: float = 24.0) -> Cleanup | None:
    """Delete what the configuration says, once a day; None when it is not due, or nothing is ever to go."""
    if not services.config.retention.deletes:
        return None
    now = services.clock()
    last = services.state.get_value(RETENTION_KEY)
    if last is not None and now - last[1] < timedelta(hours=hours) - timedelta(minutes=5):
        return None
    keeper = Keeper(services, Ages(services.config.retention))
    cleanup = keeper.delete(keeper.find(), actor="neuroflow")
    value = {"deleted": len(cleanup.deleted), "freed_bytes": cleanup.freed, "errors": list(cleanup.errors[:20])}
    services.state.set_value(RETENTION_KEY, value)
    log.info("retention.done", deleted=len(cleanup.deleted), freed_bytes=cleanup.freed, errors=len(cleanup.errors))
    return cleanup
