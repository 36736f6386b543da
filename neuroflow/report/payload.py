"""The page's data: a report as plain JSON values."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path
from urllib.parse import quote

from neuroflow.domain import RunStatus
from neuroflow.domain.history import AttemptFact, RunFact
from neuroflow.report.compact import Columns, Texts, seconds, shown
from neuroflow.report.failures import MOST_GROUPS, Group
from neuroflow.report.figures import Figures
from neuroflow.report.gather import Report
from neuroflow.report.region_values import region_data
from neuroflow.report.states import WORDS

SCHEMA = 1
# Above it, attempts of runs that completed at the first try are left out: the run says the same.
DETAILED_SESSIONS = 20_000
_MOST_SCOPES = 12  # of a failure group
_DIGITS = 6  # of a figure
_EPOCH = date(1970, 1, 1).toordinal()


def payload(report: Report, *, folder: Path) -> dict[str, object]:
    """Return the data of a page that will lie in a folder."""
    texts = Texts()
    subjects = {session.subject_id: shown(session.subject) for session in report.cohort.sessions}
    numbers = {subject_id: number for number, subject_id in enumerate(subjects)}
    places = {run.id: place for place, run in enumerate(report.history.runs)}
    data: dict[str, object] = {
        "schema": SCHEMA,
        "title": shown(report.wish.title),
        "madeAt": seconds(report.made_at),
        "madeBy": shown(report.wish.made_by),
        "since": seconds(report.wish.since),
        "chosen": len(report.wish.subjects),
        "anonymous": report.wish.anonymous,
        "states": [
            {"letter": one.state.value, "name": one.name, "word": one.word, "about": one.meaning} for one in WORDS
        ],
        "pipelines": _pipelines(report),
        "subjects": list(subjects.values()),
        "sessions": _sessions(report, texts, numbers, places),
        "runs": _runs(report, texts, numbers),
        "attempts": _attempts(report, texts, places),
        "flow": {
            "first": None if report.flow.first is None else report.flow.first.toordinal() - _EPOCH,
            "completed": report.flow.completed,
            "failed": report.flow.failed,
        },
        "usage": [asdict(one) for one in report.usage],
        "failures": [_group(report, group) for group in report.groups[:MOST_GROUPS]],
        "failuresLeftOut": max(len(report.groups) - MOST_GROUPS, 0),
        "figures": _figures(report.figures),
        "regions": region_data(report.figures.regions),
        "links": _links(report.figures, places, folder),
        "provenance": _provenance(report),
    }
    return data | {"texts": texts.all}


def _pipelines(report: Report) -> list[dict[str, object]]:
    return [
        {
            "name": column.pipeline.name,
            "title": column.pipeline.title,
            "level": column.pipeline.level.value,
            "held": shown(report.holds.get(column.pipeline.name, "")),
            "request": asdict(column.pipeline.resources),
            "counts": {state.value: count for state, count in column.counts().items()},
            "total": report.cohort.total(column),
        }
        for column in report.cohort.columns
    ]


def _sessions(report: Report, texts: Texts, numbers: Mapping[int, int], places: Mapping[int, int]) -> dict[str, object]:
    rows = Columns(("subject", "label", "status", "reason"))
    for session in report.cohort.sessions:
        number = texts.number(session.reason)
        rows.add(numbers[session.subject_id], shown(session.label), session.status.value[0], number)
    return {
        **rows.data(),
        "ids": [session.id for session in report.cohort.sessions],
        "states": ["".join(column.states) for column in report.cohort.columns],
        "runs": [[-1 if run is None else places[run.id] for run in column.runs] for column in report.cohort.columns],
        "reasons": [
            {str(index): texts.number(reason) for index, reason in enumerate(column.reasons) if reason}
            for column in report.cohort.columns
        ],
    }


def _runs(report: Report, texts: Texts, numbers: Mapping[int, int]) -> Mapping[str, object]:
    columns = {column.pipeline.name: number for number, column in enumerate(report.cohort.columns)}
    rows = Columns(
        (
            *("id", "pipeline", "subject", "session", "status", "superseded", "attempts", "failure", "signature"),
            *("reason", "error", "output", "updated", "started", "ended", "took"),
        )
    )
    took = {attempt.run_id: _took(attempt) for attempt in report.history.attempts}  # the last one's
    moment = _moments(report)
    for run in report.history.runs:
        rows.add(
            run.id,
            columns.get(run.pipeline, -1),
            numbers.get(run.subject_id, -1),
            run.session_id,
            texts.number(run.status),
            int(run.superseded),
            run.attempts,
            texts.number(run.failure),
            texts.number(run.signature),
            texts.number(run.resolution or run.reason),
            texts.number(run.error),
            texts.number(run.output_path),
            moment(run.updated_at),
            moment(run.started_at),
            moment(run.ended_at),
            took.get(run.id),
        )
    return rows.data()


def _attempts(report: Report, texts: Texts, places: Mapping[int, int]) -> Mapping[str, object]:
    detailed = len(report.cohort.sessions) <= DETAILED_SESSIONS
    rows = Columns(
        (
            *("run", "number", "status", "where", "job", "host", "failure", "message", "exit", "rss", "request"),
            *("submitted", "started", "ended", "took", "version"),
        )
    )
    runs, moment = report.history.runs, _moments(report)
    for attempt in report.history.attempts:
        place = places.get(attempt.run_id)
        if place is None or not (detailed or _is_telling(attempt, runs[place])):
            continue
        rows.add(
            place,
            attempt.number,
            texts.number(attempt.status),
            texts.number(attempt.where),
            texts.number(attempt.job_id),
            texts.number(attempt.host),
            texts.number(attempt.failure),
            texts.number(attempt.message),
            attempt.exit_code,
            None if attempt.max_rss_mb is None else round(attempt.max_rss_mb),
            texts.number(_request(attempt)),
            moment(attempt.submitted_at),
            moment(attempt.started_at),
            moment(attempt.ended_at),
            _took(attempt),
            texts.number(attempt.image_version),
        )
    return {**rows.data(), "complete": detailed}


def _moments(report: Report) -> Callable[[datetime | None], int | None]:
    """Return how times of runs are written; in a page for others not at all: the day of a scan may tell who it was."""
    return (lambda _: None) if report.wish.anonymous else seconds


def _took(attempt: AttemptFact) -> int | None:
    """Return the seconds that an attempt worked, as `usage` counts them."""
    if attempt.started_at is None or attempt.ended_at is None:
        return None
    return max(round((attempt.ended_at - attempt.started_at).total_seconds()), 0)


def _is_telling(attempt: AttemptFact, run: RunFact) -> bool:
    return run.status is not RunStatus.COMPLETED or attempt.number > 1 or attempt.failure is not None


def _request(attempt: AttemptFact) -> str:
    asked = attempt.resources
    cores = "1 core" if asked.cpus == 1 else f"{asked.cpus} cores"
    time = f"{asked.time_minutes / 60:g} h" if asked.time_minutes % 30 == 0 else f"{asked.time_minutes} min"
    words = f"{cores}, {asked.memory_mb:,} MiB, {time}"
    return f"{words}, {asked.gpus} GPU" if asked.gpus else words


def _group(report: Report, group: Group) -> dict[str, object]:
    key = (group.signature, group.pipeline, group.failure)
    moment = _moments(report)
    return {
        "signature": group.signature,
        "pipeline": group.pipeline,
        "failure": group.failure,
        "attempts": group.attempts,
        "runs": len(group.runs),
        "waiting": len(group.waiting),
        "underWay": len(group.under_way),
        "firstAt": moment(group.first_at),
        "lastAt": moment(group.last_at),
        "example": shown(group.example),
        "exampleRun": group.example_run,
        "lines": [shown(line) for line in report.lines.get(key, ())],
        "examples": sorted(group.waiting or group.runs, reverse=True)[:_MOST_SCOPES],
    }


def _figures(figures: Figures) -> dict[str, object]:
    return {
        "kinds": [
            {
                "pipeline": kind.pipeline,
                "name": shown(kind.name),
                "label": shown(kind.label),
                "unit": shown(kind.unit),
                "sessions": list(values),
                "values": [float(f"{value:.{_DIGITS}g}") for value in values.values()],
            }
            for kind, values in figures.values.items()
        ],
        "read": figures.read,
        "kept": figures.kept,
        "left": figures.left,
        "unreadable": figures.unreadable,
        "problems": [shown(problem) for problem in figures.problems],
    }


def _links(figures: Figures, places: Mapping[int, int], folder: Path) -> dict[str, list[tuple[str, str]]]:
    return {
        str(places[run]): [(shown(path.name), link(path, folder=folder)) for path in paths]
        for run, paths in figures.reports.items()
        if paths
    }


def link(path: Path, *, folder: Path) -> str:
    """Return a link from a page in a folder to a file."""
    # `./`: a file whose name looks like a scheme stays a file.
    return "./" + quote(os.fsencode(os.path.relpath(path, folder)))


def _provenance(report: Report) -> dict[str, object]:
    values = asdict(report.provenance)
    return values | {"settings": shown(report.provenance.settings)}
