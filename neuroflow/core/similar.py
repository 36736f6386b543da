"""Subjects whose labels resemble one that was mistyped."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from neuroflow.models import SubjectRow

_MOST = 3
_LOOKED_AT = 200
_LONGEST = 24  # each letter of a label is a pattern


def similar_subjects(session: Session, label: str) -> list[str]:
    """Return up to three labels that differ little from this one: in a letter, in case, or in zeros before it."""
    patterns = [SubjectRow.label.ilike(pattern) for pattern in _patterns(label[:_LONGEST])]
    found = session.scalars(select(SubjectRow.label).where(or_(*patterns)).order_by(SubjectRow.label).limit(_LOOKED_AT))
    return sorted(found, key=lambda other: _likeness(label.lower(), other.lower()), reverse=True)[:_MOST]


def _likeness(label: str, other: str) -> tuple[bool, float]:
    same_number = label.lstrip("0") == other.lstrip("0")
    return same_number, difflib.SequenceMatcher(None, label, other).ratio()


def _patterns(label: str) -> Iterator[str]:
    """Return what LIKE finds the neighbours of a label by; a label has letters and digits alone."""
    yield label
    if core := label.lstrip("0"):
        yield f"%0{core}"
        yield core
    for index in range(len(label) if len(label) > 1 else 0):
        before, after = label[:index], label[index + 1 :]
        yield f"{before}_{after}"  # another letter
        yield f"{before}_{label[index:]}"  # one is missing
        yield f"{before}{after}"  # one too many
        if after:
            yield f"{before}{after[0]}{label[index]}{after[1:]}"  # two in the wrong order
    yield f"{label}_"
