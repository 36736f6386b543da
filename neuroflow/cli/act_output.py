"""What is shown of an act: its targets, what follows, and what was done."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from neuroflow.cli.output import counted, escaped, one_line
from neuroflow.domain import RunStatus
from neuroflow.domain.priority import priority_in_words
from neuroflow.orchestrator.acts import Act, Outcome, Verb
from neuroflow.views.consequences import Consequences, Kept, UnderWay, foresee
from neuroflow.views.status_services import services_run
from neuroflow.views.work import Work, estimate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from neuroflow.domain import RunRecord
    from neuroflow.orchestrator.services import Services

_MOST_LINES = 20
_FATES = {
    "cancelled": "will be cancelled, with its job",
    "withdrawn": "will be withdrawn: it has not started",
    "goes on": "goes on to its end first",
}


@dataclass(frozen=True)
class Ahead:
    """What follows, and how much work it is."""

    consequences: Consequences
    work: tuple[Work, ...]


def look_ahead(services: Services, act: Act) -> Ahead:
    """Return what follows from an act; a priority changes nothing but the order."""
    if act.verb is Verb.PRIORITY or not act.targets:
        return Ahead(Consequences((), (), (), (), ()), ())
    consequences = foresee(services.state.snapshot_of(act.subject_ids), services.registry, act.change)
    spent = services.state.typical_use() if consequences.following else {}
    return Ahead(consequences, estimate(consequences.following, services.registry, spent))


def preview_data(services: Services, act: Act, ahead: Ahead) -> dict[str, Any]:
    """Return the preview for programs."""
    follows = ahead.consequences
    holds = services.holds()
    return {
        "act": str(act.verb),
        "priority": act.priority,
        "targets": [
            {
                "kind": target.noun,
                "id": target.id,
                "name": target.name,
                "state": target.state,
                "runs": [run.id for run in (*target.runs, *target.stops)],
            }
            for target in act.targets
        ],
        "skipped": [{"name": item.name, "why": item.why, "done": item.done} for item in act.skipped],
        "follows": follows.following,
        "in_any_case": [{"pipeline": pipeline, "scope": scope} for pipeline, scope in follows.anyway],
        "not_any_more": [{"pipeline": pipeline, "scope": scope} for pipeline, scope in follows.dropped],
        "under_way": [
            {
                "run": item.run.id,
                "pipeline": item.run.pipeline,
                "scope": item.run.scope,
                "status": str(item.run.status),
                "fate": item.fate,
            }
            for item in follows.under_way
        ],
        "kept": follows.kept,
        "work": [{**vars(work), "core_hours": round(work.core_hours, 2)} for work in ahead.work],
        "held": {work.pipeline: holds[work.pipeline] for work in ahead.work if work.pipeline in holds},
    }


def outcome_data(outcome: Outcome) -> dict[str, Any]:
    """Return what was done, for programs."""
    return {
        "done": [target.id for target in outcome.done],
        "left_alone": [target.id for target in outcome.left],
        "errors": outcome.errors,
    }


def write_preview(services: Services, act: Act, ahead: Ahead, *, err: bool = False) -> None:
    """Write what would be done, and what follows."""
    for line in preview_lines(services, act, ahead):
        click.echo(line, err=err)


def preview_lines(services: Services, act: Act, ahead: Ahead) -> list[str]:
    """Return what would be done, and what follows, in lines for people."""
    to = f" to {priority_in_words(act.priority)}" if act.priority is not None else ""
    lines = [f"{act.verb}{to}: {counted(len(act.targets), act.noun)}"]
    lines += _cut([f"  {target.name}: {_state(target.state, target.runs, target.stops)}" for target in act.targets])
    if act.skipped:
        lines.append(f"left alone: {len(act.skipped)}")
        lines += _cut([f"  {item.name} {item.why}" for item in act.skipped])
    return [escaped(line) for line in (*lines, *_following(services, act, ahead), *_notes(services, act))]


def write_outcome(services: Services, act: Act, outcome: Outcome, ahead: Ahead, *, done: str) -> None:
    """Write what was done: a line for one thing, counts for many."""
    if not (act.targets or act.skipped):
        return
    if len(act.targets) == 1 and outcome.done:
        click.echo(escaped(_one(services, act)))
        for item in act.skipped[:_MOST_LINES]:
            click.echo(escaped(f"left alone: {item.name} {item.why}"))
    elif len(act.skipped) == 1 and not act.targets:
        click.echo(escaped(f"{act.skipped[0].name} {act.skipped[0].why}"))
    else:
        left = f", {len(outcome.left)} left alone: no longer as they were" if outcome.left else ""
        so = sum(item.done for item in act.skipped)
        other = len(act.skipped) - so
        already = f", {so} so already" if so else ""
        click.echo(
            f"{counted(len(outcome.done), act.noun)} {done}{left}{already}{f', {other} left out' if other else ''}"
        )
        for line in _cut([f"  {item.name} {item.why}" for item in act.skipped if not item.done]):
            click.echo(escaped(line))
    for line in (*_following(services, act, ahead), *_notes(services, act)):
        click.echo(escaped(line))
    for error in outcome.errors:
        click.echo(f"error: {escaped(error)}", err=True)


def _one(services: Services, act: Act) -> str:
    (target,) = act.targets
    if act.verb is Verb.RERUN:
        runs = ", ".join(str(run.id) for run in (*target.runs, *target.stops))
        return f"{target.name}: will be run again in place of run {runs}"
    if act.verb is Verb.CANCEL:
        return f"{target.name} is cancelled"
    if act.verb is Verb.PRIORITY:
        return f"{target.name}: the priority is {priority_in_words(act.priority or 0)}"
    return f"{target.name} is {services.state.get_session(target.id).status}"


def _following(services: Services, act: Act, ahead: Ahead) -> list[str]:
    """Return what follows, what is under way, what does not come any more, and what stays."""
    follows = ahead.consequences
    lines = _new_runs(services, ahead)
    if act.verb is Verb.RERUN and not lines:
        lines.append("nothing follows that would not come anyway")
    if act.verb in (Verb.RERUN, Verb.INCLUDE) and follows.anyway:
        lines.append(f"comes in any case: {_listed(follows.anyway)}")
    # What a person named is listed already.
    under_way = [item for item in follows.under_way if act.verb is not Verb.CANCEL]
    if under_way:
        lines.append("under way:")
        lines += _cut([f"  {_named(item.run)}, and {_FATES[item.fate]}{_how(item)}" for item in under_way])
    if follows.dropped:
        lines.append(f"does not come any more: {_listed(follows.dropped)}")
    return lines + _cut([_kept(item) for item in follows.kept])


def _listed(keys: Sequence[tuple[str, str]]) -> str:
    counts = Counter(pipeline for pipeline, _ in keys)
    return ", ".join(f"{count} of {name}" for name, count in counts.items())


def _kept(item: Kept) -> str:
    stays = f"{item.pipeline} of {item.scope} (run {item.run_id}) was made with a session that is taken out, and stays"
    command = f"neuroflow subject rerun {item.scope} --from {item.pipeline}"
    return f"{stays}: `{command}` makes it anew without" if item.others else stays


def _how(item: UnderWay) -> str:
    return f"; `neuroflow runs cancel {item.run.id}` ends it" if item.fate == "goes on" else ""


def _new_runs(services: Services, ahead: Ahead) -> list[str]:
    if not ahead.work:
        return []
    holds = services.holds()
    lines = ["what follows, if each of them succeeds:"]
    for work in ahead.work:
        replaces = f", {work.replacing} in place of results" if work.replacing else ""
        basis = f"as the last {work.measured} took" if work.measured else "their time limit: at most"
        lines.append(
            f"  {work.pipeline}: {counted(work.runs, 'new run')}{replaces}; {_hours(work.core_hours)} core-hours "
            f"({work.runs} x {counted(work.cpus, 'core')} x {_hours(work.hours)} h, {basis})"
        )
        if work.pipeline in holds:
            lines.append(
                f"  {work.pipeline} is held, and starts nothing before `neuroflow pipeline resume`: "
                + one_line(holds[work.pipeline])
            )
    if any(work.replacing for work in ahead.work):
        lines.append(
            "results stay where they are until the new ones are whole, and then move to .neuroflow/replaced of "
            "their dataset"
        )
    return lines


def _hours(hours: float) -> str:
    return f"{hours:,.1f}" if hours >= 0.05 else "under 0.1"


def _notes(services: Services, act: Act) -> list[str]:
    if act.verb is Verb.INCLUDE:
        scan = "the next scan decides how they stand; what follows is for sessions that it finds ready"
        return [scan, *_nobody_starts(services)]
    if act.verb is Verb.RERUN and act.targets:
        return _nobody_starts(services)
    if act.verb is not Verb.PRIORITY:
        return []
    sent = (RunStatus.SUBMITTING, RunStatus.SUBMITTED, RunStatus.RUNNING)
    late = sum(run.status in sent for target in act.targets for run in target.runs)
    return [f"{late} of them are with the cluster already: their place there stays"] if late else []


def _nobody_starts(services: Services) -> list[str]:
    """Say so where no service is seen to run that would start the work."""
    if services_run(services.config.paths.state_dir, now=services.clock()) is not False:
        return []
    return ["no service runs, and nothing starts before one does: `neuroflow up`, or `neuroflow tick` for one round"]


def _state(state: str, runs: Sequence[RunRecord], stops: Sequence[RunRecord]) -> str:
    if len(runs) == 1 and not stops and state.startswith(str(runs[0].status)):
        return state
    parts = [f"run {run.id} ({run.pipeline} of {run.scope}) {run.status}" for run in (*runs, *stops)]
    return "; ".join(filter(None, (state, ", ".join(parts))))


def _named(run: RunRecord) -> str:
    return f"run {run.id} ({run.pipeline} of {run.scope}) is {run.status}"


def _cut(lines: Sequence[str]) -> list[str]:
    more = len(lines) - _MOST_LINES
    return [*lines[:_MOST_LINES], *([f"  and {more} more (--json has all)"] if more > 0 else [])]
