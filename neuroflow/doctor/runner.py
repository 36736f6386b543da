"""Run checks, each with its time limit, so that one that breaks or hangs does not take the others with it."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from neuroflow.doctor.check import Check, Context, Finding, Severity, error, skipped
from neuroflow.masking import mask_text

CRASHED = error(
    "check-crashed",
    "a check broke off",
    why="what it would have found is not known",
    mend="run `neuroflow --debug doctor --only {check}`, and report what it says",
)
HUNG = error(
    "check-hung",
    "a check did not end within its time limit",
    why="a file system, a server or SLURM does not answer; whatever neuroflow does there will hang as well",
    mend="see whether the file systems under `paths` answer (`timeout 10 ls DIR`), then "
    "`neuroflow doctor --only {check}`",
)
KINDS = (CRASHED, HUNG)
NOT_LOOKED_AT = "not looked at"


@dataclass(frozen=True)
class Outcome:
    """What a check answered: its findings, or the error that ended it."""

    findings: tuple[Finding, ...] = ()
    failure: BaseException | None = None


def run_checks(
    checks: Sequence[Check],
    context: Context,
    *,
    chosen: Callable[[Check], bool] = lambda check: True,
    on_start: Callable[[Check], None] = lambda check: None,
    host: str | None = None,
    raising: bool = False,
) -> Iterator[Finding]:
    """Yield the findings of the chosen checks, in order; what a check needs is asked silently where it is not chosen.

    Args:
        checks: all of them, so that a check finds what it needs.
        context: what they look at.
        chosen: whether to report a check.
        on_start: told of each check that begins.
        host: the name to put on each finding; None: this machine's.
        raising: pass on the error of a check that breaks, for --debug.
    """
    by_name = {check.name: check for check in checks}
    names = {name for check in checks if chosen(check) for name in (check.name, *_needed(check, by_name))}
    failed: dict[str, str] = {}  # by name, with what is to be mended first
    host = host or socket.gethostname()
    for check in checks:
        if check.name not in names:
            continue
        on_start(check)
        findings = [check.own(one, host=host) for one in _run_one(check, context, failed=failed, raising=raising)]
        if any(one.severity is Severity.ERROR for one in findings):
            failed[check.name] = check.name
        elif waits := [failed[name] for name in check.needs if name in failed]:
            failed[check.name] = waits[0]
        if chosen(check):
            yield from findings


def _needed(check: Check, by_name: dict[str, Check]) -> Iterator[str]:
    for name in check.needs:
        if name in by_name:
            yield name
            yield from _needed(by_name[name], by_name)


def _run_one(check: Check, context: Context, *, failed: dict[str, str], raising: bool) -> Iterable[Finding]:
    missing = [failed[name] for name in check.needs if name in failed]
    if missing:
        return (skipped(f"{NOT_LOOKED_AT}: `{missing[0]}` has to be mended first"),)
    outcome = _within_time(check, context)
    if outcome is None:
        return (HUNG.seen(f"`{check.name}` did not end within {check.seconds:g} s", check=check.name),)
    if outcome.failure is not None:
        if raising:
            raise outcome.failure
        words = mask_text(f"{type(outcome.failure).__name__}: {outcome.failure}")
        return (CRASHED.seen(f"`{check.name}` broke off: {words}", check=check.name),)
    return outcome.findings


def _within_time(check: Check, context: Context) -> Outcome | None:
    """Run a check beside this thread: a look at a dead file server can't be interrupted, only left behind."""
    answers: queue.SimpleQueue[Outcome] = queue.SimpleQueue()

    def work() -> None:
        try:
            answers.put(Outcome(findings=tuple(_findings(check, context))))
        except BaseException as failure:  # a check's own errors are findings, whatever they are
            answers.put(Outcome(failure=failure))

    threading.Thread(target=work, name=f"doctor-{check.name}", daemon=True).start()
    try:
        return answers.get(timeout=check.seconds)
    except queue.Empty:
        return None


def _findings(check: Check, context: Context) -> Iterator[Finding]:
    reason = check.applies(context) if context.loads else ""
    if reason:
        yield skipped(reason)
        return
    allowed = {kind.code for kind in check.kinds} | {""}
    for finding in check.run(context):
        if finding.code not in allowed:
            raise ValueError(f"reports '{finding.code}', which it does not declare")
        yield finding
