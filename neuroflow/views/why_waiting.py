"""What an open run waits for: holds, limits, maintenance, SLURM, the next attempt."""

from __future__ import annotations

import re
from datetime import timedelta

from neuroflow.cluster.queue_query import is_listed, start_of
from neuroflow.cluster.reasons import reason_in_words
from neuroflow.domain import AttemptRecord, JobState, RunRecord, RunStatus
from neuroflow.orchestrator.registry import Pipeline
from neuroflow.views.why_answer import Cause
from neuroflow.views.why_facts import Facts
from neuroflow.views.why_words import moment, request, short, span

# As the poll writes it: `SLURM: PENDING (Resources)`.
_POLLED_REASON = re.compile(r"\((.*)\)$")
HOLDS = frozenset({"paused", "held", "breaker"})  # the causes that only a person ends
_BREAKER = re.compile(r"runs failed alike \(signature (\w+)")


def causes_before_start(run: RunRecord, pipeline: Pipeline, facts: Facts) -> tuple[Cause, ...]:
    """Return what keeps a run from being handed over, in the order in which it is asked for."""
    found = [hold_of(pipeline.name, facts), _retry_wait(run, facts)]
    if run.status is RunStatus.QUEUED:
        found.append(_handed_to_workers(run, facts))
    elif all(cause is None for cause in found):
        found += [_limit(run, pipeline, facts), *_site(run, pipeline, facts)]
    return tuple(cause for cause in found if cause is not None)


def hold_of(name: str, facts: Facts) -> Cause | None:
    """Return the hold of a pipeline."""
    held = facts.holds.get(name)
    if held is None:
        return None
    reason, since = held.hold.reason, held.hold.since
    if held.actor not in ("", "neuroflow"):
        return Cause("paused", f"{held.actor} paused {name}: {short(reason)}", since=since)
    if _BREAKER.search(reason):
        return Cause("breaker", f"neuroflow stopped {name}, because its runs fail alike: {short(reason)}", since=since)
    return Cause("held", f"neuroflow stopped {name}: {short(reason)}", since=since)


def signature_of_breaker(name: str, facts: Facts) -> str:
    """Return the signature for which a pipeline was stopped, empty where it was not."""
    held = facts.holds.get(name)
    found = None if held is None else _BREAKER.search(held.hold.reason)
    return "" if found is None else found[1]


def _retry_wait(run: RunRecord, facts: Facts) -> Cause | None:
    due = run.next_attempt_at
    if run.status is not RunStatus.RETRY_WAIT or due is None or due <= facts.snapshot.now:
        return None
    before = facts.latest(run)
    is_other = run.resources is not None and (before is None or run.resources != before.resources)
    asked = f", with {request(run.resources)}" if is_other and run.resources is not None else ""
    in_time = span((due - facts.snapshot.now).total_seconds())
    return Cause(
        "retry", f"its next attempt is due at {moment(due)}, in {in_time}{asked}", since=run.updated_at, until=due
    )


def _handed_to_workers(run: RunRecord, facts: Facts) -> Cause:
    lifetime = timedelta(seconds=facts.services.config.celery.hint_lifetime)
    again = run.updated_at + lifetime
    text = (
        f"it was handed to the workers at {moment(run.updated_at)}, and none has taken it up yet; "
        f"it is handed to them again at {moment(again)}"
    )
    return Cause("worker", text, since=run.updated_at, until=again)


def _limit(run: RunRecord, pipeline: Pipeline, facts: Facts) -> Cause | None:
    key = f"workflow.max_concurrent.{pipeline.name}"
    if pipeline.max_concurrent == 0:
        return Cause("limit", f"{key} is 0: no run of it is started")
    line = facts.services.state.line_of(run)
    if line.before < pipeline.max_concurrent - line.in_flight - line.queued:
        return None
    handed = f", {line.queued} handed to the workers" if line.queued else ""
    text = f"{line.in_flight} of {pipeline.max_concurrent} in flight ({key}){handed}, {line.before} before it"
    return Cause("limit", text)


def _site(run: RunRecord, pipeline: Pipeline, facts: Facts) -> list[Cause]:
    """Return what the site does not take now."""
    gate = facts.admission
    if gate is None:
        return []
    found = []
    reason = gate.wait_of(run, pipeline)
    if reason is not None:
        maintenance = gate.maintenance_of(run, pipeline)
        kind, until = ("partition", None) if maintenance is None else ("maintenance", maintenance.end)
        found.append(Cause(kind, reason[0], until=until))
    room = gate.room(pipeline)
    if room is not None and room[0] <= 0:
        found.append(Cause("site_limit", f"the site takes no more jobs at present: {room[1]}"))
    return found


def causes_in_queue(attempt: AttemptRecord, facts: Facts) -> tuple[Cause, ...]:
    """Return what a submitted job waits for, by SLURM's word of now, or else of the last poll."""
    lost = unknown_job(attempt, facts)
    if lost is not None:
        return (lost,)
    since = attempt.submitted_at
    row = facts.rows.get(attempt.token)
    if row is not None and is_listed(row) and row.state is not JobState.PENDING:
        return (Cause("slurm", f"SLURM says {row.word} just now; the next poll takes note of it", since=since),)
    if row is not None and not is_listed(row):
        text = f"SLURM says just now that the job has ended ({row.word}); the next poll looks into it"
        return (Cause("slurm", text, since=since),)
    polled = _POLLED_REASON.search(attempt.job_reason)
    raw = row.reason or "None" if row is not None else polled[1] if polled is not None else ""
    expected = None if row is None else start_of(row)
    if not raw:
        text = "it was handed over, and neuroflow has not looked at it since: the next poll does"
        return (Cause("slurm", text, since=since),)
    start = f"; SLURM expects to start it at {moment(expected)}" if expected is not None else ""
    return (
        Cause("slurm", f"{reason_in_words(raw).words} ({raw}){start}", since=since, until=expected, slurm_reason=raw),
    )


def unknown_job(attempt: AttemptRecord, facts: Facts) -> Cause | None:
    """Return that no witness knows a job any more, where that is so."""
    polled, seen = facts.life.last_poll, attempt.last_seen_at or attempt.submitted_at
    grace = timedelta(seconds=facts.services.config.cluster.accounting_grace_seconds)
    if attempt.token in facts.rows or seen is None or polled is None or polled - seen <= grace:
        return None
    told = short(attempt.job_reason) or "no witness has told of it"
    text = f"nobody knows its job since {moment(seen)}: {told}. It stays open until that is clear"
    return Cause("unknown", text, since=seen)


def is_stuck(causes: tuple[Cause, ...]) -> bool:
    """Tell whether a job never starts by itself."""
    return any(reason_in_words(cause.slurm_reason).is_stuck for cause in causes if cause.slurm_reason)
