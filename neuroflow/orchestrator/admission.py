"""Which ready runs the site would take now: submit limits and maintenance, respected before SLURM refuses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from neuroflow.domain import Reservation, Resources, RunRecord
from neuroflow.domain.overview import WaitKind
from neuroflow.errors import PlacementError
from neuroflow.orchestrator.limits import before_maintenance, free_submissions
from neuroflow.orchestrator.placement import Placement, Places
from neuroflow.orchestrator.registry import Pipeline

# A job that is shortened ends this long before the maintenance begins: its node has to be empty by then.
MAINTENANCE_MARGIN = timedelta(minutes=5)


@dataclass(frozen=True)
class Admission:
    """What the site takes at one moment."""

    places: Places
    queue: Mapping[tuple[str, str], int]  # jobs of the user by account and QOS, whoever submitted them
    now: datetime
    since: int = 0  # jobs that were submitted after those were counted

    def room(self, pipeline: Pipeline) -> tuple[int, str] | None:
        """Return how many more jobs of a pipeline may be submitted, and why no more; None without a limit."""
        placement = self._placement(pipeline, pipeline.resources)
        if placement is None:
            return None
        return free_submissions(
            self.places.site,
            queue=self.queue,
            since=self.since,
            account=placement.account,
            partition=placement.partition,
            qos=placement.qos,
        )

    def wait_of(self, run: RunRecord, pipeline: Pipeline) -> tuple[str, WaitKind] | None:
        """Return why a run has to wait for a partition, or for the end of a maintenance; None when it does not."""
        request = run.resources or pipeline.resources
        if pipeline.where == "worker":
            return None
        try:
            self.places.of(pipeline, request)
        except PlacementError as error:
            # One for good is told by the failure of the run.
            return (str(error), WaitKind.PARTITION) if error.transient else None
        reservation = self.maintenance_of(run, pipeline)
        if reservation is None:
            return None
        reason = (
            f"maintenance '{reservation.name}' begins at {reservation.start:%Y-%m-%d %H:%M} UTC, and a job of "
            f"{request.time_minutes} min could not end before; it is submitted after {reservation.end:%Y-%m-%d %H:%M}"
        )
        return reason, WaitKind.MAINTENANCE

    def maintenance_of(self, run: RunRecord, pipeline: Pipeline) -> Reservation | None:
        """Return the maintenance whose end a run waits for; None for one that may be short enough to end before."""
        request = run.resources or pipeline.resources
        reservation = self._in_the_way(pipeline, request)
        return None if self.shortened(pipeline, request) != request else reservation

    def shortened(self, pipeline: Pipeline, request: Resources) -> Resources:
        """Return a request with the time that is left before a maintenance, where the pipeline may be that short."""
        reservation = self._in_the_way(pipeline, request)
        shortest = pipeline.settings.shortest_minutes
        if reservation is None or shortest is None:
            return request
        left = int((reservation.start - MAINTENANCE_MARGIN - self.now).total_seconds() // 60)
        return replace(request, time_minutes=left) if shortest <= left < request.time_minutes else request

    def _in_the_way(self, pipeline: Pipeline, request: Resources) -> Reservation | None:
        placement = self._placement(pipeline, request)
        if placement is None:
            return None
        site = self.places.site
        return before_maintenance(
            site.reservations or (),
            now=self.now,
            time_minutes=request.time_minutes,
            partition=site.partition_name(placement.partition),
        )

    def _placement(self, pipeline: Pipeline, request: Resources) -> Placement | None:
        """Return where a job goes, None for one that does not go to SLURM, or to nowhere."""
        if pipeline.where == "worker":
            return None
        try:
            return self.places.of(pipeline, request)
        except PlacementError:
            return None
