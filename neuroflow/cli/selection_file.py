"""Lists of subjects and sessions that people bring along: plain lines, or a table as BIDS has them."""

from __future__ import annotations

from dataclasses import dataclass

SUBJECT_COLUMN = "participant_id"
SESSION_COLUMN = "session_id"
_NOT_GIVEN = ("", "n/a")


@dataclass(frozen=True)
class Line:
    """A line that names a subject, and perhaps one of its sessions; labels without their prefixes."""

    number: int
    subject: str
    session: str | None


@dataclass(frozen=True, order=True)
class Problem:
    """A line that can't be used, and why."""

    number: int
    text: str


@dataclass(frozen=True)
class Parsed:
    """What a list names, and its lines that name nothing."""

    lines: tuple[Line, ...]
    problems: tuple[Problem, ...]


def parse_list(text: str) -> Parsed:
    """Read a list: `sub-01`, `sub-01 ses-a` or `sub-01/ses-a` on each line, or a table whose first line names columns.

    The table is one with tabs, a column `participant_id`, and perhaps `session_id`, as in BIDS' participants.tsv and
    sessions.tsv (https://bids-specification.readthedocs.io/en/stable/modality-agnostic-files/data-summary-files.html).
    Empty lines, and those that begin with #, are passed over.
    """
    rows = [
        (number, line)
        for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), start=1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if rows and rows[0][1].split("\t")[0].split(",")[0].split()[0] in (SUBJECT_COLUMN, SESSION_COLUMN):
        return _parse_table(rows)
    lines: list[Line] = []
    problems: list[Problem] = []
    for number, line in rows:
        words = line.strip().replace("/ses-", " ses-").split()
        _take(number, words, lines, problems)
    return Parsed(tuple(lines), tuple(problems))


def _parse_table(rows: list[tuple[int, str]]) -> Parsed:
    number, header = rows[0]
    columns = [name.strip() for name in header.split("\t")]
    if SUBJECT_COLUMN not in columns:
        problem = f"the table has no column {SUBJECT_COLUMN}; its columns, divided by tabs, are: {', '.join(columns)}"
        return Parsed((), (Problem(number, problem),))
    lines: list[Line] = []
    problems: list[Problem] = []
    for number, line in rows[1:]:
        cells = [cell.strip() for cell in line.split("\t")]
        if len(cells) != len(columns):
            problems.append(Problem(number, f"it has {len(cells)} cells, and the table {len(columns)} columns"))
            continue
        row = dict(zip(columns, cells, strict=True))
        if SESSION_COLUMN in row and row[SESSION_COLUMN] in _NOT_GIVEN:
            problems.append(Problem(number, f"{SESSION_COLUMN} is {row[SESSION_COLUMN]!r}"))
            continue
        _take(number, [row[name] for name in (SUBJECT_COLUMN, SESSION_COLUMN) if name in row], lines, problems)
    return Parsed(tuple(lines), tuple(problems))


def _take(number: int, words: list[str], lines: list[Line], problems: list[Problem]) -> None:
    from neuroflow.domain import is_label

    if not 1 <= len(words) <= 2:
        problems.append(Problem(number, f"{' '.join(words)!r} is not one subject, or one subject and one session"))
        return
    labels = [word.removeprefix(prefix) for word, prefix in zip(words, ("sub-", "ses-"), strict=False)]
    for word, label in zip(words, labels, strict=True):
        if not is_label(label):
            why = f"{word!r} is no label: letters and digits, with or without sub- and ses-"
            problems.append(Problem(number, why))
            return
    lines.append(Line(number, labels[0], labels[1] if len(labels) == 2 else None))
