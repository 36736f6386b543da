"""The layout of Nipoppy's processing status file, so that its tools, and those that read it, see what is done.

Columns and words as in nipoppy 0.4, nipoppy/tabular/processing_status.py: https://github.com/nipoppy/nipoppy
"""

from __future__ import annotations

from dataclasses import dataclass

from neuroflow.export.columns import Column
from neuroflow.orchestrator.standing import Kind, SessionResult

# Nipoppy's own tracker knows only whether the expected files are there: SUCCESS or FAIL. Results that will be replaced
# are no success: Nipoppy would go on to extract from them.
STATUSES: dict[Kind, str] = {
    Kind.CURRENT: "SUCCESS",
    Kind.COMING: "INCOMPLETE",
    Kind.BLOCKED: "FAIL",
    Kind.ABSENT: "UNAVAILABLE",
}
_LEVELS = {
    "SUCCESS": "Done, over the present inputs",
    "INCOMPLETE": "Queued, running, waiting, or to be run again",
    "FAIL": "Failed or cancelled, over the present inputs",
    "UNAVAILABLE": "Nothing to process: excluded, invalid, or nothing came out of what it depends on",
}
# What Nipoppy calls the only step of a pipeline that has no named ones.
STEP = "default"
UNKNOWN_VERSION = "unknown"
# pandas, with which Nipoppy reads the file, takes these labels for missing values.
UNREADABLE_LABELS = frozenset(("NA", "NULL", "NaN", "None", "nan", "null"))


@dataclass(frozen=True)
class PipelineState:
    """How a pipeline, of a version, stands for a session."""

    result: SessionResult
    version: str


NIPOPPY: tuple[Column[PipelineState], ...] = (
    Column("participant_id", "The subject, without sub-", lambda state: state.result.session.subject),
    Column("bids_participant_id", "The subject, with sub-", lambda state: f"sub-{state.result.session.subject}"),
    Column("session_id", "The session, without ses-", lambda state: state.result.session.label),
    Column("bids_session_id", "The session, with ses-", lambda state: f"ses-{state.result.session.label}"),
    Column("pipeline_name", "The pipeline", lambda state: state.result.pipeline),
    Column("pipeline_version", "The version of the pipeline's tool", lambda state: state.version or UNKNOWN_VERSION),
    Column("pipeline_step", "Always the same: our pipelines have one step", lambda _: STEP),
    Column("status", "How it stands", lambda state: STATUSES[state.result.kind], levels=_LEVELS),
)
