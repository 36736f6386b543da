"""Restore a backup without running anything twice: what has happened since is read from the attempts' folders."""

from __future__ import annotations

import re
from collections.abc import Collection, Container, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from neuroflow.cluster import claim
from neuroflow.cluster.base import Cluster
from neuroflow.cluster.records import read_exit_record
from neuroflow.core.adoption import Adopter, Adoption, restore_and_adopt
from neuroflow.core.database import Database
from neuroflow.core.state import StateManager
from neuroflow.domain import JournalEntry
from neuroflow.errors import ClusterError
from neuroflow.orchestrator.journal import read_journal

if TYPE_CHECKING:
    from neuroflow.config import NeuroflowConfig

log = structlog.get_logger(__name__)

_JOB_NAME = re.compile(r"nf-(?:array-(?P<array>\w+)-[0-9a-f]{12}|(?P<single>\w+)-\d+-[0-9a-f]{12})", re.ASCII)


@dataclass(frozen=True)
class Restored:
    """What a restore did beside putting the rows back."""

    adoption: Adoption
    held: tuple[str, ...]
    strangers: tuple[str, ...] = ()  # names of jobs in SLURM that the database does not know
    unanswered: str = ""  # why the cluster could not be asked for such jobs


def restore(config: NeuroflowConfig, database: Database, backup: Path, *, now: datetime, actor: str) -> Restored:
    """Put a backup back, take in what has been submitted since, and hold the pipelines that this concerns.

    Raises:
        StateError: when the backup or the database can't be used; nothing has changed then.
    """

    def entries_but(known: Container[str]) -> Iterable[JournalEntry]:
        return read_journal(config.attempts_dir, but=known, where=config.cluster.kind)

    def published(token: str) -> bool:
        record = read_exit_record(config.attempts_dir / token, token=token)
        return record is not None and record.published

    def finish(adopter: Adopter) -> Adoption:
        adoption = adopter.adopt(entries_but)
        # In the same transaction: no service must find the old rows and no hold.
        for name in sorted(adoption.pipelines):
            adopter.hold(name, reason=f"a backup was restored ({backup.name}); {_counts(adoption, name)}")
        return adoption

    adoption = restore_and_adopt(database, backup, now=now, actor=actor, published=published, finish=finish)
    for refused in adoption.refused:
        _forbid(Path(refused.entry.folder))
    StateManager(database).add_audit(
        "database.restored", entity="database", entity_id=None, reason=str(backup), actor=actor
    )
    return Restored(adoption, tuple(sorted(adoption.pipelines)))


def hold_strangers(state: StateManager, cluster: Cluster, pipelines: Collection[str]) -> tuple[tuple[str, ...], str]:
    """Hold the pipelines of jobs that the database does not know; return their names, or why they aren't known.

    Their folders are gone, so they can't publish; but their tools may be at work in a run's work directory.
    """
    try:
        names = {name for name in cluster.job_names() if _JOB_NAME.fullmatch(name)}
    except ClusterError as error:
        return (), str(error)
    strangers = sorted(state.unknown_job_names(names))
    for name in strangers:
        found = _JOB_NAME.fullmatch(name)
        pipeline = (found["array"] or found["single"]) if found else ""
        if pipeline in pipelines:
            reason = f"a backup was restored, and the cluster has a job, {name}, that it does not know"
            state.hold_pipeline(pipeline, reason=reason)
    return tuple(strangers), ""


def _counts(adoption: Adoption, pipeline: str) -> str:
    adopted = sum(entry.pipeline == pipeline for entry in adoption.adopted)
    refused = sum(item.entry.pipeline == pipeline for item in adoption.refused)
    words = f"of its attempts made since, {adopted} {'was' if adopted == 1 else 'were'} taken in"
    if refused:
        words += f", and {refused} could not be and {'is' if refused == 1 else 'are'} fenced"
    return f"{words}: see `neuroflow status` before you resume"


def _forbid(folder: Path) -> None:
    """Keep an attempt from starting, and from publishing if it has started."""
    with suppress(OSError):
        claim.fence(folder)
        claim.revoke(folder)
        return
    log.error("restore.not_fenced", folder=str(folder))
