"""The checks of the clocks; this machine's can't be set, so the one that they compare with is a fake."""

from __future__ import annotations

import time

import pytest

from neuroflow.doctor.clock import judged
from tests.doctor.conftest import Patient


def test_clocks_that_agree(patient: Patient) -> None:
    assert patient.codes("clock-files", "clock-database") == []


@pytest.mark.provokes("clock-differs", "clock-wrong")
def test_a_file_server_with_another_time(patient: Patient) -> None:
    [found] = patient.look("clock-files", clock=lambda: time.time() - 10)
    assert found.code == "clock-differs"
    assert "is 10 s ahead" in found.what
    [found] = patient.look("clock-files", clock=lambda: time.time() + 100)
    assert found.code == "clock-wrong"
    assert "is 100 s behind" in found.what


@pytest.mark.provokes("clock-wrong")
def test_a_database_server_with_another_time(patient: Patient, fresh_postgres: str) -> None:
    patient.write(database={"url": fresh_postgres})
    assert patient.codes("clock-database", clock=lambda: time.time() + 100) == ["clock-wrong"]


def test_small_differences_are_none() -> None:
    assert judged("x", 4.9) is None
    assert judged("x", -4.9) is None
