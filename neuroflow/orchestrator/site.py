"""What the cluster says that it takes: asked hourly by the poller, kept in the database, read by everybody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import structlog

from neuroflow.cluster import site_limits_json
from neuroflow.domain import RunRecord, SiteLimits
from neuroflow.orchestrator.admission import Admission
from neuroflow.orchestrator.placement import Places
from neuroflow.orchestrator.registry import Pipeline
from neuroflow.orchestrator.services import Services

log = structlog.get_logger(__name__)

SITE_KEY = "site_limits"
QUEUE_KEY = "slurm_queue"
LIFETIME = timedelta(hours=1)


def refresh_site_limits(services: Services) -> None:
    """Ask SLURM what it takes, unless it was asked within the hour; what it does not answer stays as it was."""
    known = services.state.get_value(SITE_KEY)
    if known is not None and services.clock() - known[1] < LIFETIME:
        return
    old, new = site_limits(services), services.clusters["slurm"].site_limits()
    # Taking over what was not answered would forget a maintenance because slurmctld was busy for a moment.
    parts = {name: value for name, value in vars(new).items() if value is not None}
    services.state.set_value(SITE_KEY, site_limits_json.to_json(replace(old, **parts)))


def ask_first(services: Services) -> None:
    """Ask SLURM what it takes if it never was: the first submissions respect it too."""
    if services.config.cluster.kind == "slurm" and services.state.get_value(SITE_KEY) is None:
        remember_queue(services)
        refresh_site_limits(services)


def remember_queue(services: Services) -> None:
    """Count the user's jobs in SLURM's queue, and keep the numbers, unless squeue did not answer."""
    counts = services.clusters["slurm"].jobs_in_queue()
    if counts is not None:
        newest = services.state.newest_attempt_id()
        jobs = [[account, qos, count] for (account, qos), count in counts.items()]
        services.state.set_value(QUEUE_KEY, {"jobs": jobs, "newest_attempt": newest})


def site_limits(services: Services) -> SiteLimits:
    """Return what is known of the site; nothing, where it was never asked."""
    known = services.state.get_value(SITE_KEY)
    return SiteLimits() if known is None else site_limits_json.from_json(known[0])


def places(services: Services) -> Places:
    """Return where jobs can go, as it is known now: to be read once for all that is decided at one time."""
    return Places(services.config.cluster, site_limits(services))


def array_size(services: Services, pipeline: Pipeline) -> int:
    """Return how many runs of a pipeline may go out as one job array; 1: none do."""
    if services.where(pipeline) != "slurm":
        return 1
    wanted = services.config.cluster.array_size
    largest = site_limits(services).max_array_size
    # MaxArraySize is one more than the highest index, and 0 or 1 where arrays are switched off.
    return max(1, wanted if largest is None else min(wanted, largest))


def admission(services: Services) -> Admission | None:
    """Return what the site takes now; None where no SLURM limits anything."""
    if services.config.cluster.kind != "slurm":
        return None
    counted = services.state.get_value(QUEUE_KEY)
    value: Mapping[str, Any] = {"jobs": [], "newest_attempt": 0} if counted is None else counted[0]
    return Admission(
        places=places(services),
        queue={(account, qos): count for account, qos, count in value["jobs"]},
        since=services.state.count_attempts_since(value["newest_attempt"], where="slurm"),
        now=services.clock(),
    )


def shorten(services: Services, run: RunRecord, pipeline: Pipeline, *, where: Places) -> RunRecord:
    """Give a run the time that is left before a maintenance, where it may be that short, and say so."""
    if services.where(pipeline) != "slurm":
        return run
    asked = run.resources or pipeline.resources
    request = Admission(places=where, queue={}, now=services.clock()).shortened(pipeline, asked)
    if request == asked:
        return run
    log.info("run.shortened", run_id=run.id, minutes=request.time_minutes, instead_of=asked.time_minutes)
    services.state.add_audit(
        "run.shortened",
        entity="run",
        entity_id=run.id,
        reason=f"{request.time_minutes} min instead of {asked.time_minutes}: a maintenance begins after that",
    )
    return replace(run, resources=request)
