"""How long until SLURM is asked again: a pure choice from what the last answers were like."""

from __future__ import annotations

# A controller that takes a second to answer is given five before the next question.
LATENCY_FACTOR = 5.0
IDLE_STEP = 0.25
SLOWEST = 5.0  # times the site's own interval, however long nothing changes


def poll_interval(base_seconds: float, *, latency_seconds: float, idle_rounds: int) -> float:
    """Return the seconds between two polls.

    Args:
        base_seconds: `cluster.poll_seconds`, the shortest.
        latency_seconds: how long the slowest call of the last poll took.
        idle_rounds: polls in a row in which nothing changed.
    """
    patient = base_seconds * min(1 + IDLE_STEP * idle_rounds, SLOWEST)
    return max(patient, LATENCY_FACTOR * latency_seconds)
