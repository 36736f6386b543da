"""Group what happened into topics that people are told of."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from neuroflow.config.notifications import Notifications
from neuroflow.domain import FailureClass, Notice, NoticeKind, RunRecord, RunStatus
from neuroflow.notify.text import discreet
from neuroflow.notify.topics import Topic
from neuroflow.orchestrator.current import current_runs
from neuroflow.orchestrator.services import Services
from neuroflow.orchestrator.signature import sign

_EXAMPLES = 3


def wanted_kinds(policy: Notifications) -> frozenset[NoticeKind]:
    """Return what people are to be told of."""
    switches = {
        NoticeKind.RUN_FAILED: policy.on_stage_failure,
        NoticeKind.WORKFLOW_FAILED: policy.on_stage_failure or policy.on_workflow_complete,
        NoticeKind.WORKFLOW_COMPLETED: policy.on_workflow_complete,
        NoticeKind.PIPELINE_HELD: policy.on_breaker,
        NoticeKind.DEAD_LETTERS: policy.on_dead_letter,
        NoticeKind.POLLER_SILENT: policy.on_poller_silent is not None,
        NoticeKind.POLLER_BACK: policy.on_poller_silent is not None,
    }
    return frozenset(kind for kind, is_on in switches.items() if is_on)


def gather_topics(services: Services, notices: Sequence[Notice]) -> tuple[list[Topic], set[int]]:
    """Return the topics of some notices, and the ids of those that nobody is to be told of."""
    wanted = wanted_kinds(services.config.workflow.notifications)
    failed = [notice for notice in notices if notice.kind is NoticeKind.RUN_FAILED and notice.kind in wanted]
    runs = services.state.get_runs([notice.entity_id for notice in failed if notice.entity_id is not None])
    # What somebody runs again or has closed meanwhile, somebody knows.
    open_failures = [notice for notice in failed if _waits_for_a_person(runs.get(notice.entity_id or 0))]
    others = [n for n in notices if n.kind in wanted and n.kind is not NoticeKind.RUN_FAILED]
    topics = [*_failures(services, open_failures, runs), *_single(services, others)]
    told = {notice_id for topic in topics for notice_id in topic.notice_ids}
    return topics, {notice.id for notice in notices} - told


def _waits_for_a_person(run: RunRecord | None) -> bool:
    return run is not None and run.status is RunStatus.FAILED and not run.superseded and not run.resolution


def _failures(services: Services, notices: Sequence[Notice], runs: Mapping[int, RunRecord]) -> Iterable[Topic]:
    alike: dict[str, list[Notice]] = defaultdict(list)
    for notice in notices:
        run = runs[notice.entity_id or 0]
        alike[f"{run.pipeline}:{run.signature or run.failure or 'refused'}"].append(notice)
    held = services.holds() if alike else {}
    for key, group in alike.items():
        yield _failure(key, group, [runs[notice.entity_id or 0] for notice in group], held)


def _failure(key: str, notices: Sequence[Notice], runs: Sequence[RunRecord], held: Mapping[str, str]) -> Topic:
    run, last = runs[0], runs[-1]
    number = "1 run failed" if len(runs) == 1 else f"{len(runs)} runs failed alike"
    kind = f"{run.failure}, signature {run.signature}" if run.signature else f"{run.failure or 'refused'}"
    # Without labels, paths and numbers: subjects are not named to a chat.
    failure, error = last.failure or FailureClass.APPLICATION, last.error_message or last.reason
    example = sign(last.pipeline, failure, error, names=last.scope.split("/"))
    ids = [str(one.id) for one in runs[:_EXAMPLES]]
    which = f"run {ids[0]}" if len(runs) == 1 else f"for example runs {', '.join(ids)}"
    then = (
        f"{run.pipeline} is held: nothing more of it starts"
        if run.pipeline in held
        else "nothing more is tried for them, and what needs them waits; others go on"
    )
    return Topic(
        key=f"failed:{key}",
        notice_ids=tuple(notice.id for notice in notices),
        oldest=notices[0].at,
        headline=f"{run.pipeline}: {number}",
        lines=(
            f"why: {kind}: {example.text}",
            f"which: {which}; {_when(notices)}",
            f"next: {then}",
            f"look: neuroflow recovery show {run.signature or run.id}",
        ),
        comes_back=True,
    )


def _when(notices: Sequence[Notice]) -> str:
    first, last = notices[0].at, notices[-1].at
    if len(notices) == 1:
        return f"{first:%Y-%m-%d %H:%M} UTC"
    return f"first {first:%Y-%m-%d %H:%M}, last {last:%Y-%m-%d %H:%M} UTC"


def _single(services: Services, notices: Sequence[Notice]) -> Iterable[Topic]:
    for notice in notices:
        headline, lines = _words(services, notice)
        calm = notice.kind in (NoticeKind.WORKFLOW_COMPLETED, NoticeKind.POLLER_BACK)
        yield Topic(f"{notice.kind}:{notice.id}", (notice.id,), notice.at, headline, lines, urgent=not calm)


def _words(services: Services, notice: Notice) -> tuple[str, tuple[str, ...]]:
    why = discreet(notice.text)
    match notice.kind:
        case NoticeKind.PIPELINE_HELD:
            return f"{notice.pipeline} is held", (
                f"why: {why}",
                "next: none of its runs starts until it is resumed; what runs already goes on",
                f"look: neuroflow status; once it is mended: neuroflow pipeline resume {notice.pipeline}",
            )
        case NoticeKind.WORKFLOW_COMPLETED | NoticeKind.WORKFLOW_FAILED:
            failed = notice.kind is NoticeKind.WORKFLOW_FAILED
            headline = f"workflow run {notice.entity_id} {'did not get through' if failed else 'is complete'}"
            return headline, (f"{'why' if failed else 'what'}: {why}", *_summary(services), "look: neuroflow status")
        case NoticeKind.DEAD_LETTERS:
            return why, ("next: nothing, until somebody runs or closes them", "look: neuroflow recovery list")
        case _:
            return why, ("look: neuroflow status, neuroflow up --status",)


def _summary(services: Services) -> Iterable[str]:
    runs = current_runs(services.state.snapshot())
    counts = Counter((run.pipeline, run.status) for run in runs)
    held = services.holds()
    for name in services.registry.names():
        done, failed = counts[name, RunStatus.COMPLETED], counts[name, RunStatus.FAILED]
        rest = sum(number for (pipeline, _), number in counts.items() if pipeline == name) - done - failed
        yield f"{name}: {done} done, {failed} failed, {rest} others" + (", held" if name in held else "")
