"""What `neuroflow resources` writes: a block for each pipeline, or a table for programs."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

import click

from neuroflow.cli.output import counted, escaped, write_table
from neuroflow.views.resources import Question, Sizing
from neuroflow.views.resources_cost import RUNS, Cost
from neuroflow.views.resources_parts import Part

_WIDTH = 80
_COLUMNS = (
    *("pipeline", "part", "unit", "level", "version", "runs", "stopped"),
    *("asked", "median", "percentile", "largest", "used_share", "suggested", "note"),
)


def write_sizings(sizings: Sequence[Sizing], question: Question) -> None:
    """Write a block for each pipeline, and what to do next."""
    for number, sizing in enumerate(sizings):
        if number:
            click.echo()
        _write_sizing(sizing, question)
    if any(sizing.suggestions for sizing in sizings):
        click.echo("\nNext: `neuroflow resources --apply` shows the changes, and asks.")


def _write_sizing(sizing: Sizing, question: Question) -> None:
    click.secho(f"{sizing.pipeline}, each run a {sizing.level}", bold=True)
    click.echo(escaped(_history(sizing)))
    if sizing.runs:
        write_table(_header(question), [_row(part) for part in sizing.parts], empty="")
    for group in sizing.groups:
        click.echo(f"  {escaped(group.name)}: {counted(group.runs, 'run')}")
        write_table(_header(question), [_row(part) for part in group.parts], empty="")
    for line in _lines(sizing):
        click.echo(textwrap.fill(escaped(line), _WIDTH, initial_indent="  ", subsequent_indent="    "))


def _history(sizing: Sizing) -> str:
    if not sizing.runs:
        return "no run has succeeded, or was stopped for want of memory or time"
    days = sizing.first_day if sizing.first_day == sizing.last_day else f"{sizing.first_day} to {sizing.last_day}"
    version = f", version {sizing.version}" if sizing.version else ""
    return f"{counted(sizing.runs, 'run')} in {counted(sizing.attempts, 'attempt')}, {days}{version}"


def _header(question: Question) -> tuple[str, ...]:
    amounts = ("asked", "median", f"{question.share * 100:.4g} %", "largest")
    return ("", *(f"{name:>9}" for name in amounts), f"{'used':>5}", f"{'suggested':>9}")


def _row(part: Part) -> tuple[str, ...]:
    return (
        f"{part.name} ({part.unit})" if part.unit != part.name else part.name,
        f"{part.asked:>9,}",
        *(f"{_amount(value):>9}" for value in (part.median, part.covering, part.largest)),
        f"{'-' if part.used_share is None else f'{part.used_share:.0%}':>5}",
        f"{'-' if part.suggested is None else f'{part.suggested:,}':>9}",
    )


def _amount(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _lines(sizing: Sizing) -> Iterator[str]:
    for part in sizing.parts:
        if part.stopped:
            yield f"{part.name}: {counted(part.stopped, 'run')} needed more than was asked for, and never succeeded"
    notes = dict.fromkeys(part.note for part in sizing.parts if part.note and sizing.runs)
    for note in notes:
        yield f"{', '.join(part.name for part in sizing.parts if part.note == note)}: {note}"
    if sizing.cost is not None:
        yield f"{RUNS} runs cost {_cost(sizing.cost)}"
    if sizing.suggested_cost is not None:
        yield f"as suggested {_cost(sizing.suggested_cost)}"
    yield from (f"note: {note}" for note in sizing.notes)


def _cost(cost: Cost) -> str:
    wasted = f" ({cost.wasted_core_hours:,.0f} wasted)" if cost.wasted_core_hours >= 0.5 else ""
    given_up = f", {cost.given_up:.1f} given up" if cost.given_up >= 0.05 else ""
    hours = f"{cost.core_hours:,.0f} core-hours{wasted}, {cost.gb_hours:,.0f} GB-hours"
    return f"{hours}, {cost.retries:.1f} retries{given_up}"


def write_tsv(sizings: Sequence[Sizing]) -> None:
    """Write a line for each part of each pipeline; nothing stands for what is not known."""
    click.echo("\t".join(_COLUMNS))
    for sizing in sizings:
        for part in sizing.parts:
            cells = (
                *(sizing.pipeline, part.name, part.unit, sizing.level, sizing.version, part.runs, part.stopped),
                *(part.asked, _plain(part.median), _plain(part.covering), _plain(part.largest)),
                *(_plain(part.used_share), part.suggested, part.note),
            )
            click.echo("\t".join("" if cell is None else escaped(str(cell)).replace("\t", " ") for cell in cells))


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"
