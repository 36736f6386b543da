"""The single lines of a status: services, the last poll and backup, SLURM, holds, images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from neuroflow.cli.output import counted, escaped, one_line, when
from neuroflow.cli.status_words import age, moment_of

OUTDATED = (
    "the workers were started with another configuration: send `neuroflow up` SIGHUP or restart it (or worker and beat)"
)
LEVELS = {"warning": "yellow", "bold": "bold"}


@dataclass(frozen=True)
class Line:
    """One line, and how much it matters."""

    text: str
    level: str = ""


def service_lines(status: Mapping[str, Any], *, now: datetime) -> Iterator[Line]:
    """Yield how sessions and services are."""
    yield Line("\nsessions: " + ", ".join(_sessions(name, count) for name, count in status["sessions"].items()))
    yield _services(status["services"], now)
    yield _poll(status, now)
    yield Line(_backup(status["last_backup"], now))
    if status["workers_outdated"]:
        yield Line(OUTDATED, "warning")
    if status["undelivered"]:
        yield Line(f"notifications that did not arrive: {status['undelivered']} (`neuroflow notify list`)", "warning")
    if status["slurm"] is not None:
        yield Line(_slurm(status["slurm"], status["last_poll"], now))


def notes(status: Mapping[str, Any]) -> Iterator[Line]:
    """Yield what a person has to see to."""
    for name, reason in status["held"].items():
        shown = escaped(str(name))
        yield Line(f"held: {shown}: {one_line(str(reason))} (`neuroflow pipeline resume {shown}`)", "warning")
    for image in status["changed_images"]:
        pipeline = escaped(str(image["pipeline"]))
        since = "" if image["since"] is None else f" since {when(moment_of(image['since']))}"
        yield Line(
            f"image changed: {pipeline}: {escaped(str(image['image']))} is another one{since} "
            f"(`neuroflow containers verify {pipeline}`)",
            "warning",
        )


def out_of_date_lines(status: Mapping[str, Any], *, now: datetime) -> Iterator[Line]:
    """Yield which results exist and are not those of the present inputs, as they were last looked for."""
    rows = [row for row in status["pipelines"] if row.get("out_of_date")]
    if not rows:
        return
    at = status.get("out_of_date_at")
    seen = "" if at is None or status["filter"]["subjects"] else f" (as of {age(moment_of(at), now)})"
    yield Line(f"\nout of date, completed over inputs that have changed since{seen}:", "warning")
    for row in rows:
        blocked = int(row.get("out_of_date_blocked") or 0)
        coming = int(row["out_of_date"]) - blocked
        parts = [f"{coming} to be run again"] if coming else []
        parts += [f"{blocked} blocked, by what failed or was left out upstream (`neuroflow why`)"] if blocked else []
        yield Line(f"  {escaped(str(row['pipeline']))}: {', '.join(parts)}", "warning")


def _sessions(name: str, count: int) -> str:
    # Their runs still count as done: that is easily overlooked.
    hint = " (`neuroflow session list --status invalid`)" if name == "invalid" and count else ""
    return f"{count} {name}{hint}"


def _services(services: Mapping[str, Any], now: datetime) -> Line:
    if services["up"]:
        unwell = [one for one in services["children"] if one["state"] != "running" or one["health"] == "silent"]
        children = ", ".join(f"{_text(one['name'])} {_health(one)}" for one in services["children"])
        redis = "" if services["redis_answers"] in (True, None) else "; Redis does not answer"
        ready = "" if services["ready"] in (True, None) else ", not ready yet"
        who = f"`neuroflow up` on {_text(services['host'])} (process {services['pid']}){ready}"
        level = "warning" if unwell or redis else ""
        return Line(f"services: {who}: {children or 'nothing is known of its services'}{redis}", level)
    beat = services["beat_seen_at"]
    if services["run"]:
        worker = services["worker_started_at"]
        started = "no worker is known" if worker is None else f"a worker was started {age(moment_of(worker), now)}"
        return Line(f"services: beat gave a sign of life {age(moment_of(beat), now)}; {started}")
    if services["up"] is None:
        return Line("services: not to be seen by this user (the state folder is its owner's)")
    last = services["up_seen_at"] or beat
    seen = "" if last is None else f"; the last sign of life was {age(moment_of(last), now)}"
    return Line(f"services: none runs (`neuroflow up`, or `neuroflow tick` by hand or cron){seen}")


def _health(child: Mapping[str, Any]) -> str:
    if child["state"] != "running":
        return _text(child["state"])
    return "silent" if child["health"] == "silent" else "runs"


def _poll(status: Mapping[str, Any], now: datetime) -> Line:
    poll = status["last_poll"]
    if poll is None:
        return Line("last look at the jobs: never", "warning" if status["poll_is_late"] else "")
    at = moment_of(poll["at"])
    unknown = f", {poll['unknown']} that no witness knows" if poll.get("unknown") else ""
    errors = "".join(f"; no answer: {one_line(str(error))}" for error in poll.get("errors", ()))
    late = "; nobody has looked at them since, although jobs are in flight" if status["poll_is_late"] else ""
    text = f"last look at the jobs: {when(at)}, {age(at, now)}{unknown}{errors}{late}"
    return Line(text, "warning" if late or errors else "")


def _backup(backup: Mapping[str, Any] | None, now: datetime) -> str:
    if backup is None:
        return "last backup: never (`neuroflow db backup`)"
    at = moment_of(backup["at"])
    rows = f", {counted(backup['rows'], 'row')}" if "rows" in backup else ""
    return f"last backup: {when(at)}, {age(at, now)}{rows}"


def _slurm(slurm: Mapping[str, Any], poll: Mapping[str, Any] | None, now: datetime) -> str:
    seconds = None if poll is None else poll.get("interval_seconds")
    interval = ""
    if poll is not None and seconds is not None and now - moment_of(poll["at"]) < timedelta(seconds=3 * seconds + 60):
        interval = f"asked every {seconds:.0f} s now, "
    answers = ", ".join(
        f"{_text(row['program'])} {row['calls']} ({row['mean_seconds']:.2f} s)" for row in slurm["programs"]
    )
    left = f"{slurm['calls_left']:.0f} of {slurm['calls_per_minute']:g} calls left in this minute"
    return f"SLURM: {interval}{left}" + (f"; calls (mean): {answers}" if answers else "")


def _text(value: object) -> str:
    return one_line(str(value))
