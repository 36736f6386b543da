"""`neuroflow report`: the cohort, what failed and what came out, in one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from neuroflow.cli.arguments import SUBJECT, actor, examples, json_option
from neuroflow.cli.context import AppContext, pass_app
from neuroflow.cli.moments import since_option
from neuroflow.cli.output import counted, escaped, write_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from neuroflow.orchestrator.services import Services
    from neuroflow.report.cohort import Cohort
    from neuroflow.report.figures import Figures
    from neuroflow.report.gather import Report

DEFAULT_NAME = "neuroflow-report.html"
ANONYMOUS_NAME = "neuroflow-report-anonymous.html"
_CACHE = "report-figures.json.gz"  # in paths.state_dir
_SHORTEST_TITLE, _LONGEST_TITLE = 1, 200


def _title(value: str) -> str:
    text = " ".join(value.split())
    if not _SHORTEST_TITLE <= len(text) <= _LONGEST_TITLE:
        raise click.BadParameter(f"a title has 1 to {_LONGEST_TITLE} characters, this one {len(text)}")
    return text


@click.command(
    "report",
    epilog=examples(
        "neuroflow report",
        "neuroflow report --output /projects/study/report.html --title 'Study, autumn'",
        "neuroflow report --subject 01 --subject 02 --since 90d",
        "neuroflow report --anonymous --title 'Study, autumn'",
    ),
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help=f"Where it is written; otherwise {DEFAULT_NAME} here, or {ANONYMOUS_NAME}.",
)
@click.option(
    "--anonymous",
    is_flag=True,
    help="For others: subjects by number; no labels, paths, users, hosts, dates of runs, messages and links.",
)
@click.option("--subject", "subjects", type=SUBJECT, multiple=True, metavar="LABEL", help="Only this one; repeatable.")
@since_option("Count flow, time, memory and failures from then on")
@click.option("--title", type=_title, metavar="TEXT", help="The page's heading.")
@click.option("--no-figures", is_flag=True, help="Read no key figures and look for no reports of the tools: no files.")
@click.option(
    "--read-for",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="Read the results' files for at most this long; what was read is kept for the next report.",
)
@click.option("--force", is_flag=True, help="Replace a file that is no report.")
@json_option
@pass_app
def report_command(
    app: AppContext,
    output: Path | None,
    anonymous: bool,
    subjects: tuple[str, ...],
    since: datetime | None,
    title: str | None,
    no_figures: bool,
    read_for: float,
    force: bool,
    as_json: bool,
) -> None:
    """Write the whole cohort into one HTML file that needs no network.

    It shows how far every session is, what failed and why, how long the pipelines take, key figures, links to the
    tools' own reports, and where all of it comes from. Nothing is changed but the file.
    """
    from neuroflow.report.collector import paused_collector
    from neuroflow.report.document import document
    from neuroflow.report.gather import Wish, gather
    from neuroflow.report.payload import payload
    from neuroflow.report.write import check_target, write_page

    target = (output or Path(ANONYMOUS_NAME if anonymous else DEFAULT_NAME)).expanduser().absolute()
    check_target(target, replace=force)
    services = app.services()
    study = "" if anonymous else services.config.paths.derivatives_root.parent.name
    wish = Wish(
        title=title or f"{study or 'Cohort'}: diffusion MRI",
        made_by=actor(),
        subjects=tuple(dict.fromkeys(subjects)),
        since=since,
        anonymous=anonymous,
    )
    with paused_collector():
        report = gather(services, wish, read_figures=_reader(services, no_figures=no_figures, seconds=read_for))
        if anonymous:
            report = _anonymous(services, report)
        # Links are relative to where the file really lies, not to a link to its folder.
        size = write_page(target, document(report, payload(report, folder=target.parent.resolve())))
    _tell(_outcome(report, target, size), as_json=as_json)


def _anonymous(services: Services, report: Report) -> Report:
    from neuroflow.report.anonymous import anonymous
    from neuroflow.report.pseudonyms import KEY_NAME, numbers_of, the_key

    # Of all subjects, not of the chosen ones: a subject has one number in both reports.
    labels = {subject.label for subject in services.state.list_subjects()}
    labels |= {session.subject for session in report.history.sessions}  # found meanwhile
    return anonymous(report, numbers_of(labels, key=the_key(services.config.paths.state_dir / KEY_NAME)))


def _reader(services: Services, *, no_figures: bool, seconds: float) -> Callable[[Cohort], Figures]:
    import time

    from neuroflow.adapters.key_figures import look_up_key_figures
    from neuroflow.config.path_map import PathMap
    from neuroflow.report.figure_cache import FigureCache
    from neuroflow.report.figures import Figures, Readers, read_figures
    from neuroflow.report.tool_reports import ReportIndex

    config = services.config

    def read(cohort: Cohort) -> Figures:
        if no_figures:
            return Figures()
        cache = FigureCache(config.paths.state_dir / _CACHE)
        names = PathMap(config.cluster.ssh.paths if config.cluster.is_remote else {})
        end = time.monotonic() + seconds
        readers = Readers(look_up_key_figures, ReportIndex().find, cache, names.here, lambda: time.monotonic() < end)
        figures = read_figures(cohort, readers)
        cache.save()
        return figures

    return read


def _outcome(report: Report, path: Path, size: int) -> dict[str, Any]:
    figures = report.figures
    return {
        "schema": 1,
        "path": str(path),
        "bytes": size,
        "sessions": len(report.cohort.sessions),
        "runs": len(report.history.runs),
        "failures": len(report.groups),
        "results_read": figures.read,
        "results_kept": figures.kept,
        "results_left": figures.left,
        "results_unreadable": figures.unreadable,
        "reports_linked": sum(1 for found in figures.reports.values() if found),
    }


def _tell(outcome: dict[str, Any], *, as_json: bool) -> None:

    if as_json:
        write_json(outcome)
        return
    click.echo(
        f"{escaped(outcome['path'])}  {outcome['bytes'] / 1e6:.1f} MB, {counted(outcome['sessions'], 'session')}"
    )
    if outcome["results_read"] or outcome["results_kept"]:
        click.echo(
            f"key figures were looked up for {counted(outcome['results_read'] + outcome['results_kept'], 'result')}, "
            f"{outcome['results_kept']} of them as they were read before"
        )
    if outcome["results_left"]:
        click.echo(
            f"no time was left for {counted(outcome['results_left'], 'result')}: "
            "run it again, or with a longer --read-for"
        )
    if outcome["results_unreadable"]:
        click.echo(f"{counted(outcome['results_unreadable'], 'result')} could not be read whole; the page says which")
