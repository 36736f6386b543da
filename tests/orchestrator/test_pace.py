"""SLURM is asked less often the slower it answers, and the longer nothing changes."""

from __future__ import annotations

import pytest

from neuroflow.orchestrator.pace import poll_interval


@pytest.mark.parametrize(
    ("latency", "idle", "expected"),
    [
        (0.1, 0, 60),
        (0.1, 4, 120),
        (0.1, 1000, 300),  # never more than five times
        (20.0, 0, 100),
        (20.0, 2, 100),
        (90.0, 0, 450),
    ],
)
def test_the_interval(latency: float, idle: int, expected: float) -> None:
    assert poll_interval(60, latency_seconds=latency, idle_rounds=idle) == expected
