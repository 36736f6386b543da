"""Failure signatures: attempts that failed alike share a short hash, whatever their subject, paths and numbers."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass

from neuroflow.domain import AttemptRecord, FailureClass, RunRecord, Verdict

HASH_DIGITS = 10
# Of a cleaned text; what follows is detail, and may have been cut off in another place.
LONGEST_TEXT = 200
_LONGEST_RAW = 4_000
_REASON_CUT = 300  # of the last line, in a verdict's reason

# These say that something else than the job ended it; there is nothing to group.
UNSIGNED = frozenset({FailureClass.PREEMPTED, FailureClass.CANCELLED})

_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_TELLING = re.compile(
    r"\w*(?:Error|Exception|Fault)\b|\b(?:error|fatal|abort(?:ed)?|panic|killed|fail(?:ed|ure)?|cannot|can't|unable|"
    r"denied|refused|not found|no such|no space left|invalid|missing)\b",
    re.IGNORECASE,
)
_NOT_TELLING = re.compile(
    r"^(?:Traceback \(most recent call last\)|File \"|During handling of)|warn|\b(?:0|no) errors?\b", re.IGNORECASE
)

_DATE = r"(?:19|20)\d\d-?[01]\d-?[0-3]\d"
_CLOCK = r"[0-2]\d[:-]?[0-5]\d(?:[:-]?[0-5]\d)?(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?"
# What may hold a name of the attempt, and goes as a whole.
_WHOLES = (
    (re.compile(r"(?<=['\"])~?/[^'\"]+(?=['\"])"), "<path>"),
    (re.compile(r"(?<![\w.<>*-])(?:[a-z][a-z0-9+]*://|~?/|\.{1,2}/)[^\s'\"`,;:()\[\]{}<>]+", re.IGNORECASE), "<path>"),
    (re.compile(r"(?<![0-9a-f])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![0-9a-f])", re.IGNORECASE), "<hex>"),
    (re.compile(rf"(?<!\d)(?:{_DATE}[T ,_-]?{_CLOCK}|{_DATE}|\d{{6}}-{_CLOCK}|\d?\d:\d\d:\d\d)(?![\d:])"), "<time>"),
    (re.compile(r"\bnf-[a-z0-9_]+-\d+-[0-9a-f]{12}\b"), "<job>"),
)
_PARTS = (
    (re.compile(r"(?<![A-Za-z0-9])(sub|ses)-[A-Za-z0-9]+"), r"\1-<label>"),
    (re.compile(r"\b0x[0-9a-f]+\b", re.IGNORECASE), "<hex>"),
    (re.compile(r"(?<![a-z0-9])(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{6,}(?![a-z0-9])", re.IGNORECASE), "<hex>"),
)
# Names of images, in which the digit is no number.
_NUMBER = re.compile(
    r"(?P<name>(?<![A-Za-z0-9])(?:[Tt][12](?:w|star)?|b0|[234][dD])(?![A-Za-z0-9]))"
    r"|[-+]?\d+(?:[.,]\d+)*(?:[eE][+-]?\d+)?"
)
_PLACEHOLDER = re.compile(r"<(?:time|job|path|label|host|hex|n)>")
_REPEATED = re.compile(r"(<\w*>)(?:[\s,;:x/.-]{0,3}\1)+")


@dataclass(frozen=True)
class Signature:
    """What failures that are alike have in common: a text for people, and its hash for tables."""

    text: str
    code: str


def sign(pipeline: str, failure: FailureClass, error: str, *, names: Collection[str] = ()) -> Signature:
    """Return the signature of a failure.

    Args:
        error: what happened, in any words.
        names: of this one attempt, such as its host and its labels, which the text may hold anywhere.
    """
    text = _cleaned(error, names)
    # The kinds of placeholders don't count: one subject's label is a number, another one's is not.
    common = _REPEATED.sub(r"\1", _PLACEHOLDER.sub("<>", text)).casefold()[:LONGEST_TEXT]
    digest = hashlib.sha256(f"{pipeline}\n{failure}\n{common}".encode()).hexdigest()
    return Signature(text[:LONGEST_TEXT], digest[:HASH_DIGITS])


def code_of(attempt: AttemptRecord, verdict: Verdict, *, stderr_tail: str = "") -> str:
    """Return the hash for an attempt's verdict of failure, nothing for one that is nobody's fault."""
    failure = verdict.failure or FailureClass.APPLICATION
    if failure in UNSIGNED:
        return ""
    ids = (attempt.token, attempt.job_name, attempt.job_id or "", attempt.host, verdict.host)
    names = {*attempt.scope.split("/"), *ids}
    return sign(attempt.pipeline, failure, error_text(verdict, stderr_tail), names=names).code


def sign_run(run: RunRecord, failure: FailureClass, error: str) -> str:
    """Return the hash for a run that failed before any job of it existed."""
    return sign(run.pipeline, failure, error, names=run.scope.split("/")).code


def error_text(verdict: Verdict, stderr_tail: str) -> str:
    """Return what tells of a failure: the verdict's reason, and the line of the tool's errors that says most."""
    # What a tool writes tells of its own failures only; before a time limit it is progress.
    line = telling_line(stderr_tail) if verdict.failure is FailureClass.APPLICATION else ""
    last = _lines(stderr_tail)[-1][:_REASON_CUT] if line else ""
    return verdict.reason.removesuffix(last) + line if last and verdict.reason.endswith(last) else verdict.reason


def telling_line(text: str) -> str:
    """Return the last line that speaks of an error, or else the last one."""
    lines = meaningful_lines(text)
    telling = (line for line in reversed(lines) if _TELLING.search(line) and not _NOT_TELLING.search(line))
    return next(telling, lines[-1] if lines else "")


def meaningful_lines(text: str) -> list[str]:
    """Return the lines that say something, without a terminal's colours."""
    return [line for raw in _lines(text) if (line := _ANSI.sub("", raw).strip())]


def _lines(text: str) -> list[str]:
    return [line.strip() for line in re.split(r"[\r\n]", text) if line.strip()]


def _cleaned(error: str, names: Collection[str]) -> str:
    text = " ".join(_ANSI.sub("", error[:_LONGEST_RAW]).split())
    for pattern, placeholder in _WHOLES:
        text = pattern.sub(placeholder, text)
    text = _without_names(text, names)
    for pattern, placeholder in _PARTS:
        text = pattern.sub(placeholder, text)
    text = _NUMBER.sub(lambda found: found["name"] or "<n>", text)
    return _REPEATED.sub(r"\1", text)


def _without_names(text: str, names: Collection[str]) -> str:
    for name in sorted(names, key=len, reverse=True):
        kind, bare = ("label", name[4:]) if name.startswith(("sub-", "ses-")) else ("host", name)
        # A label such as `a` or `pre` is a word of the language, too.
        if len(bare) > 3 or any(letter.isdigit() for letter in bare):
            text = re.sub(rf"(?<![A-Za-z0-9<]){re.escape(bare)}(?![A-Za-z0-9>])", f"<{kind}>", text)
    return text
