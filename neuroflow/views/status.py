"""How everything stands: one picture for people, for programs, and for the file that the poller leaves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from neuroflow.core.eligible import Eligible, count_eligible, refuse_unknown_labels, session_counts
from neuroflow.core.overview import Overview
from neuroflow.core.reading import open_reader
from neuroflow.core.service_reads import call_statistics, calls_left, held_pipelines, undelivered
from neuroflow.domain import CallStatistics, Level, SessionStatus
from neuroflow.domain.overview import (
    FailureGroup,
    HourCount,
    QueueGroup,
    RunFilter,
    RunLine,
    Standing,
    WaitGroup,
    WaitKind,
)
from neuroflow.orchestrator.backup_files import list_backups
from neuroflow.orchestrator.keys import (
    BACKUP_KEY,
    OUT_OF_DATE_KEY,
    POLL_KEY,
    SLURM_BUDGET,
    WAITS_KEY,
    WORKER_CONFIG_KEY,
)
from neuroflow.orchestrator.registry import get_registry
from neuroflow.orchestrator.waits import groups_of
from neuroflow.views.status_images import ChangedImage, changed_images
from neuroflow.views.status_out_of_date import MOST_SUBJECTS, OutOfDateCounts, out_of_date_counts, places_of_few
from neuroflow.views.status_pace import DURATIONS, HISTORY, Pace, TimeLeft, Work, pace_of, together
from neuroflow.views.status_services import ServicesHealth, poll_is_late, services_health

if TYPE_CHECKING:
    from neuroflow.config import NeuroflowConfig
    from neuroflow.core.reading import Reader
    from neuroflow.orchestrator.out_of_date import OutOfDateCount
    from neuroflow.orchestrator.registry import Pipeline

UNDELIVERED_DAYS = timedelta(days=7)
MOST_GROUPS = 50
_IN_FLIGHT = (Standing.SUBMITTING, Standing.QUEUED, Standing.RUNNING)
# Nothing more comes of these by itself.
_OVER = (Standing.DONE, Standing.FAILED, Standing.CLOSED, Standing.CANCELLED)


@dataclass(frozen=True)
class PipelineStatus:
    """How many subjects or sessions stand where in one pipeline, and how fast it goes."""

    pipeline: str
    level: Level
    enabled: bool
    held: str | None  # why, while it is
    max_concurrent: int
    counts: Mapping[Standing, int]  # done: without those that are out of date
    out_of_date: OutOfDateCount | None  # completed over former inputs; None: nobody has looked
    not_started: int  # ready or settling, without a run
    pace: Pace | None  # None where only some subjects or sessions are asked for

    @property
    def total(self) -> int:
        """The subjects or sessions that it is about."""
        old = 0 if self.out_of_date is None else self.out_of_date.total
        return self.not_started + sum(self.counts.values()) + old

    @property
    def in_flight(self) -> int:
        """Its runs that are on the cluster, or on their way."""
        return sum(self.counts[one] for one in _IN_FLIGHT)


@dataclass(frozen=True)
class Failures:
    """The failed runs that wait for a person."""

    runs: int
    groups: tuple[FailureGroup, ...]  # the largest


@dataclass(frozen=True)
class Waiting:
    """What waits for what, as the scheduler last said it."""

    at: datetime | None  # None: it never did
    groups: tuple[WaitGroup, ...]
    more: int = 0  # scopes in groups that are left out


@dataclass(frozen=True)
class SlurmCalls:
    """How SLURM was called, and how many calls are left."""

    per_minute: float
    left: float
    programs: tuple[CallStatistics, ...]


@dataclass(frozen=True)
class Status:
    """Everything that `neuroflow status` says."""

    at: datetime
    pipelines: tuple[PipelineStatus, ...]
    sessions: Mapping[SessionStatus, int]
    failures: Failures
    waiting: Waiting
    out_of_date_at: datetime | None  # when it was seen which results are out of date; None: never
    queue: tuple[QueueGroup, ...]
    time_left: TimeLeft | None
    changed_images: tuple[ChangedImage, ...]
    last_poll: Mapping[str, Any] | None
    poll_is_late: bool
    last_backup: Mapping[str, Any] | None
    slurm: SlurmCalls | None
    undelivered: int
    services: ServicesHealth
    workers_outdated: bool
    wanted: RunFilter = field(default_factory=RunFilter)
    runs: tuple[RunLine, ...] | None = None  # that match; None: not asked for
    runs_total: int | None = None

    @property
    def held(self) -> dict[str, str]:
        """The pipelines that are held, with the reason."""
        return {one.pipeline: one.held for one in self.pipelines if one.held is not None}


@dataclass(frozen=True)
class Question:
    """What is asked for."""

    wanted: RunFilter = field(default_factory=RunFilter)
    lists_runs: bool = False
    limit: int | None = None  # of runs


def read_status(config: NeuroflowConfig, question: Question | None = None, *, now: datetime | None = None) -> Status:
    """Look at the database, the status files and the images, writing nothing.

    Raises:
        StateError: when the database can't be read.
        NotFoundError: for a subject, session or pipeline that is not there.
    """
    with open_reader(config) as reader:
        return _Look(config, reader, question or Question(), now or datetime.now(UTC)).status()


@dataclass(frozen=True)
class _Look:
    config: NeuroflowConfig
    reader: Reader
    question: Question
    now: datetime

    def status(self) -> Status:
        wanted = self.question.wanted
        registry = get_registry(self.config)
        for name in wanted.pipelines:
            registry.get(name)
        refuse_unknown_labels(self.reader, wanted)
        overview = Overview(self.reader, wanted)
        values = self.reader.values_of(POLL_KEY, BACKUP_KEY, WAITS_KEY, OUT_OF_DATE_KEY, WORKER_CONFIG_KEY)
        last_poll = _last(values, POLL_KEY)
        waiting = self._waiting(values)
        chosen = [one for one in registry if not wanted.pipelines or one.name in wanted.pipelines]
        old = out_of_date_counts(self.reader, registry, wanted, values=values, now=self.now)
        pipelines = self._pipelines(overview, chosen, waiting, old)
        failures = overview.failures(most=MOST_GROUPS)
        worker = values.get(WORKER_CONFIG_KEY)
        services = services_health(
            self.config.paths.state_dir, worker_started_at=worker[1] if worker else None, now=self.now
        )
        outdated = worker is not None and worker[0].get("digest") != self.config.digest and services.run
        parts = [
            (one.pipeline, one.pace.left) for one in pipelines if one.pace is not None and one.pace.left is not None
        ]
        lists = self.question.lists_runs
        return Status(
            at=self.now,
            pipelines=pipelines,
            sessions=session_counts(self.reader, wanted),
            failures=Failures(sum(one.counts[Standing.FAILED] for one in pipelines), tuple(failures)),
            waiting=waiting,
            out_of_date_at=old.at,
            queue=tuple(overview.queue()),
            time_left=together(parts),
            changed_images=tuple(changed_images(self.config, self.reader, chosen)),
            last_poll=last_poll,
            poll_is_late=poll_is_late(last_poll, in_flight=sum(one.in_flight for one in pipelines), now=self.now),
            last_backup=self._last_backup(_last(values, BACKUP_KEY)),
            slurm=self._slurm(),
            undelivered=undelivered(self.reader, since=self.now - UNDELIVERED_DAYS),
            services=services,
            workers_outdated=outdated,
            wanted=wanted,
            runs=self._runs(overview) if lists else None,
            runs_total=overview.count_runs() if lists else None,
        )

    def _pipelines(
        self, overview: Overview, chosen: list[Pipeline], waiting: Waiting, old: OutOfDateCounts
    ) -> tuple[PipelineStatus, ...]:
        wanted = self.question.wanted
        counted = {(one.pipeline, one.standing): one.count for one in overview.standings()}
        eligible = count_eligible(self.reader, wanted)
        held = held_pipelines(self.reader)
        hours = [] if wanted.narrows_scopes else overview.ended_by_hour(since=self.now - HISTORY)
        found = []
        for pipeline in chosen:
            counts = {one: counted.get((pipeline.name, one), 0) for one in Standing}
            not_started = _not_started(pipeline, sum(counts.values()), eligible)
            out_of_date = old.of(pipeline.name, done=counts[Standing.DONE])
            no_longer = 0 if out_of_date is None else out_of_date.total
            counts[Standing.DONE] -= no_longer
            blocked = sum(
                group.count
                for group in waiting.groups
                if group.pipeline == pipeline.name and group.kind is WaitKind.BLOCKED
            )
            under_way = sum(count for one, count in counts.items() if one not in _OVER)
            left = not_started + no_longer + under_way - blocked
            # The limit may have been lowered since those in flight were started.
            at_once = max(pipeline.max_concurrent, sum(counts[one] for one in _IN_FLIGHT))
            work = Work(max(left, 0), at_once, held=pipeline.name in held)
            found.append(
                PipelineStatus(
                    pipeline=pipeline.name,
                    level=pipeline.level,
                    enabled=pipeline.enabled,
                    held=held.get(pipeline.name),
                    max_concurrent=pipeline.max_concurrent,
                    counts=counts,
                    out_of_date=out_of_date,
                    not_started=not_started,
                    pace=None if wanted.narrows_scopes else self._pace(overview, pipeline, hours, work),
                )
            )
        return tuple(found)

    def _runs(self, overview: Overview) -> tuple[RunLine, ...]:
        """Return the runs that match, and whether they are out of date, where they are of few subjects."""
        found = tuple(overview.runs(limit=self.question.limit))
        subjects = tuple(sorted({one.subject for one in found if one.standing is Standing.DONE}))
        if not 0 < len(subjects) <= MOST_SUBJECTS:
            return found
        of_these = RunFilter(subjects=subjects)
        places = places_of_few(self.reader, get_registry(self.config), of_these, now=self.now) or ()
        old = {(one.pipeline, one.scope) for one in places}
        return tuple(
            replace(one, out_of_date=(one.pipeline, one.scope) in old) if one.standing is Standing.DONE else one
            for one in found
        )

    def _pace(self, overview: Overview, pipeline: Pipeline, hours: list[HourCount], work: Work) -> Pace:
        own = [one for one in hours if one.pipeline == pipeline.name]
        return pace_of(own, overview.durations(pipeline.name, most=DURATIONS), work, now=self.now)

    def _waiting(self, values: Mapping[str, tuple[Mapping[str, Any], datetime]]) -> Waiting:
        if WAITS_KEY not in values:
            return Waiting(None, ())
        value, at = values[WAITS_KEY]
        wanted = self.question.wanted
        if wanted.narrows_scopes:
            return Waiting(at, ())  # it was kept for all scopes together
        groups = [one for one in groups_of(value) if not wanted.pipelines or one.pipeline in wanted.pipelines]
        return Waiting(at, tuple(groups[:MOST_GROUPS]), _more(value, groups))

    def _last_backup(self, noted: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        """Return the newest backup, by what is noted or by its file: a restored database knows of none taken since."""
        newest = next(iter(list_backups(self.config)), None)
        if newest is None:
            return noted
        taken_at = datetime.fromtimestamp(newest.modified_at, UTC)
        # Noted a little before its file is finished.
        if noted is not None and (noted["path"] == str(newest.path) or noted["at"] >= taken_at):
            return noted
        return {"path": str(newest.path), "bytes": newest.bytes, "at": taken_at}

    def _slurm(self) -> SlurmCalls | None:
        """Return how SLURM was called, None where there is none."""
        cluster = self.config.cluster
        if cluster.kind != "slurm":
            return None
        per_minute = cluster.calls_per_minute
        left = calls_left(self.reader, SLURM_BUDGET, per_minute=per_minute, now=self.now)
        return SlurmCalls(per_minute, left, tuple(call_statistics(self.reader)))


def _not_started(pipeline: Pipeline, with_run: int, eligible: Eligible) -> int:
    if not pipeline.enabled:
        return 0
    scopes = eligible.subjects if pipeline.level is Level.SUBJECT else eligible.sessions
    return max(0, scopes - (with_run - eligible.runs_left_out.get(pipeline.name, 0)))


def _more(value: Mapping[str, Any], groups: list[WaitGroup]) -> int:
    return int(value.get("more", 0)) + sum(group.count for group in groups[MOST_GROUPS:])


def _last(values: Mapping[str, tuple[Mapping[str, Any], datetime]], key: str) -> Mapping[str, Any] | None:
    """Return what something that is done now and then left, with its time."""
    if key not in values:
        return None
    value, at = values[key]
    return {**value, "at": at}
