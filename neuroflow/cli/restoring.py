"""Restore a backup while nothing else uses the database."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from neuroflow.errors import StateError

if TYPE_CHECKING:
    from neuroflow.config import NeuroflowConfig
    from neuroflow.core.database import Database
    from neuroflow.orchestrator.restore import Restored

_STOP = "stop `neuroflow up`, or all workers, beat and ticks; then restore"


def restore_safely(
    config: NeuroflowConfig, database: Database, file: Path, *, replace: bool, actor: str
) -> tuple[Path | None, Restored]:
    """Restore a backup; return where the former database's own backup lies, and what else was done.

    Raises:
        StateError: when services run, the database is in use and `replace` is not said, or the backup is not good.
    """
    from neuroflow.cli.up_lock import hold_up_lock
    from neuroflow.core.dump import verify_dump
    from neuroflow.core.state import StateManager
    from neuroflow.orchestrator.restore import hold_strangers, restore
    from neuroflow.orchestrator.services import Services, utc_now

    verify_dump(file)
    with hold_up_lock(config.paths.state_dir):
        _refuse_workers(config)
        kept = _keep_former(config, database, replace=replace)
        restored = restore(config, database, file, now=utc_now(), actor=actor)
        state = StateManager(database)
        services = Services.from_config(config)
        try:
            strangers, unanswered = hold_strangers(
                state, services.clusters[config.cluster.kind], services.registry.names()
            )
            held = sorted(services.holds())
        finally:
            services.database.close()
    return kept, dataclasses.replace(restored, strangers=strangers, unanswered=unanswered, held=tuple(held))


def _refuse_workers(config: NeuroflowConfig) -> None:
    from neuroflow.workers.presence import answering_workers

    workers = answering_workers(config)
    if workers:
        raise StateError(f"workers are running: {', '.join(workers)}", hint=_STOP)


def _keep_former(config: NeuroflowConfig, database: Database, *, replace: bool) -> Path | None:
    """Back up what is there; refuse where that is in use, or not to be replaced."""
    from neuroflow.core.backups import history, take_backup
    from neuroflow.core.state import StateManager
    from neuroflow.orchestrator.backups import new_backup
    from neuroflow.orchestrator.services import utc_now

    try:
        held = history(database)
    except StateError as error:
        if database.file is None or not replace:
            raise
        return _put_damaged_aside(database.file, error)
    if not held:
        return None
    leases = StateManager(database).active_leases()
    if leases:
        owners = ", ".join(f"{name} by {owner}" for name, owner in leases.items())
        raise StateError(
            f"a process works on {database.name} just now: {owners}",
            hint=f"{_STOP}; what a killed one held is free again within two minutes",
        )
    if not replace:
        counts = ", ".join(f"{count} {name}" for name, count in held.items())
        raise StateError(
            f"the database {database.name} is in use: it holds {counts}",
            hint="name an empty database in database.url, or say --replace: a backup of this one is taken first",
        )
    return take_backup(database, new_backup(config, utc_now(), prefix="before-restore")).path


def _put_damaged_aside(path: Path, error: StateError) -> Path:
    from neuroflow.orchestrator.services import utc_now

    aside = path.with_name(f"{path.name}.damaged-{utc_now():%Y%m%dT%H%M%SZ}")
    try:
        path.rename(aside)
        path.with_name(f"{path.name}-journal").unlink(missing_ok=True)
    except OSError:
        raise error from None
    return aside
