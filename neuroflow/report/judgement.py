"""How the scheduler judges each session and pipeline: whether what came through is still what should be there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from sys import intern
from typing import TYPE_CHECKING

from neuroflow.core.pages import RowFilter
from neuroflow.export.row_tables import results_of
from neuroflow.orchestrator.standing import Kind, SessionResult

if TYPE_CHECKING:
    from neuroflow.orchestrator.services import Services


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a pipeline stands for a session, and the run that says so."""

    kind: Kind
    reason: str
    run_id: int | None  # None where there is none over the present inputs


# By session, and then by pipeline.
Judgement = Mapping[int, Mapping[str, Verdict]]
NO_JUDGEMENT: Judgement = {}


def judgement_of(services: Services, *, subjects: tuple[str, ...]) -> Judgement:
    """Judge every session as `neuroflow export sessions` does, a page at a time."""
    return {
        session: {result.pipeline: _verdict(result) for result in results}
        for session, results in groupby(
            results_of(services, RowFilter(subjects=subjects)), key=lambda result: result.session.id
        )
    }


def _verdict(result: SessionResult) -> Verdict:
    # A result that is current needs no reason, and the others' are much alike.
    reason = "" if result.kind is Kind.CURRENT else intern(result.reason)
    return Verdict(result.kind, reason, None if result.run is None else result.run.id)
