"""What is to be said of a place by its ended run: completed, failed, cancelled."""

from __future__ import annotations

from dataclasses import replace

from neuroflow.domain import RunRecord
from neuroflow.orchestrator.registry import Pipeline
from neuroflow.views.why_answer import Next
from neuroflow.views.why_facts import Facts
from neuroflow.views.why_failed import failure_of, mend, retry_command
from neuroflow.views.why_said import Reasons, Said, of_run
from neuroflow.views.why_words import moment, short, span

_DONE = Next("nothing: it runs again only when its inputs change, or when a person asks for it")


def completed(run: RunRecord, pipeline: Pipeline, facts: Facts) -> Said:
    """Explain a run whose results are there."""
    ended = run.ended_at or run.updated_at
    took = "" if run.started_at is None else f", after {span((ended - run.started_at).total_seconds())}"
    answer = of_run(run, "completed", f"completed at {moment(ended)}{took}", _DONE, since=ended)
    clause = f"which completed (run {run.id})"
    return Said(replace(answer, output_path=run.output_path), clause, clause)


def failed(run: RunRecord, pipeline: Pipeline, facts: Facts) -> Said:
    """Explain a run that failed for good."""
    failure = failure_of(run, facts)
    ended = run.ended_at or run.updated_at
    words = f"{failure.in_words}: {short(failure.message)}" if failure is not None else short(run.reason)
    text = f"failed at {moment(ended)}: {words}"
    answer = of_run(run, "failed", text, mend(run, failure, facts), since=ended, reasons=Reasons((), failure))
    clause = f"which failed (run {run.id})"
    return Said(answer, f"{clause}: {words}", clause)


def cancelled(run: RunRecord, pipeline: Pipeline, facts: Facts) -> Said:
    """Explain a run that was cancelled, and not for another one."""
    ended = run.ended_at or run.updated_at
    text = f"cancelled at {moment(ended)}: {short(run.reason)}"
    following = Next("nothing, until a person asks for it", needs_person=True, commands=(retry_command(run),))
    answer = of_run(run, "cancelled", text, following, since=ended)
    return Said(answer, f"which was {text} (run {run.id})", f"which was cancelled (run {run.id})")
