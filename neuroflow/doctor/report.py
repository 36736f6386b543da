"""Write findings for people and for programs."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import neuroflow
from neuroflow.doctor.check import Finding, Severity
from neuroflow.doctor.registry import CHECKS, NODE_CHECKS, kinds
from neuroflow.domain import Stage

SCHEMA = 1
_WIDTH = 118
# A pipeline's name as a finding is about it, or as a part of a key: not one within a path.
_PIPELINE = re.compile(rf"(?:(?<=[ .])|^)({'|'.join(Stage)})(?=[.:, ]|$)")
EXIT_ERRORS = 1
_ORDER = (Severity.ERROR, Severity.WARNING, Severity.OK, Severity.SKIPPED)
_PLURALS = {Severity.ERROR: "errors", Severity.WARNING: "warnings", Severity.OK: "ok", Severity.SKIPPED: "skipped"}


def exit_code(findings: Iterable[Finding], *, strict: bool) -> int:
    """Return 0, or 1 where there are errors; with `strict` also where there are warnings."""
    bad = {Severity.ERROR, Severity.WARNING} if strict else {Severity.ERROR}
    return EXIT_ERRORS if any(one.severity in bad for one in findings) else 0


def as_json(findings: Sequence[Finding], *, strict: bool) -> dict[str, Any]:
    """Return what --json writes."""
    return {
        "schema": SCHEMA,
        "neuroflow": neuroflow.__version__,
        "exit_code": exit_code(findings, strict=strict),
        "summary": {_PLURALS[name]: number for name, number in counted(findings).items()},
        "findings": [asdict(one) for one in findings],
    }


def counted(findings: Iterable[Finding]) -> dict[Severity, int]:
    """Count findings by severity."""
    numbers = Counter(one.severity for one in findings)
    return {severity: numbers[severity] for severity in _ORDER}


def summary(findings: Iterable[Finding]) -> str:
    """Return the last line: how many of each."""
    numbers = counted(findings)
    words = [f"{number} {_PLURALS[name] if number != 1 else name}" for name, number in numbers.items()]
    return ", ".join(words)


def line(finding: Finding, *, here: str) -> str:
    """Return a finding in one line; findings of other hosts name theirs."""
    host = f" [{finding.host}]" if finding.host and finding.host != here else ""
    return f"{finding.check}{host}: {finding.what}"


def blocks(findings: Iterable[Finding], *, here: str) -> list[list[str]]:
    """Return what somebody has to act on: for each code what was seen, why it matters, and what mends it."""
    by_code: dict[tuple[Severity, str, str], list[Finding]] = {}
    for one in findings:
        by_code.setdefault((one.severity, one.code, one.host), []).append(one)
    found = []
    for (severity, code, host), alike in by_code.items():
        place = f" on {host}" if host and host != here else ""
        found.append(
            [
                f"{severity.upper()} {code}{place}",
                *(f"  what  {what}" for what in _said_once(one.what for one in alike)),
                f"  why   {alike[0].why}",
                *(f"  mend  {mend}" for mend in _said_once(one.mend for one in alike)),
            ]
        )
    return found


def _said_once(texts: Iterable[str]) -> list[str]:
    """Return texts once each; of those that differ by their pipeline alone, the first with the others' names."""
    firsts: dict[str, str] = {}
    others: dict[str, list[str]] = {}
    for text in dict.fromkeys(texts):
        names = {*_PIPELINE.findall(text)}
        alike = _PIPELINE.sub("\0", text) if len(names) == 1 else text
        if alike in firsts:
            others[alike] += names
        else:
            firsts[alike], others[alike] = text, []
    return [
        f"{text} (the same for {', '.join(others[alike])})" if others[alike] else text for alike, text in firsts.items()
    ]


def doctor_markdown(note: str) -> str:
    """Return the page of everything that doctor may find."""
    parts = [note, _HEAD, "\n## Checks\n\n| check | topic | looks at | on nodes |\n|---|---|---|---|\n"]
    names = {check.name for check in CHECKS}
    on_node = {check.name for check in NODE_CHECKS}
    for check in (*CHECKS, *(one for one in NODE_CHECKS if one.name not in names)):
        where = "" if check.name not in on_node else "too" if check.name in names else "only"
        parts.append(f"| `{check.name}` | {check.topic} | {check.about} | {where} |\n")
    parts.append("\n## Findings\n")
    for kind in sorted(kinds(), key=lambda one: one.code):
        parts.append(f"\n### {kind.code}\n\n**{kind.severity.capitalize()}**: {kind.title}.\n\n")
        parts += [_item("Why it matters", f"{kind.why}."), _item("What mends it", _in_general(kind.mend))]
    return "".join(parts)


def _item(name: str, text: str) -> str:
    words = f"- *{name}*: {text}"
    wrapped = textwrap.wrap(words, _WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    return "\n".join(wrapped) + "\n"


def _in_general(mend: str) -> str:
    """Return a remedy with capitals in place of what only a finding knows."""
    return mend.replace("{hint}", "as the finding says").format_map(_Capitals())


class _Capitals(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return key.upper()


_HEAD = """
# Doctor

`neuroflow doctor` looks at everything that a run needs, and says of what is wrong: what was seen, why it matters, and
the command or edit that mends it.

    neuroflow doctor                 # this machine, the database, Redis, SLURM, the images
    neuroflow doctor --node          # the same inside a tiny job: nodes see other mounts, and no network
    neuroflow doctor --only slurm-jobs --only images
    neuroflow doctor --json

Exit code 0: no errors (warnings may be there; `--strict` counts them as errors); 1: errors; 2: a wrong command line.
`--json` writes `schema`, `exit_code`, `summary` and `findings`, each with `code`, `severity` (`error`, `warning`,
`ok`, `skipped`), `check`, `topic`, `what`, `why`, `mend` and `host`. A code stays what it is between releases; what is
in order, or was skipped, has its check's name for a code.

**Before the first submission** of a SLURM site the quick checks (those that ask neither SLURM nor an image) run by
themselves when `neuroflow up`, `run worker`, `workflow run` or `tick` starts; their errors keep it from starting, with
exit code 8. For a cluster behind SSH they connect to the login node. Once a run has been submitted, they are never
asked again, so that a restart always finds its jobs: `--no-doctor`, or `doctor.before_first_submission: false`, leaves
them out. A worker that is started by `celery` itself does not ask them. Whether Redis answers is not among them: `up`
waits for a Redis of your own, and says so (`up.redis_silent`); `tick` and `workflow run` need none.

**On a node**: `--node` submits one job of one core by the very script, Python and set-up lines of all jobs, with the
account, partition (`auto` too) and QOS of the largest pipeline; `--partition` names another one. It is cancelled when
you interrupt it, or when it does not end within `doctor.node_timeout_seconds`. Run it once for each partition that you
use.

**A cluster behind SSH** (`cluster.transport: ssh`): SLURM's commands are asked on the login node; database, Redis,
logs and this machine's folders are looked at here. Images, runtime, licence, templates and a heuristic of the jobs are
the cluster's: they are `skipped` here, and looked at by `--node`, whose job has its folder in `cluster.ssh.state_dir`.
That folders are the same ones by both names is proved by a file that is written here and looked for there, for those
that `cluster.ssh.paths` gives another name, and for `paths.bids_root` where conversions are made in the worker.

What is not looked at: programs of the site that end processes on its login nodes, and purges of old files.
TemplateFlow: the images that QSIPrep loads are looked for; what a reconstruction of your own needs is not known.
"""
