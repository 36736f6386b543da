"""What an attempt's own folder tells of it and of its run, should the database have forgotten both."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from neuroflow.domain.containers import Resources
from neuroflow.domain.words import Level


@dataclass(frozen=True)
class RunOrigin:
    """What a run was opened for."""

    level: Level
    subject: str
    session: str | None
    inputs_key: str


@dataclass(frozen=True)
class JournalEntry:
    """An attempt as its folder has it."""

    token: str
    folder: str
    run_id: int
    pipeline: str
    scope: str
    number: int
    where: str
    resources: Resources
    created_at: datetime
    image: str | None = None
    array_token: str | None = None
    array_index: int | None = None
    origin: RunOrigin | None = None  # None: the folder is of a release that did not write it
    job_id: str | None = None  # of the job that claimed the folder
    published: bool = False  # its exit record says that its results are in the dataset
