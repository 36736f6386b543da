"""Work out an act: which of the things that a person named it can be done to, and why not to the others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace

from neuroflow.domain import (
    ENDED_RUN_STATUSES,
    OPEN_RUN_STATUSES,
    RunFilter,
    RunRecord,
    RunStatus,
    SessionRecord,
    SessionStatus,
    Stage,
    SubjectRecord,
)
from neuroflow.domain.priority import priority_in_words
from neuroflow.errors import NotFoundError
from neuroflow.orchestrator.acts import Act, Skipped, Target, Verb
from neuroflow.orchestrator.services import Services

_UNSUCCESSFUL = frozenset({RunStatus.FAILED, RunStatus.CANCELLED})
# Why nothing of a session can be run again, and what to do about it.
_UNREADY = {
    SessionStatus.SETTLING: "settling ({reason}): it is run by itself once its files are quiet",
    SessionStatus.INVALID: "invalid ({reason}): nothing can be run; mend its files, then `neuroflow scan`",
    SessionStatus.EXCLUDED: "excluded ({reason}): take it in first with `neuroflow session include`",
}


def find_runs(services: Services, run_ids: Collection[int]) -> list[RunRecord]:
    """Return runs by id, in the order given.

    Raises:
        NotFoundError: with all that are not there.
    """
    found = services.state.get_runs(run_ids)
    missing = [str(one) for one in dict.fromkeys(run_ids) if one not in found]
    if missing:
        raise NotFoundError(f"there is no run {', '.join(missing)}", hint="`neuroflow runs list` shows them")
    return [found[one] for one in dict.fromkeys(run_ids)]


def retrying(services: Services, runs: Sequence[RunRecord]) -> Act:
    """Run these again, each as a new run; those that wait for their next attempt make it now."""
    newest = {(run.pipeline, run.scope): run.id for run in services.state.present_runs({r.subject_id for r in runs})}
    sessions = services.state.get_sessions({run.session_id for run in runs if run.session_id is not None})
    of_subjects = _sessions_of(services, {run.subject for run in runs if run.session_id is None})

    def why_not(run: RunRecord) -> Skipped | None:
        if run.status is RunStatus.RETRY_WAIT:
            return None
        if run.status in OPEN_RUN_STATUSES:
            why = f"is {run.status}: it can be run again once it has ended (`neuroflow runs cancel {run.id}` ends it)"
            return Skipped(_name(run), why)
        if run.superseded:
            return Skipped(_name(run), "is to be run again already", done=True)
        unready = _unready(sessions[run.session_id]) if run.session_id is not None else ""
        if unready:
            return Skipped(_name(run), f"can't be run again: its session {unready}")
        if run.session_id is None and (unready := _none_ready(of_subjects[run.subject_id])):
            return Skipped(_name(run), f"can't be run again: its subject has no session that is ready: {unready}")
        if newest.get((run.pipeline, run.scope), run.id) != run.id:
            return Skipped(_name(run), f"was followed by run {newest[run.pipeline, run.scope]}: retry that one")
        return None

    return _of_runs(Verb.RERUN, runs, why_not)


def cancelling(runs: Sequence[RunRecord]) -> Act:
    """Cancel these, and their jobs."""

    def why_not(run: RunRecord) -> Skipped | None:
        if run.status in OPEN_RUN_STATUSES:
            return None
        return Skipped(_name(run), f"is {run.status} already", done=run.status is RunStatus.CANCELLED)

    return _of_runs(Verb.CANCEL, runs, why_not)


def prioritising(runs: Sequence[RunRecord], priority: int) -> Act:
    """Have these start earlier or later than others."""

    def why_not(run: RunRecord) -> Skipped | None:
        if run.status not in OPEN_RUN_STATUSES:
            return Skipped(_name(run), f"is {run.status} already")
        if run.priority == priority:
            return Skipped(_name(run), f"has that priority already: {priority_in_words(priority)}", done=True)
        return None

    return replace(_of_runs(Verb.PRIORITY, runs, why_not), priority=priority)


def prioritising_subjects(subjects: Iterable[SubjectRecord], priority: int) -> Act:
    """Have everything of these subjects start earlier or later than others, now and from now on."""
    targets, skipped = [], []
    for subject in subjects:
        name, now = f"sub-{subject.label}", priority_in_words(subject.priority)
        if subject.priority == priority:
            skipped.append(Skipped(name, f"has that priority already: {now}", done=True))
        else:
            targets.append(Target("subject", subject.id, name, subject.id, f"{now} priority"))
    return Act(Verb.PRIORITY, "subject", tuple(targets), tuple(skipped), priority=priority)


def rerunning_sessions(
    services: Services, sessions: Sequence[SessionRecord], *, pipeline: str | None = None, stop: bool = False
) -> Act:
    """Run sessions again, from a pipeline on, or else from whatever failed on, or else from the conversion on.

    Args:
        stop: cancel runs that are open first.
    """
    by_subject = _by_subject(services, {session.subject_id for session in sessions})
    made: list[Target | Skipped] = []
    for session in sessions:
        unready = _unready(session)
        if unready:
            made.append(Skipped(session.scope, unready))
            continue
        runs = [run for run in by_subject[session.subject_id] if run.session_id in (None, session.id)]
        target = Target("session", session.id, session.scope, session.subject_id, str(session.status))
        made.append(_again(target, _from(runs, pipeline), stop=stop, what=pipeline))
    return _sorted_out("session", made)


def rerunning_subjects(
    services: Services, subjects: Sequence[SubjectRecord], *, pipeline: str, stop: bool = False
) -> Act:
    """Run subjects again from a pipeline on: whatever is made from its results follows.

    Args:
        stop: cancel runs of the pipeline that are open first.
    """
    by_subject = _by_subject(services, {subject.id for subject in subjects})
    sessions = _sessions_of(services, {subject.label for subject in subjects})
    made: list[Target | Skipped] = []
    for subject in subjects:
        own = sessions[subject.id]
        if unready := _none_ready(own):
            made.append(Skipped(f"sub-{subject.label}", f"has no session that is ready: {unready}"))
            continue
        # What is asked of a session that is not ready would stay for ever, or come long after.
        ready = {None, *(session.id for session in own if session.status is SessionStatus.READY)}
        runs = [run for run in by_subject[subject.id] if run.pipeline == pipeline and run.session_id in ready]
        others = ", ".join(f"ses-{session.label} is {session.status}" for session in own if session.id not in ready)
        target = Target("subject", subject.id, f"sub-{subject.label}", subject.id, others)
        made.append(_again(target, runs, stop=stop, what=pipeline))
    return _sorted_out("subject", made)


def excluding(sessions: Sequence[SessionRecord], *, excluded: bool) -> Act:
    """Take sessions out, or back in."""
    verb = Verb.EXCLUDE if excluded else Verb.INCLUDE
    targets, skipped = [], []
    for session in sessions:
        if excluded == (session.status is SessionStatus.EXCLUDED):
            skipped.append(Skipped(session.scope, f"is {session.status} already", done=True))
        else:
            targets.append(Target("session", session.id, session.scope, session.subject_id, str(session.status)))
    return Act(verb, "session", tuple(targets), tuple(skipped))


def sessions_of(services: Services, wanted: RunFilter) -> list[SessionRecord]:
    """Return the sessions that have a present run that matches; one of a subject stands for all of its sessions."""
    runs = services.state.select_runs(wanted)
    named = {run.session_id for run in runs if run.session_id is not None}
    whole = sorted({run.subject for run in runs if run.session_id is None})
    found = services.state.get_sessions(named)
    if whole:
        found |= {session.id: session for session in services.state.select_sessions(subjects=whole)}
    return sorted(found.values(), key=lambda session: (session.subject, session.label))


def _of_runs(verb: Verb, runs: Sequence[RunRecord], why_not: Callable[[RunRecord], Skipped | None]) -> Act:
    targets, skipped = [], []
    for run in runs:
        reason = why_not(run)
        if reason is not None:
            skipped.append(reason)
            continue
        failure = f" ({run.failure})" if run.failure else ""
        if verb is Verb.RERUN and run.status is RunStatus.RETRY_WAIT:
            failure += ", its next attempt comes now"
        if verb is Verb.PRIORITY:
            failure += f", {priority_in_words(run.priority)} priority"
        targets.append(Target("run", run.id, _name(run), run.subject_id, f"{run.status}{failure}", runs=(run,)))
    return Act(verb, "run", tuple(targets), tuple(skipped))


def _sorted_out(noun: str, made: Sequence[Target | Skipped]) -> Act:
    targets = tuple(item for item in made if isinstance(item, Target))
    return Act(Verb.RERUN, noun, targets, tuple(item for item in made if isinstance(item, Skipped)))


def _unready(session: SessionRecord) -> str:
    """Say why nothing of a session can be run, and a wish to run it again would stay for ever; nothing where it can."""
    if session.status is SessionStatus.READY:
        return ""
    return f"is {_UNREADY[session.status].format(reason=session.status_reason)}"


def _none_ready(sessions: Sequence[SessionRecord]) -> str:
    """Say why nothing of a subject can be run; nothing where one of its sessions is ready."""
    if any(session.status is SessionStatus.READY for session in sessions):
        return ""
    return "; ".join(f"ses-{session.label} {_unready(session)}" for session in sessions) or "it has none"


def _sessions_of(services: Services, labels: Collection[str]) -> dict[int, list[SessionRecord]]:
    """Return the sessions of each of these subjects."""
    found: dict[int, list[SessionRecord]] = defaultdict(list)
    for session in services.state.select_sessions(subjects=sorted(labels)) if labels else ():
        found[session.subject_id].append(session)
    return found


def _name(run: RunRecord) -> str:
    return f"run {run.id} ({run.pipeline} of {run.scope})"


def _by_subject(services: Services, subject_ids: Collection[int]) -> dict[int, list[RunRecord]]:
    by_subject: dict[int, list[RunRecord]] = defaultdict(list)
    for run in services.state.present_runs(subject_ids):
        by_subject[run.subject_id].append(run)
    return by_subject


def _from(runs: Sequence[RunRecord], pipeline: str | None) -> list[RunRecord]:
    if pipeline is not None:
        return [run for run in runs if run.pipeline == pipeline]
    failed = [run for run in runs if run.status in _UNSUCCESSFUL and not run.superseded]
    return failed or [run for run in runs if run.pipeline == Stage.BIDS_CONVERSION]


def _again(target: Target, runs: Sequence[RunRecord], *, stop: bool, what: str | None) -> Target | Skipped:
    """Return what is to be run again of a target, or why there is nothing."""
    ended = tuple(run for run in runs if run.status in ENDED_RUN_STATUSES and not run.superseded)
    opened = tuple(run for run in runs if run.status in OPEN_RUN_STATUSES)
    if opened and not stop:
        ids = " ".join(str(run.id) for run in opened)
        named = ", ".join(f"{_name(run)} is {run.status}" for run in opened)
        return Skipped(
            target.name, f"{named}; add --cancel-running, or `neuroflow runs cancel {ids}` first and then ask again"
        )
    if ended or opened:
        return replace(target, runs=ended, stops=opened)
    of = f" of {what}" if what else ""
    if any(run.superseded for run in runs):
        return Skipped(target.name, f"what there is{of} is to be run again already", done=True)
    return Skipped(target.name, f"has no ended run{of} to run again")
