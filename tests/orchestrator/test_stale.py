"""Stale means that no witness knows a job: neither its age nor a forgotten row of the accounting says so."""

from __future__ import annotations

import pytest

from neuroflow.domain import AccountingRow, JobState, QueueRow, Sighting
from neuroflow.orchestrator.stale import is_known
from tests.cluster_layer.builders import exit_record


def accounted(state: JobState) -> AccountingRow:
    return AccountingRow("4711", "t", state, state.value.upper(), 0, None, None, 0)


@pytest.mark.parametrize(
    ("sighting", "known"),
    [
        (Sighting(True, True, queue=QueueRow("4711", "t", JobState.PENDING, "PENDING")), True),
        (Sighting(True, True, queue=QueueRow("4711", "t", JobState.UNRECOGNISED, "ODD")), True),
        (Sighting(True, True, accounting=accounted(JobState.COMPLETED)), True),
        (Sighting(True, True, exit_record=exit_record()), True),
        (Sighting(False, False), True),  # squeue did not answer: nobody knows whether it is known
        (Sighting(True, False, accounting_silent=True), True),
        (Sighting(True, True), False),
        (Sighting(True, True, accounting=accounted(JobState.RUNNING)), False),  # the controller has forgotten it
        (Sighting(True, True, accounting=accounted(JobState.PENDING)), False),
    ],
)
def test_who_is_known(sighting: Sighting, known: bool) -> None:
    assert is_known(sighting) is known
