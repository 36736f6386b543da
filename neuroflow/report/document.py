"""The HTML file: its template, style, script and data in one, under a policy that lets it fetch nothing."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from neuroflow.report.compact import shown
from neuroflow.report.gather import Report
from neuroflow.report.states import WORDS

PARTS = Path(__file__).parent / "page"
# In this order they are one script: names of the earlier ones are used by the later ones.
SCRIPTS = (
    *("dom.js", "data.js", "overview.js", "matrix.js", "failures.js", "flow.js", "usage.js", "figures.js"),
    *("regions.js", "subject.js", "provenance.js", "main.js"),
)
# By which a file is known as one of ours; see page.html.
MARK = '<meta name="generator" content="neuroflow report">'
_SUMMARY_FAILURES = 20


def document(report: Report, data: Mapping[str, object]) -> str:
    """Return the whole page.

    Args:
        data: the report as `payload` has it.
    """
    style, script = _style(), _script()
    environment = Environment(
        loader=FileSystemLoader(PARTS), autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True
    )
    # Markup: style and script are ours, the data are escaped by `json_for_html`.
    return environment.get_template("page.html").render(
        policy=policy(style, script),
        title=shown(report.wish.title),
        made=_made(report),
        style=Markup(style),  # noqa: S704
        script=Markup(script),  # noqa: S704
        data=Markup(json_for_html(data)),  # noqa: S704
        summary=_summary(report),
    )


def json_for_html(value: object) -> str:
    """Write JSON that can stand inside a script element: no text in it can end that element, or start another one."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)  # ASCII: U+2028 and the like are escaped
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def policy(style: str, script: str) -> str:
    """Return the Content-Security-Policy: this one style, this one script, and nothing from anywhere."""
    return (
        f"default-src 'none'; style-src {_source(style)}; script-src {_source(script)}; "
        "base-uri 'none'; form-action 'none'"
    )


def _source(text: str) -> str:
    # https://www.w3.org/TR/CSP3/#grammardef-hash-source
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def _style() -> str:
    return _part("page.css")


@cache
def _script() -> str:
    return "(() => {\n'use strict';\n" + "".join(_part(name) for name in SCRIPTS) + "})();\n"


def _part(name: str) -> str:
    return (PARTS / name).read_text(encoding="utf-8")


def _made(report: Report) -> str:
    by = "" if report.wish.anonymous else f" by {shown(report.wish.made_by)}"
    made = f"Made {report.made_at:%Y-%m-%d %H:%M} UTC{by} with neuroflow {report.provenance.neuroflow}"
    return (
        f"{made}; anonymous: without labels, paths, names, dates of runs and messages"
        if report.wish.anonymous
        else made
    )


def _summary(report: Report) -> dict[str, object]:
    """Return what a browser without JavaScript shows."""
    counts = [(column.pipeline.name, column.counts()) for column in report.cohort.columns]
    words = [one for one in reversed(WORDS) if any(count[one.state] for _, count in counts)]
    waiting = [group for group in report.groups if group.waiting][:_SUMMARY_FAILURES]
    return {
        "words": [one.word for one in words],
        "rows": [{"name": name, "counts": [count[one.state] for one in words]} for name, count in counts],
        "failures": [
            {
                "runs": len(group.waiting),
                "pipeline": group.pipeline,
                "signature": group.signature,
                "example": shown(group.example),
            }
            for group in waiting
        ],
    }
