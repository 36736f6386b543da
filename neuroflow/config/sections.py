"""The sections of the configuration, but for paths, the cluster and the pipelines."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, SecretStr, model_validator

from neuroflow.config.fields import (
    ConfigPath,
    CronString,
    DatabaseUrl,
    Pattern,
    RedisUrl,
    Section,
)
from neuroflow.config.notifications import Notifications
from neuroflow.config.recovery import Breaker, Retry


class Backup(Section):
    """Backups of the state database that the services take by themselves."""

    every_hours: float = Field(default=24.0, ge=0, description="Time between two backups (h); 0: none are taken.")
    keep: int = Field(default=7, ge=1, description="So many of them are kept; older ones are removed.")
    folder: ConfigPath | None = Field(
        default=None,
        description="Where they go, best on another disk than the database; none: `backups` in paths.state_dir.",
    )


class Database(Section):
    """The state database."""

    url: DatabaseUrl = Field(
        default=SecretStr("embedded"),
        description="SQLAlchemy URL (postgresql+psycopg://... or sqlite:////absolute/file.db), or `embedded`: "
        "SQLite in paths.state_dir.",
    )
    busy_timeout_seconds: float = Field(default=30.0, gt=0, description="How long to wait for SQLite's lock (s).")
    backup: Backup = Field(default_factory=Backup, description="Backups that the services take by themselves.")


class Redis(Section):
    """Broker and result backend of Celery."""

    url: RedisUrl = Field(
        default=SecretStr("redis://127.0.0.1:6379/0"),
        description="redis://, rediss:// or redis+socket:// URL, or `embedded`: a private one that "
        "`neuroflow up` starts.",
    )


class Logging(Section):
    """Structured logs."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", description="Lowest level written.")
    format: Literal["auto", "console", "json"] = Field(
        default="auto", description="`console` for people, `json` for machines, `auto`: console on a terminal."
    )
    file: ConfigPath | None = Field(default=None, description="Also write JSON lines to this file.")
    max_mb: float = Field(default=20.0, gt=0, description="A log file that has grown to this is put aside (MB).")
    keep: int = Field(default=5, ge=1, le=999, description="How many log files that were put aside are kept.")


_KEYWORD = r"^[A-Za-z][A-Za-z0-9]*$"


class Discovery(Section):
    """How session folders are found and named."""

    layout: Literal["subject/session", "session/subject"] = Field(
        default="subject/session", description="Order of the two folder levels below paths.dicom_root."
    )
    labels: Literal["pattern", "dicom", "csv"] = Field(
        default="pattern",
        description="Where labels come from: the folder names, DICOM headers, or a CSV mapping.",
    )
    subject_pattern: Pattern = Field(
        default=r"(?:sub-)?(?P<label>[A-Za-z0-9]+)",
        description="Matches a whole subject folder name; its group `label` is the subject label.",
    )
    session_pattern: Pattern = Field(
        default=r"(?:ses-)?(?P<label>[A-Za-z0-9]+)",
        description="Matches a whole session folder name; its group `label` is the session label.",
    )
    dicom_subject_field: str = Field(
        default="PatientID", pattern=_KEYWORD, description="DICOM keyword of the subject (labels: dicom)."
    )
    dicom_session_field: str = Field(
        default="StudyDate", pattern=_KEYWORD, description="DICOM keyword of the session (labels: dicom)."
    )
    csv_file: ConfigPath | None = Field(
        default=None, description="CSV with the columns scan_id, subject and, optionally, session (labels: csv)."
    )
    settle_minutes: float = Field(
        default=30.0, ge=0, description="A session starts once its files were unchanged for this long (min)."
    )
    ignore: tuple[str, ...] = Field(
        default=("*.part", "*.filepart", "*.partial", ".*", "*~", "Thumbs.db"),
        description="File and folder names (globs) that are not counted: temporary names of transfers, hidden files.",
    )

    @model_validator(mode="after")
    def _check(self) -> Discovery:
        for name in ("subject_pattern", "session_pattern"):
            if "label" not in re.compile(getattr(self, name)).groupindex:
                raise ValueError(f"{name} needs a named group: (?P<label>...)")
        if self.labels == "csv" and self.csv_file is None:
            raise ValueError("labels: csv needs csv_file")
        return self


