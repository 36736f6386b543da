"""What is to be said of a place by its open run: not started, in the queue, or at work."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from neuroflow.domain import AttemptRecord, RunRecord, RunStatus
from neuroflow.orchestrator.registry import Pipeline
from neuroflow.views.why_answer import Cause, Next
from neuroflow.views.why_facts import Facts
from neuroflow.views.why_failed import failure_of
from neuroflow.views.why_said import Reasons, Said, at_next_look, at_next_poll, held_until, of_run, when_it_runs
from neuroflow.views.why_waiting import (
    HOLDS,
    causes_before_start,
    causes_in_queue,
    is_stuck,
    signature_of_breaker,
    unknown_job,
)
from neuroflow.views.why_words import moment, short, span


def before_start(run: RunRecord, pipeline: Pipeline, facts: Facts) -> Said:
    """Explain a run that was not handed over yet, or not again."""
    causes = causes_before_start(run, pipeline, facts)
    blocked = "; ".join(cause.text for cause in causes)
    following = _start_of(run, pipeline, causes, facts)
    if run.status is not RunStatus.RETRY_WAIT:
        summary = blocked or "it is the next to start"
        answer = of_run(run, "pending", summary, following, reasons=Reasons(causes))
        return Said(answer, f"which is not started (run {run.id}): {summary}", f"which is not started (run {run.id})")
    failure = failure_of(run, facts)
    # The run's own reason tells of the wait as it was when it began.
    told = short(run.reason) if failure is None else f"{failure.in_words}: {short(failure.message)}"
    summary = "; ".join(filter(None, (told, blocked)))
    if not {cause.kind for cause in causes} & HOLDS:
        following = replace(following, commands=(*following.commands, f"neuroflow runs retry {run.id}"))
    answer = of_run(run, "retrying", summary, following, reasons=Reasons(causes, failure))
    clause = f"which is to be tried again (run {run.id})"
    return Said(answer, f"{clause}: {told}", clause)


def _start_of(run: RunRecord, pipeline: Pipeline, causes: tuple[Cause, ...], facts: Facts) -> Next:
    kinds = {cause.kind for cause in causes}
    if kinds & HOLDS:
        return held_until(run.pipeline, show=signature_of_breaker(run.pipeline, facts))
    if "limit" in kinds and pipeline.max_concurrent == 0:
        key = f"workflow.max_concurrent.{run.pipeline}"
        return Next(f"nothing, until {key} is raised in the configuration", needs_person=True)
    until = max((cause.until for cause in causes if cause.until is not None), default=None)
    if not facts.life.steady:
        return when_it_runs(facts, "starts it", at=until)
    if until is not None:
        return Next(f"neuroflow starts it at {moment(until)}", at=until)
    if "limit" in kinds:
        return Next("it starts when those in flight have ended, the oldest first")
    if kinds:
        return Next("it starts when the site takes it; neuroflow looks at every poll", at=facts.life.next_poll)
    return at_next_look(facts, "starts it")


def submitting(run: RunRecord, pipeline: Pipeline, facts: Facts) -> Said:
    """Explain a run whose job may or may not exist yet."""
    attempt = facts.latest(run)
    since = attempt.created_at if attempt is not None else run.updated_at
    whom = attempt.where if attempt is not None else facts.services.where(pipeline)
    text = f"its job is being handed to {_named(whom)} since {moment(since)}"
    cause = Cause("submitting", f"{text}; should no answer come, the polls find out whether it exists", since=since)
    answer = of_run(run, "queued", text, at_next_poll(facts, "looks for it"), reasons=Reasons((cause,)))
    return Said(answer, f"whose job is being submitted (run {run.id})", "whose job is being submitted")


def submitted(run: RunRecord, pipeline: Pipeline, facts: Facts) -> Said:
    """Explain a run whose job waits."""
    attempt = facts.latest(run)
    if attempt is None:
        return submitting(run, pipeline, facts)
    causes = causes_in_queue(attempt, facts)
    since = attempt.submitted_at or run.updated_at
    job = f"job {attempt.job_id}" if attempt.job_id else "job"
    waits = f"waits in {_named(attempt.where)}'s queue"
    text = causes[0].text
    if causes[0].kind != "unknown":
        text = f"{job} {waits} for {span((facts.snapshot.now - since).total_seconds())}: {text}"
    answer = of_run(
        run, "queued", text, _start_of_job(run, attempt, causes, facts), since=since, reasons=Reasons(causes)
    )
    clause = f"whose {job} (run {run.id}) {waits}"
    return Said(answer, f"{clause}: {causes[0].text}", clause)


def _start_of_job(run: RunRecord, attempt: AttemptRecord, causes: tuple[Cause, ...], facts: Facts) -> Next:
    if is_stuck(causes):
        text = "nothing, until a person changes the job or the site; or cancel it, mend its request, and run it again"
        show = f"scontrol show job {attempt.job_id or attempt.job_name}"
        return Next(text, needs_person=True, commands=(show, f"neuroflow runs cancel {run.id}"))
    if not facts.life.steady:
        return when_it_runs(facts, "sees that", before="SLURM starts it by itself, and ")
    expected = causes[0].until
    if expected is not None:
        return Next(f"SLURM starts it, by its present plan at {moment(expected)}", at=expected)
    if causes[0].kind == "unknown":
        return at_next_poll(facts, "asks for it again")
    return Next("SLURM starts it by itself, and neuroflow sees that at a poll", at=facts.life.next_poll)


def running(run: RunRecord, pipeline: Pipeline, facts: Facts) -> Said:
    """Explain a run whose job is at work."""
    attempt = facts.latest(run)
    lost = None if attempt is None else unknown_job(attempt, facts)
    if lost is not None:
        following = at_next_poll(facts, "asks for it again")
        answer = of_run(run, "running", lost.text, following, since=lost.since, reasons=Reasons((lost,)))
        return Said(answer, f"of which {lost.text}", f"whose job nobody knows (run {run.id})")
    began = (attempt.started_at if attempt is not None else None) or run.started_at or run.updated_at
    where = f" on {attempt.host}" if attempt is not None and attempt.host else ""
    text = f"runs{where} for {span((facts.snapshot.now - began).total_seconds())}, since {moment(began)}"
    answer = of_run(run, "running", text, _end_of(attempt, began, facts), since=began)
    return Said(answer, f"which {text} (run {run.id})", f"which runs (run {run.id})")


def _end_of(attempt: AttemptRecord | None, began: datetime, facts: Facts) -> Next:
    if not facts.life.steady:
        return when_it_runs(facts, "sees that", before="its job ends by itself, and ")
    if attempt is None:
        return at_next_poll(facts, "looks for its job")
    limit = began + timedelta(minutes=attempt.resources.time_minutes)
    text = f"it ends by itself, at the latest at {moment(limit)} by its time limit; neuroflow sees that at a poll"
    return Next(text, at=facts.life.next_poll)


def _named(where: str) -> str:
    return "SLURM" if where == "slurm" else "this machine"