class RequiredScan(Section):
    """A scan that every session must have."""

    name: str = Field(description="What people call it, such as `dwi`.")
    pattern: Pattern = Field(description="Searched for in the series description and protocol name, ignoring case.")
    min_files: int = Field(
        default=1, ge=1, description="Fewest images of one series (files, or frames of multi-frame files)."
    )
    max_files: int | None = Field(default=None, ge=1, description="Most images of one series; none: no limit.")

    @model_validator(mode="after")
    def _check(self) -> RequiredScan:
        if self.max_files is not None and self.max_files < self.min_files:
            raise ValueError(f"max_files ({self.max_files}) is below min_files ({self.min_files})")
        return self


class Protocol(Section):
    """What a complete session holds."""

    required_scans: tuple[RequiredScan, ...] = Field(
        default=(), description="Scans without which a session waits for a person."
    )


class MaxConcurrent(Section):
    """Runs in flight per pipeline; a SLURM site raises these by two or three orders of magnitude."""

    bids_conversion: int = Field(default=4, ge=0, description="Runs in flight.")
    qsiprep: int = Field(default=1, ge=0, description="Runs in flight.")
    qsirecon: int = Field(default=2, ge=0, description="Runs in flight.")
    qsiparc: int = Field(default=4, ge=0, description="Runs in flight.")

    def of(self, pipeline: str) -> int:
        """Return the limit of a pipeline (4 for one that has no key of its own)."""
        value = getattr(self, pipeline, 4)
        return int(value)


class Workflow(Section):
    """The master workflow."""

    schedule: CronString = Field(default="0 2 */3 * *", description="Cron string (UTC) of the master workflow.")
    max_concurrent: MaxConcurrent = Field(default_factory=MaxConcurrent, description="Runs in flight per pipeline.")
    retry: Retry = Field(default_factory=Retry, description="Retry policy of jobs.")
    breaker: Breaker = Field(
        default_factory=Breaker, description="When a pipeline is held because its runs fail alike."
    )
    notifications: Notifications = Field(default_factory=Notifications, description="Who is told.")


class Celery(Section):
    """The workers."""

    worker_concurrency: int = Field(default=4, ge=1, description="Processes of one worker.")
    worker_max_memory_mb: int = Field(
        default=512,
        ge=128,
        description="A worker's process that uses more memory than this after a task makes way for a new one (MB).",
    )
    hung_seconds: float = Field(
        default=120.0,
        ge=10,
        description="`neuroflow up` restarts a worker, beat or embedded Redis that lives but gives no sign of life "
        "for this long (s).",
    )
    nice: int = Field(
        default=0,
        ge=0,
        le=19,
        description="By how much the worker of `neuroflow up`, and what it starts on this machine, yields to others.",
    )
    task_soft_time_limit: int = Field(default=43_200, ge=1, description="A task is asked to end after this long (s).")
    task_time_limit: int = Field(default=86_400, ge=1, description="A task is killed after this long (s).")
    default_retry_delay: int = Field(default=300, ge=1, description="First delay of a task that could not submit (s).")
    max_retries: int = Field(default=3, ge=0, description="Retries of the task itself; jobs have workflow.retry.")

    hint_lifetime: int = Field(
        default=600,
        ge=1,
        description="A queued run whose task nobody has taken up after this long is queued again (s): Redis lost it.",
    )

    @model_validator(mode="after")
    def _check(self) -> Celery:
        if self.task_time_limit <= self.task_soft_time_limit:
            raise ValueError(
                f"task_time_limit ({self.task_time_limit}) must be above "
                f"task_soft_time_limit ({self.task_soft_time_limit})"
            )
        return self


class Doctor(Section):
    """What `neuroflow doctor` goes by."""

    before_first_submission: bool = Field(
        default=True,
        description="Whether nothing is started on SLURM before doctor's quick checks have passed once; it is "
        "asked only while no run was ever submitted.",
    )
    free_gb: float = Field(
        default=100.0, ge=0, description="Free space of work_root and derivatives_root below which doctor warns (GB)."
    )
    node_timeout_seconds: float = Field(
        default=600.0, gt=0, description="How long `doctor --node` waits for its job to start and end (s)."
    )
